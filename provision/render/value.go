package render

import (
	"cmp"
	"fmt"
	"reflect"
	"sync/atomic"
	"text/template"
)

// record is a value with named parts that were found once: the data of a render, if that is a struct, or what a dict
// hands to a {{template}}. Templates pass it on as their dot; functions get what it stands for.
type record struct {
	names  []string
	values []any
	data   any // the struct; nil: it stands for a map
}

// shape is what a type of data has, so that it is looked for once.
type shape struct {
	of     reflect.Type
	fields []shapeField
	names  []string
}

type shapeField struct {
	index   int
	methods []string
}

// shapeOf returns the shape of a type of struct.
func shapeOf(t reflect.Type) *shape {
	s := &shape{of: t}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Anonymous {
			continue
		}
		field := shapeField{index: i}
		for m := range f.Type.Methods() {
			field.methods = append(field.methods, m.Name)
		}
		s.fields, s.names = append(s.fields, field), append(s.names, f.Name)
	}
	return s
}

// recordOf returns data, or a record of it.
func recordOf(data any, seen *atomic.Pointer[shape]) any {
	v := reflect.ValueOf(data)
	if v.Kind() != reflect.Struct {
		return data
	}
	s := seen.Load()
	if s == nil || s.of != v.Type() {
		s = shapeOf(v.Type())
		seen.Store(s)
	}
	r := &record{data: data, names: s.names, values: make([]any, 0, len(s.fields))}
	for _, f := range s.fields {
		r.values = append(r.values, f.bare(v.Field(f.index)))
	}
	return r
}

func (r *record) field(name string) (any, bool) {
	for i, n := range r.names {
		if n == name {
			return r.values[i], true
		}
	}
	return nil, false
}

// unwrapped returns what a function gets for a value.
func unwrapped(v any) any {
	r, ok := v.(*record)
	if !ok {
		return v
	}
	if r.data != nil {
		return r.data
	}
	m := make(map[string]any, len(r.names))
	for i, n := range r.names {
		m[n] = r.values[i]
	}
	return m
}

// bare returns a field's value. A map that is a map[string]any in all but name loses its name, which makes access to it
// quicker; not if a method of it could be meant.
func (f shapeField) bare(field reflect.Value) any {
	v := field.Interface()
	m, ok := asMap(v)
	if _, prints := v.(fmt.Stringer); !ok || prints {
		return v
	}
	for _, name := range f.methods {
		if _, ok := m[name]; ok {
			return v
		}
	}
	return m
}

