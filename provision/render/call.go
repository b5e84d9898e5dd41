package render

import (
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

// native is a function as the machine calls it: with arguments of any type, whose number is right. False: it refuses
// them, or fails.
type native struct {
	least, most int // arguments; most is negative if there may be any number
	call        func(args []any) (any, bool)
}

// natives returns the functions, those of the language included. One with a type that isn't known here is left out.
func natives(funcs template.FuncMap) map[string]native {
	all := builtins()
	for name, f := range funcs {
		if n := nativeOf(f); n.call != nil {
			all[name] = n
		}
	}
	return all
}

// builtins are the functions of text/template that ours don't replace; but for and and or, which don't evaluate all
// their arguments, and for call and slice, for which text/template is asked.
func builtins() map[string]native {
	compare := func(of func(a, b any) (bool, bool)) native {
		return native{2, 2, func(args []any) (any, bool) {
			v, ok := of(args[0], args[1])
			return v, ok
		}}
	}
	return map[string]native{
		"not":   {1, 1, func(args []any) (any, bool) { return !truth(args[0]), true }},
		"len":   {1, 1, func(args []any) (any, bool) { return size(args[0]) }},
		"index": {2, 2, func(args []any) (any, bool) { return element(args[0], args[1]) }},
		"eq": {2, -1, func(args []any) (any, bool) {
			for _, a := range args[1:] {
				if same, ok := equal(args[0], a); same || !ok {
					return same, ok
				}
			}
			return false, true
		}},
		"ne": compare(func(a, b any) (bool, bool) { same, ok := equal(a, b); return !same, ok }),
		"lt": compare(less),
		"ge": compare(func(a, b any) (bool, bool) { before, ok := less(a, b); return !before, ok }),
		"le": compare(func(a, b any) (bool, bool) { return lessOrEqual(a, b) }),
		"gt": compare(func(a, b any) (bool, bool) { v, ok := lessOrEqual(a, b); return !v, ok }),
	}
}

// nativeOf adapts a function.
func nativeOf(f any) native {
	switch f := f.(type) {
	case func(any) (string, error):
		return unary(f)
	case func(string) (string, error):
		return unary(f)
	case func(any) (int64, error):
		return unary(f)
	case func(any) ([]Entry, error):
		return unary(f)
	case func(any) (Zone, error):
		return unary(f)
	case func(any, any) any:
		return native{2, 2, func(args []any) (any, bool) { return f(args[0], args[1]), true }}
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
		return native{3, 3, func(args []any) (any, bool) {
			a, ok1 := typed[string](args[0])
			b, ok2 := typed[string](args[1])
			if !ok1 || !ok2 {
				return nil, false
			}
			v, err := f(a, b, args[2])
			return v, err == nil
		}}
	}
	return variadicOf(f)
}

// variadicOf adapts a function that takes any number of arguments. It must not keep the slice of them.
func variadicOf(f any) native {
	switch f := f.(type) {
	case func(...any) any:
		return native{0, -1, func(args []any) (any, bool) { return f(args...), true }}
	case func(...any) []any:
		return native{0, -1, func(args []any) (any, bool) { return f(args...), true }}
	case func(...any) (string, error):
		return native{0, -1, func(args []any) (any, bool) { v, err := f(args...); return v, err == nil }}
	case func(...any) (map[string]any, error):
		return native{0, -1, func(args []any) (any, bool) { v, err := f(args...); return v, err == nil }}
	case func(string, ...any) (string, error):
		return native{1, -1, func(args []any) (any, bool) {
			a, ok := typed[string](args[0])
			if !ok {
				return nil, false
			}
			v, err := f(a, args[1:]...)
			return v, err == nil
		}}
	case func(any, string, ...any) (any, error):
		return native{2, -1, func(args []any) (any, bool) {
			key, ok := typed[string](args[1])
			if !ok {
				return nil, false
			}
			v, err := f(args[0], key, args[2:]...)
			return v, err == nil
		}}
	}
	return native{}
}

func unary[A, R any](f func(A) (R, error)) native {
	return native{1, 1, func(args []any) (any, bool) {
		a, ok := typed[A](args[0])
		if !ok {
			return nil, false
		}
		v, err := f(a)
		return v, err == nil
	}}
}

func binary[A, B, R any](f func(A, B) (R, error)) native {
	return native{2, 2, func(args []any) (any, bool) {
		a, ok1 := typed[A](args[0])
		b, ok2 := typed[B](args[1])
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
	if f.call == nil || len(args) < f.least || f.most >= 0 && len(args) > f.most {
		return giveUp
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
// isn't needed.
func formatted(format string, general native) native {
	parts := strings.Split(format, "%")
	for _, p := range parts[1:] {
		if p == "" || p[0] != 's' && p[0] != 'd' {
			return general
		}
	}
	quick := func(args []any) (any, bool) {
		if len(args) != len(parts)-1 {
			return nil, false
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
		return string(text), true
	}
	return native{general.least, general.most, func(args []any) (any, bool) {
		if v, ok := quick(args[1:]); ok {
			return v, true
		}
		return general.call(args)
	}}
}
