package network_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(s string) hwaddr.Addr { return hwaddr.MustParse(s) }

// opt parses an option that is known to be right.
func opt(key, value string) network.Option {
	o, err := network.ParseOption(key, value)
	if err != nil {
		panic(err)
	}
	return o
}

func forced(o network.Option) network.Option { o.Force = true; return o }

func never(code uint8) network.Option { return network.Option{Code: code, Never: true} }

func newSet(t testing.TB, d network.Declared) *network.Set {
	t.Helper()
	s, err := network.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// vendorClass is a class of clients with one of these vendor classes.
func vendorClass(id network.ClassID, patterns ...string) network.Class {
	return network.Class{ID: id, Match: []network.Match{{VendorClass: patterns}}}
}

// voice has a pool for everybody, and with the guards what tests add.
func voice() network.Network {
	return network.Network{
		ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Server: addr("192.0.2.1"),
		Pools:   []network.Pool{{First: addr("192.0.2.50"), Last: addr("192.0.2.99")}},
		Options: []network.Option{opt("router", "192.0.2.254")},
	}
}

// option returns what a choice has for a code, or nil.
func option(list []network.Option, code uint8) *network.Option {
	for i := range list {
		if list[i].Code == code {
			return &list[i]
		}
	}
	return nil
}

func data(list []network.Option, code uint8) string {
	if o := option(list, code); o != nil {
		return string(o.Data)
	}
	return "(none)"
}

// wantFault fails unless declaring d is refused with that text.
func wantFault(t testing.TB, d network.Declared, want string) network.Fault {
	t.Helper()
	_, err := network.New(d)
	faults, _ := errors.AsType[network.Faults](err)
	for _, f := range faults {
		if strings.Contains(f.Text, want) {
			return f
		}
	}
	t.Errorf("error %v, want one with %q", err, want)
	return network.Fault{}
}

// caseT is what a case reports to.
type caseT struct{ *testing.T }

// TestCase runs the cases of the conformance list that are decided here.
func TestCase(t *testing.T) {
	t.Parallel()
	for _, group := range []map[string]func(*caseT){classCases(), optionCases(), reservationCases(), networkCases()} {
		for _, id := range slices.Sorted(maps.Keys(group)) {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				group[id](&caseT{t})
			})
		}
	}
}

