package network_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// nth returns an address of a prefix.
func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+uint32(n))
	return netip.AddrFrom4(a)
}

// drawDeclared makes networks of a link, with pools and reservations somewhere in them, and classes that guard them.
func drawDeclared(t *rapid.T) network.Declared {
	classes := []network.ClassID{"a", "b", "c", "refused"}
	some := func(name string) []network.ClassID {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(classes[:3]), 0, 2, rapid.ID[network.ClassID]).Draw(t, name)
	}
	var d network.Declared
	for _, id := range classes { // a client is in a class if its hostname has the letter
		d.Classes = append(d.Classes, network.Class{
			ID: id, Refuse: id == "refused", Match: []network.Match{{Hostname: []string{"*" + string(id) + "*"}}},
			Options: []network.Option{opt("15", string(id))},
		})
	}
	shared := rapid.SampledFrom([]string{"", "link"}).Draw(t, "shared")
	for i := range rapid.IntRange(1, 3).Draw(t, "networks") {
		bits := rapid.IntRange(20, 29).Draw(t, "bits")
		n := network.Network{
			ID: network.ID(fmt.Sprintf("n%d", i)), Shared: shared, Only: some("only"), Not: some("not"),
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), bits),
		}
		last := 1<<(32-bits) - 2
		host := func(name string) int { return rapid.IntRange(1, last).Draw(t, name) }
		n.Server = nth(n.Prefix, host("server"))
		router := nth(n.Prefix, host("router"))
		n.Options = []network.Option{{Code: 3, Data: router.AsSlice()}}
		n.Relays = []netip.Addr{nth(n.Prefix, host("relay"))}
		for from := 1; from <= last && len(n.Pools) < 3; {
			to := rapid.IntRange(from, last).Draw(t, "pool")
			n.Pools = append(n.Pools, network.Pool{
				First: nth(n.Prefix, from), Last: nth(n.Prefix, to), Exclude: []netip.Addr{nth(n.Prefix, host("exclude"))},
				Only: some("pool only"), Not: some("pool not"),
			})
			from = to + 1 + rapid.IntRange(0, 3).Draw(t, "gap")
		}
		if a := nth(n.Prefix, host("reserved")); a != n.Server && a != router && a != n.Relays[0] {
			n.Reservations = []network.Reservation{{HW: hwaddr.Addr{0, 1, 2, 3, 4, byte(rapid.IntRange(0, 3).Draw(t, "whose"))}, Addr: a}}
		}
		d.Networks = append(d.Networks, n)
	}
	return d
}

// Whatever is declared, a client is offered no pool that isn't for it and no address that is nobody's, and what one
// network after the other gives comes from the networks that are for it, each once.
func TestChooseKeepsToGuards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDeclared(t)
		s, err := network.New(d)
		if err != nil {
			t.Fatal(err)
		}
		in := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "refused"}), 0, 3, rapid.ID[string]).Draw(t, "in")
		f := network.Facts{HW: hwaddr.Addr{0, 1, 2, 3, 4, byte(rapid.IntRange(0, 4).Draw(t, "hw"))}, Hostname: strings.Join(in, " ")}
		if slices.Contains(in, "refused") {
			f.Hostname = "refused" // it has the letters of none of the others but what it has
		}
		is := func(list []network.ClassID) bool {
			return slices.ContainsFunc(list, func(id network.ClassID) bool { return strings.Contains(f.Hostname, string(id)) })
		}
		welcome := func(only, not []network.ClassID) bool { return (len(only) == 0 || is(only)) && !is(not) }
		arrived := s.All()[rapid.IntRange(0, len(s.All())-1).Draw(t, "arrived")]
		var seen []network.ID
		for c, ok := s.Choose(arrived, f), true; ok; c, ok = c.After() {
			if slices.Contains(seen, c.Network.ID) {
				t.Fatalf("network %s comes twice after %v", c.Network.ID, seen)
			}
			seen = append(seen, c.Network.ID)
			if c.Refuse != "" {
				if len(c.Pools)+len(c.Options) > 0 || c.Reservation != nil {
					t.Fatalf("a refusal with %+v", c)
				}
				continue
			}
			if f.Hostname == "refused" {
				t.Fatal("the refused class isn't refused")
			}
			if !welcome(c.Network.Only, c.Network.Not) && c.Reservation == nil {
				t.Fatalf("network %s isn't for %q", c.Network.ID, f.Hostname)
			}
			for _, p := range c.Pools {
				if !welcome(p.Only, p.Not) {
					t.Fatalf("pool %s isn't for %q", p, f.Hostname)
				}
				unusable(t, c, p)
			}
			for _, p := range c.Network.Pools {
				if welcome(p.Only, p.Not) && !slices.ContainsFunc(c.Pools, func(o network.Pool) bool { return o.First == p.First }) {
					t.Fatalf("pool %s is for %q but not offered", p, f.Hostname)
				}
			}
		}
		if f.Hostname == "refused" {
			return
		}
		for _, n := range s.Link(arrived) {
			if got := slices.Contains(seen, n.ID); welcome(n.Only, n.Not) && !got {
				t.Fatalf("network %s is for %q, but only %v came", n.ID, f.Hostname, seen)
			}
		}
	})
}

