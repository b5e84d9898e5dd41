package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Facts are what is known of a client when it is decided what it may get. Texts are the bytes of the options as they
// came. The zero value of a field means that nothing is known.
type Facts struct {
	HW          hwaddr.Addr
	ClientID    string // option 61
	VendorClass string // option 60
	UserClass   string // option 77, RFC 3004 lengths removed, several joined with commas
	Hostname    string // option 12
	Circuit     string // option 82 sub-option 1, of a trusted relay agent only
	Remote      string // option 82 sub-option 2, likewise
	Interface   string // that the message came in on; none of a relayed one
	Relay       netip.Addr
	Params      []uint8 // option 55
	// Vendor is the vendor by the plugin that recognises the client's vendor class.
	Vendor string
	// Known: the client is a known device. That it has a reservation, Choose sees by itself.
	Known bool
	// Options are all options that the client sent. They are read only if a class asks for one, or for what the client
	// says of its enterprise.
	Options map[uint8][]byte
}

const (
	codeRouter     = 3
	codeHostname   = 12
	codeRoutes     = 121
	codeVendorID   = 124
	codeVendorInfo = 125
)

// matcher is a compiled [Match].
type matcher struct {
	vendorClass, userClass, clientID, hostname, circuit, remote, iface, vendor []glob

	macs        []macPrefix
	relays      []netip.Prefix
	local       Tri
	known       Tri
	asks        []uint8
	options     []optionGlob
	enterprises []enterpriseGlob
	guard       guard
}

type optionGlob struct {
	code uint8
	glob glob
}

type enterpriseGlob struct {
	number uint32
	glob   glob
	any    bool
}

// compileMatch reads a match; number finds a class that may be referred to.
func compileMatch(m *Match, number func(ClassID) (int, error)) (matcher, error) {
	out := matcher{relays: m.Relay, local: m.Local, known: m.Known, asks: m.Asks}
	var errs []error
	for _, f := range []struct {
		name     string
		patterns []string
		exact    bool
		to       *[]glob
	}{
		{"vendor class", m.VendorClass, false, &out.vendorClass},
		{"user class", m.UserClass, false, &out.userClass},
		{"client id", m.ClientID, true, &out.clientID},
		{"hostname", m.Hostname, false, &out.hostname},
		{"circuit", m.Circuit, true, &out.circuit},
		{"remote id", m.Remote, true, &out.remote},
		{"interface", m.Interface, true, &out.iface},
		{"vendor", m.Vendor, false, &out.vendor},
	} {
		for _, p := range f.patterns {
			g, err := compile(p, f.exact)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
			}
			*f.to = append(*f.to, g)
		}
	}
	for _, s := range m.MAC {
		p, err := parseMAC(s)
		errs = append(errs, err)
		out.macs = append(out.macs, p)
	}
	for _, p := range m.Relay {
		if !p.IsValid() || !p.Addr().Is4() {
			errs = append(errs, fmt.Errorf("relay %s is not an IPv4 address or network", p))
		}
	}
	for _, o := range m.Options {
		g, err := compile(o.Pattern, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("option %d: %w", o.Code, err))
		}
		out.options = append(out.options, optionGlob{o.Code, g})
	}
	for _, e := range m.Enterprise {
		g, err := compile(e.Pattern, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("enterprise %d: %w", e.Number, err))
		}
		out.enterprises = append(out.enterprises, enterpriseGlob{e.Number, g, e.Pattern == ""})
	}
	g, err := compileGuard(m.In, m.Not, number)
	out.guard = g
	return out, errors.Join(append(errs, err)...)
}

// compileGuard looks up classes by name.
func compileGuard(only, not []ClassID, number func(ClassID) (int, error)) (guard, error) {
	g := guard{some: len(only) > 0}
	var errs []error
	for _, side := range []struct {
		list []ClassID
		to   *bits
	}{{only, &g.only}, {not, &g.not}} {
		for _, id := range side.list {
			i, err := number(id)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			side.to.set(i)
		}
	}
	return g, errors.Join(errs...)
}

// class is a compiled [Class].
type class struct {
	*Class
	match []matcher
}

