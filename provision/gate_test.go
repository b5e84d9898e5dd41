package provision_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// strictly gives a world a policy by which windows matter, and a network that confirms who is where.
func strictly(tb testing.TB) *world {
	tb.Helper()
	w := guarded(tb, "none")
	w.policy.Guard, w.policy.CleartextOK = provision.GuardStrict, true
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	w.Neighbours = provisiontest.Neighbours{addrA: aastraA, addrB: aastraB}
	return w
}

func (w *world) window(tb testing.TB, x provision.Window) provision.Window {
	tb.Helper()
	x.Opened = noon.Add(-time.Minute)
	if x.Closes.IsZero() {
		x.Closes = noon.Add(time.Minute)
	}
	x, err := w.Gate.OpenWindow(tb.Context(), x)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		window provision.Window
		want   bool
	}{
		"of the network":          {provision.Window{Network: "voice"}, true},
		"of another network":      {provision.Window{Network: "data"}, false},
		"of the device":           {provision.Window{Device: "00085d112233"}, true},
		"of another device":       {provision.Window{Device: "x"}, false},
		"for its vendor":          {provision.Window{Network: "voice", Vendor: "aastra"}, true},
		"for another vendor":      {provision.Window{Network: "voice", Vendor: "Snom"}, false},
		"for its cards":           {provision.Window{Network: "voice", OUI: "00-08-5D"}, true},
		"for another maker's":     {provision.Window{Network: "voice", OUI: "00:15:65"}, false},
		"that has closed already": {provision.Window{Network: "voice", Closes: noon.Add(-time.Second)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := strictly(t)
			w.window(t, c.window)
			ok, o := w.secret(t, tftp(addrA, fileA))
			if ok != c.want || (o.Evidence.State == provision.StandingWindowed) != c.want {
				t.Errorf("secret %t, %s device, row %s (%v); want %t", ok, o.Evidence.State, o.Decision.Row, o.Err, c.want)
			}
			if want := map[bool]provision.DeviceState{true: provision.StateProvisioned}[c.want]; w.state(t) != want {
				t.Errorf("state %q, want %q", w.state(t), want)
			}
		})
	}
}

// A window for one device is used by the first that comes, however often it asks.
func TestWindowForOne(t *testing.T) {
	t.Parallel()
	w := strictly(t)
	x := w.window(t, provision.Window{Network: "voice", Count: 1})
	for range 2 {
		if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
			t.Errorf("the first device: %v", o.Err)
		}
	}
	if ok, o := w.secret(t, tftp(addrB, "00085D445566.cfg")); ok || !o.Verdict.Held {
		t.Errorf("the second device: secret %t, verdict %+v; want it held", ok, o.Verdict)
	}
	if got := w.Gate.Windows(noon); len(got) != 1 || len(got[0].Used) != 1 {
		t.Errorf("windows %+v", got)
	}
	if err := w.Gate.CloseWindow(t.Context(), x.ID); err != nil || len(w.Gate.Windows(noon)) != 0 {
		t.Errorf("close: %v", err)
	}
	if err := w.Gate.CloseWindow(t.Context(), x.ID); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("close again: %v, want ErrNotFound", err)
	}
}