func reservationCases() map[string]func(*caseT) {
	phone, stranger := mac("00:15:65:aa:bb:01"), mac("00:15:65:aa:bb:02")
	return map[string]func(*caseT){
		"D-RSV-01": func(t *caseT) {
			n := voice()
			n.Reservations = []network.Reservation{{HW: phone, Addr: addr("192.0.2.60")}, {HW: stranger, Addr: addr("192.0.2.200")}}
			s := newSet(t, network.Declared{Networks: []network.Network{n}})
			for hw, want := range map[hwaddr.Addr]string{phone: "192.0.2.60", stranger: "192.0.2.200"} {
				if c := s.Choose(s.Get("voice"), network.Facts{HW: hw}); c.Reservation == nil || c.Reservation.Addr != addr(want) {
					t.Errorf("%s: reservation %+v, want %s", hw, c.Reservation, want)
				}
			}
		},
		"D-RSV-04": func(t *caseT) {
			n := voice()
			n.Reservations = []network.Reservation{{HW: phone, Addr: addr("192.0.2.60")}, {HW: stranger, Addr: addr("192.0.2.60")}, {HW: phone, Addr: addr("192.0.2.61")}}
			for want, other := range map[string]string{"192.0.2.60 is reserved for both": "[1]", "is reserved both 192.0.2.60 and 192.0.2.61": "[2]"} {
				f := wantFault(t, network.Declared{Networks: []network.Network{n}}, want)
				if f.Path != "networks[0].reservations"+other || f.Other != "networks[0].reservations[0]" {
					t.Errorf("%s: places %s and %s", want, f.Path, f.Other)
				}
			}
		},
		"D-RSV-08": func(t *caseT) {
			n := voice()
			n.Reservations = []network.Reservation{
				{Remote: "switch", Addr: addr("192.0.2.64")},
				{Circuit: "\x00\x04", Addr: addr("192.0.2.63")},
				{ClientID: "\x01id", Addr: addr("192.0.2.62")},
				{HW: phone, Addr: addr("192.0.2.61")},
			}
			s := newSet(t, network.Declared{Networks: []network.Network{n}})
			f := network.Facts{HW: phone, ClientID: "\x01id", Circuit: "\x00\x04", Remote: "switch"}
			for _, want := range []string{"192.0.2.61", "192.0.2.62", "192.0.2.63", "192.0.2.64", ""} {
				c := s.Choose(s.Get("voice"), f)
				switch {
				case want == "" && c.Reservation != nil:
					t.Errorf("reservation %s for nobody's", c.Reservation.Addr)
				case want != "" && (c.Reservation == nil || c.Reservation.Addr != addr(want)):
					t.Errorf("%+v: reservation %+v, want %s", f, c.Reservation, want)
				}
				switch want { // take the strongest away
				case "192.0.2.61":
					f.HW = stranger
				case "192.0.2.62":
					f.ClientID = ""
				case "192.0.2.63":
					f.Circuit = ""
				default:
					f.Remote = ""
				}
			}
		},
		"D-RSV-09": func(t *caseT) {
			n, pcs := voice(), network.Network{ID: "data", Prefix: netip.MustParsePrefix("198.51.100.0/24")}
			n.Reservations = []network.Reservation{{HW: phone, Addr: addr("192.0.2.60")}}
			pcs.Reservations = []network.Reservation{{HW: phone, Addr: addr("198.51.100.60")}}
			s := newSet(t, network.Declared{Networks: []network.Network{n, pcs}})
			for id, want := range map[network.ID]string{"voice": "192.0.2.60", "data": "198.51.100.60"} {
				if c := s.Choose(s.Get(id), network.Facts{HW: phone}); c.Reservation == nil || c.Reservation.Addr != addr(want) {
					t.Errorf("%s: reservation %+v, want %s", id, c.Reservation, want)
				}
			}
		},
		"D-RSV-10": func(t *caseT) {
			for a, want := range map[string]string{
				"198.51.100.7": "no usable address", "192.0.2.0": "no usable address", "192.0.2.255": "no usable address",
				"192.0.2.254": "the router's address", "192.0.2.1": "our own address", "192.0.2.253": "a relay agent's",
			} {
				n := voice()
				n.Relays = []netip.Addr{addr("192.0.2.253")}
				n.Reservations = []network.Reservation{{HW: phone, Addr: addr(a)}}
				wantFault(t, network.Declared{Networks: []network.Network{n}}, want)
			}
		},
		"D-RSV-11": func(t *caseT) {
			n := network.Network{ID: "campus", Prefix: netip.MustParsePrefix("10.0.0.0/16")}
			a := addr("10.0.8.0")
			for i := range 5000 {
				a = a.Next()
				n.Reservations = append(n.Reservations, network.Reservation{HW: hwaddr.Addr{0, 0x15, 0x65, 1, byte(i >> 8), byte(i)}, Addr: a})
			}
			start := time.Now()
			s := newSet(t, network.Declared{Networks: []network.Network{n}})
			if took := time.Since(start); took > time.Second {
				t.Errorf("5000 reservations take %s", took)
			}
			if s.Reserved(a) == nil {
				t.Errorf("%s is not reserved", a)
			}
			n.Reservations[4999].Addr = addr("10.0.8.1")
			wantFault(t, network.Declared{Networks: []network.Network{n}}, "10.0.8.1 is reserved for both")
		},
	}
}

func networkCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-ADR-04": func(t *caseT) {
			p := network.Pool{First: addr("10.0.0.250"), Last: addr("10.0.1.5")}
			for _, a := range []string{"10.0.0.255", "10.0.1.0"} {
				p.Edges = false
				if p.Fresh(addr(a)) || !p.Contains(addr(a)) {
					t.Errorf("%s: fresh is %t, contained %t; want it kept for who has it", a, p.Fresh(addr(a)), p.Contains(addr(a)))
				}
				if p.Edges = true; !p.Fresh(addr(a)) {
					t.Errorf("%s isn't fresh with edges allowed", a)
				}
			}
		},
		"D-ADR-12": func(t *caseT) {
			n := voice()
			n.Pools[0].Not = []network.ClassID{"random"}
			n.Pools = append(n.Pools, network.Pool{First: addr("192.0.2.150"), Last: addr("192.0.2.160"), Only: []network.ClassID{"random"}})
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{
				{ID: "random", Match: []network.Match{{Local: network.Yes}}, Lease: network.Lifetime{Default: 10 * time.Minute}},
			}})
			c := s.Choose(s.Get("voice"), network.Facts{HW: mac("0a:15:65:aa:bb:01")})
			if c.Lifetime.Max != 10*time.Minute || c.Lifetime.Default != 10*time.Minute || len(c.Pools) != 1 || c.Pools[0].First != addr("192.0.2.150") {
				t.Errorf("lease %+v of %v, want ten minutes at most, of the class's pool", c.Lifetime, c.Pools)
			}
			if c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01")}); c.Lifetime != s.Get("voice").Lease {
				t.Errorf("another's lease is %+v", c.Lifetime)
			}
		},
		"D-NET-12": func(t *caseT) {
			s := newSet(t, sharedLink())
			first := s.Choose(s.Get("second"), network.Facts{HW: mac("00:15:65:aa:bb:01")})
			if first.Network.ID != "first" || data(first.Options, 15) != "first.example" || data(first.Options, 66) != "link" {
				t.Errorf("network %s, options %v; want those of the first", first.Network.ID, first.Options)
			}
			next, ok := first.After()
			if !ok || next.Network.ID != "second" || data(next.Options, 15) != "second.example" || data(next.Options, 66) != "link" {
				t.Errorf("then network %+v, %t; want the second with its options", next.Network, ok)
			}
			if _, ok := next.After(); ok {
				t.Error("there is a network after the last")
			}
			if in, ok := first.In(addr("198.51.100.7")); !ok || in.Network.ID != "second" || in.Refuse != "" {
				t.Errorf("In of an address of the second: %+v, %t", in.Network, ok)
			}
			if _, ok := first.In(addr("203.0.113.7")); ok {
				t.Error("In of an address of no network of the link")
			}
		},
		"D-NET-13": func(t *caseT) {
			d := sharedLink()
			d.Classes = []network.Class{vendorClass("phones", "yealink"), vendorClass("guests", "guest")}
			d.Networks[1].Only, d.Networks[0].Not = []network.ClassID{"phones"}, []network.ClassID{"phones"}
			s := newSet(t, d)
			phone := s.Choose(s.Get("first"), network.Facts{VendorClass: "yealink"})
			if _, more := phone.After(); phone.Network.ID != "second" || more {
				t.Errorf("a phone gets %s, and more: %t", phone.Network.ID, more)
			}
			guest := s.Choose(s.Get("first"), network.Facts{VendorClass: "guest"})
			if _, more := guest.After(); guest.Network.ID != "first" || more {
				t.Errorf("a guest gets %s, and more: %t", guest.Network.ID, more)
			}
			if in, _ := guest.In(addr("198.51.100.7")); in.Refuse != "network second: only for class phones" || in.Pools != nil {
				t.Errorf("a guest with a phone's address: %+v", in)
			}
			if in, _ := phone.In(addr("192.0.2.7")); in.Refuse != "network first: not for class phones" {
				t.Errorf("a phone with a guest's address: %q", in.Refuse)
			}
		},
		"D-NET-14": func(t *caseT) {
			n, o := voice(), voice()
			o.ID, o.Server = "other", netip.Addr{}
			f := wantFault(t, network.Declared{Networks: []network.Network{n, o}}, "networks voice (192.0.2.0/24) and other (192.0.2.0/24) overlap")
			if f.Path != "networks[1]" || f.Other != "networks[0]" {
				t.Errorf("places %s and %s", f.Path, f.Other)
			}
			n.Pools = append(n.Pools, network.Pool{First: addr("192.0.2.90"), Last: addr("192.0.2.120")})
			f = wantFault(t, network.Declared{Networks: []network.Network{n}}, "pools 192.0.2.50-192.0.2.99 and 192.0.2.90-192.0.2.120 overlap")
			if f.Path != "networks[0].pools[1]" || f.Other != "networks[0].pools[0]" {
				t.Errorf("places %s and %s", f.Path, f.Other)
			}
		},
		"D-NET-15": func(t *caseT) {
			n := voice()
			n.Pools[0].Last = addr("192.0.3.9")
			wantFault(t, network.Declared{Networks: []network.Network{n}}, "pool 192.0.2.50-192.0.3.9 reaches beyond the usable addresses of 192.0.2.0/24")
		},
	}
}

// sharedLink has two networks on one link.
func sharedLink() network.Declared {
	return network.Declared{
		Shared: []network.Shared{{Name: "floor", Options: []network.Option{opt("66", "link"), opt("15", "link.example")}}},
		Networks: []network.Network{
			{
				ID: "first", Shared: "floor", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Options: []network.Option{opt("15", "first.example")},
				Pools: []network.Pool{{First: addr("192.0.2.50"), Last: addr("192.0.2.50")}},
			},
			{
				ID: "second", Shared: "floor", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Options: []network.Option{opt("15", "second.example")},
				Pools: []network.Pool{{First: addr("198.51.100.50"), Last: addr("198.51.100.60")}},
			},
		},
	}
}
