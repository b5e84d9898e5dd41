package provision_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

// TestReference demands that the documents that are made of the vocabulary are those of the present one.
func TestReference(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]byte{
		"PARAMETERS.md":         provision.Reference(),
		"params.schema.json":    provision.Schema(false),
		"testdata/whole.schema": provision.Schema(true),
	} {
		if *update {
			if err := os.WriteFile(name, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (error %v): go test ./provision -run TestReference -update", name, err)
		}
	}
}

// validator checks values by the keywords of JSON Schema that ours has; it panics over any other.
type validator struct{ defs map[string]any }

var escaped = regexp.MustCompile(`\\u([0-9a-f]{4})`)

//nolint:gocyclo,cyclop // a case for each keyword
func (v validator) valid(schema, value any) bool {
	if b, ok := schema.(bool); ok {
		return b
	}
	s := schema.(map[string]any)
	object, isObject := value.(map[string]any)
	text, isText := value.(string)
	number, isNumber := value.(float64)
	list, isList := value.([]any)
	for keyword, want := range s {
		ok := true
		switch keyword {
		case "$schema", "$defs", "title", "description", "default", "examples", "format", "writeOnly", "then", "patternProperties":
		case "$ref":
			ok = v.valid(v.defs[strings.TrimPrefix(want.(string), "#/$defs/")], value)
		case "type":
			kinds, several := want.([]any)
			if !several {
				kinds = []any{want}
			}
			kind := map[bool]string{isObject: "object", isText: "string", isNumber: "integer", isList: "array"}[true]
			switch value.(type) {
			case nil:
				kind = "null"
			case bool:
				kind = "boolean"
			}
			ok = slices.Contains(kinds, any(kind)) && (!isNumber || number == float64(int64(number)))
		case "enum":
			ok = slices.ContainsFunc(want.([]any), func(x any) bool { return reflect.DeepEqual(x, value) })
		case "const":
			ok = reflect.DeepEqual(want, value)
		case "minimum":
			ok = !isNumber || number >= want.(float64)
		case "maximum":
			ok = !isNumber || number <= want.(float64)
		case "minLength":
			ok = !isText || utf8.RuneCountInString(text) >= int(want.(float64))
		case "maxLength":
			ok = !isText || utf8.RuneCountInString(text) <= int(want.(float64))
		case "pattern":
			ok = !isText || regexp.MustCompile(escaped.ReplaceAllString(want.(string), `\x{$1}`)).MatchString(text)
		case "maxItems":
			ok = !isList || len(list) <= int(want.(float64))
		case "uniqueItems":
			for i := range list {
				ok = ok && !slices.Contains(list[:i], list[i])
			}
		case "items":
			for _, x := range list {
				ok = ok && v.valid(want, x)
			}
		case "required":
			for _, name := range want.([]any) {
				_, there := object[name.(string)]
				ok = ok && (there || !isObject)
			}
		case "properties":
			for name, x := range want.(map[string]any) {
				if y, there := object[name]; there {
					ok = ok && v.valid(x, y)
				}
			}
		case "additionalProperties":
			for name, x := range object {
				properties, _ := s["properties"].(map[string]any)
				_, known := properties[name]
				for pattern, sub := range s["patternProperties"].(map[string]any) {
					if regexp.MustCompile(pattern).MatchString(name) {
						ok = ok && (known || v.valid(sub, x))
						known = true
					}
				}
				ok = ok && known
			}
		case "allOf":
			for _, x := range want.([]any) {
				ok = ok && v.valid(x, value)
			}
		case "anyOf":
			ok = slices.ContainsFunc(want.([]any), func(x any) bool { return v.valid(x, value) })
		case "not":
			ok = !v.valid(want, value)
		case "if":
			ok = !v.valid(want, value) || v.valid(s["then"], value)
		default:
			panic("the schema has the keyword " + keyword)
		}
		if !ok {
			return false
		}
	}
	return true
}

