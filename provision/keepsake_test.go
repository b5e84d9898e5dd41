package provision_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// restarted gives a world a new gate that knows what the old one kept.
func (w *world) restarted(tb testing.TB, end, start time.Time) {
	tb.Helper()
	var b bytes.Buffer
	if err := w.Gate.Keep(&b, end); err != nil {
		tb.Fatal(err)
	}
	gate, err := provision.OpenGate(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := gate.Recall(&b, start); err != nil {
		tb.Fatal(err)
	}
	w.Gate = gate
}

// news reports whether there is something new to keep.
func (w *world) news() bool {
	select {
	case <-w.Gate.Changed():
		return true
	default:
		return false
	}
}

func stranger(i int, after time.Duration) provision.Request {
	r := tftp(addrP, fmt.Sprintf("00085D77880%d.cfg", i))
	r.At = noon.Add(after)
	return r
}

// S01: whoever can make the program start anew doesn't start anew himself.
func TestLocksOutliveARestart(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.policy.AutoAdd = provision.AddOff
	for i := range 3 {
		_, o := w.ask(t, stranger(i, 0))
		if o.Evidence.Locked != (i == 2) {
			t.Errorf("request %d, each after a restart: locked %t", i, o.Evidence.Locked)
		}
		if !w.news() {
			t.Errorf("request %d: nothing to keep", i)
		}
		w.restarted(t, noon, noon)
	}
	before := w.Gate.Alarms()
	w.restarted(t, noon.Add(time.Minute), noon.Add(time.Minute))
	if diff := cmp.Diff(before, w.Gate.Alarms()); diff != "" || len(before) != 1 {
		t.Errorf("alarms (-before +after):\n%s", diff)
	}
	for after, want := range map[time.Duration]bool{59 * time.Minute: true, time.Hour: false} {
		if _, o := w.ask(t, stranger(0, after)); o.Evidence.Locked != want {
			t.Errorf("after %s: locked %t, want %t", after, o.Evidence.Locked, want)
		}
	}
}

func TestPretencesOutliveARestart(t *testing.T) {
	t.Parallel()
	w := pretending(t)
	for range 3 {
		w.ask(t, asB(0))
		w.restarted(t, noon, noon)
	}
	if got := w.state(t); got != provision.StateSuspicious {
		t.Errorf("state %s, want suspicious", got)
	}
}

func TestBudgetOutlivesARestart(t *testing.T) {
	t.Parallel()
	w := strictly(t)
	w.device(t, provision.Device{ID: "a", HW: aastraA, Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.2.2", Config: "guest", State: provision.StateEnrolled})
	l, _ := w.leases.ByAddr(addrA)
	l.Start = noon // the lease table outlives the restart, too
	w.leases.Set(l)
	for i := range 5 {
		if ok, _ := w.secret(t, tftp(addrA, fileA)); ok != (i < 3) {
			t.Errorf("fetch %d: secret %t", i, ok)
		}
		w.restarted(t, noon, noon)
	}
}

func TestPortsOutliveARestart(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	for i, port := range []string{"1", "2"} {
		l := w.holdAt(addrA, aastraA, port)
		w.Observe(t.Context(), lease.Event{Seq: uint64(i), At: noon.Add(time.Duration(i) * 20 * time.Second), Kind: lease.KindMoved, Lease: l})
		w.restarted(t, noon.Add(20*time.Second), noon.Add(20*time.Second))
	}
	if got := w.state(t); got != provision.StateSuspicious {
		t.Errorf("state %s, want suspicious", got)
	}
}

// A request that teaches nothing leaves nothing to keep.
func TestNothingNewIsKept(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.device(t, provision.Device{ID: "b", HW: aastraB, Vendor: "Aastra", Plugin: "aastra-67xx-3.2.2", State: provision.StateRetired})
	w.hold(addrB, aastraB, "")
	w.policy.AutoAdd = provision.AddOff
	w.ask(t, stranger(0, 0))
	w.news()
	w.ask(t, tftp(addrB, "x.cfg")) // an alarm: it is retired
	if !w.news() {
		t.Error("an alarm is nothing new")
	}
	for range 3 {
		w.ask(t, tftp(addrA, fileA))
		w.ask(t, stranger(0, time.Minute))
		w.ask(t, tftp(addrB, "x.cfg"))
		if w.news() {
			t.Error("the same again is something new")
		}
	}
}

// A lock that the clock has left behind, either way, isn't one for ever.
func TestLocksAndTheClock(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.policy.AutoAdd = provision.AddOff
	for i := range 3 {
		w.ask(t, stranger(i, 10*365*24*time.Hour))
	}
	if _, o := w.ask(t, stranger(0, 0)); o.Evidence.Locked {
		t.Error("locked for ten years")
	}
	for i := range 3 {
		w.ask(t, stranger(i, time.Minute))
	}
	w.restarted(t, noon.Add(time.Minute), noon.Add(-24*time.Hour)) // the clock isn't set yet
	if _, o := w.ask(t, stranger(0, -23*time.Hour-30*time.Minute)); !o.Evidence.Locked {
		t.Error("unlocked by a clock that is behind")
	}
}

// However many sources there are, what is remembered is bounded, and a lock isn't pushed out by those that aren't locked.
func TestLocksAreBounded(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.Log, w.policy.AutoAdd = nil, provision.AddOff
	for i := range 3 {
		w.ask(t, stranger(i, 0))
	}
	for i := range 10_000 {
		r := stranger(1, 0)
		r.Peer = netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		w.ask(t, r)
	}
	if _, o := w.ask(t, stranger(0, 0)); !o.Evidence.Locked {
		t.Error("the lock was pushed out")
	}
	var b bytes.Buffer
	if err := w.Gate.Keep(&b, noon); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(b.String(), `"source":`); got != 8192+1 {
		t.Errorf("%d sources are remembered, want 8193", got)
	}
	if err := w.Gate.Recall(strings.NewReader("{"), noon); err == nil {
		t.Error("half a file is recalled")
	}
}
