package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Contract is what openapi.yaml promises: which operations there are, and what their bodies look like.
type Contract struct {
	operations map[string]operation // by method and path, such as "GET /phones/{phone}"
	components components
}

// Violation is where a body isn't as the document has it.
type Violation struct {
	Pointer string // a JSON pointer (RFC 6901); empty: the whole
	Text    string
}

type components struct {
	Parameters map[string]parameter `yaml:"parameters"`
	Responses  map[string]response  `yaml:"responses"`
	Schemas    map[string]*schema   `yaml:"schemas"`
}

type operation struct {
	ID         string      `yaml:"operationId"`
	Parameters []parameter `yaml:"parameters"`
	Body       struct {
		Content map[string]media `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]response `yaml:"responses"`
}

type parameter struct {
	Ref    string  `yaml:"$ref"`
	Name   string  `yaml:"name"`
	In     string  `yaml:"in"`
	Schema *schema `yaml:"schema"`
}

type response struct {
	Ref     string           `yaml:"$ref"`
	Content map[string]media `yaml:"content"`
}

type media struct {
	Schema *schema `yaml:"schema"`
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref        string             `yaml:"$ref"`
	Type       any                `yaml:"type"` // a name, or several
	Properties map[string]*schema `yaml:"properties"`
	Required   []string           `yaml:"required"`
	Additional any                `yaml:"additionalProperties"` // a bool, or a schema, which only says what is allowed
	Items      *schema            `yaml:"items"`
	Enum       []any              `yaml:"enum"`
	Minimum    *float64           `yaml:"minimum"`
	Maximum    *float64           `yaml:"maximum"`
	MinLength  int                `yaml:"minLength"`
	MaxLength  *int               `yaml:"maxLength"`
	MinItems   int                `yaml:"minItems"`
	MaxItems   *int               `yaml:"maxItems"`
}

// DocumentJSON returns [Document] as JSON.
func DocumentJSON() ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(Document, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.Marshal(doc)
}

// ReadContract reads [Document].
func ReadContract() (*Contract, error) {
	var doc struct {
		Paths      map[string]map[string]yaml.Node `yaml:"paths"`
		Components components                      `yaml:"components"`
	}
	if err := yaml.Unmarshal(Document, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	c := &Contract{operations: map[string]operation{}, components: doc.Components}
	methods := []string{"get", "put", "post", "patch", "delete"}
	for path, item := range doc.Paths {
		for method, node := range item {
			if !slices.Contains(methods, method) {
				continue
			}
			var o operation
			if err := node.Decode(&o); err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			c.operations[strings.ToUpper(method)+" "+path] = o
		}
	}
	return c, nil
}

// Operations returns the operations' IDs, by name.
func (c *Contract) Operations() []string {
	var ids []string
	for _, o := range c.operations {
		ids = append(ids, o.ID)
	}
	slices.Sort(ids)
	return ids
}

// Request returns in what a request's body differs from what the document has of the operation, which is named by method
// and path. Nothing is said of an operation that takes no JSON.
func (c *Contract) Request(operation string, body []byte) []Violation {
	for kind, m := range c.operations[operation].Body.Content {
		if isJSON(kind) {
			return c.check(m.Schema, body)
		}
	}
	return nil
}

// Query returns in what a query differs from what the document has of the operation. One that is misspelt, such as dryrun,
// mustn't pass for none.
func (c *Contract) Query(operation string, query url.Values) []Violation {
	known := make(map[string]*schema)
	for _, p := range c.operations[operation].Parameters {
		if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			p = c.components.Parameters[name]
		}
		if p.In == "query" {
			known[p.Name] = p.Schema
		}
	}
	checking := checker{schemas: c.components.Schemas}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		at := "/" + escape(name)
		if s, ok := known[name]; !ok {
			checking.note(at, "there is no such parameter; there are %s", cmp.Or(strings.Join(slices.Sorted(maps.Keys(known)), ", "), "none"))
		} else {
			checking.parameter(at, query[name], s)
		}
	}
	return checking.found
}

// Takes reports whether a body of a media type is one that the operation takes. What has no type, or isn't asked for, is
// nothing wrong.
func (c *Contract) Takes(operation, contentType string) bool {
	content := c.operations[operation].Body.Content
	if contentType == "" || len(content) == 0 {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if kind == "application/merge-patch+json" && strings.HasPrefix(operation, "PATCH ") {
		kind = "application/json" // each PATCH is a merge patch, whatever it is called
	}
	_, ok := content[kind]
	return err == nil && ok
}

// Response returns the ID of the operation that a request is of, and in what the response's body differs from what the
// document has of it.
func (c *Contract) Response(method, path string, status int, contentType string, body []byte) (string, []Violation) {
	name := c.match(method, path)
	if name == "" {
		return "", []Violation{{Text: fmt.Sprintf("there is no operation %s %s", method, path)}}
	}
	o := c.operations[name]
	r, ok := o.Responses[strconv.Itoa(status)]
	if !ok {
		if r, ok = o.Responses["default"]; !ok || status < http.StatusBadRequest {
			return o.ID, []Violation{{Text: fmt.Sprintf("status %d isn't documented", status)}}
		}
	}
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		r = c.components.Responses[name]
	}
	if len(r.Content) == 0 {
		if len(body) > 0 {
			return o.ID, []Violation{{Text: fmt.Sprintf("status %d has no body", status)}}
		}
		return o.ID, nil
	}
	kind, _, err := mime.ParseMediaType(contentType)
	m, ok := r.Content[kind]
	switch {
	case err != nil || !ok:
		return o.ID, []Violation{{Text: fmt.Sprintf("content type %q isn't documented", contentType)}}
	case !isJSON(kind):
		return o.ID, nil
	}
	return o.ID, c.check(m.Schema, body)
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// match finds the operation of a path. Of several the one with most words of its own is meant.
func (c *Contract) match(method, path string) (name string) {
	steps := strings.Split(path, "/")
	most := -1
	for _, candidate := range slices.Sorted(maps.Keys(c.operations)) {
		rest, ok := strings.CutPrefix(candidate, method+" ")
		wanted := strings.Split(rest, "/")
		if !ok || len(wanted) != len(steps) {
			continue
		}
		same := 0
		for i, w := range wanted {
			switch {
			case w == steps[i]:
				same++
			case !strings.HasPrefix(w, "{"):
				same = -len(wanted) - 1
			}
		}
		if same > most {
			most, name = same, candidate
		}
	}
	return name
}

func (c *Contract) check(s *schema, body []byte) []Violation {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []Violation{{Text: "it is no JSON document: " + err.Error()}}
	}
	checking := checker{schemas: c.components.Schemas}
	checking.value("", v, s)
	return checking.found
}

// checker collects violations.
type checker struct {
	schemas map[string]*schema
	found   []Violation
}

func (c *checker) note(at, format string, args ...any) {
	c.found = append(c.found, Violation{at, fmt.Sprintf(format, args...)})
}

func (c *checker) value(at string, v any, s *schema) {
	for s != nil && s.Ref != "" {
		s = c.schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	if s == nil {
		return // the document leaves it open
	}
	if names := typeNames(s.Type); len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return isA(v, name) }) {
		c.note(at, "want %s", strings.Join(names, " or "))
		return
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = word(e)
		}
		c.note(at, "want %s", choice(words))
	}
	switch x := v.(type) {
	case map[string]any:
		c.object(at, x, s)
	case []any:
		if s.MaxItems != nil && len(x) > *s.MaxItems {
			c.note(at, "want at most %d items, not %d", *s.MaxItems, len(x))
			return
		}
		if len(x) < s.MinItems {
			c.note(at, "want at least %d items, not %d", s.MinItems, len(x))
		}
		for i, item := range x {
			c.value(at+"/"+strconv.Itoa(i), item, s.Items)
		}
	case string:
		if utf8.RuneCountInString(x) < s.MinLength {
			c.note(at, "want at least %d characters", s.MinLength)
		}
		if s.MaxLength != nil && utf8.RuneCountInString(x) > *s.MaxLength {
			c.note(at, "want at most %d characters", *s.MaxLength)
		}
	case float64:
		if s.Minimum != nil && x < *s.Minimum || s.Maximum != nil && x > *s.Maximum {
			c.note(at, "%v is out of bounds: want %s", x, s.bounds())
		}
	}
}

// parameter looks at what a query has under one name.
func (c *checker) parameter(at string, values []string, s *schema) {
	if slices.Contains(typeNames(s.Type), "array") {
		return // what is in the list is for who reads it
	}
	if len(values) != 1 {
		c.note(at, "it is given more than once")
		return
	}
	text := values[0]
	switch {
	case slices.Contains(typeNames(s.Type), "integer"):
		if x, err := strconv.ParseInt(text, 10, 64); err != nil {
			c.note(at, "want a whole number, not %q", text)
		} else {
			c.value(at, float64(x), s)
		}
	case slices.Contains(typeNames(s.Type), "boolean"):
		if _, err := strconv.ParseBool(text); err != nil {
			c.note(at, "want true or false, not %q", text)
		}
	default:
		c.value(at, text, s)
	}
}

// word is a value of an enumeration for people.
func word(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case string:
		if x == "" {
			return `""`
		}
	}
	return fmt.Sprint(v)
}

// choice words what there is to choose from.
func choice(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return strings.Join(words, "")
}

// bounds words between what a number must be.
func (s *schema) bounds() string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	switch {
	case s.Maximum == nil:
		return "at least " + number(*s.Minimum)
	case s.Minimum == nil:
		return "at most " + number(*s.Maximum)
	}
	return number(*s.Minimum) + " to " + number(*s.Maximum)
}

func (c *checker) object(at string, x map[string]any, s *schema) {
	for _, name := range s.Required {
		if _, ok := x[name]; !ok {
			c.note(at+"/"+escape(name), "it is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x)) {
		below := at + "/" + escape(name)
		if p, ok := s.Properties[name]; ok {
			c.value(below, x[name], p)
			continue
		}
		if s.Additional == false {
			c.note(below, "there is no such field; there are %s", strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", "))
		}
	}
}

// escape writes a step of a JSON pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

func typeNames(t any) []string {
	switch x := t.(type) {
	case string:
		return []string{x}
	case []any:
		names := make([]string, len(x))
		for i, n := range x {
			names[i] = fmt.Sprint(n)
		}
		return names
	}
	return nil
}

// isA reports whether a JSON value is of a type of JSON Schema.
func isA(v any, name string) bool {
	switch x := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && x == math.Trunc(x)
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}
