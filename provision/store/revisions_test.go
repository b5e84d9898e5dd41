package store

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
)

// labelled returns what a test looks at of a history: number, author, label, and whether it is a deletion.
func labelled(t *testing.T, db *DB, id provision.ConfigID) (out []string) {
	t.Helper()
	for _, r := range must[[]provision.Revision](t)(db.Revisions(t.Context(), id)) {
		gone := ""
		if r.Deleted {
			gone = " deleted"
		}
		out = append(out, fmt.Sprintf("%d %s %q rev %d%s", r.Number, r.By.Who, r.State.Label, r.State.Rev, gone))
	}
	return out
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	db := openDB(t, dir)
	desk := provision.Author{Who: "desk", Why: "ticket 7"}
	began := time.Now()
	c := must[provision.Config](t)(db.PutConfigBy(ctx, provision.Config{
		ID: "c", Label: "one", Params: provision.Params{"admin_password": provision.Secret("s3cr3t")},
	}, desk))
	c.Label = "two"
	c = must[provision.Config](t)(db.PutConfig(ctx, c))
	must[provision.Config](t)(db.PutConfigBy(ctx, c, desk)) // changes nothing
	if _, err := db.PutConfigBy(ctx, provision.Config{ID: "c", Rev: 1, Label: "late"}, desk); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("an old revision: error = %v, want a conflict", err)
	}
	must[provision.Config](t)(db.PutConfigBy(ctx, provision.Config{ID: "c\x01", Label: "neighbour"}, desk))
	if err := db.DeleteConfigBy(ctx, "c", desk); err != nil {
		t.Fatal(err)
	}
	must[provision.Config](t)(db.PutConfigBy(ctx, provision.Config{ID: "c", Label: "again"}, desk))
	want := []string{`4 desk "again" rev 1`, `3 desk "two" rev 2 deleted`, `2 system "two" rev 2`, `1 desk "one" rev 1`}
	if diff := cmp.Diff(want, labelled(t, db, "c")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if r := must[Report](t)(Check(dir + "/" + fileDB)); !r.Whole() {
		t.Errorf("the store isn't whole: %+v", r)
	}
	db = openDB(t, dir)
	got := must[[]provision.Revision](t)(db.Revisions(ctx, "c"))
	first := got[len(got)-1]
	if first.At.Before(began.Add(-time.Second)) || first.At.After(time.Now()) {
		t.Errorf("made at %s, not now", first.At)
	}
	wanted := provision.Revision{
		Config: "c", Number: 1, By: desk,
		State: provision.Config{ID: "c", Rev: 1, Label: "one", Params: provision.Params{"admin_password": provision.Secret("s3cr3t")}},
	}
	if diff := cmp.Diff(wanted, first, cmpopts.IgnoreFields(provision.Revision{}, "At")); diff != "" {
		t.Errorf("revision (-want +got):\n%s", diff)
	}
	if _, err := db.Revisions(ctx, "nobody"); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("revisions of no config: error = %v", err)
	}
	if _, err := db.PutConfigBy(ctx, provision.Config{ID: "d"}, provision.Author{Who: "\xff"}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("an author that is no text: error = %v", err)
	}
}

func TestRevisionsBounded(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	c := provision.Config{ID: "c"}
	for i := range provision.MaxRevisions + 10 {
		c.Label = strconv.Itoa(i)
		c = must[provision.Config](t)(db.PutConfig(t.Context(), c))
	}
	got := must[[]provision.Revision](t)(db.Revisions(t.Context(), "c"))
	if len(got) != provision.MaxRevisions || got[0].Number != provision.MaxRevisions+10 || got[len(got)-1].Number != 11 {
		t.Errorf("got %d revisions, %d to %d; want the last %d", len(got), got[len(got)-1].Number, got[0].Number, provision.MaxRevisions)
	}
}

// A store from before there was a history keeps what the first change undoes.
func TestRevisionsBegin(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	c := must[provision.Config](t)(db.PutConfig(t.Context(), provision.Config{ID: "c", Label: "old"}))
	err := db.transact(func(tx *bbolt.Tx, b books) (bool, error) {
		for _, o := range forget(tx, "c") {
			if err := b.apply(tx, o); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Label = "new"
	must[provision.Config](t)(db.PutConfigBy(t.Context(), c, provision.Author{Who: "desk"}))
	if diff := cmp.Diff([]string{`2 desk "new" rev 2`, `1 system "old" rev 1`}, labelled(t, db, "c")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// A transient config goes with the last device that uses it, by whatever way the device leaves it, and its history with it.
func TestTransient(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, t.TempDir())
	must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: "base"}))
	for _, c := range []struct {
		name   string
		locked bool
		others int
		leave  func(provision.Device) error
		stays  bool
	}{
		{"deleted", false, 0, func(d provision.Device) error { return db.DeleteDevice(ctx, d.ID, 0) }, false},
		{"given another config", false, 0, func(d provision.Device) error {
			d.Config = "base"
			_, err := db.PutDevice(ctx, d)
			return err
		}, false},
		{"given none", false, 0, func(d provision.Device) error {
			d.Config = ""
			_, err := db.PutDevice(ctx, d)
			return err
		}, false},
		{"changed otherwise", false, 0, func(d provision.Device) error {
			d.Label = "x"
			_, err := db.PutDevice(ctx, d)
			return err
		}, true},
		{"shared", false, 1, func(d provision.Device) error { return db.DeleteDevice(ctx, d.ID, 0) }, true},
		{"locked", true, 0, func(d provision.Device) error { return db.DeleteDevice(ctx, d.ID, 0) }, true},
	} {
		id := provision.ConfigID("auto " + c.name)
		d := provision.Device{ID: provision.DeviceID(c.name), Config: id}
		d = must[provision.Device](t)(db.AddDevice(ctx, d, provision.Config{ID: id, Parents: []provision.ConfigID{"base"}, Transient: true, Locked: c.locked}))
		if diff := cmp.Diff([]string{`1 phone ` + c.name + ` "" rev 1`}, labelled(t, db, id)); diff != "" {
			t.Errorf("%s: history (-want +got):\n%s", c.name, diff)
		}
		for i := range c.others {
			must[provision.Device](t)(db.PutDevice(ctx, provision.Device{ID: provision.DeviceID(fmt.Sprint(c.name, i)), Config: id}))
		}
		if err := c.leave(d); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		_, err := db.Config(ctx, id)
		if stays := err == nil; stays != c.stays {
			t.Errorf("%s: config is there: %t, want %t", c.name, stays, c.stays)
		}
		if _, err := db.Revisions(ctx, id); (err == nil) != c.stays {
			t.Errorf("%s: history: error = %v", c.name, err)
		}
	}
}
