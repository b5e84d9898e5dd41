package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// reader makes of the document's texts what is declared about DHCP, and collects what can't be read.
type reader struct{ faults admin.Faults }

// err returns the faults as an error, nil if there are none.
func (r *reader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults
}

func (r *reader) note(pointer string, err error) {
	if err != nil {
		r.faults = append(r.faults, admin.Fault{Pointer: pointer, Text: err.Error(), Kind: provision.ErrInvalid})
	}
}

// addr reads an IPv4 address; an empty text is none.
func (r *reader) addr(pointer, text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	a, err := parseAddr(text)
	r.note(pointer, err)
	return a
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address such as 192.0.2.10", provision.Printable(text))
	}
	return a, nil
}

func (r *reader) addrs(pointer string, list []string) (out []netip.Addr) {
	for i, text := range list {
		a, err := parseAddr(text)
		r.note(fmt.Sprintf("%s/%d", pointer, i), err)
		out = append(out, a)
	}
	return out
}

func (r *reader) options(pointer string, list []api.Option) (out []network.Option) {
	for i, o := range list {
		x, err := fromOption(o)
		r.note(fmt.Sprintf("%s/%d", pointer, i), err)
		out = append(out, x)
	}
	return out
}

func fromOption(o api.Option) (network.Option, error) {
	if o.Never && o.Value == "" {
		def, err := network.Lookup(o.Option)
		return network.Option{Code: def.Code, Never: true}, err
	}
	x, err := network.ParseOption(o.Option, o.Value)
	x.Force, x.Never = o.Always, o.Never
	return x, err
}

func fromTimes(t api.LeaseTimes) network.Lifetime {
	s := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	return network.Lifetime{Default: s(t.Default), Min: s(t.Min), Max: s(t.Max), Renew: s(t.Renew), Rebind: s(t.Rebind)}
}

func fromClassIDs(list []string) (out []network.ClassID) {
	for _, id := range list {
		out = append(out, network.ClassID(id))
	}
	return out
}

// isTrue is a flag that is true when it is left out.
func isTrue(b *bool) bool { return b == nil || *b }

func (r *reader) network(n *api.Network) network.Network {
	out := network.Network{
		ID: network.ID(n.ID), Interface: n.Interface, Server: r.addr("/server", n.Server), Relays: r.addrs("/relays", n.Relays),
		Options: r.options("/options", n.Options), Lease: fromTimes(n.Lease), Shared: n.Shared, Only: fromClassIDs(n.Only), Not: fromClassIDs(n.Not),
		Next: r.addr("/next", n.Next), Sname: n.Sname, File: n.File, Authoritative: n.Authoritative,
		Rivals: cmp.Or(network.Rivals(n.Rivals), network.RivalsRefuse), ShortenAt: int(n.ShortenAt), NoAutoconfigure: n.NoAutoconfigure,
		Probe: isTrue(n.Probe), AutoAdd: cmp.Or(network.AutoAdd(n.AutoAdd), network.AddRecognised), Configure: isTrue(n.Configure),
		Provisioning: fromProvisioning(&n.Provisioning),
	}
	var err error
	if out.Prefix, err = netip.ParsePrefix(n.Prefix); err != nil {
		r.note("/prefix", fmt.Errorf("%q is not a network such as 192.0.2.0/24", provision.Printable(n.Prefix)))
	}
	for i := range n.Pools {
		out.Pools = append(out.Pools, r.pool(fmt.Sprintf("/pools/%d", i), &n.Pools[i]))
	}
	for i := range n.Reservations {
		out.Reservations = append(out.Reservations, r.reservation(fmt.Sprintf("/reservations/%d", i), &n.Reservations[i]))
	}
	return out
}

func fromProvisioning(p *api.Provisioning) network.Provisioning {
	return network.Provisioning{
		Guard: network.Guard(p.Guard), KeepPlugins: !isTrue(p.Associate), Ignore: p.Ignore, PluginsOff: p.PluginsOff, PluginsFirst: p.PluginsFirst,
		NeighbourTrusted: p.NeighbourTrusted, RelaysDistrusted: !isTrue(p.RelayTrusted), CleartextOK: p.CleartextOk, SiteFiles: p.SiteFiles,
		NAT: p.Nat, Tokens: p.Tokens, HTTPS: p.HTTPS, EnrolByCert: p.EnrolByCert, AddPerMinute: int(p.AddPerMinute), AddMax: int(p.AddMax),
	}
}