// unusable fails if the pool would lease an address that is nobody's to lease.
func unusable(t *rapid.T, c network.Choice, p network.Pool) {
	n := c.Network
	router := netip.AddrFrom4([4]byte(n.Options[0].Data))
	for _, a := range append([]netip.Addr{n.Server, router, n.Prefix.Addr(), n.Broadcast(), n.Broadcast().Next()}, n.Relays...) {
		if p.Contains(a) {
			t.Fatalf("pool %s leases %s", p, a)
		}
	}
}

// A set is what was declared, and asking it changes nothing in it.
func TestDeclaredStays(t *testing.T) {
	t.Parallel()
	want, d := sharedLink(), sharedLink()
	for _, x := range []*network.Declared{&want, &d} {
		x.Classes = []network.Class{vendorClass("old", "*")}
		x.Classes[0].NUL, x.Classes[0].Options = true, []network.Option{opt("66", "pbx"), opt("125", "3561 1 text a\n9 text b")}
	}
	for i := range want.Networks {
		want.Networks[i].Lease, want.Networks[i].AutoAdd = network.DefaultLifetime(), network.AddRecognised
		want.Networks[i].Rivals = network.RivalsRefuse
		want.Networks[i].Provisioning = network.Provisioning{
			Guard: network.GuardBalanced, AddPerMinute: network.DefaultAddPerMinute, AddMax: network.DefaultAddMax,
		}
	}
	s := newSet(t, d)
	for range 2 {
		c := s.Choose(s.Get("first"), network.Facts{VendorClass: "x", Options: map[uint8][]byte{124: {0, 0, 0, 9, 0}}})
		if got, want := data(c.Options, 125), "\x00\x00\x00\x09\x01b"; got != want {
			t.Errorf("option 125 is %q, want %q", got, want)
		}
		c.OptionsAt(addr("192.0.2.50"))
	}
	opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
	if diff := cmp.Diff(want, s.Declared(), opts); diff != "" {
		t.Errorf("declared (-want +got):\n%s", diff)
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	net := network.Lifetime{Default: 8 * time.Hour, Min: time.Hour, Max: 24 * time.Hour, Renew: 4 * time.Hour, Rebind: 7 * time.Hour}
	for _, tt := range []struct {
		name       string
		class, own network.Lifetime
		want       network.Lifetime
	}{
		{"the network's", network.Lifetime{}, network.Lifetime{}, net},
		{"a short class", network.Lifetime{Default: time.Minute}, network.Lifetime{}, network.Lifetime{Default: time.Minute, Min: time.Minute, Max: time.Minute}},
		{"a class's longest", network.Lifetime{Max: 2 * time.Hour}, network.Lifetime{}, network.Lifetime{Default: 2 * time.Hour, Min: time.Hour, Max: 2 * time.Hour, Renew: net.Renew, Rebind: net.Rebind}},
		{"a reservation over a class", network.Lifetime{Default: time.Minute}, network.Lifetime{Default: 48 * time.Hour, Max: 96 * time.Hour}, network.Lifetime{Default: 48 * time.Hour, Min: time.Minute, Max: 96 * time.Hour}},
		{"times of its own", network.Lifetime{Default: 10 * time.Minute, Renew: 2 * time.Minute, Rebind: 3 * time.Minute}, network.Lifetime{}, network.Lifetime{Default: 10 * time.Minute, Min: 10 * time.Minute, Max: 10 * time.Minute, Renew: 2 * time.Minute, Rebind: 3 * time.Minute}},
	} {
		k := vendorClass("all", "*")
		k.Lease = tt.class
		n := voice()
		n.Lease, n.Reservations = net, []network.Reservation{{HW: mac("00:15:65:aa:bb:01"), Addr: addr("192.0.2.20"), Lease: tt.own}}
		s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{k}})
		c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01"), VendorClass: "x"})
		if c.Lifetime != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, c.Lifetime, tt.want)
		}
	}
	if renew, rebind := net.Times(2 * time.Hour); renew != time.Hour || rebind != 105*time.Minute {
		t.Errorf("of two hours, T1 and T2 are %s and %s; want them in proportion", renew, rebind)
	}
	if renew, rebind := (network.Lifetime{Default: time.Hour}).Times(time.Hour); renew+rebind != 0 {
		t.Errorf("without times, T1 and T2 are %s and %s", renew, rebind)
	}
}

