package render

import (
	"strconv"
	"strings"
	"sync/atomic"
	"text/template"
	"unicode/utf8"
)

// native is a function as the machine calls it: with arguments of any type, whose number is right. False: it refuses
// them, or fails.
type native struct {
	least, most int // arguments; most is negative if there may be any number
	// At least one of them is set; of the others, one and two are the quicker way to the same.
	call func(args []any) (any, bool)
	one  func(a any) (any, bool)
	two  func(a, b any) (any, bool)
}

// known reports whether there is such a function; the zero native is none.
func (f native) known() bool { return f.call != nil || f.one != nil || f.two != nil }

// natives returns the functions, those of the language included. One with a type that isn't known here is left out.
func natives(funcs template.FuncMap) map[string]native {
	all := builtins()
	for name, f := range funcs {
		if n := nativeOf(f); n.known() {
			all[name] = n
		}
	}
	return all
}

// builtins are the functions of text/template that ours don't replace; but for and and or, which don't evaluate all
// their arguments, and for call and slice, for which text/template is asked.
func builtins() map[string]native {
	return map[string]native{
		"not":   {least: 1, most: 1, one: func(v any) (any, bool) { return !truth(v), true }},
		"len":   {least: 1, most: 1, one: size},
		"index": {least: 2, most: 2, two: element},
		"eq": {least: 2, most: -1, two: compared(equal), call: func(args []any) (any, bool) {
			for _, a := range args[1:] {
				if same, ok := equal(args[0], a); same || !ok {
					return same, ok
				}
			}
			return false, true
		}},
		"ne": comparison(func(a, b any) (bool, bool) { same, ok := equal(a, b); return !same, ok }),
		"lt": comparison(less),
		"ge": comparison(func(a, b any) (bool, bool) { before, ok := less(a, b); return !before, ok }),
		"le": comparison(lessOrEqual),
		"gt": comparison(func(a, b any) (bool, bool) { v, ok := lessOrEqual(a, b); return !v, ok }),
	}
}

func comparison(of func(a, b any) (bool, bool)) native {
	return native{least: 2, most: 2, two: compared(of)}
}

func compared(of func(a, b any) (bool, bool)) func(a, b any) (any, bool) {
	return func(a, b any) (any, bool) {
		v, ok := of(a, b)
		return v, ok
	}
}

// nativeOf adapts a function.
func nativeOf(f any) native {
	switch f := f.(type) {
	case func(any) (string, error):
		return native{least: 1, most: 1, one: func(a any) (any, bool) {
			v, err := f(a)
			return kept(a, v), err == nil
		}}
	case func(string) (string, error):
		return unary(f)
	case func(any) (int64, error):
		return unary(f)
	case func(any) ([]Entry, error):
		return unary(f)
	case func(any) (Zone, error):
		return unary(f)
	case func(any, any) any:
		return native{least: 2, most: 2, two: func(a, b any) (any, bool) { return f(a, b), true }}
	case func(any, any) (int64, error):
		return binary(f)
	case func(any, any) ([]int64, error):
		return binary(f)
	case func(any, string) (bool, error):
		return binary(f)
	case func(any, string) (string, error):
		return binary(f)
	case func(string, any) (string, error):
		return binary(f)
	case func(string, any) ([]string, error):
		return binary(f)
	case func(string, any) (bool, error):
		return binary(f)
	case func(int, any) (string, error):
		return binary(f)
	case func(string, string, any) (string, error):
		return native{least: 3, most: 3, call: func(args []any) (any, bool) {
			a, ok1 := typed[string](args[0])
			b, ok2 := typed[string](args[1])
			if !ok1 || !ok2 {
				return nil, false
			}
			v, err := f(a, b, args[2])
			return kept(args[2], v), err == nil
		}}
	}
	return variadicOf(f)
}

// kept returns v, as what it was made of if that is the same: it is in an interface already.
func kept(from any, v string) any {
	if s, ok := from.(string); ok && s == v {
		return from
	}
	return v
}

// variadicOf adapts a function that takes any number of arguments. It must not keep the slice of them.
func variadicOf(f any) native {
	switch f := f.(type) {
	case func(...any) any:
		return native{most: -1, call: func(args []any) (any, bool) { return f(args...), true }}
	case func(...any) []any:
		return native{most: -1, call: func(args []any) (any, bool) { return f(args...), true }}
	case func(...any) (string, error):
		return native{most: -1, call: func(args []any) (any, bool) { v, err := f(args...); return v, err == nil }}
	case func(...any) (map[string]any, error):
		return native{most: -1, call: func(args []any) (any, bool) { v, err := f(args...); return v, err == nil }}
	case func(string, ...any) (string, error):
		return native{least: 1, most: -1, call: func(args []any) (any, bool) {
			a, ok := typed[string](args[0])
			if !ok {
				return nil, false
			}
			v, err := f(a, args[1:]...)
			return v, err == nil
		}}
	case func(any, string, ...any) (any, error):
		of := func(a, key any, more ...any) (any, bool) {
			k, ok := key.(string)
			if !ok {
				return nil, false
			}
			v, err := f(a, k, more...)
			return v, err == nil
		}
		return native{
			least: 2, most: -1,
			call: func(args []any) (any, bool) { return of(args[0], args[1], args[2:]...) },
			two:  func(a, key any) (any, bool) { return of(a, key) },
		}
	}
	return native{}
}