// asMap returns v as a map; false: it is none, or one of another type.
func asMap(v any) (map[string]any, bool) {
	if m, ok := v.(map[string]any); ok {
		return m, true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Map || !r.Type().ConvertibleTo(reflect.TypeFor[map[string]any]()) {
		return nil, false
	}
	return reflect.TypeAssert[map[string]any](r.Convert(reflect.TypeFor[map[string]any]()))
}

// fieldOf returns the access to a field or key of that name.
func fieldOf(value expr, name string) expr {
	var seen atomic.Pointer[structField]
	return func(m *machine) (any, bool) {
		v, ok := value(m)
		if !ok {
			return nil, false
		}
		switch x := v.(type) {
		case map[string]any:
			elem, ok := x[name]
			return elem, ok
		case *record:
			return x.field(name)
		case *Entry:
			return x.field(name)
		case Zone:
			return x.field(name)
		case Rule:
			return x.field(name)
		}
		return structFieldOf(v, name, &seen)
	}
}

// keyOf is get with a key that stands in the template; what isn't a map as nearly all are is left to general.
func keyOf(value expr, key string, general expr) expr {
	return func(m *machine) (any, bool) {
		v, ok := value(m)
		if !ok {
			return nil, false
		}
		x, ok := v.(map[string]any)
		if !ok {
			return general(m)
		}
		if elem := x[key]; elem != "" {
			return elem, true
		}
		return nil, true
	}
}

// structField is where a type has the field that was asked for last.
type structField struct {
	of    reflect.Type
	index int // -1: not a field that can be read here
}

func structFieldOf(v any, name string, seen *atomic.Pointer[structField]) (any, bool) {
	r := reflect.ValueOf(v)
	if !r.IsValid() {
		return nil, false
	}
	at := seen.Load()
	if at == nil || at.of != r.Type() {
		at = findField(r.Type(), name)
		seen.Store(at)
	}
	if at.index >= 0 {
		return r.Field(at.index).Interface(), true
	}
	if r.Kind() != reflect.Map || r.Type().NumMethod() > 0 {
		return nil, false
	}
	if x, ok := asMap(v); ok {
		elem, ok := x[name]
		return elem, ok
	}
	return nil, false
}

func findField(t reflect.Type, name string) *structField {
	at := &structField{of: t, index: -1}
	if t.Kind() != reflect.Struct {
		return at
	}
	if _, ok := t.MethodByName(name); ok {
		return at
	}
	if f, ok := t.FieldByName(name); ok && f.IsExported() && len(f.Index) == 1 {
		at.index = f.Index[0]
	}
	return at
}

func (e *Entry) field(name string) (any, bool) {
	switch name {
	case "Key":
		return e.Key, true
	case "Number":
		return e.Number, true
	case "Value":
		return e.Value, true
	}
	return nil, false
}

func (z *Zone) field(name string) (any, bool) {
	switch name {
	case "Name":
		return z.Name, true
	case "Offset":
		return z.Offset, true
	case "Saving":
		return z.Saving, true
	case "OffsetMinutes":
		return z.OffsetMinutes(), true
	case "SavingMinutes":
		return z.SavingMinutes(), true
	case "DST":
		return z.DST, true
	case "Start":
		return z.Start, true
	case "End":
		return z.End, true
	}
	return nil, false
}

func (r *Rule) field(name string) (any, bool) {
	switch name {
	case "Time":
		return r.Time, true
	case "Month":
		return r.Month, true
	case "Week":
		return r.Week, true
	case "Weekday":
		return r.Weekday, true
	case "Day":
		return r.Day, true
	case "Hour":
		return r.Hour(), true
	case "Minute":
		return r.Minute(), true
	}
	return nil, false
}

// truth reports whether {{if}} takes a value for true.
func truth(v any) bool {
	switch x := v.(type) {
	case nil:
		return false
	case string:
		return x != ""
	case bool:
		return x
	case int:
		return x != 0
	case int64:
		return x != 0
	case map[string]any:
		return len(x) > 0
	case []any:
		return len(x) > 0
	case *record, *Entry:
		return true
	}
	t, _ := template.IsTrue(v) // false for what has no truth, which no data has
	return t
}

// class is which comparisons a value takes part in.
type class uint8

const (
	other class = iota
	nothing
	boolean
	signed
	decimal
	textual
)

// basic returns a value's class and the value itself in the variable for it.
func basic(v any) (c class, n int64, f float64, str string) {
	switch x := v.(type) {
	case nil:
		return nothing, 0, 0, ""
	case string:
		return textual, 0, 0, x
	case int:
		return signed, int64(x), 0, ""
	case int64:
		return signed, x, 0, ""
	case float64:
		return decimal, 0, x, ""
	case bool:
		if x {
			n = 1
		}
		return boolean, n, 0, ""
	}
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.String:
		return textual, 0, 0, r.String()
	case r.CanInt():
		return signed, r.Int(), 0, ""
	}
	return other, 0, 0, ""
}

// equal compares as eq does; false for what eq refuses or what is compared by other rules.
func equal(a, b any) (same, ok bool) {
	x, xn, xf, xs := basic(a)
	y, yn, yf, ys := basic(b)
	switch {
	case x == other || y == other:
		return false, false
	case x == y:
		return xn == yn && xf == yf && xs == ys, true
	}
	return false, x == nothing || y == nothing
}

// less compares as lt does; false for what lt refuses or what is compared by other rules.
func less(a, b any) (before, ok bool) {
	x, xn, xf, xs := basic(a)
	y, yn, yf, ys := basic(b)
	if x != y || x != signed && x != decimal && x != textual {
		return false, false
	}
	if x == decimal {
		return xf < yf, true // not of cmp: NaN
	}
	return cmp.Or(cmp.Compare(xn, yn), cmp.Compare(xs, ys)) < 0, true
}

// lessOrEqual compares as le does: text/template says that it is lt or eq.
func lessOrEqual(a, b any) (result, ok bool) {
	if before, ok := less(a, b); before || !ok {
		return before, ok
	}
	return equal(a, b)
}

// size is len.
func size(v any) (any, bool) {
	switch x := v.(type) {
	case string:
		return len(x), true
	case []string:
		return len(x), true
	case []any:
		return len(x), true
	case []Entry:
		return len(x), true
	case map[string]any:
		return len(x), true
	}
	return nil, false
}

// element is index with one key.
func element(v, key any) (any, bool) {
	switch k := key.(type) {
	case int:
		return at(v, int64(k))
	case int64:
		return at(v, k)
	case string:
		m, ok := v.(map[string]any)
		return m[k], ok
	}
	return nil, false
}

func at(v any, i int64) (any, bool) {
	switch x := v.(type) {
	case []string:
		if i >= 0 && i < int64(len(x)) {
			return x[i], true
		}
	case []any:
		if i >= 0 && i < int64(len(x)) {
			return x[i], true
		}
	}
	return nil, false
}