// The schema and the check agree about every row: each value of a set that has something for and against every type is
// taken by both or by none, but for what only the check can know.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	values := []any{
		nil, true, "", "x", "a b", "12", "a\nb", `a"b`, "a<b", "50%", "http://192.0.2.1/x", "http://", "de_DE", "fr_FRxyz", "Europe/Berlin", pem, "*25", "03:30",
		"DE", "udp", "(cn=%)", "speeddial", strings.Repeat("y", 300), 0.0, 1.0, 7.0, 64.0, 4094.0, 65535.0, 65536.0, 1.5, -1.0,
		[]any{},
		[]any{"pcma", "pcmu"},
		[]any{"pcma", "pcma"},
		[]any{5.0},
		[]any{nil},
		[]any{pem},
		[]any{"110"},
		[]any{"http://192.0.2.1/x"},
		slices.Repeat([]any{"x"}, 30),
		object{},
		object{"1": nil},
		object{"0": nil},
		object{"1": object{}},
		object{"1": object{"username": "a", "password": "b", "display_name": "c"}},
		object{"1": object{"username": "a", "password": "", "display_name": "c"}},
		object{"1": object{"type": "blf"}},
		object{"1": object{"type": "park"}},
		object{"1": object{"type": "blf", "value": "12"}},
		object{"1": object{"ip": "192.0.2.1"}},
		object{"1": object{"keys": object{"7": object{"type": "blf", "value": ""}}}},
		object{"1": object{"X_own": 1.0}},
		object{"1": object{"own": 1.0}},
		"192.0.2.1", "pbx.example.com", "zdnet.example",
	}
	for _, whole := range []bool{false, true} {
		var schema map[string]any
		if err := json.Unmarshal(provision.Schema(whole), &schema); err != nil {
			t.Fatal(err)
		}
		v := validator{schema["$defs"].(map[string]any)}
		check := provision.CheckLayer
		if whole {
			check = provision.Check
		}
		for _, row := range provision.Vocabulary() {
			for _, value := range values {
				p := params{row.Name: value}
				err := check(p)
				if got, want := v.valid(schema, object(p)), err == nil; got != want && !onlyChecked(row, value) {
					t.Errorf("whole %t, %s: %.80v: schema says %t, check says %v", whole, row.Name, value, got, err)
				}
			}
		}
		for _, p := range []params{{"own": 1.0}, {"X_own": 1.0}, {"XX_own": 1.0}, {"vlan_enabled": true}, {"vlan_enabled": true, "vlan_id": 0.0}} {
			if got, want := v.valid(schema, object(p)), check(p) == nil; got != want {
				t.Errorf("whole %t, %v: schema says %t, check says %t", whole, p, got, want)
			}
		}
	}
}

// onlyChecked reports whether only the check can say that a text is what it must be.
func onlyChecked(row provision.Param, value any) bool {
	kind := row.Type
	if row.Item != nil {
		kind = row.Item.Type
	}
	switch kind {
	case provision.TypeHost, provision.TypeTimezone, provision.TypePEM, provision.TypeURL:
		_, isText := value.(string)
		_, isList := value.([]any)
		return isText || isList
	default:
	}
	return false
}

// What the check takes survives being written as JSON, and every value that is drawn from a row's own description passes.
func TestSchemaTakesWhatItDescribes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawRows(t, provision.Vocabulary(), 0)
		if err := provision.CheckLayer(p); err != nil {
			t.Fatalf("%v: %v", p, err)
		}
	})
}

func drawRows(t *rapid.T, rows []provision.Param, depth int) params {
	out := params{}
	for _, row := range rapid.SliceOfNDistinct(rapid.SampledFrom(rows), 0, 5, func(p provision.Param) string { return p.Name }).Draw(t, "rows") {
		out[row.Name] = drawValue(t, row, depth)
	}
	return out
}

func drawValue(t *rapid.T, row provision.Param, depth int) any {
	switch row.Type {
	case provision.TypeBool:
		return rapid.Bool().Draw(t, row.Name)
	case provision.TypeInt:
		return rapid.Int64Range(row.Min, row.Max).Draw(t, row.Name)
	case provision.TypeEnum:
		return rapid.SampledFrom(row.Enum).Draw(t, row.Name)
	case provision.TypeHost:
		return rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1", "pbx.example.com", "pbx"}).Draw(t, row.Name)
	case provision.TypeURL:
		return "https://pbx.example.com/" + rapid.StringMatching(`[a-z0-9$?=&{}]{0,20}`).Draw(t, row.Name)
	case provision.TypeTimezone:
		return rapid.SampledFrom([]string{"UTC", "Europe/Berlin"}).Draw(t, row.Name)
	case provision.TypeLocale:
		return "pt_BR"
	case provision.TypePEM:
		return pem
	case provision.TypeSecret:
		return provision.Secret(rapid.StringMatching(`[ -~äß]{0,20}`).Draw(t, row.Name))
	case provision.TypeList:
		if row.Item.Type == provision.TypeEnum {
			n := rapid.IntRange(0, int(row.Max)).Draw(t, row.Name)
			l := make([]any, n)
			for i := range l {
				l[i] = row.Item.Enum[i]
			}
			return l
		}
		return []any{drawValue(t, *row.Item, depth)}
	case provision.TypeTable:
		if depth > 1 {
			return object{}
		}
		entry := drawRows(t, row.Fields, depth+1)
		if s, ok := entry["value"].(string); ok {
			entry["value"] = strings.ReplaceAll(s, "%", "")
		}
		return object{strconv.Itoa(rapid.IntRange(1, 999).Draw(t, row.Name)): object(maps.Clone(entry))}
	case provision.TypeString:
	}
	if row.Pattern != "" {
		return rapid.StringMatching(row.Pattern).Filter(func(s string) bool {
			return utf8.RuneCountInString(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
		}).Draw(t, row.Name)
	}
	return rapid.StringMatching(`[ -~äß]{0,20}`).Draw(t, row.Name)
}
