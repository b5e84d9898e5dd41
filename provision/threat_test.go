package provision_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// The time of the requests that tftp and get make.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const fileA = "00085D112233.cfg"

// guarded is a world whose pipeline remembers, with phone A known.
func guarded(tb testing.TB, state provision.DeviceState) *world {
	tb.Helper()
	w := newWorld(tb)
	gate, err := provision.OpenGate(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	w.Gate = gate
	if state != "none" {
		w.device(tb, provision.Device{
			ID: "a", HW: aastraA, Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.2.2", Config: "guest", State: state,
			Auto: state == provision.StateNew,
		})
	}
	return w
}

// holdAt makes a client the holder of an address, at a switch port behind a relay agent.
func (w *world) holdAt(addr netip.Addr, hw hwaddr.Addr, port string) lease.Lease {
	return w.leases.Hold(addr, lease.Client{HW: hw, VendorClass: "AastraIPPhone6730i", Circuit: port, Relay: netip.MustParseAddr("192.0.2.126")})
}

func (w *world) state(tb testing.TB) provision.DeviceState {
	tb.Helper()
	d, err := w.memory.DeviceByHW(tb.Context(), aastraA)
	if err != nil {
		tb.Fatal(err)
	}
	return d.State
}

// secret asks and reports whether the planted secret came back.
func (w *world) secret(tb testing.TB, r provision.Request) (bool, *provision.Outcome) {
	tb.Helper()
	body, o := w.ask(tb, r)
	return strings.Contains(body, planted), o
}

// kinds are the kinds of the alarms that were raised.
func (w *world) kinds() (kinds []provision.AlarmKind) {
	for _, a := range w.Gate.Alarms() {
		kinds = append(kinds, a.Kind)
	}
	return kinds
}

// wire is a neighbour table that can be asked again.
type wire struct {
	provisiontest.Neighbours
	answers []hwaddr.Addr
}

func (w wire) Probe(context.Context, netip.Addr) ([]hwaddr.Addr, error) { return w.answers, nil }

// keyring is a view of one device's token.
type keyring struct {
	token string
	hw    hwaddr.Addr
	id    provision.DeviceID
	state provision.TokenState
}

func (k keyring) Check(token string, _ netip.Addr, _ time.Time) (hwaddr.Addr, provision.DeviceID, provision.TokenState) {
	if token != k.token {
		return hwaddr.Addr{}, "", provision.TokenNone
	}
	return k.hw, k.id, k.state
}

// withToken puts a token before a request's path.
func withToken(r provision.Request, token string) provision.Request {
	r.Path, r.Raw = "t/"+token+"/"+r.Path, "/t/"+token+"/"+r.Path
	return r
}

func TestThreat(t *testing.T) {
	t.Parallel()
	for id, run := range map[string]func(*testing.T){
		"S01": walkOfMACs, "S01 with a lease": walkWithLease, "S02": clonedPhone, "S02 pinned port": movedPhone, "S03": spoofedLease,
		"S04": arpFlap, "S07": untrustedRelay, "S26": floodOfClaims, "S27": retiredPhone, "S28": foreignCertificate,
		"stolen token": stolenToken, "replayed token": replayedToken,
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

func walkOfMACs(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.policy.Guard = provision.GuardLegacy // which would give out what nothing contradicts
	w.hold(addrA, aastraA, "")
	for i := range 4096 {
		hw := hwaddr.Addr{0, 0x08, 0x5d, 0x11, byte(i >> 8), byte(i)}
		body, o := w.ask(t, tftp(addrP, strings.ToUpper(hw.Join(""))+".cfg"))
		if i >= 2 && (body != "" || o.Decision.Row != "ID-01") {
			t.Fatalf("request %d: %q by row %s, want nothing from a locked source", i, body, o.Decision.Row)
		}
		if i < 2 && strings.Contains(body, planted) && o.Device.ID == "a" {
			t.Fatalf("request %d got phone A's secret", i)
		}
	}
	if got := w.Gate.Alarms(); len(got) != 1 || got[0].Kind != provision.AlarmLocked || got[0].Count != 1 || got[0].Subject != addrP.String() {
		t.Errorf("alarms %+v, want one of the locked source", got)
	}
	if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
		t.Errorf("the phone itself gets no secret: %v", o.Err)
	}
	late := tftp(addrP, "00085D112200.cfg")
	late.At = noon.Add(time.Hour)
	if _, o := w.ask(t, late); o.Evidence.Locked {
		t.Error("the source is locked after an hour")
	}
}

// Somebody with a lease of his own who asks for others' files is locked for those requests; but nobody can lock a phone by
// forging its address.
func walkWithLease(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for i := range 5 {
		if ok, o := w.secret(t, tftp(addrA, fmt.Sprintf("00085D44550%d.cfg", i))); ok || i > 2 && !o.Evidence.Locked {
			t.Errorf("request %d: secret %t, row %s", i, ok, o.Decision.Row)
		}
	}
	if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
		t.Errorf("the phone gets no secret because of what others said in its name: %v", o.Err)
	}
}

func clonedPhone(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	for i, port := range []string{"ge-0/0/1", "ge-0/0/2"} {
		l := w.holdAt(addrA, aastraA, port)
		w.Observe(t.Context(), lease.Event{Seq: uint64(i), At: noon.Add(time.Duration(i) * 20 * time.Second), Kind: lease.KindMoved, Lease: l})
	}
	if ok, o := w.secret(t, tftp(addrA, fileA)); ok || o.Decision.Row != "ID-03" || w.state(t) != provision.StateSuspicious {
		t.Errorf("secret %t by row %s, state %s; want none for a suspicious phone", ok, o.Decision.Row, w.state(t))
	}
	if got := w.kinds(); !slices.Equal(got, []provision.AlarmKind{provision.AlarmClone}) {
		t.Errorf("alarms %v, want %s", got, provision.AlarmClone)
	}
}

func movedPhone(t *testing.T) {
	w := guarded(t, "none")
	w.device(t, provision.Device{
		ID: "a", HW: aastraA, Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.2.2", Config: "guest",
		State: provision.StateProvisioned, Port: "/ge-0/0/1",
	})
	w.holdAt(addrA, aastraA, "ge-0/0/1")
	if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
		t.Errorf("no secret at its own port: %v", o.Err)
	}
	w.holdAt(addrA, aastraA, "ge-0/0/2")
	body, o := w.ask(t, tftp(addrA, fileA))
	if !strings.HasPrefix(body, "user guest") || strings.Contains(body, planted) || o.Verdict.Secrets {
		t.Errorf("at another port it gets %q (%v), want its file without the secrets", body, o.Err)
	}
	if got := w.kinds(); !slices.Equal(got, []provision.AlarmKind{provision.AlarmPort}) {
		t.Errorf("alarms %v, want %s", got, provision.AlarmPort)
	}
}

