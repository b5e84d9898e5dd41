package provision_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// What plugins' templates took and failed at is counted by plugin: of files that were made, not of those that were kept, and not
// of what was only explained.
func TestRenderingsAreCounted(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	count := 0
	w.plugins.Set(telling(t, "3.2.2", 0, &count))
	w.Renders = provision.NewRenders(0)
	req := get(addrA, "labels.cfg", aastraAgent(aastraA, "3.2.2"))
	for range 5 {
		w.ask(t, req)
	}
	if a, o := w.Explain(t.Context(), &req); o.Err != nil {
		t.Fatal(o.Err)
	} else {
		bodyOf(t, a)
	}
	got := w.Counters.Renderings()
	i := slices.IndexFunc(got, func(r provision.Rendering) bool { return r.Took != nil && observed(r.Took) > 0 })
	if i < 0 || observed(got[i].Took) != 1 || got[i].Errors != 0 {
		t.Fatalf("got %+v, want one file that was made", got)
	}
	for _, c := range w.Counters.Outcomes() {
		want := uint64(0)
		if c.Proto == provision.HTTP && c.Plugin == got[i].Plugin && c.Status == provision.StatusOK {
			want = 5
		}
		if c.N != want {
			t.Errorf("%s of %q that came to %s: got %d, want %d", c.Proto, c.Plugin, c.Status, c.N, want)
		}
	}
}

// A phone that hangs up while its file is made is no fault of the plugin's, nor of ours.
func TestHangingUpIsNoFailure(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	ctx, hangUp := context.WithCancel(t.Context())
	count := 0
	p := telling(t, "3.2.2", 0, &count)
	p.OnAnswer = func(ctx context.Context, _ provision.Route, _ *provision.View) (*provision.Answer, error) {
		hangUp()
		return nil, fmt.Errorf("labels.tmpl: line 3: %w", ctx.Err())
	}
	w.plugins.Set(p)
	req := get(addrA, "labels.cfg", aastraAgent(aastraA, "3.2.2"))
	if _, o := w.Handle(ctx, &req); o.Status() != provision.StatusGone || !strings.Contains(o.Err.Error(), "hung up") {
		t.Errorf("status %s (%v), want that it hung up", o.Status(), o.Err)
	}
	for _, r := range w.Counters.Renderings() {
		if r.Errors != 0 || r.Took != nil && observed(r.Took) != 0 {
			t.Errorf("got %+v, want no rendering", r)
		}
	}
	gone := slices.IndexFunc(w.Counters.Outcomes(), func(c provision.Count) bool { return c.Status == provision.StatusGone && c.N == 1 })
	if gone < 0 {
		t.Errorf("got %+v, want one that is gone", w.Counters.Outcomes())
	}
}

func observed(h *provision.Histogram) (n uint64) {
	buckets, _ := h.Took()
	for _, b := range buckets {
		n += b.N
	}
	return n
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h provision.Histogram
	for _, took := range []time.Duration{0, 250 * time.Microsecond, 251 * time.Microsecond, 4 * time.Second, time.Hour} {
		h.Observe(took)
	}
	buckets, sum := h.Took()
	var got []uint64
	for _, b := range buckets {
		got = append(got, b.N)
	}
	if diff := cmp.Diff([]uint64{2, 1, 0, 0, 0, 0, 0, 1, 1}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if want := time.Hour + 4*time.Second + 501*time.Microsecond; sum != want {
		t.Errorf("got %s, want %s", sum, want)
	}
}