// Of several classes the first as declared has the last word on times and header fields, too.
func TestFirstClassCounts(t *testing.T) {
	t.Parallel()
	first, second := vendorClass("first", "*"), vendorClass("second", "*")
	first.Lease, first.Next = network.Lifetime{Default: time.Hour}, addr("203.0.113.1")
	second.Lease, second.Next, second.File = network.Lifetime{Default: time.Minute}, addr("203.0.113.2"), "boot"
	s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{first, second}})
	c := s.Choose(s.Get("voice"), network.Facts{VendorClass: "x"})
	if c.Lifetime.Default != time.Hour || c.Next != addr("203.0.113.1") || c.File != "boot" {
		t.Errorf("lease %s, next %s, file %q; want the first's, and what it doesn't say of the second", c.Lifetime.Default, c.Next, c.File)
	}
	if diff := cmp.Diff([]network.ClassID{"first", "second"}, c.Classes); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
}

// A reservation makes its client known, and of several on a link that by the strongest identifier counts.
func TestReservationsOfALink(t *testing.T) {
	t.Parallel()
	d, hw := sharedLink(), mac("00:15:65:aa:bb:01")
	d.Classes = []network.Class{{ID: "known", Match: []network.Match{{Known: network.Yes}}}}
	d.Networks[0].Reservations = []network.Reservation{{Circuit: "port 7", Addr: addr("192.0.2.7")}}
	d.Networks[1].Reservations = []network.Reservation{{HW: hw, Addr: addr("198.51.100.7")}}
	s := newSet(t, d)
	c := s.Choose(s.Get("first"), network.Facts{HW: hw, Circuit: "port 7"})
	if c.Network.ID != "second" || c.Reservation == nil || c.Reservation.Addr != addr("198.51.100.7") || len(c.Classes) != 1 {
		t.Errorf("got network %s, reservation %+v, classes %v; want the second's for the hardware address", c.Network.ID, c.Reservation, c.Classes)
	}
	if next, ok := c.After(); !ok || next.Network.ID != "first" || next.Reservation != nil {
		t.Errorf("when its address is taken, got %+v, want the first network without a reservation", next.Network)
	}
	if c := s.Choose(s.Get("second"), network.Facts{}); len(c.Classes) != 0 {
		t.Errorf("a stranger is in %v", c.Classes)
	}
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	for _, def := range network.Defs() {
		o := network.Terminate(network.Option{Code: def.Code, Data: []byte("text")})
		if got, want := strings.HasSuffix(string(o.Data), "\x00"), def.Kind == network.KindText; got != want {
			t.Errorf("option %d (%s) ends with a NUL: %t, want %t", def.Code, def.Name, got, want)
		}
		if again := network.Terminate(o); len(again.Data) != len(o.Data) {
			t.Errorf("option %d gets another NUL", def.Code)
		}
	}
	if !slices.IsSortedFunc(network.Defs(), func(a, b network.Def) int { return int(a.Code) - int(b.Code) }) {
		t.Error("the definitions aren't in order of code")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	hw := mac("00:15:65:aa:bb:01")
	for _, tt := range []struct {
		name       string
		change     func(*network.Declared)
		path, want string
	}{
		{"class without a name", func(d *network.Declared) { d.Classes[0].ID = "" }, "classes[0]", "class 1: it has no name"},
		{"odd name", func(d *network.Declared) { d.Classes[0].ID = "a\nb" }, "classes[0]", "not plain text"},
		{"class twice", func(d *network.Declared) { d.Classes = append(d.Classes, d.Classes[0]) }, "classes[1]", "there are two of that name"},
		{"nobody's class", func(d *network.Declared) { d.Classes[0].Match = nil }, "classes[0]", "says nothing of who is in it"},
		{"everybody's class", func(d *network.Declared) { d.Classes[0].Match = []network.Match{{}} }, "classes[0].match[0]", "everybody would be in the class"},
		{"bad mac", func(d *network.Declared) { d.Classes[0].Match[0].MAC = []string{"00:15:6"} }, "classes[0].match[0]", "not the beginning of a MAC"},
		{"refers to itself", func(d *network.Declared) { d.Classes[0].Match[0].In = []network.ClassID{"phones"} }, "classes[0].match[0]", "doesn't stand before it"},
		{"refers to none", func(d *network.Declared) { d.Classes[0].Match[0].Not = []network.ClassID{"fones"} }, "classes[0].match[0]", "class fones is not declared"},
		{"too many classes", func(d *network.Declared) { d.Classes = make([]network.Class, 257) }, "classes", "257 classes are too many"},
		{"pool's unknown class", func(d *network.Declared) { d.Networks[0].Pools[0].Only = []network.ClassID{"fones"} }, "networks[0].pools[0]", "pool 192.0.2.50-192.0.2.99: class fones is not declared"},
		{"network's unknown class", func(d *network.Declared) { d.Networks[0].Not = []network.ClassID{"fones"} }, "networks[0]", "class fones is not declared"},
		{"interface twice", func(d *network.Declared) {
			d.Networks = append(d.Networks, network.Network{ID: "b", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: "eth0"})
			d.Networks[0].Interface = "eth0"
		}, "networks[1]", "give both the same shared"},
		{"link of two interfaces", func(d *network.Declared) {
			d.Networks = append(d.Networks, network.Network{ID: "b", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: "eth1", Shared: "s"})
			d.Networks[0].Interface, d.Networks[0].Shared = "eth0", "s"
		}, "networks[1]", "it shares its link s with network voice"},
		{"relay twice", func(d *network.Declared) {
			d.Networks = append(d.Networks, network.Network{ID: "b", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Relays: []netip.Addr{addr("203.0.113.1")}})
			d.Networks[0].Relays = []netip.Addr{addr("203.0.113.1")}
		}, "networks[1]", "relay 203.0.113.1 already serves network voice"},
		{"relay of zero", func(d *network.Declared) { d.Networks[0].Relays = []netip.Addr{addr("0.0.0.0")} }, "networks[0]", "relay 0.0.0.0 is not"},
		{"shared twice", func(d *network.Declared) { d.Shared = []network.Shared{{Name: "a"}, {Name: "a"}} }, "shared[1]", "a name of its own"},
		{"option twice", func(d *network.Declared) { d.Options = []network.Option{opt("66", "a"), opt("66", "b")} }, "options[1]", "given twice"},
		{"option of the server", func(d *network.Declared) { d.Options = []network.Option{{Code: 51, Data: []byte{0, 0, 0, 1}}} }, "options[0]", "the server sets it"},
		{"option of clients", func(d *network.Declared) { d.Options = []network.Option{{Code: 124, Data: []byte{1}}} }, "options[0]", "nothing that a server"},
		{"half an address", func(d *network.Declared) { d.Networks[0].Options[0].Data = []byte{1, 2, 3, 4, 5} }, "networks[0].options[0]", "5 bytes are no value"},
		{"two bytes of one", func(d *network.Declared) { d.Options = []network.Option{{Code: 23, Data: []byte{1, 2}}} }, "options[0]", "2 bytes are no value"},
		{"routes cut short", func(d *network.Declared) {
			d.Options = []network.Option{{Code: 121, Data: []byte{24, 10, 0, 0, 192, 0, 2}}}
		}, "options[0]", "cut short"},
		{"enterprise cut short", func(d *network.Declared) { d.Options = []network.Option{{Code: 125, Data: []byte{0, 0, 0, 9, 4, 1}}} }, "options[0]", "cut short"},
		{"T1 after T2", func(d *network.Declared) {
			d.Networks[0].Lease = network.Lifetime{Default: time.Hour, Renew: 50 * time.Minute, Rebind: 40 * time.Minute}
		}, "networks[0]", "renew before they rebind"},
		{"T1 alone", func(d *network.Declared) { d.Classes[0].Lease = network.Lifetime{Renew: time.Minute} }, "classes[0]", "parts of default"},
		{"class's bounds", func(d *network.Declared) { d.Classes[0].Lease = network.Lifetime{Min: time.Hour, Max: time.Minute} }, "classes[0]", "ordered"},
		{"less than none", func(d *network.Declared) { d.Classes[0].Lease = network.Lifetime{Max: -time.Minute} }, "classes[0]", "positive"},
		{"whose reservation", func(d *network.Declared) {
			d.Networks[0].Reservations = []network.Reservation{{Addr: addr("192.0.2.9")}}
		}, "networks[0].reservations[0]", "no device's hardware address"},
		{"two of a circuit", func(d *network.Declared) {
			d.Networks[0].Reservations = []network.Reservation{{Circuit: "\x00\x04", Addr: addr("192.0.2.9")}, {HW: hw, Circuit: "\x00\x04", Addr: addr("192.0.2.8")}}
		}, "networks[0].reservations[1]", "is reserved both 192.0.2.9 and 192.0.2.8"},
		{"reservation's option", func(d *network.Declared) {
			d.Networks[0].Reservations = []network.Reservation{{HW: hw, Addr: addr("192.0.2.9"), Options: []network.Option{{Code: 66}}}}
		}, "networks[0].reservations[0].options[0]", "reservation of 192.0.2.9: option 66 (tftp-server-name): it is empty"},
		{"next of IPv6", func(d *network.Declared) { d.Next = addr("2001:db8::1") }, "", "next 2001:db8::1 is not"},
	} {
		d := network.Declared{Classes: []network.Class{vendorClass("phones", "snom*")}, Networks: []network.Network{voice()}}
		tt.change(&d)
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if f := wantFault(t, d, tt.want); f.Path != tt.path {
				t.Errorf("fault at %q, want %q: %s", f.Path, tt.path, f.Text)
			}
		})
	}
}

