package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// fromSite is the inverse of readSite: a site in the words of its file. Secrets are masked unless clear.
func fromSite(s admin.Site, clear bool) configs.Site {
	out := fromDeclared(s.Networks)
	for _, c := range s.Configs {
		x := configs.SiteConfig{
			ID: string(c.ID), Label: c.Label, Role: string(c.Role), Params: fromParams(c.Params, clear), Transient: c.Transient, Locked: c.Locked,
		}
		for _, p := range c.Parents {
			x.Parents = append(x.Parents, string(p))
		}
		out.Configs = append(out.Configs, x)
	}
	for _, d := range s.Phones {
		x := configs.SiteDevice{
			SN: d.Serial, UUID: d.UUID, Vendor: d.Vendor, Model: d.Model, Version: d.Version, Plugin: string(d.Plugin), Pinned: d.Pinned,
			Config: string(d.Config), Label: d.Label, Override: fromParams(d.Override, clear), Options: d.Options, State: string(d.State),
			Remote: d.Remote, Static: d.Static, Port: d.Port, Auto: d.Auto, Network: d.Network, Created: d.Created,
		}
		if !d.HW.IsZero() {
			x.MAC = d.HW.String()
		}
		if d.ID != usualID(&d) {
			x.ID = string(d.ID)
		}
		out.Devices = append(out.Devices, x)
	}
	return out
}

// usualID is a device's ID unless it has another.
func usualID(d *provision.Device) provision.DeviceID {
	if !d.HW.IsZero() {
		return provision.DeviceID(d.HW.Join(""))
	}
	return provision.DeviceID(cmp.Or(d.Serial, d.UUID))
}

func fromParams(p provision.Params, clear bool) map[string]any {
	if len(p) == 0 {
		return nil
	}
	out, _ := fromValue(p, clear).(map[string]any)
	return out
}

func fromValue(v any, clear bool) any {
	switch x := v.(type) {
	case provision.Params:
		return fromValue(map[string]any(x), clear)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			out[k] = fromValue(y, clear)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, y := range x {
			out[i] = fromValue(y, clear)
		}
		return out
	case provision.Secret:
		if clear {
			return x.Reveal()
		}
		return admin.MaskedSecret
	}
	return v
}

// fromDeclared is the inverse of toDeclared.
func fromDeclared(d network.Declared) configs.Site {
	out := configs.Site{All: configs.SiteAll{Options: fromOptions(d.Options), Next: d.Next, Sname: d.Sname, File: d.File}}
	for i := range d.Classes {
		out.Classes = append(out.Classes, fromClass(&d.Classes[i]))
	}
	for _, l := range d.Shared {
		out.Shared = append(out.Shared, configs.SiteShared{Name: l.Name, Options: fromOptions(l.Options)})
	}
	for i := range d.Networks {
		out.Networks = append(out.Networks, fromNetwork(&d.Networks[i]))
	}
	return out
}

func fromClass(k *network.Class) configs.SiteClass {
	x := configs.SiteClass{
		Name: string(k.ID), Refuse: k.Refuse, Options: fromOptions(k.Options), NUL: k.NUL, ToAll: k.Broadcast, Lease: configs.SiteLease(k.Lease),
		Next: k.Next, Sname: k.Sname, File: k.File,
	}
	for j := range k.Match {
		x.Match = append(x.Match, fromMatch(&k.Match[j]))
	}
	return x
}

