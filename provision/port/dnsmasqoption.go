package port

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// option reads a dhcp-option, a dhcp-boot or a domain, and gives it to those whom its tags name.
func (r *dnsmasq) option(d directive) {
	var o *network.Option
	var b *network.Boot
	var tags []string
	var err error
	prefix := netip.Prefix{}
	switch d.key {
	case "domain":
		o, prefix, err = parseDomain(d.value)
	case "dhcp-boot":
		b, tags, err = parseBoot(d.value)
	default:
		o, b, tags, err = parseOption(d.value, d.key == "dhcp-option-force")
	}
	name := d.value
	if o != nil {
		name = strconv.Itoa(int(o.Code))
	}
	kind := "option"
	if b != nil {
		kind, name = "setting", d.key
	}
	known := len(r.Verdicts)
	switch {
	case err != nil:
		r.say(d.at, kind, name, Dropped, "%s", err)
	case len(tags) > 1:
		r.say(d.at, kind, name, Dropped, "it is for clients with the tags %s at once; make a class by hand", strings.Join(tags, " and "))
	case len(tags) == 0:
		r.Parts = append(r.Parts, Item[Part]{Part{Prefix: prefix, Option: o, Boot: b}, r.say(d.at, kind, name, Added, "")})
	default:
		r.tagged(d, kind, name, tags[0], o, b)
	}
	elsewhere := tellsWhere(o) || b != nil && (b.Next.IsValid() || b.Sname != "")
	if elsewhere && len(r.Verdicts) > known && r.Verdicts[len(r.Verdicts)-1].Action != Dropped {
		r.away()
	}
}

// tagged gives an option to the ranges, hosts and the class of a tag.
func (r *dnsmasq) tagged(d directive, kind, name, tag string, o *network.Option, b *network.Boot) {
	place := -1
	for i := range r.ranges {
		x := &r.ranges[i]
		if !slices.Contains(x.tags, tag) || slices.ContainsFunc(r.ranges[:i], func(y dnsRange) bool { return y.prefix == x.prefix && slices.Contains(y.tags, tag) }) {
			continue
		}
		if slices.ContainsFunc(r.ranges, func(y dnsRange) bool { return y.prefix == x.prefix && !slices.Contains(y.tags, tag) }) {
			place = r.partly(d, kind, name, tag, x.prefix, o)
			continue
		}
		place = r.say(d.at, kind, name, Added, "")
		r.Parts = append(r.Parts, Item[Part]{Part{Prefix: x.prefix, Option: o, Boot: b}, place})
	}
	hosts := 0
	for i := range r.hosts {
		if x := &r.hosts[i]; slices.Contains(x.tags, tag) {
			hosts++
			if o != nil {
				x.Options = addOption(x.Options, *o)
			} else {
				x.Next, x.Sname, x.File = b.Next, b.Sname, b.File
			}
		}
	}
	for i := range r.classes {
		if x := &r.classes[i]; string(x.ID) == tag {
			if o != nil {
				x.Options = addOption(x.Options, *o)
			} else {
				x.Next, x.Sname, x.File = b.Next, b.Sname, b.File
			}
			r.say(d.at, kind, name, Carried, "with the class %s", tag)
			return
		}
	}
	switch {
	case hosts > 0:
		r.say(d.at, kind, name, Carried, "with %d reservations", hosts)
	case place < 0:
		r.say(d.at, kind, name, Dropped, "nothing in these files sets the tag %s", tag)
	}
}

// partly gives an option to those pools of a network that have a tag, for others of it haven't.
func (r *dnsmasq) partly(d directive, kind, name, tag string, prefix netip.Prefix, o *network.Option) int {
	if o == nil {
		return r.say(d.at, kind, name, Dropped, "the tag %s is of a part of network %s, and a pool has no server or file of its own", tag, prefix)
	}
	for i := range r.ranges {
		if x := &r.ranges[i]; x.prefix == prefix && slices.Contains(x.tags, tag) && x.pooled {
			x.pool.Options = addOption(x.pool.Options, *o)
		}
	}
	return r.say(d.at, kind, name, Carried, "with the pools of tag %s", tag)
}

