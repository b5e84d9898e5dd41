package configs

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

const (
	maxFile  = 4 << 20 // bytes; a site of some thousand devices has less than one MiB
	maxDepth = 32      // of values without a type of ours
)

// decoder fills Go values from a YAML document and collects every fault that it meets. A struct's keys are those of its
// `yaml` tags; a field `Line int` tagged "-" gets the item's line. A key without a value leaves what is there.
type decoder struct {
	file  string
	lines map[string]int // of each key that was read, by path
	errs  []error
}

// Types with a spelling of their own implement nodeReader on their pointers.
type nodeReader interface {
	readNode(d *decoder, n *yaml.Node, path string)
}

// Items of lists whose zero value isn't their default implement defaulter on their pointers.
type defaulter interface{ setDefaults() }

// decode reads data, a whole file, into *v.
func decode(file string, data []byte, v any) (*decoder, error) {
	d := &decoder{file: file, lines: make(map[string]int)}
	if len(data) > maxFile {
		return d, fmt.Errorf("%s: %d bytes are too many; at most %d are read", file, len(data), maxFile)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return d, syntaxError(file, err)
	}
	var doc, next yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return d, nil // nothing but comments
	} else if err != nil {
		return d, syntaxError(file, err)
	}
	if err := loader.Load(&next); err == nil {
		return d, fmt.Errorf("%s:%d: a second document begins here; put all into one", file, next.Line)
	} else if !errors.Is(err, io.EOF) {
		return d, syntaxError(file, err)
	}
	if len(doc.Content) > 0 {
		d.value(doc.Content[0], reflect.ValueOf(v).Elem(), "")
	}
	return d, errors.Join(d.errs...)
}

// syntaxError words what the YAML reader says like the faults that we find.
func syntaxError(file string, err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok && e.Mark.Line > 0 {
		return fmt.Errorf("%s:%d: this is no YAML: %s", file, e.Mark.Line, e.Message)
	}
	return fmt.Errorf("%s: this is no YAML: %w", file, err)
}

// fault notes an error at a line, with the path of the key that it is about.
func (d *decoder) fault(line int, path, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if path != "" {
		msg = path + ": " + msg
	}
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, line, msg))
}

