package port

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// isc is a configuration on its way to be networks, reservations and classes.
type isc struct {
	*Found
	defined  map[string]definition // options that the file defines, by name
	compared map[string]string     // by classes, whose subclasses have the values
	classes  []*iscClass
}

// definition is an option of the administrator's own.
type definition struct {
	code int
	kind string // as the file has it, such as "array of ip-address"
}

// scope is what holds inside a block: what the blocks around it say, and it says itself.
type scope struct {
	prefix      netip.Prefix // of the subnet; invalid: none
	shared      string
	options     []network.Option // for hosts; of groups and the like
	boot        network.Boot
	auth        bool
	hostNames   bool // hosts are told their names
	only        []network.ClassID
	not         []network.ClassID
	inGroup     bool // options are for what is inside, not for a network
	leases      time.Duration
	leastLeases time.Duration
	mostLeases  time.Duration
}

// iscClass is a class.
type iscClass struct {
	at
	network.Class
}

func readISC(found *Found, files []File) error {
	r := isc{Found: found, defined: make(map[string]definition), compared: make(map[string]string)}
	list, missing, err := parseISC(files)
	if err != nil {
		return err
	}
	for _, s := range missing {
		r.say(s.at, "setting", "include", Dropped, "%s isn't among the files that were given; give it, too", s.word(1))
	}
	r.define(list)
	r.scope(list, scope{})
	for _, c := range r.classes {
		if len(c.Match) == 0 {
			r.say(c.at, "class", string(c.ID), Dropped, "nothing that can be carried over says who is in it; make it by hand")
			continue
		}
		r.Classes = append(r.Classes, Item[network.Class]{c.Class, r.say(c.at, "class", string(c.ID), Added, "")})
	}
	r.dropOnlyOf()
	return nil
}

// define reads what may stand behind where it is needed: the options that the file defines, and what classes compare.
func (r *isc) define(list []stmt) {
	for _, s := range list {
		if s.open {
			r.define(s.block)
		}
		for i := range s.block {
			if x := &s.block[i]; s.is("class") && x.is("match") && !x.is("match", "if") {
				r.compared[s.word(1)] = spell(x.words[1:])
			}
		}
		if !s.is("option") || len(s.words) < 6 || s.word(2) != "code" || s.word(4) != "=" {
			continue
		}
		code, err := strconv.Atoi(s.word(3))
		if err != nil || strings.Contains(s.word(1), ".") {
			continue // said when it is its turn
		}
		r.defined[s.word(1)] = definition{code, spell(s.words[5:])}
	}
}

// scope reads the statements of a block: first what holds in all of it, then the blocks within.
func (r *isc) scope(list []stmt, in scope) {
	for i := range list {
		if s := &list[i]; !s.open {
			r.setting(s, &in)
		}
	}
	for i := range list {
		if s := &list[i]; s.open {
			r.inner(s, in)
		}
	}
}

func (r *isc) inner(s *stmt, in scope) {
	switch {
	case s.is("subnet"):
		r.subnet(s, in)
	case s.is("shared-network"):
		in.shared, in.inGroup = s.word(1), true
		r.scope(s.block, in)
	case s.is("group"):
		in.inGroup = true
		r.scope(s.block, in)
	case s.is("pool"):
		r.pool(s, in)
	case s.is("host"):
		r.host(s, in)
	case s.is("class"), s.is("subclass"):
		r.class(s)
	case s.is("lease"):
		r.say(s.at, "setting", s.String(), Dropped, "leases run out by themselves; its device asks for a new one")
	default:
		r.say(s.at, "setting", s.String(), Dropped, "there is nothing like it here")
	}
}

func (r *isc) subnet(s *stmt, in scope) {
	var prefix netip.Prefix
	addr, err := netip.ParseAddr(s.word(1))
	mask, err2 := netip.ParseAddr(s.word(3))
	if err = errors.Join(err, err2); err == nil && s.word(2) == "netmask" {
		prefix, err = prefixOf(addr, mask)
	}
	if err != nil || !prefix.IsValid() {
		r.say(s.at, "network", s.word(1), Wrong, "it is no network such as: subnet 192.0.2.0 netmask 255.255.255.0")
		return
	}
	// What the network has of its own is known only behind its other statements, but its verdict stands first.
	place := r.say(s.at, "network", networkNameText(prefix), Added, "")
	in.prefix = prefix
	for _, o := range in.options {
		r.Parts = append(r.Parts, Item[Part]{Part{Prefix: prefix, Option: &o}, r.say(s.at, "option", strconv.Itoa(int(o.Code)), Added, "of the blocks around it")})
	}
	in.options, in.inGroup = nil, false
	own := in
	for i := range s.block {
		if x := &s.block[i]; !x.open {
			r.setting(x, &own)
		}
	}
	n := newNetwork(networkName(prefix), prefix)
	n.Shared, n.Lease, n.Authoritative, n.Only, n.Not = own.shared, own.lifetime(), own.auth, own.only, own.not
	n.Next, n.Sname, n.File = own.boot.Next, own.boot.Sname, own.boot.File
	r.Networks = append(r.Networks, Item[network.Network]{n, place})
	for i := range s.block {
		if x := &s.block[i]; x.open {
			r.inner(x, own)
		}
	}
}

func networkNameText(p netip.Prefix) string { return string(networkName(p)) }

// lifetime returns how long leases last, as far as the file says it.
func (in *scope) lifetime() network.Lifetime {
	if in.leases == 0 && in.leastLeases == 0 && in.mostLeases == 0 {
		return network.Lifetime{}
	}
	usual := network.DefaultLifetime()
	d := in.leases
	if d == 0 {
		d = usual.Default
	}
	l := lasting(d)
	if in.leastLeases > 0 {
		l.Min = min(in.leastLeases, d)
	}
	if in.mostLeases > 0 {
		l.Max = max(in.mostLeases, d)
	}
	return l
}