func unary[A, R any](f func(A) (R, error)) native {
	return native{least: 1, most: 1, one: func(arg any) (any, bool) {
		a, ok := typed[A](arg)
		if !ok {
			return nil, false
		}
		v, err := f(a)
		return v, err == nil
	}}
}

func binary[A, B, R any](f func(A, B) (R, error)) native {
	return native{least: 2, most: 2, two: func(arg1, arg2 any) (any, bool) {
		a, ok1 := typed[A](arg1)
		b, ok2 := typed[B](arg2)
		if !ok1 || !ok2 {
			return nil, false
		}
		v, err := f(a, b)
		return v, err == nil
	}}
}

// typed returns an argument as a parameter of type T takes it.
func typed[T any](v any) (T, bool) {
	t, ok := v.(T)
	if v == nil {
		_, ok = any(&t).(*any)
	}
	return t, ok
}

// call compiles the call of a function; the zero native is none that is known.
func call(name string, f native, args []expr) expr {
	if (name == "and" || name == "or") && len(args) > 0 {
		return shortCircuit(name == "or", args)
	}
	switch {
	case !f.known(), len(args) < f.least, f.most >= 0 && len(args) > f.most:
		return giveUp
	case len(args) == 1 && f.one != nil:
		arg, of := args[0], f.one
		return func(m *machine) (any, bool) {
			v, ok := arg(m)
			if !ok {
				return nil, false
			}
			return of(unwrapped(v))
		}
	case len(args) == 2 && f.two != nil:
		arg1, arg2, of := args[0], args[1], f.two
		return func(m *machine) (any, bool) {
			a, ok := arg1(m)
			if !ok {
				return nil, false
			}
			b, ok := arg2(m)
			if !ok {
				return nil, false
			}
			return of(unwrapped(a), unwrapped(b))
		}
	}
	return func(m *machine) (any, bool) {
		before := len(m.args)
		for _, a := range args {
			v, ok := a(m)
			if !ok {
				return nil, false
			}
			m.args = append(m.args, unwrapped(v))
		}
		v, ok := f.call(m.args[before:])
		m.args = m.args[:before]
		return v, ok
	}
}

// shortCircuit is or, if until is true, or and: its value is the first argument whose truth is until, or the last.
func shortCircuit(until bool, args []expr) expr {
	return func(m *machine) (v any, ok bool) {
		for _, a := range args {
			if v, ok = a(m); !ok || truth(v) == until {
				break
			}
		}
		return v, ok
	}
}

// formatted returns printf for one format. If that has only %s and %d, and the values are texts and whole numbers, fmt
// isn't needed; and what becomes of small numbers is made once.
func formatted(format string, general native) native {
	parts := strings.Split(format, "%")
	for _, p := range parts[1:] {
		if p == "" || p[0] != 's' && p[0] != 'd' {
			return general
		}
	}
	made := make([]atomic.Pointer[any], numbered(parts[1:]))
	quick := func(args []any) (any, bool) {
		if len(args) != len(parts)-1 {
			return nil, false
		}
		at := -1
		if len(made) > 0 {
			at = numberOf(args)
		}
		if at >= 0 && at < len(made) {
			if v := made[at].Load(); v != nil {
				return *v, true
			}
		}
		text := append(make([]byte, 0, 64), parts[0]...)
		for i, p := range parts[1:] {
			switch x := args[i].(type) {
			case string:
				if p[0] != 's' || !utf8.ValidString(x) {
					return nil, false
				}
				text = append(text, x...)
			case int:
				if p[0] != 'd' {
					return nil, false
				}
				text = strconv.AppendInt(text, int64(x), 10)
			case int64:
				if p[0] != 'd' {
					return nil, false
				}
				text = strconv.AppendInt(text, x, 10)
			default:
				return nil, false
			}
			if text = append(text, p[1:]...); len(text) > maxText {
				return nil, false
			}
		}
		if at >= 0 && at < len(made) {
			v := any(string(text))
			made[at].Store(&v)
			return v, true
		}
		return string(text), true
	}
	return native{least: general.least, most: general.most, call: func(args []any) (any, bool) {
		if v, ok := quick(args[1:]); ok {
			return v, true
		}
		return general.call(args)
	}}
}

// Numbers below smallNumber are those of keys; where a format has two, the first of them is of a module that keys are on,
// and there are fewer of these.
const (
	smallNumber = 100
	fewNumbers  = 16
)

// numbered returns how many texts of a format are kept, by its verbs: those of one or two small numbers and nothing else,
// as templates make keys' names of.
func numbered(verbs []string) int {
	for _, v := range verbs {
		if v[0] != 'd' {
			return 0
		}
	}
	switch len(verbs) {
	case 1:
		return smallNumber
	case 2:
		return fewNumbers * smallNumber
	}
	return 0
}

// numberOf returns the place of the text of small numbers; -1: they aren't.
func numberOf(args []any) int {
	at := 0
	for _, a := range args {
		var n int64
		switch a := a.(type) {
		case int:
			n = int64(a)
		case int64:
			n = a
		default:
			return -1
		}
		if n < 0 || n >= smallNumber {
			return -1
		}
		at = at*smallNumber + int(n)
	}
	return at
}