// usable reports whether n has a value that we read. Aliases and tags are refused: they hide where a value comes from.
func (d *decoder) usable(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fault(n.Line, path, "anchors and aliases are not used here; write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(n.Line, path, "tags such as %s are not used here; leave it out", n.Tag)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
	default:
		return true
	}
	return false
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if !d.usable(n, path) {
		return
	}
	switch x := v.Addr().Interface().(type) {
	case nodeReader:
		x.readNode(d, n, path)
		return
	case *time.Duration:
		d.duration(n, x, path)
		return
	case *netip.AddrPort:
		d.addrPort(n, x, path)
		return
	case *netip.Addr:
		if s, ok := d.scalar(n, path); ok {
			addr, err := netip.ParseAddr(s)
			if err != nil || !addr.Is4() {
				d.fault(n.Line, path, "%q is not an IPv4 address such as 192.0.2.1", s)
				return
			}
			*x = addr
		}
		return
	case *netip.Prefix:
		if s, ok := d.scalar(n, path); ok {
			prefix, err := netip.ParsePrefix(s)
			if err != nil || !prefix.Addr().Is4() {
				d.fault(n.Line, path, "%q is not an IPv4 network such as 192.0.2.0/24", s)
				return
			}
			*x = prefix
		}
		return
	case encoding.TextUnmarshaler:
		if s, ok := d.scalar(n, path); ok {
			if err := x.UnmarshalText([]byte(s)); err != nil {
				d.fault(n.Line, path, "%v", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Map:
		if x, ok := d.plain(n, path, 0).(map[string]any); ok {
			v.Set(reflect.ValueOf(x))
		} else if n.Kind != yaml.MappingNode {
			d.fault(n.Line, path, "want keys with values, not %s", kindOf(n))
		}
	case reflect.String:
		if s, ok := d.scalar(n, path); ok {
			v.SetString(s)
		}
	case reflect.Int:
		if s, ok := d.scalar(n, path); ok {
			i, err := strconv.ParseInt(s, 10, 32)
			if err != nil {
				d.fault(n.Line, path, "%q is not a whole number", s)
				return
			}
			v.SetInt(i)
		}
	case reflect.Bool:
		if s, ok := d.scalar(n, path); ok {
			if s != "true" && s != "false" {
				d.fault(n.Line, path, "%q is neither true nor false", s)
				return
			}
			v.SetBool(s == "true")
		}
	default:
		panic("configs: no way to read a " + v.Type().String()) // a field of ours that no test has ever filled
	}
}

// scalar returns a single value as it is written.
func (d *decoder) scalar(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n.Line, path, "want a single value, not %s", kindOf(n))
		return "", false
	}
	return n.Value, true
}

func (d *decoder) duration(n *yaml.Node, to *time.Duration, path string) {
	s, ok := d.scalar(n, path)
	if !ok {
		return
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 {
		d.fault(n.Line, path, "%q is not a length of time; write it with its unit, such as 30s, 5m or 8h", s)
		return
	}
	*to = t
}

func (d *decoder) addrPort(n *yaml.Node, to *netip.AddrPort, path string) {
	s, ok := d.scalar(n, path)
	if !ok {
		return
	}
	full := s
	if strings.HasPrefix(s, ":") {
		full = "0.0.0.0" + s
	}
	ap, err := netip.ParseAddrPort(full)
	if err != nil || ap.Addr().Zone() != "" {
		d.fault(n.Line, path, "%q is not an address with a port, such as 192.0.2.1:80, or :80 for all addresses", s)
		return
	}
	*to = ap
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields := make(map[string]int)
	var names []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "-" && f.Name == "Line" {
			v.Field(i).SetInt(int64(n.Line))
			continue
		}
		fields[name] = i
		names = append(names, name)
	}
	d.mapping(n, path, func(key, value *yaml.Node, at string) {
		i, ok := fields[key.Value]
		if !ok {
			d.fault(key.Line, at, "unknown key%s", didYouMean(key.Value, names))
			return
		}
		d.value(value, v.Field(i), at)
	})
}

// mapping calls each for every key of n with its value and path, but for keys that stand twice.
func (d *decoder) mapping(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n.Line, path, "want keys with values, not %s", kindOf(n))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Anchor != "" {
			d.fault(key.Line, path, "a key must be a plain word")
			continue
		}
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if line, ok := seen[key.Value]; ok {
			d.fault(key.Line, at, "the key stands twice, in line %d, too; keep one", line)
			continue
		}
		seen[key.Value] = key.Line
		d.lines[at] = key.Line
		each(key, value, at)
	}
}

func (d *decoder) slice(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n.Line, path, "want a list, not %s", kindOf(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = item.Line
		if x, ok := reflect.TypeAssert[defaulter](out.Index(i).Addr()); ok {
			x.setDefaults()
		}
		if item.Kind == yaml.ScalarNode && item.ShortTag() == "!!null" {
			d.fault(item.Line, at, "the item is empty; fill it in or remove it")
			continue
		}
		d.value(item, out.Index(i), at)
	}
	v.Set(out)
}

// plain reads a value that we have no type for: string, bool, int64, float64, []any, map[string]any or nil.
func (d *decoder) plain(n *yaml.Node, path string, depth int) any {
	if !d.usable(n, path) {
		return nil
	}
	if depth > maxDepth {
		d.fault(n.Line, path, "values are nested too deep")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		d.mapping(n, path, func(key, value *yaml.Node, at string) { m[key.Value] = d.plain(value, at, depth+1) })
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.plain(item, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
		return list
	case yaml.ScalarNode:
		return d.plainScalar(n, path)
	default:
		d.fault(n.Line, path, "want a value")
		return nil
	}
}

func (d *decoder) plainScalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!bool":
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || strconv.FormatInt(i, 10) != n.Value { // 0100 and +33 are more likely numbers to dial
			d.fault(n.Line, path, "%q is not a whole number in plain digits; put it in quotes if it is a text", n.Value)
		}
		return i
	case "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || !strings.Contains(n.Value, ".") {
			d.fault(n.Line, path, "%q is not a number; put it in quotes if it is a text", n.Value)
		}
		return f
	}
	return n.Value
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return strconv.Quote(n.Value)
	default:
		return "something else"
	}
}