func (r *reader) pool(at string, p *api.Pool) network.Pool {
	out := network.Pool{
		Exclude: r.addrs(at+"/exclude", p.Exclude), Only: fromClassIDs(p.Only), Not: fromClassIDs(p.Not),
		Options: r.options(at+"/options", p.Options), Edges: p.Edges,
	}
	var err error
	out.First, err = parseAddr(p.First)
	r.note(at+"/first", err)
	out.Last, err = parseAddr(p.Last)
	r.note(at+"/last", err)
	return out
}

func (r *reader) reservation(at string, x *api.Reservation) network.Reservation {
	out := network.Reservation{
		Hostname: x.Hostname, Options: r.options(at+"/options", x.Options), Lease: fromTimes(x.Lease),
		Next: r.addr(at+"/next", x.Next), Sname: x.Sname, File: x.File,
	}
	var err error
	out.Addr, err = parseAddr(x.IP)
	r.note(at+"/ip", err)
	if x.Mac != "" {
		out.HW, err = hwaddr.Parse(x.Mac)
		r.note(at+"/mac", err)
	}
	for _, id := range []struct {
		name, text string
		to         *string
	}{{"client_id", x.ClientID, &out.ClientID}, {"circuit", x.Circuit, &out.Circuit}, {"remote", x.Remote, &out.Remote}} {
		*id.to, err = network.ParseID(id.text)
		r.note(at+"/"+id.name, err)
	}
	return out
}

func (r *reader) class(k *api.Class) network.Class {
	out := network.Class{
		ID: network.ClassID(k.ID), Refuse: k.Refuse, Options: r.options("/options", k.Options), NUL: k.Nul, Broadcast: k.Broadcast,
		Lease: fromTimes(k.Lease), Next: r.addr("/next", k.Next), Sname: k.Sname, File: k.File,
	}
	for i := range k.Match {
		out.Match = append(out.Match, r.match(fmt.Sprintf("/match/%d", i), &k.Match[i]))
	}
	return out
}

func (r *reader) match(at string, m *api.ClassMatch) network.Match {
	out := network.Match{
		VendorClass: m.VendorClass, UserClass: m.UserClass, ClientID: m.ClientID, Hostname: m.Hostname, Circuit: m.Circuit, Remote: m.Remote,
		Interface: m.Interface, Vendor: m.Vendor, MAC: m.Mac, Local: fromTri(m.LocalMac), Known: fromTri(m.Known),
		In: fromClassIDs(m.In), Not: fromClassIDs(m.Not),
	}
	for i, text := range m.Relay {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			} else {
				err = fmt.Errorf("%q is no address such as 192.0.2.1, nor a network such as 192.0.2.0/24", provision.Printable(text))
			}
		}
		r.note(fmt.Sprintf("%s/relay/%d", at, i), err)
		out.Relay = append(out.Relay, p)
	}
	for i, text := range m.Asks {
		out.Asks = append(out.Asks, r.code(fmt.Sprintf("%s/asks/%d", at, i), text))
	}
	for i, o := range m.Options {
		code := r.code(fmt.Sprintf("%s/options/%d", at, i), o.Key)
		out.Options = append(out.Options, network.OptionMatch{Code: code, Pattern: cmp.Or(o.Pattern, "*")})
	}
	for i, e := range m.Enterprise {
		number, err := strconv.ParseUint(e.Key, 10, 32)
		if err != nil {
			r.note(fmt.Sprintf("%s/enterprise/%d", at, i), fmt.Errorf("%q is not an enterprise's number such as 3561", provision.Printable(e.Key)))
		}
		out.Enterprise = append(out.Enterprise, network.EnterpriseMatch{Number: uint32(number), Pattern: e.Pattern})
	}
	return out
}

// code reads an option's number or name. Options that only clients send have numbers, too.
func (r *reader) code(pointer, key string) uint8 {
	if n, err := strconv.ParseUint(key, 10, 8); err == nil {
		return uint8(n)
	}
	def, err := network.Lookup(key)
	r.note(pointer, err)
	return def.Code
}

func fromTri(b *bool) network.Tri {
	switch {
	case b == nil:
		return network.Whatever
	case *b:
		return network.Yes
	}
	return network.No
}

// FromNetwork reads a network of the document. Its error is of [admin.Faults], whose pointers are into n.
func FromNetwork(n *api.Network) (network.Network, error) {
	var read reader
	out := read.network(n)
	return out, read.err()
}

// FromClass reads a class as [FromNetwork] does a network.
func FromClass(k *api.Class) (network.Class, error) {
	var read reader
	out := read.class(k)
	return out, read.err()
}

// below puts the pointers of faults below a field of the body.
func below(field string, err error) error {
	if faults, ok := errors.AsType[admin.Faults](err); ok {
		for i := range faults {
			if faults[i].Pointer != "" {
				faults[i].Pointer = field + faults[i].Pointer
			}
		}
	}
	return err
}
