package dhcp

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// vendorBoot tells one vendor's phones where to go.
type vendorBoot struct{}

func (vendorBoot) Boot(c lease.Client, base netip.Addr) network.Boot {
	if c.VendorClass != "yealink" {
		return network.Boot{}
	}
	return network.Boot{Next: base, File: "boot.cfg", Options: []network.Option{option("66", "http://"+base.String())}}
}

func TestPreview(t *testing.T) {
	l := newLab(t)
	l.Boot = vendorBoot{}
	phoneQuery := Query{Network: "voice", Client: lease.Client{HW: phone, VendorClass: "yealink", Params: []uint8{1, 3, 42, 66}}}
	look := func(q Query) Preview { return l.Preview(t.Context(), q) }

	p := look(phoneQuery)
	if p.Verdict.Reply != offer || p.Hold != HoldFree || p.Verdict.Network != "voice" {
		t.Fatalf("a new phone: %+v", p)
	}
	got := map[string]string{}
	for _, o := range slices.Concat(p.Fields, p.Options) {
		got[o.Name] = o.Value + " by " + o.Origin
	}
	for name, want := range map[string]string{
		"siaddr": "192.0.2.1 by plugin", "file": "boot.cfg by plugin", "tftp-server-name": "http://192.0.2.1 by plugin",
		"router": "192.0.2.254 by network voice", "ntp-servers": "192.0.2.123 by network voice", "subnet-mask": "255.255.255.0 by derived",
		"lease-time": "1h0m0s by protocol", "server-identifier": "192.0.2.1 by protocol",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q; all: %v", name, got[name], want, got)
		}
	}

	// The very same is what a client gets.
	real := l.say(client(phone, discover, text(optVendorClass, "yealink"), prl(1, 3, 42, 66)), direct()).want(t, offer)
	if real.yiaddr() != p.Verdict.Addr || len(real.Options) != len(p.Options) {
		t.Errorf("offered %s with %d options, previewed %s with %d", real.yiaddr(), len(real.Options), p.Verdict.Addr, len(p.Options))
	}
	if p := look(phoneQuery); p.Hold != HoldOffered || p.Verdict.Addr != real.yiaddr() {
		t.Errorf("after an offer: %s %s", p.Hold, p.Verdict.Addr)
	}
	leased := l.lease(phone)
	if p := look(phoneQuery); p.Hold != HoldLeased || p.Verdict.Addr != leased {
		t.Errorf("with a lease: %s %s", p.Hold, p.Verdict.Addr)
	}

	p = look(Query{Network: "voice", Client: lease.Client{HW: fixed, Params: []uint8{42}}})
	origin := func(o Told) bool { return o.Code == 42 && o.Origin == "reservation" && o.Value == "192.0.2.9" }
	if p.Hold != HoldReserved || p.Verdict.Addr != ipFixed || !slices.ContainsFunc(p.Options, origin) {
		t.Errorf("with a reservation: %+v", p)
	}
	p = look(Query{Network: "far", Client: lease.Client{HW: phone2}})
	if p.Verdict.Reason != ReasonNoServerID {
		t.Errorf("behind a relay agent, but without an address of ours: %q", p.Verdict.Reason)
	}
	if p = look(Query{Network: "nowhere", Client: lease.Client{HW: phone2}}); p.Verdict.Reason != ReasonNetwork {
		t.Errorf("in no network: %q", p.Verdict.Reason)
	}

	nets := site()
	nets[0].Options = []network.Option{option("router", "192.0.2.253")}
	set, err := network.NewSet(nets)
	if err != nil {
		t.Fatal(err)
	}
	supposed := phoneQuery
	supposed.Supposed = set
	router := func(o Told) bool { return o.Name == "router" && o.Value == "192.0.2.253" }
	if !slices.ContainsFunc(look(supposed).Options, router) || slices.ContainsFunc(look(phoneQuery).Options, router) {
		t.Error("supposed networks count for no preview, or for all")
	}
}

// A preview is asked for by people who look, at any time and as often as they like.
func TestPreviewLeavesNoTrace(t *testing.T) {
	l := newLab(t)
	l.Boot = vendorBoot{}
	l.Limits = Limits{Newcomers: 2}
	l.lease(phone)
	state := func() any {
		s := l.Server
		return []any{l.table.All(), l.story(), s.limiter.arrivals.slots, s.limiter.welcomed.slots, s.limiter.declines.slots, s.census.since, s.census.last, len(s.board.problems), s.count.probes.Load()}
	}
	before, metrics := state(), l.Snapshot()
	for n := range 50 {
		q := Query{Network: "voice", Client: lease.Client{HW: number(n), VendorClass: "yealink"}}
		if p := l.Preview(t.Context(), q); p.Verdict.Reply != offer {
			t.Fatalf("preview %d: %+v", n, p.Verdict)
		}
	}
	if diff := cmp.Diff(before, state(), cmp.AllowUnexported(meter{}, poolKey{}, count{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("previews changed something:\n%s", diff)
	}
	if diff := cmp.Diff(metrics, l.Snapshot()); diff != "" {
		t.Errorf("previews were counted:\n%s", diff)
	}
}
