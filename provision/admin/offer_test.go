package admin_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// askStub answers from the first pool of the network, and not at all where there is none.
func askStub(_ context.Context, q admin.OfferQuery) admin.Offer {
	o := admin.Offer{HW: q.Client.HW, Network: q.Network}
	if n := q.Supposed.Get(q.Network); n == nil || len(n.Pools) == 0 {
		o.Why = "no network is served there"
		return o
	}
	n := q.Supposed.Get(q.Network)
	o.Answered, o.Addr = true, n.Pools[0].First
	for _, x := range n.Options {
		name, value := network.FormatOption(x)
		o.Options = append(o.Options, admin.OfferedValue{Code: x.Code, Name: name, Value: value})
	}
	return o
}

// TestNetworkEffects: a dry run tells which known phones would be told something else.
func TestNetworkEffects(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	x.AskDHCP = askStub
	x.table.hold("192.0.2.101", "00:15:65:00:00:05", "voice")
	x.table.hold("192.0.2.102", "00:15:65:00:00:06", "voice") // of nobody that is known
	if _, err := x.memory.PutDevice(ctx, provision.Device{ID: "p5", HW: hwaddr.MustParse("00:15:65:00:00:05")}); err != nil {
		t.Fatal(err)
	}
	router, err := network.ParseOption("router", "192.0.2.254")
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.PutOptions(ctx, "voice", []network.Option{router}, 1, dry)
	want := []admin.NetworkEffect{{
		Device: "p5", HW: hwaddr.MustParse("00:15:65:00:00:05"), From: ip("192.0.2.100"), To: ip("192.0.2.100"), Added: []string{"router 192.0.2.254"},
	}}
	if diff := cmp.Diff(want, r.Phones, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("other options: %v (-want +got):\n%s", err, diff)
	}
	if r, err = x.DeleteNetwork(ctx, "voice", 1, dry); err != nil || len(r.Phones) != 1 || !r.Phones[0].Loses || r.Phones[0].Why == "" {
		t.Errorf("without the network: %+v, %v", r.Phones, err)
	}
	n := voice()
	n.Probe = true
	if r, err = x.UpdateNetwork(ctx, "voice", n, 1, dry); err != nil || len(r.Phones) != 0 {
		t.Errorf("nothing that a phone is told: %+v, %v", r.Phones, err)
	}
}

// TestDHCPOffer: who asks about a phone is told where it was last, or that the network must be said.
func TestDHCPOffer(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	if _, err := x.DHCPOffer(ctx, "00:15:65:00:00:05", admin.OfferQuery{}); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("without a DHCP server: %v", err)
	}
	x.AskDHCP = func(_ context.Context, q admin.OfferQuery) admin.Offer {
		return admin.Offer{HW: q.Client.HW, Network: q.Network}
	}
	if _, err := x.DHCPOffer(ctx, "00:15:65:00:00:05", admin.OfferQuery{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("a stranger of no network: %v", err)
	}
	if _, err := x.DHCPOffer(ctx, "nobody", admin.OfferQuery{}); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	x.table.hold("192.0.2.101", "00:15:65:00:00:05", "voice")
	if o, err := x.DHCPOffer(ctx, "192.0.2.101", admin.OfferQuery{Network: "guests"}); err == nil {
		t.Errorf("an address of a phone that isn't known: %+v", o)
	}
	if o, err := x.DHCPOffer(ctx, "001565000005", admin.OfferQuery{}); err != nil || o.Network != "voice" {
		t.Errorf("a phone with a lease: %+v, %v", o, err)
	}
}
