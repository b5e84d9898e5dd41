package provisiontest

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// RevisionStores is what [TestRevisions] tests.
type RevisionStores interface {
	provision.DeviceStore
	provision.RevisionStore
}

// TestRevisions checks that stores keep the contract of [provision.RevisionStore], and that transient configs go with the
// last device that uses them. For each case it asks open for stores that are empty.
func TestRevisions(t *testing.T, open func(t *testing.T) RevisionStores) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, RevisionStores)
	}{
		{"each change is one", revisionEach},
		{"the last are kept", revisionsBounded},
		{"deletion is refused", deletionRefused},
		{"states are copied", revisionCopied},
		{"transient configs", transientLeft},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func desk() provision.Author { return provision.Author{Who: "desk", Why: "ticket 7"} }

func putBy(t *testing.T, s RevisionStores, c provision.Config, by provision.Author) provision.Config {
	t.Helper()
	c, err := s.PutConfigBy(t.Context(), c, by)
	if err != nil {
		t.Fatalf("PutConfigBy: %v", err)
	}
	return c
}

// history returns what is told of each revision: number, who, label, revision, and whether it is a deletion.
func history(t *testing.T, s RevisionStores, id provision.ConfigID) (out []string) {
	t.Helper()
	list, err := s.Revisions(t.Context(), id)
	if err != nil {
		t.Fatalf("Revisions: %v", err)
	}
	for i := range list {
		r := &list[i]
		out = append(out, fmt.Sprintf("%d %s %q rev %d deleted %t", r.Number, r.By.Who, r.State.Label, r.State.Rev, r.Deleted))
		if r.Config != id || r.State.ID != id || r.At.IsZero() {
			t.Errorf("revision %d is of %q and %q, at %s", r.Number, r.Config, r.State.ID, r.At)
		}
	}
	return out
}

func revisionEach(t *testing.T, s RevisionStores) {
	c := putBy(t, s, provision.Config{ID: "c", Label: "one", Params: params()}, desk())
	c.Label = "two"
	c, err := s.PutConfig(t.Context(), c)
	if err != nil {
		t.Fatalf("PutConfig: %v", err)
	}
	putBy(t, s, c, desk()) // changes nothing
	_, err = s.PutConfigBy(t.Context(), provision.Config{ID: "c", Rev: 1, Label: "late"}, desk())
	fails(t, "PutConfigBy of an old revision", err, provision.ErrConflict)
	if err := s.DeleteConfigBy(t.Context(), "c", desk()); err != nil {
		t.Fatalf("DeleteConfigBy: %v", err)
	}
	putBy(t, s, provision.Config{ID: "c", Label: "again"}, desk())
	want := []string{
		`4 desk "again" rev 1 deleted false`, `3 desk "two" rev 2 deleted true`, `2 system "two" rev 2 deleted false`, `1 desk "one" rev 1 deleted false`,
	}
	if diff := cmp.Diff(want, history(t, s, "c")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	list, err := s.Revisions(t.Context(), "c")
	if err != nil {
		t.Fatalf("Revisions: %v", err)
	}
	first := list[len(list)-1]
	same(t, "the first state", first.State, provision.Config{ID: "c", Rev: 1, Label: "one", Params: params()})
	same(t, "the first author", first.By, desk())
	for _, id := range []provision.ConfigID{"", "nobody", "c\x00"} {
		_, err := s.Revisions(t.Context(), id)
		fails(t, fmt.Sprintf("Revisions of %q", id), err, provision.ErrNotFound)
	}
}

func revisionsBounded(t *testing.T, s RevisionStores) {
	c := provision.Config{ID: "c"}
	for i := range provision.MaxRevisions + 10 {
		c.Label = strconv.Itoa(i)
		c = putBy(t, s, c, desk())
	}
	list, err := s.Revisions(t.Context(), "c")
	if err != nil || len(list) != provision.MaxRevisions || list[0].Number != provision.MaxRevisions+10 || list[len(list)-1].Number != 11 {
		t.Errorf("got %d revisions, error %v; want the last %d", len(list), err, provision.MaxRevisions)
	}
}

func deletionRefused(t *testing.T, s RevisionStores) {
	putBy(t, s, provision.Config{ID: "locked", Locked: true}, desk())
	putBy(t, s, provision.Config{ID: "parent"}, desk())
	putBy(t, s, provision.Config{ID: "child", Parents: []provision.ConfigID{"parent"}}, desk())
	d := device(1)
	d.Config = "child"
	if _, err := s.PutDevice(t.Context(), d); err != nil {
		t.Fatalf("PutDevice: %v", err)
	}
	for id, kind := range map[provision.ConfigID]error{
		"locked": provision.ErrForbidden, "parent": provision.ErrConflict, "child": provision.ErrConflict, "nobody": provision.ErrNotFound,
	} {
		fails(t, fmt.Sprintf("DeleteConfigBy %q", id), s.DeleteConfigBy(t.Context(), id, desk()), kind)
	}
}

func revisionCopied(t *testing.T, s RevisionStores) {
	putBy(t, s, provision.Config{ID: "c", Params: provision.Params{"a": map[string]any{"b": "before"}}}, desk())
	for range 2 {
		list, err := s.Revisions(t.Context(), "c")
		if err != nil {
			t.Fatalf("Revisions: %v", err)
		}
		m := list[0].State.Params["a"].(map[string]any) //nolint:forcetypeassert // a panic fails the test as well
		if m["b"] != "before" {
			t.Errorf("the state was changed to %v from outside", m["b"])
		}
		m["b"] = "after"
	}
}

func transientLeft(t *testing.T, s RevisionStores) {
	d, c := device(1), provision.Config{ID: "auto", Transient: true}
	d.Config = c.ID
	d, err := s.AddDevice(t.Context(), d, c)
	if err != nil {
		t.Fatalf("AddDevice: %v", err)
	}
	if diff := cmp.Diff([]string{"1 phone dev-1 \"\" rev 1 deleted false"}, history(t, s, "auto")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	other := device(2)
	other.Config = "auto"
	if other, err = s.PutDevice(t.Context(), other); err != nil {
		t.Fatalf("PutDevice: %v", err)
	}
	for _, d := range []provision.Device{d, other} {
		if _, err := s.Config(t.Context(), "auto"); err != nil {
			t.Errorf("while it is used: %v", err)
		}
		d.Config = ""
		if _, err := s.PutDevice(t.Context(), d); err != nil {
			t.Fatalf("PutDevice: %v", err)
		}
	}
	_, err = s.Config(t.Context(), "auto")
	fails(t, "the config that nobody uses", err, provision.ErrNotFound)
	_, err = s.Revisions(t.Context(), "auto")
	fails(t, "its history", err, provision.ErrNotFound)
}
