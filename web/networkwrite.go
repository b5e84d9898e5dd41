package web

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrTexts(list []netip.Addr) (out []string) {
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func toOptions(list []network.Option) []api.Option {
	out := make([]api.Option, len(list))
	for i, o := range list {
		key, value := network.FormatOption(o)
		out[i] = api.Option{Option: key, Value: value, Always: o.Force, Never: o.Never}
	}
	return out
}

func toTimes(l network.Lifetime) api.LeaseTimes {
	s := func(d time.Duration) int64 { return int64(d / time.Second) }
	return api.LeaseTimes{Default: s(l.Default), Min: s(l.Min), Max: s(l.Max), Renew: s(l.Renew), Rebind: s(l.Rebind)}
}

// ToNetwork writes a network as the document has it; it is the inverse of [FromNetwork].
func ToNetwork(n *network.Network) api.Network {
	associate, trusted := !n.Provisioning.KeepPlugins, !n.Provisioning.RelaysDistrusted
	p := &n.Provisioning
	out := api.Network{
		ID: string(n.ID), Prefix: n.Prefix.String(), Interface: n.Interface, Server: addrText(n.Server), Relays: addrTexts(n.Relays),
		Shared: n.Shared, Only: texts(n.Only), Not: texts(n.Not), Options: toOptions(n.Options), Next: addrText(n.Next), Sname: n.Sname, File: n.File,
		Lease: toTimes(n.Lease), Authoritative: n.Authoritative, ShortenAt: int32(n.ShortenAt), NoAutoconfigure: n.NoAutoconfigure, //nolint:gosec // percent
		Rivals: api.NetworkRivals(n.Rivals), Probe: &n.Probe, AutoAdd: api.NetworkAutoAdd(n.AutoAdd), Configure: &n.Configure,
		Provisioning: api.Provisioning{
			Guard: api.ProvisioningGuard(p.Guard), Associate: &associate, Ignore: p.Ignore, PluginsOff: p.PluginsOff, PluginsFirst: p.PluginsFirst,
			NeighbourTrusted: p.NeighbourTrusted, RelayTrusted: &trusted, CleartextOk: p.CleartextOK, SiteFiles: p.SiteFiles, Nat: p.NAT,
			Tokens: p.Tokens, HTTPS: p.HTTPS, EnrolByCert: p.EnrolByCert, AddPerMinute: int32(p.AddPerMinute), AddMax: int32(p.AddMax), //nolint:gosec // a million at most
		},
	}
	for i := range n.Pools {
		out.Pools = append(out.Pools, toPool(&n.Pools[i]))
	}
	for i := range n.Reservations {
		out.Reservations = append(out.Reservations, toReservation(&n.Reservations[i]))
	}
	return out
}

func toPool(p *network.Pool) api.Pool {
	return api.Pool{
		First: p.First.String(), Last: p.Last.String(), Exclude: addrTexts(p.Exclude), Only: texts(p.Only), Not: texts(p.Not),
		Options: toOptions(p.Options), Edges: p.Edges,
	}
}

func toReservation(r *network.Reservation) api.Reservation {
	out := api.Reservation{
		ClientID: idText(r.ClientID), Circuit: idText(r.Circuit), Remote: idText(r.Remote), IP: r.Addr.String(), Hostname: r.Hostname,
		Options: toOptions(r.Options), Lease: toTimes(r.Lease), Next: addrText(r.Next), Sname: r.Sname, File: r.File,
	}
	if !r.HW.IsZero() {
		out.Mac = r.HW.String()
	}
	return out
}

// idText writes what identifies a client as [network.ParseID] reads it.
func idText(id string) string {
	if id == "" || provision.Printable(id) == id && !strings.HasPrefix(id, "hex:") {
		return id
	}
	return network.FormatHex([]byte(id))
}

// ToClass writes a class as the document has it; it is the inverse of [FromClass].
func ToClass(k *network.Class) api.Class {
	out := api.Class{
		ID: string(k.ID), Refuse: k.Refuse, Options: toOptions(k.Options), Nul: k.NUL, Broadcast: k.Broadcast, Lease: toTimes(k.Lease),
		Next: addrText(k.Next), Sname: k.Sname, File: k.File,
	}
	for i := range k.Match {
		out.Match = append(out.Match, toMatch(&k.Match[i]))
	}
	return out
}

func toMatch(m *network.Match) api.ClassMatch {
	out := api.ClassMatch{
		VendorClass: m.VendorClass, UserClass: m.UserClass, ClientID: m.ClientID, Hostname: m.Hostname, Circuit: m.Circuit, Remote: m.Remote,
		Interface: m.Interface, Vendor: m.Vendor, Mac: m.MAC, LocalMac: toTri(m.Local), Known: toTri(m.Known), In: texts(m.In), Not: texts(m.Not),
	}
	for _, p := range m.Relay {
		out.Relay = append(out.Relay, p.String())
	}
	for _, code := range m.Asks {
		out.Asks = append(out.Asks, strconv.Itoa(int(code)))
	}
	for _, o := range m.Options {
		out.Options = append(out.Options, api.KeyPattern{Key: strconv.Itoa(int(o.Code)), Pattern: o.Pattern})
	}
	for _, e := range m.Enterprise {
		out.Enterprise = append(out.Enterprise, api.KeyPattern{Key: strconv.FormatUint(uint64(e.Number), 10), Pattern: e.Pattern})
	}
	return out
}

func toTri(t network.Tri) *bool {
	if t == network.Whatever {
		return nil
	}
	yes := t == network.Yes
	return &yes
}

func toWarnings(list []admin.Fault) []api.FieldError {
	out := make([]api.FieldError, len(list))
	for i, f := range list {
		out[i] = api.FieldError{Pointer: f.Pointer, Detail: f.Text}
	}
	return out
}

// toNetworkResult tells what came of a change of what is declared, or would come of it.
func toNetworkResult(r admin.NetworkResult) api.NetworkResult {
	out := api.NetworkResult{
		Rev: number(r.Rev), Added: texts(r.Added), Changed: texts(r.Changed), Removed: texts(r.Removed), Clashes: []api.ReservationClash{},
		Outside: []api.Lease{}, Effects: []api.NetworkEffect{}, Files: []api.FileEffect{}, Unserved: []api.UnservedInterface{}, Warnings: toWarnings(r.Warnings), Settled: r.Settled,
	}
	for _, x := range r.Unserved {
		out.Unserved = append(out.Unserved, api.UnservedInterface{Interface: x.Interface, Why: x.Why})
	}
	for _, c := range r.Clashes {
		out.Clashes = append(out.Clashes, api.ReservationClash{Network: string(c.Network), IP: c.Addr.String(), ReservedFor: c.For, Held: toLease(c.Held)})
	}
	for _, l := range r.Outside {
		out.Outside = append(out.Outside, toLease(l))
	}
	for i := range r.Phones {
		out.Effects = append(out.Effects, toNetworkEffect(&r.Phones[i]))
	}
	for _, e := range r.Files {
		out.Files = append(out.Files, api.FileEffect{
			Phone: string(e.Device), Mac: e.HW.String(), Request: int64(e.Request), Path: provision.Printable(e.Path), //nolint:gosec // counted from one
			From: api.FileFate(e.From), To: api.FileFate(e.To), Why: e.Why,
		})
	}
	return out
}

func toNetworkEffect(e *admin.NetworkEffect) api.NetworkEffect {
	out := api.NetworkEffect{
		Phone: string(e.Device), Mac: e.HW.String(), From: addrText(e.From), To: addrText(e.To), Lost: texts(e.Lost), Added: texts(e.Added),
	}
	switch {
	case e.Loses:
		out.Answer, out.Why = api.Loses, e.Why
	case e.Gains:
		out.Answer = api.Gains
	}
	return out
}

func toReserved(r *admin.Reserved) api.ReservationStatus {
	out := api.ReservationStatus{
		Reservation: toReservation(&r.Reservation), Network: string(r.Network), Status: api.ReservationStatusStatus(r.State), Expiry: r.Lease.Expiry,
	}
	if r.State == admin.ReservationUsed || r.State == admin.ReservationConflict {
		out.HeldBy = r.Lease.Client.HW.String()
	}
	return out
}

func toEffective(list []admin.EffectiveOption) []api.EffectiveOption {
	out := make([]api.EffectiveOption, len(list))
	for i, o := range list {
		key, value := network.FormatOption(o.Option)
		out[i] = api.EffectiveOption{
			Code: int32(o.Code), Option: key, Value: value, Hex: hex.EncodeToString(o.Data), Always: o.Force, Never: o.Never,
			From: api.EffectiveOptionFrom(o.From),
		}
	}
	return out
}

// optionHint is the name of a kind of values, and how they are written.
func optionHint(k network.Kind) (name, hint string) {
	switch k {
	case network.KindText:
		return "text", "text"
	case network.KindAddr:
		return "addr", "an IPv4 address"
	case network.KindAddrs:
		return "addrs", "IPv4 addresses with commas, the preferred one first"
	case network.KindUint8:
		return "uint8", "a number from 0 to 255"
	case network.KindUint16:
		return "uint16", "a number from 0 to 65535"
	case network.KindUint32:
		return "uint32", "a number; seconds also as a duration such as 8h"
	case network.KindInt32:
		return "int32", "a number, also below zero"
	case network.KindBool:
		return "bool", "true or false"
	case network.KindDomains:
		return "domains", "domain names with commas"
	case network.KindPairs:
		return "pairs", "two addresses each, with commas: 203.0.113.5 192.0.2.254"
	case network.KindRoutes:
		return "routes", "networks and routers, with commas: 198.51.100.0/24 192.0.2.1, default 192.0.2.254"
	case network.KindSIP:
		return "sip", "names or addresses with commas, never both"
	case network.KindFlag:
		return "flag", "no value"
	case network.KindUint16s:
		return "uint16s", "numbers with commas"
	case network.KindVendor:
		return "vendor", "a sub-option a line, code, kind and value: 2 text http://192.0.2.1/"
	case network.KindVIVSO:
		return "vivso", "a sub-option a line, enterprise, code, kind and value: 3561 11 text http://192.0.2.1/"
	case network.KindHex:
	}
	return "hex", "hexadecimal digits"
}
