package network_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func office() network.Network {
	return network.Network{
		ID:     "office",
		Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		Relays: []netip.Addr{netip.MustParseAddr("192.0.2.254")},
		Pools:  []network.Pool{{First: netip.MustParseAddr("192.0.2.100"), Last: netip.MustParseAddr("192.0.2.199")}},
		Reservations: []network.Reservation{
			{HW: hwaddr.MustParse("00:15:65:00:00:01"), Addr: netip.MustParseAddr("192.0.2.20")},
		},
	}
}

func TestSetLooksUp(t *testing.T) {
	t.Parallel()
	voice := network.Network{ID: "voice", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: "eth1"}
	set, err := network.NewSet([]network.Network{voice, office()})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.All()[0].ID, network.ID("office"); got != want {
		t.Errorf("first network is %s, want %s: they are sorted", got, want)
	}
	for _, tt := range []struct {
		name string
		got  *network.Network
		want network.ID
	}{
		{"by address", set.Containing(netip.MustParseAddr("192.0.2.7")), "office"},
		{"by an address of none", set.Containing(netip.MustParseAddr("203.0.113.7")), ""},
		{"by relay", set.OnRelay(netip.MustParseAddr("192.0.2.254")), "office"},
		{"by an unlisted relay in the prefix", set.OnRelay(netip.MustParseAddr("192.0.2.253")), ""},
		{"by interface", set.OnLink("eth1", nil), "voice"},
		{"by our address on an interface", set.OnLink("eth0", []netip.Addr{netip.MustParseAddr("192.0.2.1")}), "office"},
		{"by our address on another's interface", set.OnLink("eth0", []netip.Addr{netip.MustParseAddr("198.51.100.1")}), ""},
		{"by name", set.Get("voice"), "voice"},
	} {
		var got network.ID
		if tt.got != nil {
			got = tt.got.ID
		}
		if got != tt.want {
			t.Errorf("%s: network %q, want %q", tt.name, got, tt.want)
		}
	}
	hw := hwaddr.MustParse("00:15:65:00:00:01")
	if r := set.ReservedFor("office", hw); r == nil || r.Addr != netip.MustParseAddr("192.0.2.20") {
		t.Errorf("ReservedFor = %v, want 192.0.2.20", r)
	}
	if r := set.ReservedFor("voice", hw); r != nil {
		t.Errorf("a reservation of one network counts in another: %v", r)
	}
	if got, want := set.Get("office").Lease.Default, 8*time.Hour; got != want {
		t.Errorf("default lease time is %s, want %s", got, want)
	}
	var none *network.Set
	if none.OnRelay(netip.MustParseAddr("192.0.2.254")) != nil || none.All() != nil {
		t.Error("the nil set isn't empty")
	}
}

func TestSetFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*network.Network)
		want   string
	}{
		{"no name", func(n *network.Network) { n.ID = "" }, "has no name"},
		{"host bits", func(n *network.Network) { n.Prefix = netip.MustParsePrefix("192.0.2.1/24") }, "write 192.0.2.0/24"},
		{"IPv6", func(n *network.Network) { n.Prefix = netip.MustParsePrefix("2001:db8::/64") }, "not an IPv4 subnet"},
		{"too small", func(n *network.Network) { n.Prefix = netip.MustParsePrefix("192.0.2.0/31") }, "/8 to /30"},
		{"pool beyond", func(n *network.Network) { n.Pools[0].Last = netip.MustParseAddr("192.0.3.9") }, "reaches beyond"},
		{"pool with broadcast", func(n *network.Network) { n.Pools[0].Last = netip.MustParseAddr("192.0.2.255") }, "reaches beyond"},
		{"pool backwards", func(n *network.Network) { n.Pools[0].Last = netip.MustParseAddr("192.0.2.9") }, "ends before"},
		{"pools overlap", func(n *network.Network) {
			n.Pools = append(n.Pools, network.Pool{First: netip.MustParseAddr("192.0.2.150"), Last: netip.MustParseAddr("192.0.2.210")})
		}, "overlap; merge"},
		{"reservation outside", func(n *network.Network) { n.Reservations[0].Addr = netip.MustParseAddr("198.51.100.3") }, "no usable address"},
		{"reservation of ours", func(n *network.Network) { n.Server = netip.MustParseAddr("192.0.2.20") }, "our own address"},
		{"reserved twice", func(n *network.Network) {
			n.Reservations = append(n.Reservations, network.Reservation{HW: hwaddr.MustParse("00:15:65:00:00:02"), Addr: netip.MustParseAddr("192.0.2.20")})
		}, "reserved for both"},
		{"one device twice", func(n *network.Network) {
			n.Reservations = append(n.Reservations, network.Reservation{HW: hwaddr.MustParse("00:15:65:00:00:01"), Addr: netip.MustParseAddr("192.0.2.21")})
		}, "reserved both"},
		{"lease times", func(n *network.Network) { n.Lease.Default, n.Lease.Max = time.Hour, time.Minute }, "ordered"},
		{"shorten_at", func(n *network.Network) { n.ShortenAt = 100 }, "give 1 to 99"},
		{"shorten_at below zero", func(n *network.Network) { n.ShortenAt = -1 }, "give 1 to 99"},
		{"auto_add", func(n *network.Network) { n.AutoAdd = "all" }, "recognised, any or off"},
	} {
		n := office()
		tt.change(&n)
		if _, err := network.NewSet([]network.Network{n}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	overlap := office()
	overlap.ID, overlap.Relays, overlap.Reservations = "other", nil, nil
	if _, err := network.NewSet([]network.Network{office(), overlap}); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("overlapping networks: error %v", err)
	}
}

