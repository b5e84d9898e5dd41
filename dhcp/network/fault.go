package network

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with what was declared.
type Fault struct {
	// Path is where, such as "networks[1].pools[0]"; the numbers are places in the slices of [Declared].
	Path string
	// Other is what it clashes with, or empty.
	Other string
	// Text says what is wrong where, in names, and how to mend it.
	Text string
}

// Faults are all that is wrong, in the order of what was declared.
type Faults []Fault //nolint:errname // the plural of a fault, which is no error by itself

// Error returns one line for each.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i := range f {
		texts[i] = f[i].Text
	}
	return strings.Join(texts, "\n")
}

// place is what a check is about: the path, and the words for it.
type place struct{ path, name string }

// in returns a place below.
func (p place) in(list string, i int, format string, args ...any) place {
	path := fmt.Sprintf("%s[%d]", list, i)
	if p.path != "" {
		path = p.path + "." + path
	}
	name := fmt.Sprintf(format, args...)
	if p.name != "" {
		name = p.name + ": " + name
	}
	return place{path, name}
}

func (c *checker) bad(at place, format string, args ...any) { c.clash(at, place{}, format, args...) }

// clash notes a fault that is about two places.
func (c *checker) clash(at, with place, format string, args ...any) {
	c.faults = append(c.faults, fault(at, with, format, args...))
}

func (c *checker) warn(at place, format string, args ...any) {
	c.warnings = append(c.warnings, fault(at, place{}, format, args...))
}

func fault(at, with place, format string, args ...any) Fault {
	text := fmt.Sprintf(format, args...)
	if at.name != "" {
		text = at.name + ": " + text
	}
	return Fault{Path: at.path, Other: with.path, Text: text}
}
