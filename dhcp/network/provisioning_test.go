package network_test

import (
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

func TestProvisioningDefaults(t *testing.T) {
	t.Parallel()
	elsewhere := voice()
	elsewhere.Pools = nil
	trusting := elsewhere
	trusting.Provisioning.NeighbourTrusted = true
	unbound := voice()
	unbound.Provisioning.AddMax, unbound.Provisioning.Guard = -1, network.GuardLegacy
	for _, c := range []struct {
		name string
		net  network.Network
		want network.Guard
		max  int
	}{
		{"we lease", voice(), network.GuardBalanced, network.DefaultAddMax},
		{"somebody else leases", elsewhere, network.GuardStrict, network.DefaultAddMax},
		{"somebody else leases, neighbours are trusted", trusting, network.GuardBalanced, network.DefaultAddMax},
		{"chosen", unbound, network.GuardLegacy, -1},
	} {
		p := newSet(t, network.Declared{Networks: []network.Network{c.net}}).Get("voice").Provisioning
		if p.Guard != c.want || p.AddMax != c.max || p.AddPerMinute != network.DefaultAddPerMinute {
			t.Errorf("%s: %+v, want guard %s and at most %d", c.name, p, c.want, c.max)
		}
	}
}

func TestProvisioningFaults(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]network.Provisioning{
		"use strict, balanced or legacy":                   {Guard: "paranoid"},
		`"hearsay" is no source of evidence; use guess`:    {Ignore: []string{"path", "hearsay"}},
		"plugin snom-8 is both off and first":              {PluginsOff: []string{"snom-8"}, PluginsFirst: []string{"snom-8"}},
		"neighbour_trusted can't hold where several phone": {NAT: true, NeighbourTrusted: true},
	} {
		n := voice()
		n.Provisioning = p
		wantFault(t, network.Declared{Networks: []network.Network{n}}, want)
	}
	n := voice()
	n.Provisioning.CleartextOK = true
	if w := newSet(t, network.Declared{Networks: []network.Network{n}}).Warnings(); len(w) != 1 {
		t.Errorf("warnings %v, want one of cleartext_ok", w)
	}
}