func spoofedLease(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.policy.Guard, w.policy.CleartextOK = provision.GuardStrict, true
	l := w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.Observe(t.Context(), lease.Event{Seq: 1, At: noon, Kind: lease.KindBound, Lease: l})
	if ok, _ := w.secret(t, tftp(addrA, fileA)); ok {
		t.Error("a datagram that may be forged got a secret without the neighbour table's word")
	}
	w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
	if ok, o := w.secret(t, tftp(addrA, fileA)); !ok || o.Decision.Row != "ID-13" {
		t.Errorf("with it: secret %t by row %s, %v", ok, o.Decision.Row, o.Err)
	}
}

func arpFlap(t *testing.T) {
	for name, w := range map[string]*world{"probed": guarded(t, provision.StateProvisioned), "waited": guarded(t, provision.StateProvisioned)} {
		w.hold(addrA, aastraA, "AastraIPPhone6730i")
		w.Neighbours = provisiontest.Neighbours{addrA: pcP}
		if name == "probed" {
			w.Neighbours = wire{provisiontest.Neighbours{addrA: pcP}, []hwaddr.Addr{aastraA, pcP}}
		}
		if ok, o := w.secret(t, get(addrA, fileA, aastraAgent(aastraA, "3.2.2"))); ok || o.Decision.Row != "ID-04" || !strings.Contains(o.Verdict.Why, "C3") {
			t.Errorf("%s: secret %t by row %s: %s", name, ok, o.Decision.Row, o.Verdict.Why)
		}
		if got := w.kinds(); !slices.Equal(got, []provision.AlarmKind{provision.AlarmContradiction}) {
			t.Errorf("%s: alarms %v", name, got)
		}
	}
}

