package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// toDeclared converts what a site says of DHCP. The error joins every fault that keeps a text from being read, each
// with its line; what was declared is then not fit to be checked as a whole.
func toDeclared(name string, site *configs.Site) (network.Declared, error) {
	f := siteFaults{name: name}
	all := &site.All
	d := network.Declared{Options: f.options(all.Options, "all networks"), Next: all.Next, Sname: all.Sname, File: all.File}
	for i := range site.Classes {
		d.Classes = append(d.Classes, f.class(&site.Classes[i]))
	}
	for _, l := range site.Shared {
		d.Shared = append(d.Shared, network.Shared{Name: l.Name, Options: f.options(l.Options, "shared "+l.Name)})
	}
	for i := range site.Networks {
		d.Networks = append(d.Networks, f.network(&site.Networks[i]))
	}
	return d, errors.Join(f.errs...)
}

// checkDeclared makes a set of what a site declares, and names the lines of what is wrong.
func checkDeclared(name string, site *configs.Site, d network.Declared) (*network.Set, error) {
	set, err := network.New(d)
	faults, ok := errors.AsType[network.Faults](err)
	if !ok {
		return set, err
	}
	lines := siteLines(site)
	var errs []error
	for _, f := range faults {
		text := fmt.Sprintf("%s:%d: %s", name, lineOf(lines, f.Path), f.Text)
		if f.Other != "" {
			text += fmt.Sprintf(" (the other is in line %d)", lineOf(lines, f.Other))
		}
		errs = append(errs, errors.New(text))
	}
	return nil, errors.Join(errs...)
}

// siteLines returns the lines of items by their paths in [network.Declared].
func siteLines(site *configs.Site) map[string]int {
	lines := make(map[string]int)
	options := func(path string, list configs.SiteOptions) {
		for i, o := range list {
			lines[fmt.Sprintf("%soptions[%d]", path, i)] = o.Line
		}
	}
	lines[""] = cmp.Or(site.All.Line, 1)
	options("", site.All.Options)
	for i, k := range site.Classes {
		path := fmt.Sprintf("classes[%d]", i)
		lines[path] = k.Line
		for j, m := range k.Match {
			lines[fmt.Sprintf("%s.match[%d]", path, j)] = m.Line
		}
		options(path+".", k.Options)
	}
	for i, l := range site.Shared {
		path := fmt.Sprintf("shared[%d]", i)
		lines[path] = l.Line
		options(path+".", l.Options)
	}
	for i, n := range site.Networks {
		path := fmt.Sprintf("networks[%d]", i)
		lines[path] = n.Line
		options(path+".", n.Options)
		for j, p := range n.Pools {
			lines[fmt.Sprintf("%s.pools[%d]", path, j)] = p.Line
			options(fmt.Sprintf("%s.pools[%d].", path, j), p.Options)
		}
		for j, r := range n.Reservations {
			lines[fmt.Sprintf("%s.reservations[%d]", path, j)] = r.Line
			options(fmt.Sprintf("%s.reservations[%d].", path, j), r.Options)
		}
	}
	return lines
}

