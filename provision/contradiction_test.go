package provision_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// pretending is a world in which phones A and B are known, and A has its lease.
func pretending(t *testing.T) *world {
	t.Helper()
	w := guarded(t, provision.StateProvisioned)
	w.device(t, provision.Device{ID: "b", HW: aastraB, Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.2.2", Config: "guest"})
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	return w
}

// asB is a request of phone A for its own file, in which it says that it is phone B.
func asB(after time.Duration) provision.Request {
	r := get(addrA, fileA, aastraAgent(aastraB, "3.2.2"))
	r.At = noon.Add(after)
	return r
}

// Rule C1: who says three times within ten minutes that it is another phone that we know, while its lease proves that it
// isn't, is suspicious until an administrator says otherwise.
func TestPretence(t *testing.T) {
	t.Parallel()
	w := pretending(t)
	explained := asB(time.Minute)
	for i, want := range []bool{true, true, false, false} {
		for range 5 { // what is only explained isn't counted
			a, _ := w.Explain(t.Context(), &explained)
			bodyOf(t, a)
		}
		before := w.writes.n.Load()
		ok, o := w.secret(t, asB(time.Duration(i)*time.Minute))
		if ok != want || !want && o.Decision.Row != "ID-03" {
			t.Errorf("request %d: secret %t by row %s, want %t", i, ok, o.Decision.Row, want)
		}
		if i == 2 && !strings.Contains(o.Verdict.Why, "C1") {
			t.Errorf("it is refused because %q, want rule C1 named", o.Verdict.Why)
		}
		if got := w.writes.n.Load() - before; got != map[bool]int64{true: 1}[i == 2] {
			t.Errorf("request %d wrote %d times", i, got)
		}
	}
	if got := w.Gate.Alarms(); len(got) != 1 || got[0].Kind != provision.AlarmPretence || got[0].Subject != "a" || got[0].Count != 2 {
		t.Errorf("alarms %+v, want one of phone A", got)
	}
	honest := tftp(addrA, fileA)
	honest.At = noon.Add(24 * time.Hour)
	if ok, _ := w.secret(t, honest); ok || w.state(t) != provision.StateSuspicious {
		t.Errorf("a day later: secret %t, state %s; want it suspicious until somebody clears it", ok, w.state(t))
	}
	d, err := w.memory.Device(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	d.State = provision.StateEnrolled
	w.device(t, d)
	w.Gate.Quiet("a")
	if ok, o := w.secret(t, asB(4*time.Minute)); !ok || len(w.Gate.Alarms()) != 0 {
		t.Errorf("cleared, it is refused for what it said before: %v", o.Err)
	}
}

func TestPretenceIsCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask   []provision.Request
		want  provision.DeviceState
		alarm bool
	}{
		"within the time":  {[]provision.Request{asB(0), asB(5 * time.Minute), asB(10*time.Minute - 1)}, provision.StateSuspicious, true},
		"longer than that": {[]provision.Request{asB(0), asB(5 * time.Minute), asB(10 * time.Minute)}, provision.StateProvisioned, false},
		"of a phone that nobody knows": {
			slices.Repeat([]provision.Request{get(addrA, fileA, aastraAgent(hwaddr.MustParse("00:08:5d:77:88:99"), "3.2.2"))}, 5),
			provision.StateProvisioned, false,
		},
		"for the other's file": {
			slices.Repeat([]provision.Request{get(addrA, "00085D445566.cfg", "")}, 3), provision.StateSuspicious, true,
		},
		"by datagrams, which anybody may have sent": {
			slices.Repeat([]provision.Request{tftp(addrA, "00085D445566.cfg")}, 9), provision.StateProvisioned, true,
		},
		"twice, and once by a datagram": {
			[]provision.Request{asB(0), tftp(addrA, "00085D445566.cfg"), asB(1)}, provision.StateProvisioned, true,
		},
		"amid such datagrams": {
			[]provision.Request{asB(0), tftp(addrA, "00085D445566.cfg"), asB(1), tftp(addrA, "00085D445566.cfg"), asB(2)},
			provision.StateSuspicious, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := pretending(t)
			for _, r := range c.ask {
				w.ask(t, r)
			}
			if got := w.state(t); got != c.want {
				t.Errorf("state %s, want %s", got, c.want)
			}
			if got := slices.Contains(w.kinds(), provision.AlarmPretence); got != c.alarm {
				t.Errorf("alarms %v, want one of pretence: %t", w.kinds(), c.alarm)
			}
			if ok, o := w.secret(t, tftp(addrA, fileA)); ok != (c.want == provision.StateProvisioned) {
				t.Errorf("its own file: secret %t (%v)", ok, o.Err)
			}
		})
	}
}