func TestWindowIsChecked(t *testing.T) {
	t.Parallel()
	w := guarded(t, "none")
	for name, x := range map[string]provision.Window{
		"for nobody in particular": {Closes: noon.Add(time.Minute)},
		"no time":                  {Network: "voice", Closes: noon},
		"too long":                 {Network: "voice", Closes: noon.Add(time.Hour)},
		"no such cards":            {Network: "voice", Closes: noon.Add(time.Minute), OUI: "00:08"},
		"fewer than none":          {Network: "voice", Closes: noon.Add(time.Minute), Count: -1},
	} {
		x.Opened = noon
		if _, err := w.Gate.OpenWindow(t.Context(), x); !errors.Is(err, provision.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// Under the strict policy a confirmed phone gets its secrets three times after it has booted, and then not before it boots
// again.
func TestFetchBudget(t *testing.T) {
	t.Parallel()
	w := strictly(t)
	w.device(t, provision.Device{ID: "a", HW: aastraA, Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.2.2", Config: "guest", State: provision.StateEnrolled})
	l, _ := w.leases.ByAddr(addrA)
	fetch := func(at time.Time) bool {
		r := tftp(addrA, fileA)
		r.At = at
		ok, _ := w.secret(t, r)
		return ok
	}
	if fetch(noon) {
		t.Error("a secret without a boot")
	}
	for boot := range 2 {
		at := noon.Add(time.Duration(boot) * time.Hour)
		w.Observe(t.Context(), lease.Event{Seq: uint64(boot), At: at, Kind: lease.KindBound, Lease: l})
		for n := range 4 {
			if got, want := fetch(at.Add(time.Minute)), n < 3; got != want {
				t.Errorf("boot %d, fetch %d: secret %t, want %t", boot, n, got, want)
			}
		}
		if fetch(at.Add(20 * time.Minute)) {
			t.Error("a secret long after the boot")
		}
	}
	if got := w.state(t); got != provision.StateProvisioned {
		t.Errorf("state %s, want provisioned", got)
	}
}

// The first secret is written down once, and then nothing more.
func TestProvisionedIsWrittenOnce(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateEnrolled)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for i, want := range []int64{1, 0, 0} {
		before := w.writes.n.Load()
		if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
			t.Fatal(o.Err)
		}
		if got := w.writes.n.Load() - before; got != want {
			t.Errorf("request %d wrote %d times, want %d", i, got, want)
		}
	}
	r := tftp(addrA, fileA)
	w.device(t, provision.Device{ID: "b", HW: aastraB, Plugin: "aastra-67xx-3.2.2", Config: "guest", State: provision.StateEnrolled})
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	r.Peer, r.Path = addrB, "00085D445566.cfg"
	a, o := w.Explain(t.Context(), &r)
	bodyOf(t, a)
	if d, err := w.memory.Device(t.Context(), "b"); err != nil || d.State != provision.StateEnrolled || !o.Verdict.Secrets {
		t.Errorf("after it was explained: state %s, %v", d.State, err)
	}
}

func TestAside(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateEnrolled)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	for _, hw := range []hwaddr.Addr{aastraA, aastraB} {
		if err := w.Gate.SetAside(t.Context(), provision.Aside{Key: "mac " + hw.String()}); err != nil {
			t.Fatal(err)
		}
	}
	if ok, o := w.secret(t, tftp(addrA, fileA)); ok || o.Decision.Row != "ID-02" {
		t.Errorf("a phone that was set aside: secret %t by row %s", ok, o.Decision.Row)
	}
	if _, o := w.ask(t, tftp(addrB, "aastra.cfg")); o.Created || o.Sighted || o.Status() != provision.StatusMissing {
		t.Errorf("a device that was set aside: created %t, sighted %t, %s", o.Created, o.Sighted, o.Status())
	}
	if err := w.Gate.TakeBack(t.Context(), "mac "+aastraB.String()); err != nil {
		t.Fatal(err)
	}
	if _, o := w.ask(t, tftp(addrB, "aastra.cfg")); !o.Created {
		t.Errorf("taken back, it isn't made: %v", o.Err)
	}
	if err := w.Gate.TakeBack(t.Context(), "mac "+aastraB.String()); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("taken back again: %v, want ErrNotFound", err)
	}
}

// W-23: phones behind one address are told apart by their tokens, per network; the address says nothing of them.
func TestNAT(t *testing.T) {
	t.Parallel()
	w := guarded(t, provision.StateEnrolled)
	w.policy.NAT = true
	w.hold(addrP, pcP, "MSFT 5.0") // the router's own lease
	w.Tokens = keyring{"k1", aastraA, "a", provision.TokenValid}
	if ok, o := w.secret(t, withToken(get(addrP, fileA, aastraAgent(aastraA, "3.2.2")), "k1")); !ok || o.Decision.Row != "ID-10" {
		t.Errorf("with its token: secret %t by row %s, %v", ok, o.Decision.Row, o.Err)
	}
	for i := range 10 {
		hw := hwaddr.Addr{0, 0x08, 0x5d, 0x30, 0, byte(i)}
		if ok, o := w.secret(t, get(addrP, "aastra.cfg", aastraAgent(hw, "3.2.2"))); ok || o.Evidence.Locked {
			t.Errorf("phone %d of many: secret %t, locked %t", i, ok, o.Evidence.Locked)
		}
	}
}

// What a network's policy switches off or prefers.
func TestPolicyTunes(t *testing.T) {
	t.Parallel()
	const old = provision.PluginID("aastra-67xx-3.2.2")
	for name, c := range map[string]struct {
		change func(*provision.Policy)
		want   provision.PluginID
	}{
		"nothing":        {func(*provision.Policy) {}, "aastra-67xx-3.3.1"},
		"a plugin off":   {func(p *provision.Policy) { p.PluginsOff = []provision.PluginID{"aastra-67xx-3.3.1"} }, old},
		"a plugin first": {func(p *provision.Policy) { p.PluginsFirst = []provision.PluginID{"none", old} }, old},
		"no association": {func(p *provision.Policy) { p.NoAssociate = true }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.change(&w.policy)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			if _, o := w.ask(t, tftp(addrA, "6730i.st")); !o.Created || o.Device.Plugin != c.want {
				t.Errorf("created %t, plugin %q, want %q", o.Created, o.Device.Plugin, c.want)
			}
		})
	}
	w := newWorld(t)
	w.policy.Ignore = []provision.Source{provision.SourceHeader, provision.SourceLease}
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	if _, o := w.ask(t, get(addrA, "x", aastraAgent(aastraA, "3.2.2"))); o.Identity.Assurance != provision.SourceNone {
		t.Errorf("ignored evidence names %s by %s", o.Identity.HW, o.Identity.Assurance)
	}
}