func untrustedRelay(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.holdAt(addrA, aastraA, "")
	for _, distrusted := range []bool{false, true} {
		w.policy.RelaysDistrusted = distrusted
		if ok, o := w.secret(t, tftp(addrA, fileA)); ok == distrusted {
			t.Errorf("relays distrusted: %t; secret %t by row %s", distrusted, ok, o.Decision.Row)
		}
	}
}

func floodOfClaims(t *testing.T) {
	w := guarded(t, "none")
	w.Log = nil
	w.policy.AddMax, w.policy.AddPerMinute = 50, 20
	for i := range 2000 {
		hw := hwaddr.Addr{0, 0x08, 0x5d, 0x20, byte(i >> 8), byte(i)}
		r := get(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "x", aastraAgent(hw, "3.2.2"))
		r.At = noon.Add(time.Duration(i) * time.Second)
		if _, o := w.ask(t, r); i == 30 && (o.Created || !o.Sighted || !strings.Contains(explainText(t, o), "added to the network within a minute")) {
			t.Errorf("device 30 was added: %t", o.Created)
		}
	}
	if got := w.Counters.Created(); got != 50 {
		t.Errorf("%d devices were added, want 50", got)
	}
	if got := w.kinds(); !slices.Contains(got, provision.AlarmFull) {
		t.Errorf("alarms %v, want %s", got, provision.AlarmFull)
	}
}

func retiredPhone(t *testing.T) {
	w := guarded(t, provision.StateRetired)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for range 2 {
		for path, want := range map[string]string{fileA: "", "labels.cfg": "", "aastra.cfg": "", "6730i.st": "firmware 3.2.2"} {
			if got, o := w.ask(t, tftp(addrA, path)); got != want || o.Decision.Row != "ID-02" {
				t.Errorf("%s: %q by row %s, want %q", path, got, o.Decision.Row, want)
			}
		}
	}
	if got := w.Gate.Alarms(); len(got) != 1 || got[0].Kind != provision.AlarmRetired {
		t.Errorf("alarms %+v, want one", got)
	}
}

func foreignCertificate(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	r := get(addrB, fileA, aastraAgent(aastraA, "3.2.2"))
	r.TLS = true
	r.Cert = &provision.Cert{Level: provision.CertFactory, Subject: "phone B", HW: aastraB}
	if ok, o := w.secret(t, r); ok || o.Status() != provision.StatusForbidden {
		t.Errorf("phone B's certificate got phone A's secret: %t, %s", ok, o.Status())
	}
	// A certificate and a lease that name two devices: one of them is forged.
	r = get(addrB, fileA, "")
	r.TLS = true
	r.Cert = &provision.Cert{Level: provision.CertOwn, Subject: "phone A", HW: aastraA}
	if ok, o := w.secret(t, r); ok || o.Decision.Row != "ID-04" || w.state(t) != provision.StateSuspicious {
		t.Errorf("secret %t by row %s, state %s; want none, and phone A suspicious", ok, o.Decision.Row, w.state(t))
	}
	// By its own certificate alone a phone is proven, wherever it is.
	w = guarded(t, provision.StateProvisioned)
	r.Peer = addrP
	if ok, o := w.secret(t, r); !ok || o.Decision.Row != "ID-07" {
		t.Errorf("with its own certificate: secret %t by row %s, %v", ok, o.Decision.Row, o.Err)
	}
	r.Cert = &provision.Cert{Level: provision.CertClaim, HW: aastraA, Note: "signed with SHA-1"}
	if ok, o := w.secret(t, r); ok || !strings.Contains(explainText(t, o), "only a claim: signed with SHA-1") {
		t.Errorf("a certificate that is a claim got a secret: %t", ok)
	}
}