// A phone that nobody has confirmed waits from its first contradiction on, and is suspicious after the third.
func TestPretenceOfNewPhone(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateNew)
	w.device(t, provision.Device{ID: "b", HW: aastraB, Plugin: "aastra-67xx-3.2.2", Config: "guest"})
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for i, want := range []string{"ID-04", "ID-04", "ID-03"} {
		if ok, o := w.secret(t, asB(0)); ok || o.Decision.Row != want {
			t.Errorf("request %d: secret %t by row %s, want %s", i, ok, o.Decision.Row, want)
		}
	}
	if got := w.state(t); got != provision.StateSuspicious {
		t.Errorf("state %s, want suspicious", got)
	}
}

// Rule C2: a PC that says it is a phone is made no device of, so that there is nothing to serve it; it is remembered as one
// that asked, whatever the network's policy.
func TestPretenceOfPC(t *testing.T) {
	t.Parallel()
	for _, policy := range []provision.GuardPolicy{provision.GuardStrict, provision.GuardBalanced, provision.GuardLegacy} {
		w := guarded(t, "none")
		w.policy.Guard, w.policy.SiteFiles = policy, true
		w.hold(addrP, pcP, "MSFT 5.0")
		for _, path := range []string{"00085D778899.cfg", "labels.cfg", "aastra.cfg"} {
			body, o := w.ask(t, get(addrP, path, aastraAgent(hwaddr.MustParse("00:08:5d:77:88:99"), "3.2.2")))
			if body != "" || o.Created || !o.Sighted || o.Decision.May[provision.ClassDevice] || o.Decision.May[provision.ClassSecret] {
				t.Errorf("%s, %s: %q, created %t, sighted %t by row %s", policy, path, body, o.Created, o.Sighted, o.Decision.Row)
			}
		}
		if got := len(w.Sightings.List()); got != 1 {
			t.Errorf("%s: %d sightings, want the PC's", policy, got)
		}
	}
}

// Rule C3: a disagreement has 200 ms to clear up, then the address proves nothing, and the alarm says who is there.
func TestFlapHasTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration // the table has the phone; 0: never
		want  provision.NetLevel
	}{"in time": {150 * time.Millisecond, provision.NetConfirmed}, "late": {250 * time.Millisecond, provision.NetNone}, "never": {0, provision.NetNone}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := pretending(t)
				w.Neighbours = healing{time.Now(), c.after}
				begun := time.Now()
				ok, o := w.secret(t, tftp(addrA, fileA))
				if took := time.Since(begun); took != 200*time.Millisecond || o.Evidence.Net != c.want || ok != (c.want != provision.NetNone) {
					t.Errorf("after %s: network %s, secret %t; want %s after 200ms", took, o.Evidence.Net, ok, c.want)
				}
				alarms := fmt.Sprint(w.Gate.Alarms())
				if want := fmt.Sprintf("C3: %s holds the lease of %s, but %s answers there", aastraA, addrA, pcP); strings.Contains(alarms, want) == ok {
					t.Errorf("secret %t, alarms %s", ok, alarms)
				}
			})
		})
	}
}

// healing is a neighbour table that has a PC at phone A's address, and later the phone.
type healing struct {
	since time.Time
	after time.Duration
}

func (h healing) Neighbour(netip.Addr) (hwaddr.Addr, bool) {
	if h.after > 0 && time.Since(h.since) >= h.after {
		return aastraA, true
	}
	return pcP, true
}

// Who has put himself into the neighbour table and keeps silent when the wire is asked is there still.
func TestSilentRival(t *testing.T) {
	t.Parallel()
	w := pretending(t)
	w.Neighbours = wire{provisiontest.Neighbours{addrA: pcP}, nil}
	if ok, o := w.secret(t, tftp(addrA, fileA)); ok || o.Decision.Row != "ID-04" || o.Evidence.Net != provision.NetNone {
		t.Errorf("secret %t by row %s, network %s; want none", ok, o.Decision.Row, o.Evidence.Net)
	}
}

