package plugin

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// decoder reads YAML strictly and collects faults instead of ending at the first.
type decoder struct {
	file   string
	faults []error
}

// keys are what a mapping may have, each with who reads its value.
type keys map[string]func(*yaml.Node)

func (d *decoder) fault(line int, format string, args ...any) {
	if len(d.faults) < 50 {
		d.faults = append(d.faults, &Fault{File: d.file, Line: line, Text: fmt.Sprintf(format, args...)})
	}
}

// document parses the text; nil if it isn't YAML, with the fault noted.
func (d *decoder) document(data []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		line, text := 0, strings.TrimPrefix(err.Error(), "yaml: ")
		if e, ok := errors.AsType[*yaml.LoadError](err); ok {
			line = e.Mark.Line
		}
		if n, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
			if l, err := strconv.Atoi(n); err == nil {
				line, text = l, rest
			}
		}
		d.fault(line, "%s", text)
		return nil
	}
	if len(doc.Content) == 0 {
		d.fault(1, "the file is empty")
		return nil
	}
	return doc.Content[0]
}

// mapping reads a mapping with a closed list of keys.
func (d *decoder) mapping(n *yaml.Node, what string, ks keys) {
	d.entries(n, what, func(k, v *yaml.Node) {
		read := ks[k.Value]
		if read == nil {
			known := slices.Sorted(maps.Keys(ks))
			hint := nearest(k.Value, known)
			if hint == "" {
				hint = "; it may have " + strings.Join(known, ", ")
			}
			d.fault(k.Line, "%s has no key %q%s", what, k.Value, hint)
			return
		}
		read(v)
	})
}

// entries calls f for each entry of a mapping whose keys differ and are text, numbers or the like.
func (d *decoder) entries(n *yaml.Node, what string, f func(k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n.Line, "%s must be a mapping (key: value), not %s", what, kindOf(n))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch line := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			d.fault(k.Line, "%s has a key that is %s; only text can be a key", what, kindOf(k))
		case line != 0:
			d.fault(k.Line, "%s has the key %q twice; it stands in line %d already", what, k.Value, line)
		default:
			seen[k.Value] = k.Line
			f(k, v)
		}
	}
}

// list calls f for each entry of a list.
func (d *decoder) list(n *yaml.Node, what string, f func(i int, v *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n.Line, "%s must be a list, not %s", what, kindOf(n))
		return
	}
	for i, v := range n.Content {
		f(i, v)
	}
}

// scalar returns a text, number or bool as it is written.
func (d *decoder) scalar(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fault(n.Line, "%s must be a text, not %s", what, kindOf(n))
		return "", false
	}
	if strings.ContainsFunc(n.Value, unicode.IsControl) {
		d.fault(n.Line, "%s has a line break or another control character", what)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) text(dst *string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) { *dst, _ = d.scalar(n, what) }
}

// oneOf reads a text that is one of a closed list.
func (d *decoder) oneOf(dst *string, what string, list ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, what)
		if ok && !slices.Contains(list, s) {
			d.fault(n.Line, "%s is %q, which isn't one of %s", what, s, strings.Join(list, ", "))
			return
		}
		*dst = s
	}
}

// texts reads one text or a list of them.
func (d *decoder) texts(dst *[]string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			if s, ok := d.scalar(n, what); ok {
				*dst = []string{s}
			}
			return
		}
		d.list(n, what, func(_ int, v *yaml.Node) {
			if s, ok := d.scalar(v, what); ok {
				*dst = append(*dst, s)
			}
		})
	}
}

func (d *decoder) flag(dst *bool, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Tag != "!!bool" || n.Decode(dst) != nil {
			d.fault(n.Line, "%s must be true or false, not %q", what, n.Value)
		}
	}
}

// number reads a whole number of at most that many bits.
func (d *decoder) number(n *yaml.Node, what string, bits int) uint64 {
	v, err := strconv.ParseUint(n.Value, 10, bits)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.fault(n.Line, "%s must be a whole number from 0 to %d, not %s %q", what, uint64(1)<<bits-1, kindOf(n), n.Value)
	}
	return v
}

func (d *decoder) regexp(dst **regexp.Regexp, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, what)
		if !ok {
			return
		}
		re, err := regexp.Compile(s)
		switch {
		case len(s) > 1024:
			d.fault(n.Line, "%s is over 1024 bytes long", what)
		case err != nil:
			d.fault(n.Line, "%s: %s", what, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		default:
			*dst = re
		}
	}
}

func kindOf(n *yaml.Node) string {
	switch n.Kind { //nolint:exhaustive // no value is a stream or a document
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (anchors aren't taken; write it out)"
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!null":
			return "nothing"
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "a bool"
		case "!!merge":
			return "a merge"
		}
		return "the text"
	}
	return "that"
}
