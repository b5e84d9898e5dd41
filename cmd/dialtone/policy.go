package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/trace"
)

// outsideRefuse is the setting by which nobody outside of the networks is answered.
const outsideRefuse = "refuse"

// policy is what the administrator decided for the network that an address is in, or for addresses of none.
func (p *parts) policy(addr netip.Addr) provision.Policy { return p.policyBy(p.Networks(), addr) }

// policies is policy as it would be by other networks.
func (p *parts) policies(set *network.Set) func(netip.Addr) provision.Policy {
	return func(addr netip.Addr) provision.Policy { return p.policyBy(set, addr) }
}

func (p *parts) policyBy(set *network.Set, addr netip.Addr) provision.Policy {
	if n := set.Containing(addr); n != nil {
		return networkPolicy(n)
	}
	out := provision.Policy{
		AutoAdd: provision.AddRecognised, Configure: true, Guard: provision.GuardStrict,
		AddPerMinute: network.DefaultAddPerMinute, AddMax: network.DefaultAddMax,
	}
	switch guard := p.settings.Guard.Outside; {
	case slices.ContainsFunc(p.settings.DHCP.Foreign, func(x netip.Prefix) bool { return x.Contains(addr) }):
		out.Guard, out.NeighbourTrusted = provision.GuardBalanced, true
	case guard == outsideRefuse:
		out.Foreign = true
	case guard != "":
		out.Guard = provision.GuardPolicy(guard)
	}
	return out
}

// openGate gives the pipeline its memory of what the guard decides by.
func (p *parts) openGate(ctx context.Context) error {
	gate, err := provision.OpenGate(ctx, p.db)
	if err != nil {
		return err
	}
	gate.Total = p.settings.Guard.AddMax
	p.pipeline.Gate, p.pipeline.Doubt = gate, p.doubtful
	p.memory = &trace.Memory{Path: filepath.Join(p.settings.State, "guard.json"), Gate: gate, Log: p.logs.of(logStore)}
	return p.memory.Load(ctx)
}

// doubtful reports whether somebody else may have been promised the lease's address meanwhile, because the store is an
// older copy. A client that has come up since then has been asked for by the wire.
func (p *parts) doubtful(l lease.Lease, at time.Time) bool {
	restored := p.db.Restored()
	if restored.IsZero() || l.Start.After(restored) || int64(l.Boot) >= restored.Unix() {
		return false
	}
	return slices.ContainsFunc(p.Networks().All(), func(n *network.Network) bool { return at.Before(restored.Add(n.Lease.Max)) })
}

func networkPolicy(n *network.Network) provision.Policy {
	x := &n.Provisioning
	out := provision.Policy{
		Network: string(n.ID), AutoAdd: provision.AutoAdd(n.AutoAdd), Configure: n.Configure, Guard: provision.GuardPolicy(x.Guard),
		NoAssociate: x.KeepPlugins, NeighbourTrusted: x.NeighbourTrusted, RelaysDistrusted: x.RelaysDistrusted,
		CleartextOK: x.CleartextOK, SiteFiles: x.SiteFiles, NAT: x.NAT, Tokens: x.Tokens, HTTPS: x.HTTPS, AutoEnrol: x.EnrolByCert,
		AddPerMinute: max(x.AddPerMinute, 0), AddMax: max(x.AddMax, 0), Ignore: ignored(x.Ignore),
	}
	for _, id := range x.PluginsOff {
		out.PluginsOff = append(out.PluginsOff, provision.PluginID(id))
	}
	for _, id := range x.PluginsFirst {
		out.PluginsFirst = append(out.PluginsFirst, provision.PluginID(id))
	}
	return out
}

// ignored returns the sources of evidence with these names.
func ignored(names []string) (out []provision.Source) {
	for s := provision.SourceGuess; s <= provision.SourceCert; s++ {
		if slices.Contains(names, s.String()) {
			out = append(out, s)
		}
	}
	return out
}

// lenient warns of the networks whose phones need to prove nothing.
func (p *parts) lenient() (list []admin.Problem) {
	warn := func(name string) {
		list = append(list, admin.Problem{
			Part: "guard", Kind: "legacy", Network: name,
			Text: fmt.Sprintf("%s: any device that claims to be a phone gets its passwords (guard: legacy); "+
				"use balanced once the phones are at addresses that dialtone leases", name),
		})
	}
	for _, n := range p.Networks().All() {
		if n.Provisioning.Guard == network.GuardLegacy {
			warn("network " + string(n.ID))
		}
	}
	if p.settings.Guard.Outside == string(provision.GuardLegacy) {
		warn("addresses of no network")
	}
	return list
}