// Rule C6: what a provisioned phone says of its product and its plugin doesn't know changes nothing in its record, and holds
// it where nothing but a lease says who it is.
func TestOtherModel(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.plugins.Set(choosy(t, "3.2.2"), choosy(t, "3.3.1"))
	w.hold(addrA, aastraA, "")
	r := get(addrA, fileA, strings.Replace(aastraAgent(aastraA, "3.2.2"), "6730i", "9999x", 1))
	ask := func(want bool, how string) {
		t.Helper()
		ok, o := w.secret(t, r)
		if ok != want || !strings.Contains(explainText(t, o), "C6: the request says 9999x, the record 6730i") {
			t.Errorf("%s: secret %t by row %s, want %t (%v)", how, ok, o.Decision.Row, want, o.Err)
		}
		if o.Device.Model != "6730i" || o.Device.Plugin != "aastra-67xx-3.2.2" {
			t.Errorf("%s: the record says %s %s now", how, o.Device.Model, o.Device.Plugin)
		}
	}
	ask(false, "a lease alone")
	w.Tokens = keyring{"k1", aastraA, "a", provision.TokenValid}
	plain := r
	r = withToken(r, "k1")
	ask(true, "with its token")
	r = plain
	w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
	ask(true, "confirmed")
	w.device(t, provision.Device{ID: "c", HW: aastraB, Vendor: "Aastra", Model: "unheard of", Plugin: "aastra-67xx-3.2.2", Config: "guest", State: provision.StateProvisioned})
	w.hold(addrB, aastraB, "")
	r = get(addrB, "00085D445566.cfg", strings.Replace(aastraAgent(aastraB, "3.2.2"), "6730i", "9999x", 1))
	if ok, o := w.secret(t, r); !ok || o.Device.Model != "9999x" {
		t.Errorf("a model that the plugin doesn't know either isn't corrected: secret %t, %s (%v)", ok, o.Device.Model, o.Err)
	}
}

// choosy is the Aastra plugin, but it takes no other model than its own for its own, as real ones do.
func choosy(tb testing.TB, version string) *provisiontest.Plugin {
	tb.Helper()
	p := aastra(tb, version)
	supports := p.OnSupport
	p.OnSupport = func(id provision.Identity) (provision.Support, string) {
		if id.Vendor == "Aastra" && id.Model != "" && id.Model != "6730i" {
			return provision.SupportImprobable, "a model that it doesn't know"
		}
		return supports(id)
	}
	return p
}

// Rule C9: that no lease of ours backs an address is told.
func TestAddressWithoutLease(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateProvisioned)
	w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
	if _, o := w.ask(t, tftp(addrA, "6730i.st")); o.Evidence.Net != provision.NetNeighbour || !strings.Contains(explainText(t, o), "C9: no lease of ours") {
		t.Errorf("network %s, remarks %v", o.Evidence.Net, o.Remarks)
	}
}

// Rule C12: while leases are in doubt, the wire is asked who is there; what the neighbour table has heard before is no proof.
func TestDoubtIsFresh(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []hwaddr.Addr
		want    provision.NetLevel
	}{
		"the phone answers":  {[]hwaddr.Addr{aastraA}, provision.NetConfirmed},
		"nobody answers":     {nil, provision.NetNone},
		"two answer":         {[]hwaddr.Addr{aastraA, pcP}, provision.NetNone},
		"somebody else does": {[]hwaddr.Addr{pcP}, provision.NetNone},
	} {
		w := pretending(t)
		w.Doubt = func(lease.Lease, time.Time) bool { return true }
		w.Neighbours = wire{provisiontest.Neighbours{addrA: aastraA}, c.answers}
		if ok, o := w.secret(t, tftp(addrA, fileA)); o.Evidence.Net != c.want || ok != (c.want == provision.NetConfirmed) {
			t.Errorf("%s: network %s, secret %t (%v); want %s", name, o.Evidence.Net, ok, o.Err, c.want)
		}
	}
}

// What nothing but a request's own word says completes a device's record, but changes nothing in it: else anybody could
// rewrite it with every request, and tell from the time that takes which devices there are.
func TestHearsay(t *testing.T) {
	t.Parallel()
	for _, policy := range []provision.GuardPolicy{provision.GuardBalanced, provision.GuardLegacy} {
		w := guarded(t, provision.StateProvisioned)
		w.policy.Guard = policy
		for i, version := range []string{"3.2.2", "3.3.1", "3.2.2", "3.3.1"} {
			before := w.writes.n.Load()
			_, o := w.ask(t, get(addrP, "6730i.st", aastraAgent(aastraA, version)))
			wrote := w.writes.n.Load() != before
			if want := i == 0 || policy == provision.GuardLegacy; wrote != want {
				t.Errorf("%s, request %d: wrote %t, want %t (%v)", policy, i, wrote, want, o.Changes)
			}
		}
		d, err := w.memory.DeviceByHW(t.Context(), aastraA)
		if want := policy == provision.GuardLegacy; err != nil || (d.Version == "3.3.1") != want || (d.Plugin == "aastra-67xx-3.3.1") != want {
			t.Errorf("%s: the record says %s, %s (%v)", policy, d.Version, d.Plugin, err)
		}
		w.hold(addrA, aastraA, "")
		if _, o := w.ask(t, get(addrA, "6730i.st", aastraAgent(aastraA, "3.3.1"))); o.Device.Version != "3.3.1" || o.Device.Plugin != "aastra-67xx-3.3.1" {
			t.Errorf("%s: the phone itself teaches nothing: %s, %s", policy, o.Device.Version, o.Device.Plugin)
		}
	}
}
