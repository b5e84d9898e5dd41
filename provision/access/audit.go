package access

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Entry is one line of the audit: who changed what, when, and how it was before. Entries are chained: each one's Sum
// covers the one before it, so that none can be altered or taken out without all later ones showing it.
type Entry struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Via    Via       `json:"via"`
	Remote string    `json:"remote,omitempty"`
	Action string    `json:"action"` // name of the operation, as in the API's description
	Object string    `json:"object,omitempty"`
	// Before and After have no secret: those that differ say only that they do.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Refused says why nothing was changed; empty if it was.
	Refused string   `json:"refused,omitempty"`
	Sum     [32]byte `json:"-"`
}

// Chain returns the sum of an entry that follows one with that sum.
func (e Entry) Chain(prev [32]byte) [32]byte {
	h := sha256.New()
	h.Write(prev[:])
	var n [8]byte
	for _, field := range []string{
		e.At.UTC().Format(time.RFC3339Nano), e.Actor, string(e.Via), e.Remote, e.Action, e.Object, string(e.Before), string(e.After), e.Refused,
	} {
		binary.BigEndian.PutUint64(n[:], uint64(len(field)))
		h.Write(n[:])
		h.Write([]byte(field))
	}
	binary.BigEndian.PutUint64(n[:], e.Seq)
	h.Write(n[:])
	return [32]byte(h.Sum(nil))
}

// VerifyChain checks entries that follow each other. The first one is taken as it is: those before it may have been
// dropped for their age.
func VerifyChain(entries []Entry) error {
	for i := 1; i < len(entries); i++ {
		e, prev := entries[i], entries[i-1]
		if e.Seq != prev.Seq+1 {
			return fmt.Errorf("audit: entry %d follows entry %d", e.Seq, prev.Seq)
		}
		if e.Chain(prev.Sum) != e.Sum {
			return fmt.Errorf("audit: entry %d or the one before it was altered", e.Seq)
		}
	}
	return nil
}

// AuditStore keeps the audit.
type AuditStore interface {
	// Append writes an entry that stands for itself, such as a refused attempt. Seq, At and Sum are the store's to set.
	Append(context.Context, Entry) error
	// Audit returns the last n entries before a number, the newest first; a number of 0 means the newest.
	Audit(ctx context.Context, before uint64, n int) ([]Entry, error)
}

// Note is the entry of one operation while it runs. The store writes it in the transaction of the operation's first
// change, so that there is no change without its entry, and no entry without its change.
type Note struct {
	mu      sync.Mutex // guards what follows
	entry   Entry
	written bool
	tried   bool // the operation is only tried
}

// ErrRehearsed ends an operation that is only tried, where it would have begun to change something.
var ErrRehearsed = errors.New("it was only tried: nothing is changed")

type noteKey struct{}

// WithNote returns a context in which changes are written down as the actor's.
func WithNote(ctx context.Context, a Actor, action string) (context.Context, *Note) {
	n := &Note{entry: Entry{Actor: a.Name, Via: a.Via, Remote: a.Remote, Action: action}}
	return context.WithValue(ctx, noteKey{}, n), n
}

// WithoutNote returns a context whose note, if it has one, isn't written: for what isn't the operation's change.
func WithoutNote(ctx context.Context) context.Context {
	return context.WithValue(ctx, noteKey{}, (*Note)(nil))
}

// NoteOf returns the note of a context; nil: nobody in particular changes something.
func NoteOf(ctx context.Context) *Note {
	n, _ := ctx.Value(noteKey{}).(*Note)
	return n
}

// Rehearse has the operation only tried: [Note.Describe] ends it with ErrRehearsed, and so does the store should it be asked
// to write without that. So all that an operation checks before it describes itself is checked, and the description is what
// would have come of it.
func (n *Note) Rehearse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = true
}

// Rehearsed reports whether the operation is only tried.
func (n *Note) Rehearsed() bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tried
}

// Described returns what was described last: object, before and after.
func (n *Note) Described() (object string, before, after json.RawMessage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.entry.Object, slices.Clone(n.entry.Before), slices.Clone(n.entry.After)
}

// Describe says what is changed, before it is. Values must have no secret in them. It may be called on a nil note.
func (n *Note) Describe(object string, before, after any) error {
	if n == nil {
		return nil
	}
	b, err := raw(before)
	if err != nil {
		return fmt.Errorf("audit %s: %w", object, err)
	}
	a, err := raw(after)
	if err != nil {
		return fmt.Errorf("audit %s: %w", object, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entry.Object, n.entry.Before, n.entry.After = object, b, a
	if n.tried {
		return ErrRehearsed
	}
	return nil
}

func raw(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// Take returns the entry for the store to write, once; false: it has been written. Undo lets it be taken again, if what it
// was taken for wasn't written.
func (n *Note) Take() (e Entry, ok bool) {
	if n == nil {
		return e, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.written {
		return e, false
	}
	n.written = true
	e = n.entry
	e.Before, e.After = slices.Clone(e.Before), slices.Clone(e.After)
	return e, true
}

// Undo takes back a Take.
func (n *Note) Undo() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.written = false
}

// Object returns what was described last as changed.
func (n *Note) Object() string {
	if n == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.entry.Object
}

// Written reports whether the entry was written: whether something was changed.
func (n *Note) Written() bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written
}