func fromNetwork(n *network.Network) configs.SiteNetwork {
	p := &n.Provisioning
	out := configs.SiteNetwork{
		Name: string(n.ID), Prefix: n.Prefix, Interface: n.Interface, Server: n.Server, Relays: n.Relays, Shared: n.Shared,
		Only: fromClassIDs(n.Only), Not: fromClassIDs(n.Not), Options: fromOptions(n.Options), Next: n.Next, Sname: n.Sname, File: n.File,
		Lease: configs.SiteLease(n.Lease), Authoritative: n.Authoritative, ShortenAt: n.ShortenAt, NoAutoconfigure: n.NoAutoconfigure,
		Rivals: string(n.Rivals), Probe: n.Probe, AutoAdd: string(n.AutoAdd), Configure: n.Configure,
		Provisioning: configs.SiteProvisioning{
			Guard: string(p.Guard), Associate: !p.KeepPlugins, Ignore: p.Ignore, PluginsOff: p.PluginsOff, PluginsFirst: p.PluginsFirst,
			NeighbourTrusted: p.NeighbourTrusted, RelayTrusted: !p.RelaysDistrusted, CleartextOK: p.CleartextOK, SiteFiles: p.SiteFiles,
			NAT: p.NAT, Tokens: p.Tokens, HTTPS: p.HTTPS, EnrolByCert: p.EnrolByCert, AddPerMinute: p.AddPerMinute, AddMax: p.AddMax,
		},
	}
	for _, x := range n.Pools {
		out.Pools = append(out.Pools, configs.SitePool{
			First: x.First, Last: x.Last, Exclude: x.Exclude, Only: fromClassIDs(x.Only), Not: fromClassIDs(x.Not), Options: fromOptions(x.Options), Edges: x.Edges,
		})
	}
	for i := range n.Reservations {
		r := &n.Reservations[i]
		x := configs.SiteReservation{
			ClientID: fromID(r.ClientID), Circuit: fromID(r.Circuit), Remote: fromID(r.Remote), IP: r.Addr, Hostname: r.Hostname,
			Options: fromOptions(r.Options), Lease: configs.SiteLease(r.Lease), Next: r.Next, Sname: r.Sname, File: r.File,
		}
		if !r.HW.IsZero() {
			x.MAC = r.HW.String()
		}
		out.Reservations = append(out.Reservations, x)
	}
	return out
}

func fromMatch(m *network.Match) configs.SiteMatch {
	tri := func(t network.Tri) configs.SiteBool {
		return map[network.Tri]configs.SiteBool{network.Yes: "true", network.No: "false"}[t]
	}
	out := configs.SiteMatch{
		VendorClass: m.VendorClass, UserClass: m.UserClass, ClientID: m.ClientID, Hostname: m.Hostname, Circuit: m.Circuit, Remote: m.Remote,
		Interface: m.Interface, Vendor: m.Vendor, MAC: m.MAC, LocalMAC: tri(m.Local), Known: tri(m.Known),
		In: fromClassIDs(m.In), Not: fromClassIDs(m.Not),
	}
	for _, p := range m.Relay {
		out.Relay = append(out.Relay, p.String())
	}
	for _, code := range m.Asks {
		out.Asks = append(out.Asks, strconv.Itoa(int(code)))
	}
	for _, o := range m.Options {
		out.Options = append(out.Options, configs.SitePattern{Key: strconv.Itoa(int(o.Code)), Pattern: o.Pattern})
	}
	for _, e := range m.Enterprise {
		out.Enterprise = append(out.Enterprise, configs.SitePattern{Key: strconv.FormatUint(uint64(e.Number), 10), Pattern: e.Pattern})
	}
	return out
}

func fromClassIDs(list []network.ClassID) configs.SiteList {
	var out configs.SiteList
	for _, id := range list {
		out = append(out, string(id))
	}
	return out
}

// fromID writes what identifies a client as [network.ParseID] reads it.
func fromID(id string) string {
	if id == "" || provision.Printable(id) == id && !strings.HasPrefix(id, "hex:") {
		return id
	}
	return network.FormatHex([]byte(id))
}

func fromOptions(list []network.Option) configs.SiteOptions {
	var out configs.SiteOptions
	for _, o := range list {
		key, value := network.FormatOption(o)
		out = append(out, configs.SiteOption{Key: key, Value: value, Always: o.Force, Never: o.Never})
	}
	return slices.Clip(out)
}
