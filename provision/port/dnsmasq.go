package port

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// dnsmasq is a configuration on its way to be networks and classes. What dnsmasq calls a tag is here one of three: a range
// of addresses, a host, or a class.
type dnsmasq struct {
	*Found
	files         []File
	authoritative bool

	ranges  []dnsRange
	hosts   []dnsHost
	classes []dnsClass
	refused []network.Match // of dhcp-host=…,ignore
	refuser int             // its verdict
	options []directive     // dhcp-option, dhcp-boot and domain, that need all tags to be known
}

// directive is one line: a keyword, and its value if it has one.
type directive struct {
	at
	key, value string
}

// dnsRange is one dhcp-range with its pool.
type dnsRange struct {
	at
	tags    []string // that it sets
	only    []string // that it needs
	prefix  netip.Prefix
	pool    *network.Pool
	pooled  bool // it leases addresses, not only reserved ones
	life    network.Lifetime
	assumed bool // nothing says the mask
}

// dnsClass is a tag that clients get by what they say.
type dnsClass struct {
	at
	network.Class
}

func readDnsmasq(found *Found, files []File) error {
	r := dnsmasq{Found: found, files: files, refuser: -1}
	var lines []directive
	other := make(map[string]string) // files of another syntax, and which
	for _, f := range files {
		list, err := directives(f)
		if err != nil {
			return err
		}
		for _, d := range list {
			if key := d.key; key == "dhcp-hostsfile" || key == "dhcp-hostsdir" || key == "dhcp-optsfile" || key == "dhcp-optsdir" {
				for _, name := range r.referred(d) {
					other[name] = map[bool]string{true: "dhcp-host", false: "dhcp-option"}[strings.HasPrefix(key, "dhcp-host")]
				}
			}
		}
		lines = append(lines, list...)
	}
	for _, d := range lines {
		if key, ok := other[d.file]; ok {
			// A line of such a file is the value alone.
			value := d.key
			if d.value != "" {
				value += "=" + d.value
			}
			d.key, d.value = key, value
		}
		r.directive(d)
	}
	r.addClasses()
	r.addRanges()
	for _, d := range r.options {
		r.option(d)
	}
	r.finish()
	return nil
}

// directives splits a file into its lines, without comments.
func directives(f File) ([]directive, error) {
	var out []directive
	n := 0
	for line := range bytes.Lines(f.Data) {
		n++
		if bytes.ContainsRune(line, 0) {
			return nil, fmt.Errorf("%s:%d: it is no text", f.Name, n)
		}
		s := strings.TrimSpace(uncommented(string(line)))
		if s == "" {
			continue
		}
		key, value, _ := strings.Cut(s, "=")
		out = append(out, directive{at{f.Name, n}, strings.TrimSpace(key), strings.TrimSpace(value)})
	}
	return out, nil
}

// uncommented cuts what follows a # that begins a line or comes after a blank, but not in quotes.
func uncommented(s string) string {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '#' && !quoted && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return s[:i]
		}
	}
	return s
}