func stolenToken(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.Tokens = keyring{"k1", aastraA, "a", provision.TokenValid}
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrP, pcP, "MSFT 5.0")
	if ok, o := w.secret(t, withToken(tftp(addrP, fileA), "k1")); ok || o.Decision.Row != "ID-04" {
		t.Errorf("a PC with the phone's token: secret %t by row %s", ok, o.Decision.Row)
	}
	ok, o := w.secret(t, withToken(tftp(addrA, fileA), "k1"))
	if !ok || o.Decision.Row != "ID-09" {
		t.Errorf("the phone: secret %t by row %s, %v", ok, o.Decision.Row, o.Err)
	}
	if text := explainText(t, o) + w.log.String() + o.Request.Path + o.Request.Raw; strings.Contains(text, "k1") {
		t.Error("the token is written down")
	}
	if o.Request.Path != fileA {
		t.Errorf("path %q, want %q", o.Request.Path, fileA)
	}
	// A token that an administrator gave out names the device, not its MAC.
	w.Tokens = keyring{"k2", hwaddr.Addr{}, "a", provision.TokenValid}
	if _, o := w.ask(t, withToken(tftp(addrC, "6730i.st"), "k2")); o.Device.ID != "a" || o.Decision.Row != "ID-10" {
		t.Errorf("a token of the device: device %q by row %s, %v", o.Device.ID, o.Decision.Row, o.Err)
	}
	if _, o := w.ask(t, withToken(tftp(addrP, fileA), "unknown")); o.Evidence.Token != provision.TokenNone || strings.Contains(o.Request.Raw, "unknown") {
		t.Errorf("an unknown token: %s, as asked %q", o.Evidence.Token, o.Request.Raw)
	}
}

func replayedToken(t *testing.T) {
	w := guarded(t, provision.StateProvisioned)
	w.Tokens = keyring{"k1", aastraA, "", provision.TokenReplayed}
	if ok, o := w.secret(t, withToken(tftp(addrP, fileA), "k1")); ok || o.Decision.Row != "ID-05" || w.state(t) != provision.StateSuspicious {
		t.Errorf("secret %t by row %s, state %s; want none, and the phone suspicious", ok, o.Decision.Row, w.state(t))
	}
	// Somebody with a lease of his own is told from the phone before the token counts; the phone is warned of all the same.
	laptop := guarded(t, provision.StateProvisioned)
	laptop.Tokens = w.Tokens
	laptop.hold(addrA, aastraA, "AastraIPPhone6730i")
	laptop.hold(addrP, pcP, "MSFT 5.0")
	if ok, _ := laptop.secret(t, withToken(tftp(addrP, fileA), "k1")); ok || laptop.state(t) != provision.StateSuspicious {
		t.Errorf("a laptop's replay: secret %t, state %s", ok, laptop.state(t))
	}
	before := w.writes.n.Load()
	w.ask(t, withToken(tftp(addrP, fileA), "k1"))
	if got := w.writes.n.Load(); got != before {
		t.Errorf("the second time wrote %d times", got-before)
	}
}

