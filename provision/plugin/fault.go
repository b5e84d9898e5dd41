package plugin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/render"
)

// Fault is one thing that is wrong with a plugin, told to the person who can mend it.
type Fault struct { //nolint:errname // it is what people read, and no error of the program
	File string // below the plugin's directory, or "overlays/…"; empty if it is the directory itself
	Line int    // from 1; zero if the place isn't known
	Text string // what is wrong, and what to do about it
}

// Error returns "file:line: text".
func (f *Fault) Error() string {
	switch {
	case f.File == "":
		return f.Text
	case f.Line == 0:
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Faults returns what an error of [Load] or of a check consists of, in order. An error that is no Fault becomes one
// without a file.
func Faults(err error) []Fault {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Fault
		for _, e := range many.Unwrap() {
			all = append(all, Faults(e)...)
		}
		return all
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return []Fault{*f}
	}
	return []Fault{{Text: err.Error()}}
}

// nearest returns "; did you mean X?" if one of the names is much like the word.
func nearest(word string, names []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, n := range names {
		if d := provision.EditDistance(strings.ToLower(word), strings.ToLower(n), least); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// templateFault turns render's errors into faults. file maps the names of templates to those of their files.
func templateFault(err error, file func(template string) string) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, templateFault(e, file))
		}
		return errors.Join(all...)
	}
	if e, ok := errors.AsType[*render.Error](err); ok {
		return &Fault{File: file(e.Template), Line: e.Line, Text: e.Text}
	}
	return err
}