// dnsmasqOption reads a number, or a name after "option:".
func dnsmasqOption(s string) (int, error) {
	if name, ok := strings.CutPrefix(s, "option:"); ok {
		if code, ok := dnsmasqCode(name); ok {
			return code, nil
		}
		s = name
	}
	code, err := strconv.ParseUint(s, 10, 8)
	if err != nil || code == 0 || code == 255 {
		return 0, fmt.Errorf("option %q is unknown; write its number", s)
	}
	return int(code), nil
}

// serverAddress is what stands for the server's own address in an option.
const serverAddress = "0.0.0.0"

// parseOption reads [tag:…,]option,values. Without values the option isn't to be sent.
func parseOption(value string, force bool) (*network.Option, *network.Boot, []string, error) {
	var tags []string
	list := fields(value)
	for len(list) > 1 && (strings.HasPrefix(list[0], "tag:") || strings.HasPrefix(list[0], "net:")) {
		_, tag, _ := strings.Cut(list[0], ":")
		tags, list = append(tags, tag), list[1:]
	}
	kind, _, _ := strings.Cut(list[0], ":")
	switch kind {
	case "option6":
		return nil, nil, nil, errNoIPv4
	case "encap", "vi-encap", "vendor":
		return nil, nil, nil, errors.New("options within options aren't carried over; give option 43 or 125 to a class by hand")
	}
	if list[0] == "option:server-ip-address" {
		addr, err := netip.ParseAddr(strings.Join(list[1:], ","))
		if err != nil || !addr.Is4() || addr.IsUnspecified() {
			return nil, nil, nil, fmt.Errorf("%q is no address of a server", strings.Join(list[1:], ","))
		}
		return nil, &network.Boot{Next: addr}, tags, nil
	}
	code, err := dnsmasqOption(list[0])
	if err != nil {
		if len(tags) == 0 && len(list) > 1 && !strings.Contains(list[0], ":") { // a tag without its word, as it was once written
			o, b, more, again := parseOption(strings.Join(list[1:], ","), force)
			return o, b, append([]string{list[0]}, more...), again
		}
		return nil, nil, nil, err
	}
	values := list[1:]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		def, err := network.Lookup(strconv.Itoa(code))
		if err != nil {
			return nil, nil, nil, err
		}
		return &network.Option{Code: def.Code, Never: true}, nil, tags, nil
	}
	if slices.Contains(values, serverAddress) {
		return nil, nil, nil, errors.New("0.0.0.0 stands for the old server's own address; say the address that is meant")
	}
	o, err := option(code, values)
	if err != nil {
		return nil, nil, nil, err
	}
	o.Force = force
	return &o, nil, tags, nil
}

// parseBoot reads [tag:…,]file[,name of the server[,its address]].
func parseBoot(value string) (*network.Boot, []string, error) {
	var tags []string
	list := fields(value)
	for len(list) > 1 && (strings.HasPrefix(list[0], "tag:") || strings.HasPrefix(list[0], "net:")) {
		_, tag, _ := strings.Cut(list[0], ":")
		tags, list = append(tags, tag), list[1:]
	}
	b := network.Boot{File: list[0]}
	if len(list) > 1 {
		b.Sname = list[1]
	}
	if len(list) > 2 {
		addr, err := netip.ParseAddr(list[2])
		if err != nil || !addr.Is4() {
			return nil, nil, fmt.Errorf("%q is no address of a server; write it in digits", list[2])
		}
		b.Next = addr
	}
	if b.File == "" && b.Sname == "" && !b.Next.IsValid() {
		return nil, nil, errors.New("it says nothing")
	}
	return &b, tags, nil
}

// parseDomain reads the name of the domain, perhaps with the network that it is for.
func parseDomain(value string) (*network.Option, netip.Prefix, error) {
	list := fields(value)
	if list[0] == "" || list[0] == "#" {
		return nil, netip.Prefix{}, errors.New("it names no domain")
	}
	var prefix netip.Prefix
	if len(list) > 1 {
		var err error
		if prefix, err = netip.ParsePrefix(list[1]); err != nil || !prefix.Addr().Is4() {
			return nil, netip.Prefix{}, fmt.Errorf("%q is no network such as 192.0.2.0/24", list[1])
		}
		prefix = prefix.Masked()
	}
	o, err := option(15, list[:1])
	return &o, prefix, err
}
