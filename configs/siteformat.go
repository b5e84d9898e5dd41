package configs

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// FormatSite writes a site as [ParseSite] reads it. The same site is always the same bytes: keys are in the order of their
// fields, those of parameters in that of the alphabet, and what has its default is left out.
func FormatSite(s *Site) ([]byte, error) {
	data, err := format(s, nil)
	if err != nil {
		return nil, fmt.Errorf("write site: %w", err)
	}
	return data, nil
}

// FormatConfig writes a config as [ParseConfig] reads it, in the order of FormatSite.
func FormatConfig(c *SiteConfig) ([]byte, error) {
	data, err := format(c, nil)
	if err != nil {
		return nil, fmt.Errorf("write config: %w", err)
	}
	return data, nil
}

// FormatNetwork writes a network as [ParseNetwork] reads it, in the order of FormatSite.
func FormatNetwork(n *SiteNetwork) ([]byte, error) {
	var usual SiteNetwork
	usual.setDefaults()
	data, err := format(n, &usual)
	if err != nil {
		return nil, fmt.Errorf("write network: %w", err)
	}
	return data, nil
}

// FormatClass writes a class as [ParseClass] reads it, in the order of FormatSite.
func FormatClass(k *SiteClass) ([]byte, error) {
	data, err := format(k, nil)
	if err != nil {
		return nil, fmt.Errorf("write class: %w", err)
	}
	return data, nil
}

// format writes what v points to, but for what is as in what defaults points to, if there is that.
func format(v, defaults any) ([]byte, error) {
	var f formatter
	var usual reflect.Value
	if defaults != nil {
		usual = reflect.ValueOf(defaults).Elem()
	}
	n := f.structure(reflect.ValueOf(v).Elem(), usual)
	if f.err != nil {
		return nil, f.err
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return buf.Bytes(), nil
}

// nodeWriter is the inverse of nodeReader, on values.
type nodeWriter interface{ writeNode(f *formatter) *yaml.Node }

// formatter makes YAML nodes of Go values and keeps the first fault.
type formatter struct{ err error }

func (f *formatter) fail(format string, args ...any) *yaml.Node {
	f.err = cmp.Or(f.err, fmt.Errorf(format, args...))
	return text("")
}

// structure writes the fields that differ from those of defaults; without defaults, from zero.
func (f *formatter) structure(v, defaults reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" {
			continue
		}
		field := v.Field(i)
		usual := reflect.Zero(field.Type())
		if defaults.IsValid() {
			usual = defaults.Field(i)
		}
		if empty(field) && empty(usual) || reflect.DeepEqual(field.Interface(), usual.Interface()) {
			continue
		}
		var node *yaml.Node
		if w, ok := reflect.TypeAssert[nodeWriter](field); !ok && field.Kind() == reflect.Struct && !single(field) {
			if node = f.structure(field, usual); len(node.Content) == 0 {
				continue // nothing but its line
			}
		} else if ok {
			node = w.writeNode(f)
		} else {
			node = f.value(field)
		}
		n.Content = append(n.Content, text(name), node)
	}
	return n
}

func empty(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// single reports whether a struct is written as one text.
func single(v reflect.Value) bool {
	switch v.Interface().(type) {
	case netip.Addr, netip.Prefix, time.Time:
		return true
	}
	return false
}

func (f *formatter) value(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case nodeWriter:
		return x.writeNode(f)
	case time.Duration:
		return text(strings.TrimSuffix(strings.TrimSuffix(x.String(), "0s"), "0m") + zeroUnit(x))
	case time.Time:
		return text(x.UTC().Format(time.RFC3339Nano))
	case netip.Addr:
		return text(x.String())
	case netip.Prefix:
		return text(x.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		var defaults reflect.Value
		fresh := reflect.New(v.Type())
		if d, ok := reflect.TypeAssert[defaulter](fresh); ok {
			d.setDefaults()
			defaults = fresh.Elem()
		}
		return f.structure(v, defaults)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, f.value(v.Index(i)))
		}
		return n
	default:
		return f.plain(v.Interface(), 0)
	}
}

// zeroUnit is empty, but where a duration has lost more than its zeroes.
func zeroUnit(d time.Duration) string {
	short := strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
	if back, err := time.ParseDuration(short); err == nil && back == d {
		return ""
	}
	return strings.TrimPrefix(d.String(), short)
}

// plain writes a value that we have no type for.
func (f *formatter) plain(v any, depth int) *yaml.Node {
	if depth > maxDepth {
		return f.fail("values are nested too deep")
	}
	switch x := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case string:
		return text(x)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(x)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(x)}
	case int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(x, 10)}
	case float64:
		s := strconv.FormatFloat(x, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: s}
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range x {
			n.Content = append(n.Content, f.plain(item, depth+1))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			n.Content = append(n.Content, text(k), f.plain(x[k], depth+1))
		}
		return n
	default:
		return f.fail("a %T can't be written", v)
	}
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9 ._/+-]*[A-Za-z0-9/]$|^[A-Za-z]$|^[0-9]+(\.[0-9]+){3}(/[0-9]+)?$|^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`)
	wordText  = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|y|n)$`)
)

// text is a text as YAML, in quotes wherever another reader might take it for something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if s == "" || !plainText.MatchString(s) || wordText.MatchString(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func texts(list []string) *yaml.Node {
	if len(list) == 1 {
		return text(list[0])
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range list {
		n.Content = append(n.Content, text(s))
	}
	return n
}

func (l SiteList) writeNode(*formatter) *yaml.Node { return texts(l) }

func (b SiteBool) writeNode(f *formatter) *yaml.Node { return f.plain(b == "true", 0) }

func (p SitePool) writeNode(f *formatter) *yaml.Node {
	if len(p.Exclude)+len(p.Only)+len(p.Not)+len(p.Options) == 0 && !p.Edges {
		return text(p.First.String() + "-" + p.Last.String())
	}
	return f.structure(reflect.ValueOf(p), reflect.Value{})
}

func (l SitePatterns) writeNode(*formatter) *yaml.Node {
	var keys []string
	if len(l) > 0 && l[0].Any { // then all are
		for _, p := range l {
			keys = append(keys, p.Key)
		}
		return texts(keys)
	}
	patterns := make(map[string][]string)
	for _, p := range l {
		if patterns[p.Key] == nil {
			keys = append(keys, p.Key)
		}
		patterns[p.Key] = append(patterns[p.Key], p.Pattern)
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys {
		n.Content = append(n.Content, text(k), texts(patterns[k]))
	}
	return n
}

func (o SiteOptions) writeNode(f *formatter) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, x := range o {
		value := text(x.Value)
		if x.Always || x.Never {
			value = &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
			if x.Value != "" {
				value.Content = append(value.Content, text("value"), text(x.Value))
			}
			if x.Always {
				value.Content = append(value.Content, text("always"), f.plain(true, 0))
			}
			if x.Never {
				value.Content = append(value.Content, text("never"), f.plain(true, 0))
			}
		}
		n.Content = append(n.Content, text(x.Key), value)
	}
	return n
}
