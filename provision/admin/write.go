package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
)

// Write says who changes something and why, and whether it is to be done at all: a dry run checks everything and tells
// what would come of it.
type Write struct {
	By     provision.Author
	DryRun bool
}

// Fault is what is wrong with one field of what was given.
type Fault struct {
	// Pointer is the field as a JSON pointer (RFC 6901) into what was given; empty: the whole.
	Pointer string
	// Other is a second field that it clashes with; empty: none, or none of what was given.
	Other string
	Text  string
	// Kind is provision.ErrInvalid, or ErrConflict for what another object has already.
	Kind error
}

// Faults are all that is wrong with what was given. As an error they are of the kinds of all their faults.
type Faults []Fault //nolint:errname // the plural of a fault, which is no error by itself

// Error returns a line for each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = x.Text
		if x.Pointer != "" {
			lines[i] = x.Pointer + ": " + x.Text
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the kinds.
func (f Faults) Unwrap() []error {
	var kinds []error
	for _, x := range f {
		if !slices.Contains(kinds, x.Kind) {
			kinds = append(kinds, x.Kind)
		}
	}
	return kinds
}

func (f *Faults) invalid(pointer, format string, args ...any) {
	*f = append(*f, Fault{Pointer: pointer, Text: fmt.Sprintf(format, args...), Kind: provision.ErrInvalid})
}

func (f *Faults) conflict(pointer, format string, args ...any) {
	*f = append(*f, Fault{Pointer: pointer, Text: fmt.Sprintf(format, args...), Kind: provision.ErrConflict})
}

// invalidField is an error of one fault.
func invalidField(pointer, format string, args ...any) error {
	var f Faults
	f.invalid(pointer, format, args...)
	return f
}

// err returns the faults as an error, nil if there are none.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// StaleError says that something has changed since whoever changes it now has read it. It is an ErrConflict.
type StaleError struct {
	Rev  uint64 // that it has now
	Read uint64 // that was edited
}

// Error says what to do.
func (e *StaleError) Error() string {
	return fmt.Sprintf("it has changed meanwhile: its revision is %d, not %d; read it again", e.Rev, e.Read)
}

// Unwrap returns provision.ErrConflict.
func (e *StaleError) Unwrap() error { return provision.ErrConflict }

// stale returns a StaleError where revisions differ.
func stale(now, read uint64) error {
	if now == read {
		return nil
	}
	return &StaleError{Rev: now, Read: read}
}

// describe writes down what is about to change, for the audit. Nothing in before and after is a secret.
func describe(ctx context.Context, object string, before, after any) error {
	return access.NoteOf(ctx).Describe(object, before, after)
}

// hint words the way from an unknown name to a known one.
func hint[T ~string](word string, names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	if near := provision.Nearest(word, texts); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// pointerTo writes a JSON pointer.
func pointerTo(at string, steps ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for i, s := range steps {
		steps[i] = "/" + escape.Replace(s)
	}
	return at + strings.Join(steps, "")
}

// params adds the faults of params, as provision's checks find them, below a pointer.
func (f *Faults) params(at string, p provision.Params, err error) {
	for _, x := range provision.ParamFaults(err) {
		f.invalid(paramPointer(at, map[string]any(p), x.Path), "%s", x.Text)
	}
}

// paramPointer makes a JSON pointer of a parameter's path: "sip_lines.1.codecs[2]". Names may have dots in them, so the way
// goes along what is there.
func paramPointer(at string, v any, path string) string {
	for path != "" {
		if number, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]"); ok && path[0] == '[' {
			at, path, v = pointerTo(at, number), strings.TrimPrefix(rest, "."), nil
			continue
		}
		name, key := "", ""
		m, _ := v.(map[string]any)
		for k := range m {
			shown := provision.Printable(k)
			rest, ok := strings.CutPrefix(path, shown)
			if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && len(shown) > len(name) {
				name, key = shown, k
			}
		}
		if name == "" { // it isn't there, which is the fault
			name, _, _ = strings.Cut(path, ".")
			key = name
		}
		at, path, v = pointerTo(at, key), strings.TrimPrefix(path[len(name):], "."), m[key]
		if p, ok := v.(provision.Params); ok {
			v = map[string]any(p)
		}
	}
	return at
}

// declaredPointer makes a JSON pointer of a place in what is declared about DHCP: "networks[1].pools[0]".
func declaredPointer(path string) string {
	out := ""
	for path != "" {
		step, rest, _ := strings.Cut(path, ".")
		path = rest
		name, number, ok := strings.Cut(step, "[")
		out = pointerTo(out, name)
		if n, err := strconv.Atoi(strings.TrimSuffix(number, "]")); ok && err == nil {
			out = pointerTo(out, strconv.Itoa(n))
		}
	}
	return out
}

// asStale makes a StaleError of a store's conflict if the revision is the reason.
func asStale(err error, read uint64, now func() (uint64, error)) error {
	if !errors.Is(err, provision.ErrConflict) {
		return err
	}
	if rev, nerr := now(); nerr == nil && rev != read {
		return &StaleError{Rev: rev, Read: read}
	}
	return err
}
