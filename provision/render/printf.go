package render

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// plains returns the arguments as single values, nil as "". Together they aren't too long, so that what is printed of
// them can't be either.
func plains(args []any) ([]any, error) {
	out := make([]any, len(args))
	size := 0
	for i, a := range args {
		p, err := plain(a)
		if err != nil {
			return nil, err
		}
		switch x := p.(type) {
		case nil:
			p = ""
		case string:
			size += len(x)
		}
		if size > maxText {
			return nil, errTooLong
		}
		out[i] = p
	}
	return out, nil
}

func printAll(args ...any) (string, error) {
	p, err := plains(args)
	if err != nil {
		return "", err
	}
	return limited(fmt.Sprint(p...))
}

func printLine(args ...any) (string, error) {
	p, err := plains(args)
	if err != nil {
		return "", err
	}
	return limited(fmt.Sprintln(p...))
}

func escapedBy(f func(string) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		s, err := printAll(args...)
		if err != nil {
			return "", err
		}
		return limited(f(s))
	}
}

// printFormat is printf without what makes it write at any length (a width of "*" or many digits, an argument used
// again) and with errors where fmt would print "%!d(string=x)" into a phone's file.
func printFormat(format string, args ...any) (string, error) {
	p, err := plains(args)
	if err != nil {
		return "", err
	}
	if len(format) > maxText {
		return "", errTooLong
	}
	used := 0
	for rest := format; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			break
		}
		rest = strings.TrimLeft(rest[i+1:], "+-# 0")
		for _, part := range []string{"", "."} { // width, precision
			var ok bool
			if rest, ok = strings.CutPrefix(rest, part); !ok {
				continue
			}
			digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
			if n := rest[:digits]; len(n) > 3 || len(n) == 3 && n > "256" {
				return "", fmt.Errorf("printf: a width of %s is too much; 256 is the most", n[:min(len(n), 12)])
			}
			rest = rest[digits:]
		}
		verb, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		if verb == '%' {
			continue
		}
		if used == len(p) {
			return "", errors.New("printf: there are more verbs than values")
		}
		if err := fits(verb, p[used]); err != nil {
			return "", err
		}
		used++
	}
	if used < len(p) {
		return "", errors.New("printf: there are more values than verbs")
	}
	return limited(fmt.Sprintf(format, p...))
}

// fits checks that a verb is one for that kind of value.
func fits(verb rune, v any) error {
	verbs, what := "sqvxX", "text"
	switch v.(type) {
	case bool:
		verbs, what = "tv", "a bool"
	case int64, uint64:
		verbs, what = "bcdoOqxXUv", "a whole number"
	case float64:
		verbs, what = "beEfFgGxXv", "a number"
	}
	if !strings.ContainsRune(verbs, verb) {
		return fmt.Errorf("printf: %%%c is no verb for %s; there are %s", verb, what, strings.Join(strings.Split(verbs, ""), " "))
	}
	return nil
}