// The rules on contradictions, by the number that the guard's specification gives them.
func TestContradiction(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T){
		"C1": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.device(t, provision.Device{ID: "b", HW: aastraB, Plugin: "aastra-67xx-3.2.2", Config: "guest"})
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			r := get(addrA, fileA, aastraAgent(aastraB, "3.2.2"))
			ok, o := w.secret(t, r)
			if !ok || o.Device.ID != "a" || len(o.Remarks) != 1 {
				t.Errorf("secret %t for %s, remarks %v (%v); want phone A's, and the claim remarked on", ok, o.Device.ID, o.Remarks, o.Err)
			}
			r.Path = "00085D445566.cfg"
			if ok, o := w.secret(t, r); ok {
				t.Errorf("the claimed phone's secret left: %v", o.Verdict)
			}
			// Nobody has confirmed the phone: it waits.
			w = guarded(t, provision.StateNew)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			if ok, o := w.secret(t, get(addrA, fileA, aastraAgent(aastraB, "3.2.2"))); ok || !o.Verdict.Held || len(w.Gate.Waiting()) != 1 {
				t.Errorf("secret %t, verdict %+v; want it held", ok, o.Verdict)
			}
		},
		"C2": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrP, pcP, "MSFT 5.0")
			if ok, o := w.secret(t, get(addrP, "00085D778899.cfg", aastraAgent(hwaddr.MustParse("00:08:5d:77:88:99"), "3.2.2"))); ok || o.Created {
				t.Errorf("secret %t, created %t", ok, o.Created)
			}
		},
		"C3": func(t *testing.T) { // it clears up when asked again
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			w.Neighbours = wire{provisiontest.Neighbours{addrA: pcP}, []hwaddr.Addr{aastraA}}
			if ok, o := w.secret(t, tftp(addrA, fileA)); !ok || o.Evidence.Net != provision.NetConfirmed {
				t.Errorf("secret %t, network %s", ok, o.Evidence.Net)
			}
		},
		"C4": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrA, aastraA, "")
			w.hold(addrB, aastraA, "")
			for _, peer := range []netip.Addr{addrA, addrB} {
				if ok, o := w.secret(t, tftp(peer, fileA)); !ok {
					t.Errorf("no secret at %s: %v", peer, o.Err)
				}
			}
		},
		"C5": func(t *testing.T) { // slow enough to be carried, or from one network to another, is nothing
			w := guarded(t, provision.StateProvisioned)
			l := w.holdAt(addrA, aastraA, "1")
			voice := l
			voice.Client.Circuit, voice.Network = "2", "other"
			for i, ev := range []lease.Event{
				{At: noon, Lease: l},
				{At: noon.Add(10 * time.Second), Lease: voice},
				{At: noon.Add(2 * time.Minute), Lease: w.holdAt(addrA, aastraA, "3")},
				{At: noon.Add(4 * time.Minute), Lease: w.holdAt(addrA, aastraA, "4")},
			} {
				ev.Seq, ev.Kind = uint64(i), lease.KindMoved
				w.Observe(t.Context(), ev)
			}
			if got := w.state(t); got != provision.StateProvisioned {
				t.Errorf("state %s", got)
			}
		},
		"C6": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrA, aastraA, "Cisco Systems, Inc. IP Phone CP-7941G")
			_, o := w.ask(t, tftp(addrA, fileA))
			if o.Decision.Row != "ID-04" || o.Device.Vendor != "Aastra" || o.Device.Plugin != "aastra-67xx-3.2.2" {
				t.Errorf("row %s, device %+v; want it denied and unchanged", o.Decision.Row, o.Device)
			}
			w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
			if ok, o := w.secret(t, tftp(addrA, fileA)); !ok || len(o.Remarks) != 1 {
				t.Errorf("confirmed: secret %t, remarks %v (%v)", ok, o.Remarks, o.Err)
			}
		},
		"C7": func(t *testing.T) {
			w := guarded(t, "none")
			w.device(t, provision.Device{ID: "a", HW: aastraA, Vendor: "Aastra", Model: "6730i", Version: "4.1", Plugin: "aastra-67xx-3.2.2", Config: "guest"})
			w.hold(addrA, aastraA, "")
			if ok, o := w.secret(t, get(addrA, fileA, aastraAgent(aastraA, "3.2.2"))); !ok || len(o.Remarks) != 1 || !strings.HasPrefix(o.Remarks[0], "C7") {
				t.Errorf("secret %t, remarks %v (%v)", ok, o.Remarks, o.Err)
			}
		},
		"C8": func(t *testing.T) {
			w := guarded(t, "none")
			w.policy.Guard = provision.GuardStrict
			r := get(addrP, fileA, aastraAgent(aastraA, "3.2.2"))
			r.TLS, r.Cert = true, &provision.Cert{Level: provision.CertFactory, HW: aastraA}
			if ok, o := w.secret(t, r); ok || o.Decision.Row != "ID-06" || len(w.Gate.Waiting()) != 1 {
				t.Errorf("secret %t by row %s; want it to wait", ok, o.Decision.Row)
			}
		},
		"C9": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
			if ok, o := w.secret(t, tftp(addrA, fileA)); ok || o.Evidence.Net != provision.NetNeighbour {
				t.Errorf("secret %t, network %s; want no more than the neighbour table's word", ok, o.Evidence.Net)
			}
		},
		"C10": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			w.Neighbours = provisiontest.Neighbours{addrA: pcP} // what it says of a proxied peer counts for nothing
			r := get(addrA, fileA, aastraAgent(aastraA, "3.2.2"))
			r.Via = netip.MustParseAddr("192.0.2.5")
			if ok, o := w.secret(t, r); !ok || o.Evidence.Net != provision.NetLease {
				t.Errorf("secret %t, network %s", ok, o.Evidence.Net)
			}
		},
		"C12": func(t *testing.T) {
			w := guarded(t, provision.StateProvisioned)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			w.Doubt = func(lease.Lease, time.Time) bool { return true }
			if ok, o := w.secret(t, tftp(addrA, fileA)); ok || o.Evidence.Net != provision.NetNone {
				t.Errorf("secret %t, network %s", ok, o.Evidence.Net)
			}
			w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
			if ok, o := w.secret(t, tftp(addrA, fileA)); !ok {
				t.Errorf("confirmed, but no secret: %v", o.Err)
			}
		},
	}
	for _, id := range slices.Sorted(maps.Keys(cases)) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			cases[id](t)
		})
	}
}
