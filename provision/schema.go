package provision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// unfitPattern is what [unfit] refuses, and unfitLines what it refuses in texts of several lines, in ECMA-262.
const (
	unfitPattern = `^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$`
	unfitLines   = `^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$`
	entryPattern = `^[1-9][0-9]{0,2}$`
)

// Schema returns the vocabulary as a JSON Schema (draft 2020-12) of params: of one config's as [CheckLayer] takes them, or
// with whole of complete ones as [Check] does. It says all that a schema can say; of host names, time zones and
// certificates only the checks know whether they are some.
func Schema(whole bool) []byte {
	g := schemaMaker{whole: whole}
	s := g.level(vocabulary)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Config parameters"
	s["patternProperties"] = node{"^X_": true}
	s["$defs"] = node{"key": g.level(keyLevel)}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, texts and numbers
	}
	return append(b, '\n')
}

type node map[string]any

type schemaMaker struct{ whole bool }

func (g schemaMaker) level(l *level) node {
	properties := node{}
	var required []string
	var rules []any
	for i := range l.rows {
		p := &l.rows[i]
		properties[p.Name] = g.param(p)
		if p.Required {
			required = append(required, p.Name)
		}
		if p.RequiredIf != "" {
			rules = append(rules, node{
				"if":   node{"properties": node{p.RequiredIf: node{"const": true}}, "required": []string{p.RequiredIf}},
				"then": node{"properties": node{p.Name: present()}, "required": []string{p.Name}},
			})
		}
	}
	if l.keys {
		rules = append(rules, node{
			"if":   node{"properties": node{"type": node{"enum": keyNeedsValue}}, "required": []string{"type"}},
			"then": node{"properties": node{"value": present()}, "required": []string{"value"}},
		})
	}
	s := node{"type": "object", "properties": properties, "patternProperties": node{"^X_": true}, "additionalProperties": false}
	if g.whole {
		if required != nil {
			s["required"] = required
			rules = append(rules, g.present(required))
		}
		if rules != nil {
			s["allOf"] = rules
		}
	}
	return s
}

// present is what isn't missing.
func present() node { return node{"not": node{"enum": []any{nil, ""}}} }

func (g schemaMaker) present(names []string) node {
	properties := node{}
	for _, n := range names {
		properties[n] = present()
	}
	return node{"properties": properties}
}

// param is the schema of a value. Null unsets what lies beneath.
func (g schemaMaker) param(p *Param) node {
	s := g.value(p)
	if p.Doc != "" {
		s["description"] = p.Doc
	}
	if p.Default != nil {
		s["default"] = p.Default
	}
	if t, ok := s["type"].(string); ok {
		s["type"] = []string{t, "null"}
	}
	if values, ok := s["enum"].([]any); ok {
		s["enum"] = append(values, nil)
	}
	return s
}

func (g schemaMaker) value(p *Param) node {
	s := node{"type": "string"}
	switch p.Type {
	case TypeBool:
		return node{"type": "boolean"}
	case TypeInt:
		return node{"type": "integer", "minimum": p.Min, "maximum": p.Max}
	case TypeEnum:
		values := make([]any, len(p.Enum))
		for i, v := range p.Enum {
			values[i] = v
		}
		return node{"type": "string", "enum": values}
	case TypeList:
		s = node{"type": "array", "items": g.value(p.Item), "maxItems": p.Max}
		if p.Item.Type == TypeEnum {
			s["uniqueItems"] = true
		}
		return s
	case TypeTable:
		entry := node{"$ref": "#/$defs/key"}
		if !p.entry.keys {
			entry = g.level(p.entry)
		}
		return node{
			"type": "object", "additionalProperties": false,
			"patternProperties": node{entryPattern: node{"anyOf": []any{node{"type": "null"}, entry}}},
		}
	case TypeURL:
		s["format"], s["pattern"] = "uri", linkText
	case TypeLocale:
		s["pattern"] = localeText
	case TypeTimezone:
		s["examples"] = []string{"Europe/Berlin"}
	case TypeHost:
		s["minLength"] = 1
	case TypeSecret:
		s["writeOnly"] = true
	case TypePEM, TypeString:
	}
	s["maxLength"] = p.limit()
	switch {
	case p.Pattern != "":
		s["pattern"] = p.Pattern
		s["allOf"] = []any{node{"pattern": unfitPattern}}
	case p.Type == TypePEM || p.Multiline:
		s["pattern"] = unfitLines
	case s["pattern"] == nil:
		s["pattern"] = unfitPattern
	}
	return s
}

// Reference returns the vocabulary as a document in Markdown: a table of all parameters, then one of the entries of each
// that is a table itself.
func Reference() []byte {
	var b strings.Builder
	b.WriteString("# Config parameters\n\nWhat configs and devices can say, for phones of any vendor. A phone gets of it what its plugin knows how to write. " +
		"This page is made of the program's own table; `go test ./provision -run TestReference -update` writes it anew.\n\n" +
		"A key that begins with `X_` and isn't listed is the site's own. No text may hold a line break or another control character, " +
		"certificates and private keys apart. `null` unsets what a config inherits.\n")
	writeRows(&b, vocabulary)
	var tables func(l *level, prefix string)
	tables = func(l *level, prefix string) {
		for i := range l.rows {
			p := &l.rows[i]
			if p.Type != TypeTable {
				continue
			}
			at := prefix + p.Name + ".N"
			fmt.Fprintf(&b, "\n## `%s`\n\n%s N is a number from 1 to %d.\n", at, p.Doc, maxEntry)
			if p.entry.keys && prefix != "" {
				b.WriteString("An entry is one like in `funckeys`.\n")
				continue
			}
			writeRows(&b, p.entry)
			tables(p.entry, at+".")
		}
	}
	tables(vocabulary, "")
	return []byte(b.String())
}

func writeRows(b *strings.Builder, l *level) {
	b.WriteString("\n| parameter | value | meaning |\n| --- | --- | --- |\n")
	for i := range l.rows {
		p := &l.rows[i]
		meaning := p.Doc
		switch {
		case p.Required:
			meaning += " Required."
		case p.RequiredIf != "":
			meaning += " Required with `" + p.RequiredIf + "`."
		}
		switch d := p.Default.(type) {
		case nil:
			if p.DefaultFrom != "" {
				meaning += " Without it that of `" + p.DefaultFrom + "`."
			}
		case map[string]any:
		default:
			meaning += fmt.Sprintf(" Default: `%v`.", d)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.Name, p.values(), strings.ReplaceAll(meaning, "|", `\|`))
	}
}

// values says for people what a parameter takes.
func (p *Param) values() string {
	switch p.Type {
	case TypeBool:
		return "`true` or `false`"
	case TypeInt:
		return fmt.Sprintf("%d to %d", p.Min, p.Max)
	case TypeEnum:
		quoted := slices.Clone(p.Enum)
		for i := range quoted {
			quoted[i] = "`" + quoted[i] + "`"
		}
		return strings.Join(quoted, ", ")
	case TypeHost:
		return "address or host name"
	case TypeURL:
		return "URL, http or https"
	case TypeTimezone:
		return "time zone"
	case TypeLocale:
		return "locale such as `de_DE`"
	case TypeSecret:
		return "secret text"
	case TypePEM:
		return "PEM text"
	case TypeList:
		return fmt.Sprintf("list of at most %d: %s", p.Max, p.Item.values())
	case TypeTable:
		return "table, see below"
	case TypeString:
		if p.PatternDoc != "" {
			return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace("text: " + p.PatternDoc)
		}
	}
	return "text"
}