// pool reads a pool: ranges of addresses, and whom they are for.
func (r *isc) pool(s *stmt, in scope) {
	own := scope{prefix: in.prefix, inGroup: true}
	var ranges []*stmt
	for i := range s.block {
		x := &s.block[i]
		switch {
		case x.is("range"):
			ranges = append(ranges, x)
		case x.is("default-lease-time"), x.is("max-lease-time"), x.is("min-lease-time"), x.is("next-server"), x.is("filename"), x.is("server-name"):
			r.say(x.at, "setting", x.String(), Dropped, "a pool has what its network has; give it to a class")
		case x.open:
			r.inner(x, own)
		default:
			r.setting(x, &own)
		}
	}
	for _, x := range ranges {
		r.addRange(x, network.Pool{Only: own.only, Not: own.not, Options: own.options})
	}
}

// addRange reads range [dynamic-bootp] first [last].
func (r *isc) addRange(s *stmt, p network.Pool) {
	words := s.words[1:]
	if len(words) > 0 && words[0].text == "dynamic-bootp" {
		words = words[1:]
	}
	var err error
	if len(words) == 0 || len(words) > 2 {
		err = errors.New("it is no range such as: range 192.0.2.100 192.0.2.199")
	} else if p.First, err = netip.ParseAddr(words[0].text); err == nil {
		p.Last, err = netip.ParseAddr(words[len(words)-1].text)
	}
	if err != nil {
		r.say(s.at, "pool", s.String(), Wrong, "%s", err)
		return
	}
	r.Parts = append(r.Parts, Item[Part]{Part{Pool: &p}, r.say(s.at, "pool", p.String(), Added, "")})
}

// host reads a reservation.
func (r *isc) host(s *stmt, in scope) {
	own := in
	own.options, own.inGroup, own.prefix = slices.Clone(in.options), true, netip.Prefix{}
	own.leases, own.leastLeases, own.mostLeases = 0, 0, 0
	x := network.Reservation{}
	if in.prefix.IsValid() {
		own.boot = network.Boot{} // the network's own
	}
	var fixed *stmt
	var err error
	for i := range s.block {
		e := &s.block[i]
		switch {
		case e.is("hardware"):
			if !e.is("hardware", "ethernet") {
				err = fmt.Errorf("hardware of kind %s is no Ethernet", e.word(1))
			} else if x.HW, err = hwaddr.Parse(padMAC(e.word(2))); err != nil {
				err = fmt.Errorf("line %d: %w", e.line, err)
			}
		case e.is("fixed-address"):
			fixed = e
		case e.is("option", "dhcp-client-identifier"), e.is("uid"):
			w := e.words[len(e.words)-1]
			if x.ClientID = w.text; !w.quoted {
				x.ClientID = clientID(w.text)
			}
		case e.is("host-identifier", "option", "agent.circuit-id"):
			x.Circuit = clientID(e.word(3))
		case e.is("host-identifier", "option", "agent.remote-id"):
			x.Remote = clientID(e.word(3))
		case e.is("option", "host-name"):
			x.Hostname = e.word(2)
		case e.is("dynamic"), e.is("deleted"):
		case e.open:
			r.inner(e, own)
		default:
			r.setting(e, &own)
		}
	}
	name := s.word(1)
	x.Options, x.Next, x.Sname, x.File = own.options, own.boot.Next, own.boot.Sname, own.boot.File
	if own.hostNames && x.Hostname == "" {
		x.Hostname = name
	}
	if own.leases > 0 {
		x.Lease.Default = own.leases
	}
	switch {
	case err != nil:
		r.say(s.at, "reservation", name, Wrong, "%s", err)
	case fixed == nil:
		r.say(s.at, "reservation", name, Dropped, "it keeps no address, so there is nothing to reserve")
	default:
		r.reserve(s, fixed, name, x)
	}
}

// padMAC writes each byte with two digits: ISC's server takes 0:15:65:1:2:3.
func padMAC(s string) string {
	parts := strings.Split(s, ":")
	for i, p := range parts {
		if len(p) == 1 {
			parts[i] = "0" + p
		}
	}
	return strings.Join(parts, ":")
}

// reserve adds a reservation for each of the addresses of a host.
func (r *isc) reserve(s, fixed *stmt, name string, x network.Reservation) {
	for _, w := range fixed.words[1:] {
		if w.text == "," {
			continue
		}
		addr, err := netip.ParseAddr(w.text)
		if err != nil || !addr.Is4() {
			r.say(fixed.at, "reservation", name, Wrong, "%q is no IPv4 address; write the one that the name stands for", w.text)
			continue
		}
		y := x
		y.Addr = addr
		r.Parts = append(r.Parts, Item[Part]{Part{Reservation: &y}, r.say(s.at, "reservation", addr.String(), Added, "%s", name)})
	}
}

// seconds reads a time.
func seconds(s string) (time.Duration, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 || n > int(maxLease/time.Second) {
		return 0, fmt.Errorf("%q is no number of seconds that a lease lasts", s)
	}
	return time.Duration(n) * time.Second, nil
}

// hexOf returns the digits of numbers of a size in bits.
func hexOf(values []string, bits int) (string, error) {
	var out []byte
	for _, v := range values {
		n, err := strconv.ParseInt(v, 0, 64)
		if err != nil || n >= 1<<bits || n < -(1<<(bits-1)) {
			return "", fmt.Errorf("%q is no number of %d bits", v, bits)
		}
		for i := bits - 8; i >= 0; i -= 8 {
			out = append(out, byte(n>>i)) //nolint:gosec // the byte that is meant
		}
	}
	return hex.EncodeToString(out), nil
}