// lineOf returns the line of the nearest item around a path.
func lineOf(lines map[string]int, path string) int {
	for {
		if line, ok := lines[path]; ok || path == "" {
			return line
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
}

// siteFaults collects what can't be read.
type siteFaults struct {
	name string
	errs []error
}

func (f *siteFaults) note(line int, what string, err error) {
	if err != nil {
		f.errs = append(f.errs, fmt.Errorf("%s:%d: %s: %w", f.name, line, what, err))
	}
}

func (f *siteFaults) network(n *configs.SiteNetwork) network.Network {
	what := "network " + n.Name
	out := network.Network{
		ID: network.ID(n.Name), Prefix: n.Prefix, Interface: n.Interface, Server: n.Server, Relays: n.Relays,
		Options: f.options(n.Options, what), Lease: network.Lifetime(n.Lease), Authoritative: n.Authoritative, Probe: n.Probe,
		ShortenAt: n.ShortenAt, NoAutoconfigure: n.NoAutoconfigure, Rivals: network.Rivals(n.Rivals), AutoAdd: network.AutoAdd(n.AutoAdd), Configure: n.Configure, Shared: n.Shared, Only: toClassIDs(n.Only),
		Not: toClassIDs(n.Not), Next: n.Next, Sname: n.Sname, File: n.File, Provisioning: toProvisioning(&n.Provisioning),
	}
	for _, p := range n.Pools {
		out.Pools = append(out.Pools, network.Pool{
			First: p.First, Last: p.Last, Exclude: p.Exclude, Only: toClassIDs(p.Only), Not: toClassIDs(p.Not),
			Options: f.options(p.Options, fmt.Sprintf("%s: pool %s-%s", what, p.First, p.Last)), Edges: p.Edges,
		})
	}
	for i := range n.Reservations {
		out.Reservations = append(out.Reservations, f.reservation(&n.Reservations[i], what))
	}
	return out
}

func toProvisioning(p *configs.SiteProvisioning) network.Provisioning {
	return network.Provisioning{
		Guard: network.Guard(p.Guard), KeepPlugins: !p.Associate, Ignore: p.Ignore, PluginsOff: p.PluginsOff, PluginsFirst: p.PluginsFirst,
		NeighbourTrusted: p.NeighbourTrusted, RelaysDistrusted: !p.RelayTrusted, CleartextOK: p.CleartextOK, SiteFiles: p.SiteFiles,
		NAT: p.NAT, Tokens: p.Tokens, HTTPS: p.HTTPS, EnrolByCert: p.EnrolByCert, AddPerMinute: p.AddPerMinute, AddMax: p.AddMax,
	}
}

func (f *siteFaults) reservation(r *configs.SiteReservation, what string) network.Reservation {
	what = fmt.Sprintf("%s: reservation of %s", what, r.IP)
	out := network.Reservation{
		Addr: r.IP, Hostname: r.Hostname, Options: f.options(r.Options, what), Lease: network.Lifetime(r.Lease),
		Next: r.Next, Sname: r.Sname, File: r.File,
	}
	var err error
	if r.MAC != "" {
		out.HW, err = hwaddr.Parse(r.MAC)
		f.note(r.Line, what, err)
	}
	for _, id := range []struct {
		text string
		to   *string
	}{{r.ClientID, &out.ClientID}, {r.Circuit, &out.Circuit}, {r.Remote, &out.Remote}} {
		if id.text != "" {
			*id.to, err = network.ParseID(id.text)
			f.note(r.Line, what, err)
		}
	}
	return out
}

func (f *siteFaults) class(k *configs.SiteClass) network.Class {
	what := "class " + k.Name
	out := network.Class{
		ID: network.ClassID(k.Name), Refuse: k.Refuse, Options: f.options(k.Options, what), NUL: k.NUL, Broadcast: k.ToAll,
		Lease: network.Lifetime(k.Lease), Next: k.Next, Sname: k.Sname, File: k.File,
	}
	for i := range k.Match {
		out.Match = append(out.Match, f.match(&k.Match[i], what))
	}
	return out
}

func (f *siteFaults) match(m *configs.SiteMatch, what string) network.Match {
	out := network.Match{
		VendorClass: m.VendorClass, UserClass: m.UserClass, ClientID: m.ClientID, Hostname: m.Hostname, Circuit: m.Circuit,
		Remote: m.Remote, Interface: m.Interface, Vendor: m.Vendor, MAC: m.MAC, Local: toTri(m.LocalMAC), Known: toTri(m.Known),
		In: toClassIDs(m.In), Not: toClassIDs(m.Not),
	}
	for _, s := range m.Relay {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			} else {
				err = fmt.Errorf("relay %q is no address such as 192.0.2.1, nor a network such as 192.0.2.0/24", s)
			}
		}
		f.note(m.Line, what, err)
		out.Relay = append(out.Relay, p)
	}
	for _, s := range m.Asks {
		code, err := toCode(s)
		f.note(m.Line, what, err)
		out.Asks = append(out.Asks, code)
	}
	for _, p := range m.Options {
		code, err := toCode(p.Key)
		f.note(m.Line, what, err)
		if p.Any {
			p.Pattern = "*"
		}
		out.Options = append(out.Options, network.OptionMatch{Code: code, Pattern: p.Pattern})
	}
	for _, p := range m.Enterprise {
		number, err := strconv.ParseUint(p.Key, 10, 32)
		if err != nil {
			err = fmt.Errorf("%q is not an enterprise's number such as 3561", p.Key)
		}
		f.note(m.Line, what, err)
		out.Enterprise = append(out.Enterprise, network.EnterpriseMatch{Number: uint32(number), Pattern: p.Pattern})
	}
	return out
}

// toCode reads an option's number or name. Options that only clients send have numbers, too.
func toCode(key string) (uint8, error) {
	if n, err := strconv.ParseUint(key, 10, 8); err == nil {
		return uint8(n), nil
	}
	def, err := network.Lookup(key)
	return def.Code, err
}

func toTri(b configs.SiteBool) network.Tri {
	switch b {
	case "true":
		return network.Yes
	case "false":
		return network.No
	}
	return network.Whatever
}

func toClassIDs(list []string) []network.ClassID {
	if list == nil {
		return nil
	}
	out := make([]network.ClassID, len(list))
	for i, s := range list {
		out[i] = network.ClassID(s)
	}
	return out
}

func (f *siteFaults) options(list configs.SiteOptions, what string) []network.Option {
	var out []network.Option
	for _, o := range list {
		option, err := toOption(o)
		f.note(o.Line, what, err)
		out = append(out, option)
	}
	return out
}

func toOption(o configs.SiteOption) (network.Option, error) {
	if o.Never && o.Value == "" {
		def, err := network.Lookup(o.Key)
		return network.Option{Code: def.Code, Never: true}, err
	}
	option, err := network.ParseOption(o.Key, o.Value)
	option.Force, option.Never = o.Always, o.Never
	return option, err
}
