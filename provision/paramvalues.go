package provision

import (
	"fmt"
	"strconv"
	"strings"
)

// Wrap returns a copy of params in the form in which they are kept: the values of secret keys are Secrets, whole
// numbers int64s, nested maps map[string]any. Values of the wrong type are left for [Check] to find.
func Wrap(p Params) Params { return wrap(p, vocabulary) }

func wrap(m map[string]any, rows *level) Params {
	if m == nil {
		return nil
	}
	out := make(Params, len(m))
	for k, v := range m {
		out[k] = rows.find(k).wrap(v)
	}
	return out
}

// wrap wraps a value of a row; nil: of none.
func (p *Param) wrap(v any) any {
	if m, ok := asMap(v); ok {
		if p == nil || p.Type != TypeTable {
			return map[string]any(wrap(m, nil))
		}
		out := make(map[string]any, len(m))
		for k, entry := range m {
			if e, ok := asMap(entry); ok {
				entry = map[string]any(wrap(e, p.entry))
			}
			out[k] = entry
		}
		return out
	}
	switch x := v.(type) {
	case string:
		if p != nil && p.Type == TypeSecret {
			return Secret(x)
		}
	case []any:
		var item *Param
		if p != nil {
			item = p.Item
		}
		out := make([]any, len(x))
		for i := range x {
			out[i] = item.wrap(x[i])
		}
		return out
	case float64:
		if n, ok := integer(x); ok && p != nil && p.Type == TypeInt {
			return n
		}
	default:
		if n, ok := integer(v); ok {
			return n
		}
	}
	return v
}

// Defaults returns the values that the vocabulary adds to params: where nothing is set, a parameter's default or the
// value of the parameter that stands in for it.
func Defaults(p Params) Params { return defaults(p, vocabulary) }

func defaults(m map[string]any, rows *level) Params {
	out := Params{}
	for _, row := range rows.deep {
		if v := m[row.Name]; v != nil {
			if entries, ok := asMap(v); ok && row.Type == TypeTable {
				if added := entryDefaults(entries, row.entry); len(added) > 0 {
					out[row.Name] = added
				}
			}
			continue
		}
		if on, _ := m[row.DefaultIf].(bool); row.DefaultIf != "" && !on {
			continue
		}
		if v := m[row.DefaultFrom]; row.DefaultFrom != "" && v != nil {
			out[row.Name] = cloneValue(v)
		} else if row.Default != nil {
			out[row.Name] = cloneValue(row.Default)
		}
	}
	return out
}

func entryDefaults(entries map[string]any, fields *level) map[string]any {
	out := map[string]any{}
	for key, v := range entries {
		if entry, ok := asMap(v); ok {
			if added := defaults(entry, fields); len(added) > 0 {
				out[key] = map[string]any(added)
			}
		}
	}
	return out
}

// Complete returns a copy of params in which every key of the vocabulary is present, nil if it is unset; in every
// entry of a table, too. Entries that are nil are left out.
func Complete(p Params) Params { return filled(p, vocabulary) }

func filled(m map[string]any, rows *level) Params {
	out := make(Params, len(rows.rows)+len(m))
	for i := range rows.rows {
		out[rows.rows[i].Name] = nil
	}
	for k, v := range m {
		row := rows.find(k)
		entries, ok := asMap(v)
		if row == nil || row.Type != TypeTable || !ok {
			out[k] = cloneValue(v)
			continue
		}
		full := make(map[string]any, len(entries))
		for key, entry := range entries {
			if entry, ok := asMap(entry); ok {
				full[key] = map[string]any(filled(entry, row.entry))
			}
		}
		out[k] = full
	}
	return out
}

// ParamAt returns the row of the vocabulary for a path such as "sip_lines.1.username"; nil: there is none. An entry of a
// table has its table's.
func ParamAt(path string) *Param {
	var row *Param
	rows, inTable := vocabulary, false
	for key := range strings.SplitSeq(path, ".") {
		if inTable { // this is the number of an entry
			inTable, rows = false, row.entry
			continue
		}
		if row = rows.find(key); row == nil {
			return nil
		}
		inTable, rows = row.Type == TypeTable, nil
	}
	return row
}

// Parse returns the value that a text means, such as one that is typed: a list has commas between its items. Whether the
// value is allowed is left for [CheckLayer] to say. ErrInvalid: it can be none of the type.
func (p *Param) Parse(text string) (any, error) {
	switch p.Type {
	case TypeBool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("want true or false, not %q: %w", text, ErrInvalid)
		}
		return v, nil
	case TypeInt:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("want a whole number, not %q: %w", text, ErrInvalid)
		}
		return v, nil
	case TypeList:
		list := []any{}
		for item := range strings.SplitSeq(text, ",") {
			if text == "" {
				break
			}
			v, err := p.Item.Parse(strings.TrimSpace(item))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case TypeTable:
		return nil, fmt.Errorf("it is a table: name a field of an entry, such as %s.1.%s: %w", p.Name, p.Fields[0].Name, ErrInvalid)
	case TypeString, TypeEnum, TypeHost, TypeURL, TypeTimezone, TypeLocale, TypeSecret, TypePEM:
	}
	return text, nil
}
