package port

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// dnsHost is one dhcp-host with an address.
type dnsHost struct {
	at
	tags []string
	network.Reservation
}

// hostFields are the fields of a dhcp-host, which tell what they are by how they look.
type hostFields struct {
	tags   []string
	macs   []hwaddr.Addr
	wild   []string // beginnings of MACs
	id     string   // of the client
	addr   netip.Addr
	name   string
	life   network.Lifetime
	ignore bool
}

// readHost reads a dhcp-host: a reservation, a refusal, or a tag for a device.
func (r *dnsmasq) readHost(d directive) {
	h, err := parseHost(d.value)
	name := d.value
	switch {
	case err != nil:
		r.say(d.at, "reservation", name, Dropped, "%s", err)
	case h.ignore:
		r.refuse(d, h)
	case !h.addr.IsValid() && len(h.tags) > 0 && len(h.macs)+len(h.wild) > 0:
		m := network.Match{MAC: h.wild}
		for _, hw := range h.macs {
			m.MAC = append(m.MAC, hw.String())
		}
		r.addMatch(d, h.tags[0], m)
		if len(h.tags) > 1 {
			r.say(d.at, "class", strings.Join(h.tags[1:], " "), Dropped, "a device without an address gets one tag")
		}
	case !h.addr.IsValid():
		r.say(d.at, "reservation", name, Dropped, "it keeps no address, so there is nothing to reserve")
	case len(h.wild) > 0:
		r.say(d.at, "reservation", name, Dropped, "an address is reserved for one device, and it is for all whose MAC begins with %s", h.wild[0])
	case len(h.macs) == 0 && h.id == "":
		r.say(d.at, "reservation", name, Dropped, "its device is known by name only; give its MAC")
	default:
		x := dnsHost{at: d.at, tags: h.tags, Reservation: network.Reservation{ClientID: h.id, Addr: h.addr, Hostname: h.name, Lease: h.life}}
		if x.Lease.Default > 0 {
			x.Lease = network.Lifetime{Default: x.Lease.Default}
		}
		if len(h.macs) > 0 {
			x.HW = h.macs[0]
			for _, hw := range h.macs[1:] {
				r.say(d.at, "reservation", hw.String(), Dropped, "an address is reserved for one device, and %s is for %s", h.addr, x.HW)
			}
		}
		r.hosts = append(r.hosts, x)
	}
}

func parseHost(value string) (h hostFields, err error) {
	for _, f := range fields(value) {
		kind, rest, tagged := strings.Cut(f, ":")
		addr, addrErr := netip.ParseAddr(strings.Trim(f, "[]"))
		switch {
		case f == "":
		case f == "ignore":
			h.ignore = true
		case tagged && (kind == "set" || kind == "net"):
			h.tags = append(h.tags, rest)
		case tagged && kind == "tag":
			return h, fmt.Errorf("it is for requests with the tag %s alone; a reservation holds for all", rest)
		case tagged && kind == "id":
			h.id = clientID(rest)
		case addrErr == nil && addr.Is4():
			h.addr = addr
		case addrErr == nil || strings.HasPrefix(f, "["):
			if len(fields(value)) <= 2 {
				return h, errNoIPv4
			}
		case strings.Contains(f, ":"):
			if err := h.mac(f); err != nil {
				return h, err
			}
		default:
			if life, err := lifetime(f); err == nil {
				h.life = life
			} else {
				h.name = f
			}
		}
	}
	return h, nil
}

// mac reads a hardware address, perhaps after the number of its kind, perhaps with stars for its last bytes.
func (h *hostFields) mac(s string) error {
	if kind, rest, ok := strings.Cut(s, "-"); ok {
		if kind != "01" && kind != "1" {
			return fmt.Errorf("hardware of kind %s is no Ethernet", kind)
		}
		s = rest
	}
	begin, wild := wildMAC(s)
	if wild {
		if begin == "" {
			return fmt.Errorf("%q has stars before its end, which no class can say", s)
		}
		h.wild = append(h.wild, begin)
		return nil
	}
	hw, err := hwaddr.Parse(s)
	if err == nil {
		h.macs = append(h.macs, hw)
	}
	return err
}

// wildMAC returns what stands before the stars of a hardware address; nothing if something stands behind them, too.
func wildMAC(s string) (begin string, wild bool) {
	begin, rest, wild := strings.Cut(s, ":*")
	if wild && strings.Trim(rest, ":*") != "" || strings.HasPrefix(s, "*") {
		return "", true
	}
	return begin, wild
}

// clientID reads bytes such as 01:02:03, or a text; a star stands for any.
func clientID(s string) string {
	if s == "*" {
		return ""
	}
	if digits, ok := hexDigits(s); ok {
		if id, err := network.ParseID("hex:" + digits); err == nil {
			return id
		}
	}
	return s
}

// refuse collects whom nothing is leased to.
func (r *dnsmasq) refuse(d directive, h hostFields) {
	m := network.Match{MAC: h.wild}
	for _, hw := range h.macs {
		m.MAC = append(m.MAC, hw.String())
	}
	switch {
	case len(m.MAC) > 0:
	case h.id != "":
		m.ClientID = []string{literal(h.id)}
	case h.name != "":
		m.Hostname = []string{literal(h.name)}
	default:
		r.say(d.at, "class", d.value, Dropped, "it says nothing of who is to be ignored")
		return
	}
	r.refused = append(r.refused, m)
	if r.refuser < 0 {
		r.refuser = r.say(d.at, "class", refusedClass, Added, "")
		return
	}
	r.say(d.at, "class", refusedClass, Carried, "as another match of the class")
}

