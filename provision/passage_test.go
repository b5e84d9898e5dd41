package provision_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// TestOutcomesStay holds outcomes while others are made in the buffers that theirs were made in, found and missing files
// in turn, so that one that is used again shows.
func TestOutcomesStay(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	w.Log = nil
	w.Journal = provision.NewJournal(1000)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrP, aastraB, "")
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			var held []*provision.Outcome
			var then [][]byte
			var told []provision.Request
			for i := range 50 {
				r := tftp(addrA, "6730i.st")
				switch (i + k) % 3 {
				case 1:
					r = get(addrP, "aastra.cfg", aastraAgent(aastraB, "3.3.1.4365"))
				case 2:
					r = tftp(addrP, "nothing.here")
				}
				a, o := w.Handle(t.Context(), &r)
				text, err := json.Marshal(o)
				if err != nil {
					t.Error(err)
				}
				bodyOf(t, a)
				w.Delivered(o.Request.ID, provision.Delivery{Bytes: o.Size})
				held, then, told = append(held, o), append(then, text), append(told, r)
			}
			for i, o := range held {
				now, err := json.Marshal(o)
				if diff := cmp.Diff(string(then[i]), string(now)); diff != "" || err != nil {
					t.Errorf("outcome %d has changed (-then +now): %s, %v", o.Request.ID, diff, err)
				}
				if o.Request.Path != told[i].Path || len(o.Steps) == 0 || o.Steps[0].Note == "" {
					t.Errorf("outcome %d isn't of its request for %s: %s", o.Request.ID, told[i].Path, now)
				}
			}
		})
	}
	wg.Wait()
}