// view has the facts in the shape that matching needs.
type view struct {
	*Facts
	vendorClass, userClass, clientID, hostname, circuit, remote, iface, vendor value

	userClasses []value // the parts, if there are several
}

// maxUserClasses bounds how many of a client's user classes are looked at.
const maxUserClasses = 16

// classify returns the classes that a client is in.
func (s *Set) classify(f *Facts) (in bits) {
	if len(s.classes) == 0 {
		return in
	}
	v := view{
		Facts:       f,
		vendorClass: text(f.VendorClass), userClass: text(f.UserClass), hostname: text(f.Hostname), vendor: text(f.Vendor),
		clientID: value{raw: f.ClientID}, circuit: value{raw: f.Circuit}, remote: value{raw: f.Remote},
		iface: value{raw: f.Interface},
	}
	if strings.Contains(f.UserClass, ",") {
		for _, one := range strings.SplitN(f.UserClass, ",", maxUserClasses) {
			v.userClasses = append(v.userClasses, text(one))
		}
	}
	for i := range s.classes {
		for j := range s.classes[i].match {
			if s.classes[i].match[j].fits(&v, &in) {
				in.set(i)
				break
			}
		}
	}
	return in
}

// fits reports whether all conditions hold. The cheap ones come first.
func (m *matcher) fits(v *view, in *bits) bool {
	return m.local.fits(v.HW.IsLocal()) && m.known.fits(v.Known) && m.guard.allows(in) &&
		(len(m.macs) == 0 || slices.ContainsFunc(m.macs, func(p macPrefix) bool { return v.startsWith(&p) })) &&
		(len(m.asks) == 0 || slices.ContainsFunc(m.asks, func(c uint8) bool { return slices.Contains(v.Params, c) })) &&
		(len(m.relays) == 0 || slices.ContainsFunc(m.relays, func(p netip.Prefix) bool { return p.Contains(v.Relay) })) &&
		some(m.iface, v.iface) && some(m.vendor, v.vendor) && some(m.vendorClass, v.vendorClass) &&
		some(m.hostname, v.hostname) && some(m.clientID, v.clientID) && some(m.circuit, v.circuit) &&
		some(m.remote, v.remote) && m.fitsUserClass(v) && m.fitsOptions(v) && m.fitsEnterprise(v)
}

func (v *view) startsWith(p *macPrefix) bool {
	return !v.HW.IsZero() && string(v.HW[:p.size]) == string(p.bytes[:p.size])
}

// some reports whether one of the patterns fits, or there is none.
func some(globs []glob, v value) bool {
	for i := range globs {
		if globs[i].match(v) {
			return true
		}
	}
	return len(globs) == 0
}

func (m *matcher) fitsUserClass(v *view) bool {
	return some(m.userClass, v.userClass) ||
		slices.ContainsFunc(v.userClasses, func(one value) bool { return some(m.userClass, one) })
}

func (m *matcher) fitsOptions(v *view) bool {
	for i := range m.options {
		if m.options[i].glob.match(value{raw: string(v.Options[m.options[i].code])}) {
			return true
		}
	}
	return len(m.options) == 0
}

func (m *matcher) fitsEnterprise(v *view) bool {
	if len(m.enterprises) == 0 {
		return true
	}
	for _, code := range [...]uint8{codeVendorID, codeVendorInfo} {
		for number, data := range enterprises(v.Options[code]) {
			for i := range m.enterprises {
				e := &m.enterprises[i]
				if e.number == number && (e.any || e.glob.match(value{raw: string(data)})) {
					return true
				}
			}
		}
	}
	return false
}

// enterprises yields the parts of options 124 and 125, which are laid out alike (RFC 3925 §3, §4): an enterprise's
// number, a length, and as many bytes. It ends before a part whose length is wrong.
func enterprises(b []byte) func(yield func(uint32, []byte) bool) {
	return func(yield func(uint32, []byte) bool) {
		for len(b) >= 5 {
			number, size := binary.BigEndian.Uint32(b), int(b[4])
			if size > len(b)-5 || !yield(number, b[5:5+size]) {
				return
			}
			b = b[5+size:]
		}
	}
}
