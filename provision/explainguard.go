package provision

import (
	"cmp"
	"strings"
)

// policy tells what the network's policy has beyond the usual.
func (e *explainer) policy(p *Policy) {
	guard := []string{string(cmp.Or(p.Guard, GuardBalanced))}
	for _, x := range [...]struct {
		is   bool
		text string
	}{
		{p.Foreign, "answers nobody"},
		{p.NAT, "several devices share an address"},
		{p.NeighbourTrusted, "the neighbour table is proof"},
		{p.RelaysDistrusted, "relayed leases are no proof"},
		{p.CleartextOK, "secrets may leave unencrypted"},
		{p.SiteFiles, "site files are for everybody"},
		{p.AutoEnrol, "a certificate enrols"},
		{p.NoAssociate, "plugins are given by administrators"},
	} {
		if x.is {
			guard = append(guard, x.text)
		}
	}
	e.field("guard", "%s", strings.Join(guard, ", "))
	for _, s := range p.Ignore {
		e.field("ignored", "%s", s)
	}
	for _, id := range p.PluginsOff {
		e.field("plugin off", "%s", Printable(string(id)))
	}
	for _, id := range p.PluginsFirst {
		e.field("preferred", "%s", Printable(string(id)))
	}
}

// evidence tells what the guard decided by.
func (e *explainer) evidence(o *Outcome) {
	ev := &o.Evidence
	facts := []string{ev.State.String() + " device", "network: " + ev.Net.String(), "over " + ev.Over.String()}
	for _, x := range [...]struct {
		is   bool
		text string
	}{
		{ev.Locked, "source locked"},
		{ev.Contradiction, "contradicted"},
		{ev.Cert > CertClaim, "certificate: " + ev.Cert.String()},
		{ev.Token != TokenNone, "token: " + ev.Token.String()},
		{ev.Claim, "says who it is"},
		{ev.RemotePhone, "may be outside"},
		{ev.StaticIP, "has a fixed address"},
		{ev.Net == NetLease && ev.RelayTrusted, "its way is trusted"},
		{ev.Booted, "has just booted"},
	} {
		if x.is {
			facts = append(facts, x.text)
		}
	}
	e.field("evidence", "%s", strings.Join(facts, ", "))
	for _, text := range o.Remarks {
		e.field("remark", "%s", plain(text))
	}
}