// All faults are found at once.
func TestAllFaults(t *testing.T) {
	t.Parallel()
	n := voice()
	n.Pools[0].Last, n.AutoAdd, n.Only = addr("192.0.3.1"), "all", []network.ClassID{"nobody"}
	_, err := network.New(network.Declared{Networks: []network.Network{n}, Classes: []network.Class{{ID: "a"}}, Options: []network.Option{{Code: 66}}})
	if got := strings.Count(err.Error(), "\n") + 1; got != 5 {
		t.Errorf("%d faults, want 5:\n%v", got, err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	n := voice()
	n.Options[0] = opt("3", "198.51.100.1")
	n.Pools[0].Exclude = []netip.Addr{addr("192.0.2.9")}
	n.Pools = append(n.Pools, network.Pool{First: addr("192.0.2.120"), Last: addr("192.0.2.120"), Exclude: []netip.Addr{addr("192.0.2.120")}})
	used, refused := vendorClass("used", "x"), vendorClass("refused", "y")
	refused.Refuse, n.Not = true, []network.ClassID{"used"}
	s := newSet(t, network.Declared{
		Networks: []network.Network{n}, Classes: []network.Class{used, vendorClass("idle", "z"), refused}, Shared: []network.Shared{{Name: "nowhere"}},
	})
	got := make(map[string]string)
	for _, w := range s.Warnings() {
		got[w.Path] += w.Text
	}
	for path, want := range map[string]string{
		"networks[0]": "can't reach it", "networks[0].pools[0]": "excluded 192.0.2.9 is not in it", "networks[0].pools[1]": "no address to lease",
		"classes[1]": "nothing depends on it", "shared[0]": "no network is on it",
	} {
		if !strings.Contains(got[path], want) {
			t.Errorf("%s: warning %q, want one with %q", path, got[path], want)
		}
		delete(got, path)
	}
	if len(got) > 0 {
		t.Errorf("more warnings: %v", got)
	}
}

func TestChooseOfAnotherSet(t *testing.T) {
	t.Parallel()
	gone := voice()
	var none *network.Set
	for _, s := range []*network.Set{none, newSet(t, network.Declared{})} {
		c := s.Choose(&gone, network.Facts{})
		if c.Refuse != "network voice: no longer declared" || c.OptionsAt(addr("192.0.2.9")) != nil {
			t.Errorf("choice %+v, want a refusal", c)
		}
		if _, ok := c.In(addr("192.0.2.9")); ok {
			t.Error("there is a network by address")
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	s, f := manyClasses(b)
	plain, err := network.NewSet([]network.Network{voice()})
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		set  *network.Set
	}{{"classes=0", plain}, {"classes=200", s}} {
		b.Run(bb.name, func(b *testing.B) {
			n := bb.set.Get("voice")
			b.ReportAllocs()
			for b.Loop() {
				bb.set.Choose(n, f)
			}
		})
	}
	// What a client may do to make matching slow.
	b.Run("classes=200/hostile", func(b *testing.B) {
		f := f
		f.VendorClass, f.Hostname = strings.Repeat("CiscoIPPhoneCP-7", 16)[:255], strings.Repeat("x,", 127)
		f.UserClass = strings.Repeat("x,", 127)
		n := s.Get("voice")
		for b.Loop() {
			s.Choose(n, f)
		}
	})
}

func TestShorteningThatIsNone(t *testing.T) {
	t.Parallel()
	n := voice()
	n.ShortenAt, n.Lease = 80, network.Lifetime{Default: time.Hour, Min: time.Hour}
	if w := newSet(t, network.Declared{Networks: []network.Network{n}}).Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "make min shorter") {
		t.Errorf("warnings %v, want one of min", w)
	}
	n.Lease.Min = time.Minute
	if w := newSet(t, network.Declared{Networks: []network.Network{n}}).Warnings(); len(w) != 0 {
		t.Errorf("warnings %v, want none", w)
	}
}