// Whatever fails and in whatever order the first requests of a phone come: there is one device of it, nobody gets
// another's file, and a phone that is known never hears that its file is missing.
func TestFirstContactUnderFaults(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.Log = nil
		w.hold(addrA, aastraA, "AastraIPPhone6730i")
		every := rapid.Int64Range(2, 9).Draw(rt, "one call in")
		methods := []string{"DeviceByHW", "PutDevice", "AddDevice", "ConfigByRole", "Config"}
		clients := rapid.IntRange(2, 12).Draw(rt, "clients")
		stores := make([]*failing, len(methods))
		for i, m := range methods {
			stores[i] = &failing{w.memory, m}
		}
		var n atomic.Int64
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range 4 {
					p := provision.Pipeline{
						Leases: w.leases, PolicyFor: func(netip.Addr) provision.Policy { return w.policy }, Devices: w.memory, Configs: w.memory,
						Plugins: w.plugins,
					}
					if k := n.Add(1); k%every == 0 {
						s := stores[int(k/every)%len(stores)]
						p.Devices, p.Configs = s, s
					}
					r := get(addrA, fileA, aastraAgent(aastraA, "3.2.2"))
					a, o := p.Handle(t.Context(), &r)
					switch body := bodyOf(t, a); {
					case a != nil && !strings.HasPrefix(body, "user guest auth guest password "+planted):
						t.Errorf("a wrong file: %q", body)
					case a == nil && o.Status() != provision.StatusFailed:
						t.Errorf("status %s: %v", o.Status(), o.Err)
					}
				}
			})
		}
		wg.Wait()
		var found []provision.Device
		for _, id := range []provision.DeviceID{"00085d112233"} {
			if d, err := w.memory.Device(t.Context(), id); err == nil {
				found = append(found, d)
			}
		}
		if d, err := w.memory.DeviceByHW(t.Context(), aastraA); err == nil && (len(found) != 1 || d.ID != found[0].ID) {
			rt.Fatalf("devices %v, and %s by its mac", found, d.ID)
		}
	})
}

// A phone that starts with the address it remembers (INIT-REBOOT) keeps its lease; it has started all the same.
func TestStartWithARememberedAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		boot time.Duration // before now; 0: not known
		want bool
	}{"not known": {0, false}, "a minute ago": {time.Minute, true}, "an hour ago": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := guarded(t, provision.StateProvisioned)
			l := w.hold(addrA, aastraA, "AastraIPPhone6730i")
			l.Start = noon.Add(-2 * time.Hour)
			if tc.boot > 0 {
				l.Boot = uint32(noon.Add(-tc.boot).Unix())
			}
			w.leases.Set(l)
			if _, o := w.secret(t, tftp(addrA, fileA)); o.Evidence.Booted != tc.want {
				t.Errorf("booted %t, want %t", o.Evidence.Booted, tc.want)
			}
		})
	}
}
