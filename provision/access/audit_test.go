package access

import (
	"testing"
	"time"
)

func TestChain(t *testing.T) {
	t.Parallel()
	chain := func() (all []Entry) {
		var prev [32]byte
		for n := range 5 {
			e := Entry{Seq: uint64(n + 7), At: time.Unix(int64(n), 0), Actor: "desk", Action: "savePhone", Before: []byte(`{}`), After: []byte(`{"a":1}`)}
			e.Sum = e.Chain(prev)
			prev = e.Sum
			all = append(all, e)
		}
		return all
	}
	if err := VerifyChain(chain()); err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func([]Entry) []Entry{
		"actor":     func(e []Entry) []Entry { e[2].Actor = "porter"; return e },
		"time":      func(e []Entry) []Entry { e[2].At = e[2].At.Add(1); return e },
		"after":     func(e []Entry) []Entry { e[2].After = []byte(`{"a":2}`); return e },
		"moved":     func(e []Entry) []Entry { e[2].Before, e[2].After = nil, append(e[2].Before, e[2].After...); return e },
		"taken out": func(e []Entry) []Entry { return append(e[:2], e[3:]...) },
		"renumbered": func(e []Entry) []Entry {
			e = append(e[:2], e[3:]...)
			for i := range e {
				e[i].Seq = uint64(i + 7)
			}
			return e
		},
		"swapped": func(e []Entry) []Entry { e[1], e[2] = e[2], e[1]; return e },
	} {
		if err := VerifyChain(alter(chain())); err == nil {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	ctx, n := WithNote(t.Context(), Actor{Name: "desk", Via: ViaSession, Remote: "192.0.2.7"}, "savePhone")
	if NoteOf(ctx) != n || NoteOf(t.Context()) != nil {
		t.Error("a note isn't its context's")
	}
	if err := n.Describe("phone 1", nil, map[string]string{"label": "x"}); err != nil {
		t.Fatal(err)
	}
	if n.Describe("phone 1", make(chan int), nil) == nil {
		t.Error("what is no JSON is taken")
	}
	e, ok := n.Take()
	if !ok || e.Actor != "desk" || e.Object != "phone 1" || string(e.After) != `{"label":"x"}` || e.Before != nil || !n.Written() {
		t.Errorf("entry %+v, %v", e, ok)
	}
	if _, ok := n.Take(); ok {
		t.Error("an entry is taken twice")
	}
	n.Undo()
	if _, ok := n.Take(); !ok {
		t.Error("an entry that wasn't written can't be taken again")
	}
	var none *Note
	if _, ok := none.Take(); ok || none.Written() || none.Describe("x", 1, 2) != nil {
		t.Error("a nil note does something")
	}
}