// refusedClass is the class of whom nothing is leased to.
const refusedClass = "ignored"

// readClass reads what gives a tag to clients by what they say: dhcp-vendorclass=set:phones,Yealink and its relatives.
func (r *dnsmasq) readClass(d directive) error {
	list := fields(d.value)
	if d.key == "dhcp-ignore" {
		return r.ignore(d, list)
	}
	tag := strings.TrimPrefix(strings.TrimPrefix(list[0], "set:"), "net:")
	if len(list) < 2 || tag == "" {
		return errors.New("it has no tag, or nothing of whom that is for")
	}
	if strings.HasPrefix(list[0], "enterprise:") {
		return errors.New("enterprises aren't carried over; make a class by hand")
	}
	var m network.Match
	value := strings.Join(list[1:], ",")
	exact := literal(value)
	if digits, ok := hexDigits(value); ok {
		exact = "hex:" + digits
	}
	switch d.key {
	case "dhcp-vendorclass":
		m.VendorClass = []string{"*" + literal(value) + "*"}
	case "dhcp-userclass":
		m.UserClass = []string{"*" + literal(value) + "*"}
	case "dhcp-circuitid":
		m.Circuit = []string{exact}
	case "dhcp-remoteid":
		m.Remote = []string{exact}
	case "dhcp-name-match":
		m.Hostname = []string{starred(value)}
	case "dhcp-mac":
		begin, _ := wildMAC(value)
		if begin == "" {
			return fmt.Errorf("%q has stars before its end, which no class can say", value)
		}
		m.MAC = []string{begin}
	case "dhcp-match":
		o, err := matchOption(list[1:])
		if err != nil {
			return err
		}
		switch o.Code {
		case 60:
			m.VendorClass = []string{o.Pattern}
		case 77:
			m.UserClass = []string{o.Pattern}
		default:
			m.Options = []network.OptionMatch{o}
		}
	}
	r.addMatch(d, tag, m)
	return nil
}

// addMatch puts more clients into the class of a tag.
func (r *dnsmasq) addMatch(d directive, tag string, m network.Match) {
	c := r.class(d.at, tag)
	if len(c.Match) > 0 {
		r.say(d.at, "class", tag, Carried, "as another match of the class")
	}
	c.Match = append(c.Match, m)
}

// starred is a pattern whose last star stands for any bytes.
func starred(s string) string {
	if begin, ok := strings.CutSuffix(s, "*"); ok {
		return literal(begin) + "*"
	}
	return literal(s)
}

// matchOption reads the option that a client sends, and its value if that counts.
func matchOption(list []string) (network.OptionMatch, error) {
	if strings.HasPrefix(list[0], "vi-encap:") || strings.HasPrefix(list[0], "option6:") {
		return network.OptionMatch{}, errors.New("only options of IPv4 are carried over")
	}
	code, err := dnsmasqOption(list[0])
	if err != nil {
		return network.OptionMatch{}, err
	}
	m := network.OptionMatch{Code: uint8(code), Pattern: "*"} //nolint:gosec // dnsmasqOption has checked it
	if len(list) > 1 {
		value := strings.Join(list[1:], ",")
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && code == 93 { // the one number of two bytes
			m.Pattern = fmt.Sprintf("hex:%04x", n)
			return m, nil
		}
		if m.Pattern = starred(value); !strings.HasSuffix(value, "*") {
			if _, err := strconv.Atoi(value); err == nil || len(list) > 2 {
				m.Pattern = "hex:" + raw(list[1:])
			} else if digits, ok := hexDigits(value); ok {
				m.Pattern = "hex:" + digits
			}
		}
	}
	return m, nil
}

// ignore refuses the clients of tags.
func (r *dnsmasq) ignore(d directive, list []string) error {
	tag := strings.TrimPrefix(strings.TrimPrefix(list[0], "tag:"), "net:")
	switch {
	case len(list) > 1:
		return errors.New("it is about clients with several tags at once; make a class by hand")
	case tag == "!known":
		r.class(d.at, "unknown").Match = []network.Match{{Known: network.No}}
		r.class(d.at, "unknown").Refuse = true
		return nil // the class is of this line
	case strings.HasPrefix(tag, "!"), tag == "known", tag == "known-othernet":
		return errors.New("classes that refuse are by what a client says; make one by hand")
	default:
		r.class(d.at, tag).Refuse = true
		r.say(d.at, "class", tag, Carried, "the class is refused")
	}
	return nil
}

// addClasses adds the classes that say who is in them.
func (r *dnsmasq) addClasses() {
	if r.refuser >= 0 {
		r.Classes = append(r.Classes, Item[network.Class]{network.Class{ID: refusedClass, Match: r.refused, Refuse: true}, r.refuser})
	}
	for i := range r.classes {
		c := &r.classes[i]
		if len(c.Match) == 0 {
			r.say(c.at, "class", string(c.ID), Dropped, "nothing in these files gives that tag to clients")
		}
	}
	r.classes = slices.DeleteFunc(r.classes, func(c dnsClass) bool { return len(c.Match) == 0 })
}

// finish adds hosts and classes, which have their options now.
func (r *dnsmasq) finish() {
	for i := range r.hosts {
		h := &r.hosts[i]
		r.Parts = append(r.Parts, Item[Part]{Part{Reservation: &h.Reservation}, r.say(h.at, "reservation", h.Addr.String(), Added, "")})
	}
	for i := range r.classes {
		c := &r.classes[i]
		r.Classes = append(r.Classes, Item[network.Class]{c.Class, r.say(c.at, "class", string(c.ID), Added, "")})
	}
}