// fields splits a value at its commas, but not in quotes, which go.
func fields(s string) []string {
	var out []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			out = append(out, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(out, strings.TrimSpace(b.String()))
}

// referred returns the files that a directive names, or that are in the folder that it names.
func (r *dnsmasq) referred(d directive) (names []string) {
	name := fields(d.value)[0]
	if !strings.HasSuffix(d.key, "dir") {
		if f, ok := lookup(r.files, name); ok {
			names = append(names, f.Name)
		}
		return names
	}
	for _, f := range r.files {
		if dir := path.Dir(path.Clean(f.Name)); dir != "." && common(dir, name) > 0 {
			names = append(names, f.Name)
		}
	}
	return names
}

// directive reads one line.
func (r *dnsmasq) directive(d directive) {
	switch d.key {
	case "conf-file", "conf-dir", "servers-file", "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir":
		if len(r.referred(d)) > 0 {
			r.say(d.at, "setting", d.key, Carried, "")
		} else {
			r.say(d.at, "setting", d.key, Dropped, "%s isn't among the files that were given; give it, too", fields(d.value)[0])
		}
	case "dhcp-range":
		r.readRange(d)
	case "dhcp-host":
		r.readHost(d)
	case "dhcp-option", "dhcp-option-force", "dhcp-boot", "domain":
		r.options = append(r.options, d)
	case "dhcp-authoritative":
		r.authoritative = true
		r.say(d.at, "setting", d.key, Carried, "")
	case "dhcp-vendorclass", "dhcp-userclass", "dhcp-mac", "dhcp-circuitid", "dhcp-remoteid", "dhcp-match", "dhcp-name-match", "dhcp-ignore":
		if err := r.readClass(d); err != nil {
			r.say(d.at, "class", d.value, Dropped, "%s", err)
		}
	case "enable-tftp", "tftp-root", "tftp-secure", "tftp-unique-root", "tftp-no-fail", "tftp-lowercase":
		r.say(d.at, "setting", d.key, Dropped, "files come from the plugins here")
	default:
		if strings.HasPrefix(d.key, "dhcp-") || strings.HasPrefix(d.key, "pxe-") || strings.HasPrefix(d.key, "tag-") || strings.HasPrefix(d.key, "bootp-") {
			r.say(d.at, "setting", d.key, Dropped, "there is nothing like it here")
			return
		}
		r.say(d.at, "setting", d.key, Dropped, "it isn't about DHCP")
	}
}

func (r *dnsmasq) readRange(d directive) {
	x, err := parseRange(d)
	switch {
	case errors.Is(err, errNoIPv4):
		r.say(d.at, "pool", d.value, Dropped, "%s", err)
	case err != nil:
		r.say(d.at, "pool", d.value, Wrong, "%s", err)
	default:
		r.ranges = append(r.ranges, x)
	}
}

var errNoIPv4 = errors.New("only IPv4 addresses are leased here")

// parseRange reads [tag:…,][set:…,]first[,last|static|proxy][,mask[,broadcast]][,time].
func parseRange(d directive) (dnsRange, error) {
	x := dnsRange{at: d.at, pool: &network.Pool{}}
	var addrs []netip.Addr
	static := false
	for i, f := range fields(d.value) {
		kind, name, tagged := strings.Cut(f, ":")
		addr, err := netip.ParseAddr(f)
		switch {
		case tagged && (kind == "set" || kind == "net"):
			x.tags = append(x.tags, name)
		case tagged && kind == "tag":
			x.only = append(x.only, name)
		case tagged && kind == "constructor", err == nil && !addr.Is4(), f == "ra-only", f == "slaac", f == "ra-names", f == "ra-stateless":
			return x, errNoIPv4
		case err == nil:
			addrs = append(addrs, addr)
		case f == "static":
			static = true
		case f == "proxy":
			return x, errors.New("there is no proxy of DHCP here")
		case len(addrs) == 0 && i == 0:
			x.only = append(x.only, f) // the name of an interface
		default:
			life, err := lifetime(f)
			if err != nil {
				return x, err
			}
			x.life = life
		}
	}
	if len(addrs) == 0 {
		return x, errors.New("it has no address")
	}
	x.pool.First, x.pool.Last, x.pooled = addrs[0], addrs[0], !static
	rest := addrs[1:]
	if !static && len(rest) > 0 {
		x.pool.Last, rest = rest[0], rest[1:]
	}
	var err error
	switch {
	case len(rest) > 0:
		x.prefix, err = prefixOf(x.pool.First, rest[0])
	default:
		x.prefix, x.assumed = netip.PrefixFrom(x.pool.First, 24).Masked(), true
		if !x.prefix.Contains(x.pool.Last) {
			err = errors.New("nothing says the mask of its network; write it behind the addresses, such as 255.255.252.0")
		}
	}
	return x, err
}

// lifetime reads a time such as 45m, 12h, 7d or 3600. One without an end is as long as is usual here.
func lifetime(s string) (network.Lifetime, error) {
	if s == "infinite" {
		return network.Lifetime{}, nil
	}
	unit := time.Second
	if i := strings.IndexByte("smhdw", (s + " ")[max(len(s)-1, 0)]); i >= 0 && s != "" {
		unit = []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[i]
		s = s[:len(s)-1]
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 || n > int(maxLease/unit) {
		return network.Lifetime{}, fmt.Errorf("%q is neither an address nor a time such as 12h", s)
	}
	return lasting(time.Duration(n) * unit), nil
}

// maxLease is more than any lease lasts.
const maxLease = 10 * 365 * 24 * time.Hour

// lasting is a network's lifetime with a default of d.
func lasting(d time.Duration) network.Lifetime {
	usual := network.DefaultLifetime()
	return network.Lifetime{Default: d, Min: min(usual.Min, d), Max: max(usual.Max, d)}
}

// addRanges adds the networks and the pools.
func (r *dnsmasq) addRanges() {
	for i := range r.ranges {
		x := &r.ranges[i]
		if first := slices.IndexFunc(r.ranges, func(y dnsRange) bool { return y.prefix == x.prefix }); first == i {
			r.addNetwork(x)
		}
		if !x.pooled {
			r.say(x.at, "pool", x.prefix.String(), Carried, "as a network without a pool")
			continue
		}
		bad := ""
		for _, tag := range x.only {
			if !r.isClass(tag) {
				bad = tag
			}
			x.pool.Only = append(x.pool.Only, network.ClassID(tag))
		}
		if bad != "" {
			r.say(x.at, "pool", x.pool.String(), Wrong, "it is for requests with the tag %s alone, which nothing in these files gives", bad)
			continue
		}
		r.Parts = append(r.Parts, Item[Part]{Part{Prefix: x.prefix, Pool: x.pool}, r.say(x.at, "pool", x.pool.String(), Added, "")})
	}
}

func (r *dnsmasq) addNetwork(x *dnsRange) {
	n := newNetwork(networkName(x.prefix), x.prefix)
	if len(x.tags) > 0 {
		n.ID = network.ID(x.tags[0])
	}
	n.Lease, n.Authoritative = x.life, r.authoritative
	why := ""
	if x.assumed {
		why = "nothing says its mask, so it is taken for " + x.prefix.String()
	}
	r.Networks = append(r.Networks, Item[network.Network]{n, r.say(x.at, "network", string(n.ID), Added, "%s", why)})
}

func (r *dnsmasq) isClass(tag string) bool {
	return slices.ContainsFunc(r.classes, func(c dnsClass) bool { return string(c.ID) == tag })
}

// class returns the class of a tag, which it makes if there is none.
func (r *dnsmasq) class(p at, tag string) *dnsClass {
	i := slices.IndexFunc(r.classes, func(c dnsClass) bool { return string(c.ID) == tag })
	if i < 0 {
		i = len(r.classes)
		r.classes = append(r.classes, dnsClass{p, network.Class{ID: network.ClassID(tag)}})
	}
	return &r.classes[i]
}