// The usable addresses of a prefix never include its first or last, whatever its size.
func TestUsable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		addr := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr")))
		n := network.Network{Prefix: netip.PrefixFrom(addr, rapid.IntRange(8, 30).Draw(t, "bits")).Masked()}
		if n.Usable(n.Prefix.Addr()) || n.Usable(n.Broadcast()) || n.Usable(n.Broadcast().Next()) {
			t.Fatalf("%s: an edge is usable", n.Prefix)
		}
		if !n.Usable(n.Prefix.Addr().Next()) || !n.Usable(n.Broadcast().Prev()) || !n.Prefix.Contains(n.Broadcast()) {
			t.Fatalf("%s: a host isn't usable", n.Prefix)
		}
	})
}

func TestParseOption(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key, value string
		want       []byte
	}{
		{"66", "192.0.2.1", []byte("192.0.2.1")},
		{"tftp-server-name", "http://192.0.2.1/Aastra", []byte("http://192.0.2.1/Aastra")},
		{"150", "192.0.2.1, 192.0.2.2", []byte{192, 0, 2, 1, 192, 0, 2, 2}},
		{"ntp-servers", "192.0.2.1", []byte{192, 0, 2, 1}},
		{"26", "1400", []byte{0x05, 0x78}},
		{"2", "-1h", []byte{0xff, 0xff, 0xf1, 0xf0}},
		{"43", "02:03:61:62:63", []byte{2, 3, 'a', 'b', 'c'}},
		{"200", "0a0b", []byte{10, 11}},
		{"15", "hex:00ff", []byte{0, 255}},
		{"119", "example.com", []byte("\x07example\x03com\x00")},
	} {
		got, err := network.ParseOption(tt.key, tt.value)
		if err != nil || !bytes.Equal(got.Data, tt.want) {
			t.Errorf("ParseOption(%q, %q) = %x, %v; want %x", tt.key, tt.value, got.Data, err, tt.want)
		}
	}
	for _, tt := range []struct{ key, value, want string }{
		{"53", "01", "set by the server"},
		{"82", "01", "set by the server"},
		{"256", "01", "unknown"},
		{"tftp", "x", "unknown"},
		{"150", "pbx.example", "not an IPv4 address"},
		{"150", "", "not one IPv4 address"},
		{"1", "255.255.255.0 255.255.0.0", "not one IPv4 address"},
		{"26", "70000", "16 bits"},
		{"66", "", "empty"},
		{"43", "xyz", "hexadecimal"},
		{"119", strings.Repeat("a", 64), "not a domain name"},
		{"66", strings.Repeat("a", 2000), "too many"},
	} {
		if got, err := network.ParseOption(tt.key, tt.value); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseOption(%q, %.20q) = %v, %v; want an error with %q", tt.key, tt.value, got, err, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	base := []network.Option{{Code: 66, Data: []byte("a")}, {Code: 42, Data: []byte{1}}}
	got := network.Merge(base, []network.Option{{Code: 66, Data: []byte("b")}, {Code: 150, Data: []byte{2}}})
	if len(got) != 3 || string(got[0].Data) != "b" || got[2].Code != 150 {
		t.Errorf("Merge = %v", got)
	}
	if string(base[0].Data) != "a" {
		t.Error("Merge changed what it was given")
	}
}
