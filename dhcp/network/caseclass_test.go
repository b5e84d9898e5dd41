package network_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

func classCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-CLS-01": goldenVendorClasses,
		"D-CLS-02": func(t *caseT) {
			s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
				{ID: "aastra", Match: []network.Match{{VendorClass: []string{"AastraIPPhone*"}}, {MAC: []string{"00:08:5d", "08000f"}, VendorClass: []string{""}}}},
			}})
			for _, tt := range []struct {
				hw, class string
				want      int
			}{
				{"00:08:5d:aa:bb:01", "", 1},
				{"08:00:0f:aa:bb:01", "", 1},
				{"00:08:5e:aa:bb:01", "", 0},
				{"00:08:5d:aa:bb:01", "MSFT 5.0", 0}, // D-CLS-03: what it says of itself goes over whose address it has
				{"00:15:65:aa:bb:01", "AastraIPPhone6731i", 1},
			} {
				c := s.Choose(s.Get("voice"), network.Facts{HW: mac(tt.hw), VendorClass: tt.class})
				if len(c.Classes) != tt.want {
					t.Errorf("%s %q: classes %v, want %d", tt.hw, tt.class, c.Classes, tt.want)
				}
			}
		},
		"D-CLS-03": func(t *caseT) {
			snom, yealink := vendorClass("snom", "snom*"), network.Class{ID: "yealink", Match: []network.Match{{MAC: []string{"00:15:65"}}}}
			snom.Options, yealink.Options = []network.Option{opt("66", "for snom")}, []network.Option{opt("66", "for yealink")}
			s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{snom, yealink}})
			c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01"), VendorClass: "snomD785"})
			if got := data(c.Options, 66); got != "for snom" {
				t.Errorf("option 66 is %q, want that of the vendor class, declared first", got)
			}
		},
		"D-CLS-04": predicates,
		"D-CLS-05": func(t *caseT) {
			for pattern, want := range map[string]string{
				`re:(`: "no regular expression", "re:" + strings.Repeat("(", 200): "no regular expression", `a\`: "ends with a backslash",
				"hex:0g": "pairs of hexadecimal digits", "hex:012": "pairs", strings.Repeat("a", 300): "too long",
			} {
				f := wantFault(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
					vendorClass("fine", "x"), vendorClass("broken", "x", pattern),
				}}, want)
				if f.Path != "classes[1].match[0]" || !strings.HasPrefix(f.Text, "class broken: match 1: vendor class: ") {
					t.Errorf("%q: fault at %s: %s", pattern, f.Path, f.Text)
				}
			}
		},
		"D-CLS-06": func(t *caseT) {
			n := voice()
			n.Pools[0].Only = []network.ClassID{"known"}
			n.Pools = append(n.Pools, network.Pool{First: addr("192.0.2.150"), Last: addr("192.0.2.160"), Not: []network.ClassID{"known"}})
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{
				{ID: "known", Match: []network.Match{{Known: network.Yes}}},
			}})
			for known, want := range map[bool]string{true: "192.0.2.50-192.0.2.99", false: "192.0.2.150-192.0.2.160"} {
				c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01"), Known: known})
				if len(c.Pools) != 1 || c.Pools[0].String() != want {
					t.Errorf("known %t: pools %v, want %s", known, c.Pools, want)
				}
			}
		},
		"D-CLS-07": func(t *caseT) {
			guests := vendorClass("guests", "android*", "*MSFT*")
			guests.Refuse = true
			n := voice()
			n.Reservations = []network.Reservation{{HW: mac("00:15:65:aa:bb:01"), Addr: addr("192.0.2.20")}}
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{vendorClass("all", "*"), guests}})
			c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01"), VendorClass: "MSFT 5.0"})
			if c.Refuse != "class guests: refused" || c.Pools != nil || c.Options != nil || c.Reservation != nil {
				t.Errorf("choice is %+v, want a refusal and nothing else", c)
			}
			if _, ok := c.After(); ok {
				t.Error("there is a network after a refusal")
			}
			if c, ok := c.In(addr("192.0.2.20")); !ok || c.Refuse != "class guests: refused" {
				t.Errorf("by address: refuse is %q", c.Refuse)
			}
		},
		"D-CLS-08": func(t *caseT) {
			n := voice()
			n.Pools = append(n.Pools, network.Pool{First: addr("192.0.2.150"), Last: addr("192.0.2.150"), Only: []network.ClassID{"snom"}})
			n.Pools[0].Not = []network.ClassID{"snom"}
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{vendorClass("snom", "snom*")}})
			c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:04:13:aa:bb:01"), VendorClass: "snom720"})
			if len(c.Pools) != 1 || c.Pools[0].First != addr("192.0.2.150") {
				t.Errorf("pools %v, want only the class's", c.Pools)
			}
			if _, ok := c.After(); ok {
				t.Error("it falls over to another network")
			}
		},
		"D-CLS-10": func(t *caseT) {
			s, f := manyClasses(t)
			n := s.Get("voice")
			best := time.Hour // of several: other tests run beside this one
			for range 20 {
				start := time.Now()
				s.Choose(n, f)
				best = min(best, time.Since(start))
			}
			if best > slower*200*time.Microsecond {
				t.Errorf("200 classes take %s, want at most 200µs", best)
			}
		},
	}
}

// manyClasses has 200 classes that look at everything and of which the last fits.
func manyClasses(t testing.TB) (*network.Set, network.Facts) {
	t.Helper()
	d := network.Declared{Networks: []network.Network{voice()}}
	for i := range 200 {
		k := network.Class{ID: network.ClassID(fmt.Sprintf("class%d", i)), Match: []network.Match{
			{VendorClass: []string{fmt.Sprintf("*Cisco*IP*Phone*CP-%dG", 7000+i)}},
			{MAC: []string{"00:04:13"}, VendorClass: []string{""}},
			{UserClass: []string{"*x*"}, Hostname: []string{"SEP*"}},
			{Circuit: []string{"hex:0004*"}},
		}, Options: []network.Option{opt("66", "192.0.2.1")}}
		if i%10 == 9 {
			k.Match = append(k.Match, network.Match{VendorClass: []string{`re:^Polycom-(VVX|SPIP)\d+$`}})
		}
		d.Classes = append(d.Classes, k)
	}
	s, err := network.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return s, network.Facts{
		HW: mac("00:1b:d4:aa:bb:01"), VendorClass: "Cisco Systems, Inc. IP Phone CP-7199G\x00",
		Hostname: "SEP001BD4AABB01", Params: []uint8{1, 66, 6, 3, 15, 150, 35},
	}
}

// goldenVendorClasses classifies what phones say of themselves in option 60. The classes are those that answer with the
// same options.
func goldenVendorClasses(t *caseT) {
	s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
		vendorClass("cisco-3pcc", "*CP-????-3PCC"),
		vendorClass("cisco-spa", "Cisco SPA*", "*IP Phone SPA*", "CISCO SPA1?2"),
		vendorClass("cisco", "Cisco System*", "CISCO ATA*"),
		vendorClass("linksys", "LINKSYS SPA*"),
		vendorClass("aastra", "AastraIPPhone*"), vendorClass("mitel", "MitelIPPhone*", "ipphone.mitel.com"),
		vendorClass("alcatel-noe", "alcatel.noe.0"), vendorClass("alcatel", "alcatel.sip.0", "aledevice", "*ictouch.0"),
		vendorClass("nortel-sip", "Nortel-SIP*"), vendorClass("nortel", "Nortel*"), vendorClass("avaya", "ccp.avaya.com"),
		vendorClass("digium", "re:^digium_D[457]0"), vendorClass("gigaset", `re:^(C470|S675|C590)_?IP`, "Gigaset_*"),
		vendorClass("panasonic", "Panasonic"), vendorClass("patton", `re:^SN4[1-3]\d\d`), vendorClass("snom", "snom*"),
		vendorClass("thomson", "??Thomson&ST20*"), vendorClass("polycom", "hex:0000363d*", "Poly*"),
		vendorClass("grandstream", "Grandstream*", "HT8XX*"), vendorClass("yealink", "yealink"),
	}})
	for _, tt := range vendorClasses() {
		c := s.Choose(s.Get("voice"), network.Facts{HW: mac("00:15:65:aa:bb:01"), VendorClass: tt.said})
		var got network.ClassID
		if len(c.Classes) > 0 {
			got = c.Classes[0]
		}
		if got != tt.class {
			t.Errorf("%q is in %q (of %v), want %q", tt.said, got, c.Classes, tt.class)
		}
	}
}

func vendorClasses() []struct {
	said  string
	class network.ClassID
} {
	var out []struct {
		said  string
		class network.ClassID
	}
	for _, group := range []struct {
		class network.ClassID
		said  []string
	}{
		{"aastra", []string{"AastraIPPhone6731i", "AastraIPPhone6755i", "AastraIPPhone6873i", "AastraIPPhone51i", "AastraIPPhone9143i", "aastraipphone57i"}},
		{"mitel", []string{"MitelIPPhone6920", "ipphone.mitel.com\x00"}},
		{"alcatel-noe", []string{"alcatel.noe.0"}},
		{"alcatel", []string{"alcatel.sip.0", "aledevice", "ictouch.0", "alcatel.ictouch.0"}},
		{"cisco", []string{
			"Cisco Systems, Inc. IP Phone\x00", "Cisco Systems, Inc.", "Cisco Systems, Inc. IP Phone 7905", "Cisco Systems, Inc. IP Phone 7912",
			"Cisco Systems, Inc. IP Phone CP-7940G\x00", "Cisco Systems, Inc. IP Phone CP-7961G-GE\x00", "Cisco Systems, Inc. IP Phone CP-7937G",
			"Cisco Systems, Inc. IP Phone CP-8941", "Cisco Systems, Inc. IP Phone CP-9951\x00", "Cisco Systems Inc. Wireless Phone 7921",
			"Cisco System, Inc. IP Phone CP-7971G-GE", "CISCO ATA190", "CISCO ATA191-MPP", "CISCO ATA192-MPP", "Cisco Systems, Inc. IP Phone 7920\x00",
		}},
		{"cisco-3pcc", []string{"Cisco Systems, Inc. IP Phone CP-8841-3PCC\x00", "CP-6821-3PCC", "CP-7832-3PCC\x00"}},
		{"cisco-spa", []string{"Cisco SPA303", "Cisco SPA504G", "Cisco SPA525g", "Cisco SPA525G2", "Cisco Systems, Inc. IP Phone SPA509G", "CISCO SPA112", "CISCO SPA122"}},
		{"linksys", []string{"LINKSYS SPA-942", "LINKSYS SPA-3102", "LINKSYS SPA8000"}},
		{"digium", []string{"digium_D40_1_4_0", "digium_D70"}},
		{"gigaset", []string{"C470IP", "C470_IP", "S675IP021", "C590_IP", "Gigaset_N720_DM_PRO"}},
		{"nortel-sip", []string{"Nortel-SIP-Phone-A", "Nortel-SIP-Phone-B"}},
		{"nortel", []string{"Nortel-i2004-A"}},
		{"avaya", []string{"ccp.avaya.com"}},
		{"panasonic", []string{"Panasonic"}},
		{"patton", []string{"SN4112", "SN4332/4FXS"}},
		{"polycom", []string{"\x00\x00\x36\x3d\x1d\x01\x07Polycom\x02\x12SoundPointIP-SPIP_", "Polycom-VVX400", "Poly-TRIO"}},
		{"snom", []string{"snom300", "snomD785", "snomMP", "snomM700", "snom-m3-SIP/02.11//18-Aug-10 15:36"}},
		{"thomson", []string{"\x11\x0fThomson&ST2030S", "\x11\x0fThomson&ST2022S"}},
		{"grandstream", []string{"Grandstream GXP2160 dslforum.org", "HT8XX dslforum.org"}},
		{"yealink", []string{"yealink", "Yealink\x00\x00"}},
		{"", []string{"", "MSFT 5.0", "android-dhcp-13", "dhcpcd-9.4.1:Linux", "not a snom300", "udhcp 1.36", "\x00", "XCP-8841-3PCCX"}},
	} {
		for _, said := range group.said {
			out = append(out, struct {
				said  string
				class network.ClassID
			}{said, group.class})
		}
	}
	return out
}

// predicates tries each condition with facts that fit, that don't, and that are absent.
func predicates(t *caseT) {
	vivco := func(number byte, text string) map[uint8][]byte {
		return map[uint8][]byte{124: append([]byte{0, 0, 0, number, byte(len(text))}, text...)}
	}
	for _, tt := range []struct {
		name      string
		match     network.Match
		yes, no   network.Facts
		absentFit bool
	}{
		{"user class", network.Match{UserClass: []string{"voip*"}}, network.Facts{UserClass: "data,VoIP-phone"}, network.Facts{UserClass: "data"}, false},
		{"client id", network.Match{ClientID: []string{"hex:ff00000001*"}}, network.Facts{ClientID: "\xff\x00\x00\x00\x01\x02"}, network.Facts{ClientID: "\x01\x00"}, false},
		{"hostname", network.Match{Hostname: []string{"sep*"}}, network.Facts{Hostname: "SEP0011"}, network.Facts{Hostname: "pc"}, false},
		{"circuit", network.Match{Circuit: []string{"ge-0/0/*"}}, network.Facts{Circuit: "ge-0/0/7"}, network.Facts{Circuit: "GE-0/0/7"}, false},
		{"remote id", network.Match{Remote: []string{"hex:0102"}}, network.Facts{Remote: "\x01\x02"}, network.Facts{Remote: "\x01\x02\x03"}, false},
		{"interface", network.Match{Interface: []string{"eth0.20"}}, network.Facts{Interface: "eth0.20"}, network.Facts{Interface: "eth0"}, false},
		{"vendor", network.Match{Vendor: []string{"yealink", "snom"}}, network.Facts{Vendor: "Snom"}, network.Facts{Vendor: "Cisco"}, false},
		{"any vendor", network.Match{Vendor: []string{"*"}}, network.Facts{Vendor: "Snom"}, network.Facts{}, false},
		{"relay", network.Match{Relay: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, network.Facts{Relay: addr("198.51.100.9")}, network.Facts{Relay: addr("203.0.113.9")}, false},
		{"mac", network.Match{MAC: []string{"0004.13e2"}}, network.Facts{HW: mac("00:04:13:e2:00:01")}, network.Facts{HW: mac("00:04:13:e1:00:01")}, false},
		{"made-up mac", network.Match{Local: network.Yes}, network.Facts{HW: mac("02:04:13:e2:00:01")}, network.Facts{HW: mac("00:04:13:e1:00:01")}, false},
		{"no made-up mac", network.Match{Local: network.No}, network.Facts{HW: mac("00:04:13:e1:00:01")}, network.Facts{HW: mac("02:04:13:e2:00:01")}, true},
		{"known", network.Match{Known: network.Yes}, network.Facts{Known: true}, network.Facts{}, false},
		{"unknown", network.Match{Known: network.No}, network.Facts{}, network.Facts{Known: true}, true},
		{"asks", network.Match{Asks: []uint8{43, 160}}, network.Facts{Params: []uint8{1, 160}}, network.Facts{Params: []uint8{1, 66}}, false},
		{"option 93", network.Match{Options: []network.OptionMatch{{Code: 93, Pattern: "hex:0007"}}}, network.Facts{Options: map[uint8][]byte{93: {0, 7}}}, network.Facts{Options: map[uint8][]byte{93: {0, 0}}}, false},
		{"option 97", network.Match{Options: []network.OptionMatch{{Code: 97, Pattern: "hex:00dead*"}}}, network.Facts{Options: map[uint8][]byte{97: {0, 0xde, 0xad, 1}}}, network.Facts{Options: map[uint8][]byte{97: {1, 0xde, 0xad}}}, false},
		{"option 124", network.Match{Enterprise: []network.EnterpriseMatch{{Number: 9, Pattern: "CP-*"}}}, network.Facts{Options: vivco(9, "CP-8841")}, network.Facts{Options: vivco(8, "CP-8841")}, false},
		{"option 125", network.Match{Enterprise: []network.EnterpriseMatch{{Number: 3561}}}, network.Facts{Options: map[uint8][]byte{125: {0, 0, 13, 233, 1, 0}}}, network.Facts{Options: map[uint8][]byte{125: {0, 0, 13, 233, 9}}}, false},
		{"all must hold", network.Match{Vendor: []string{"snom"}, Known: network.Yes}, network.Facts{Vendor: "snom", Known: true}, network.Facts{Vendor: "snom"}, false},
		{"in", network.Match{In: []network.ClassID{"earlier"}}, network.Facts{Hostname: "earlier"}, network.Facts{Hostname: "x"}, false},
		{"not in", network.Match{Not: []network.ClassID{"earlier"}}, network.Facts{Hostname: "x"}, network.Facts{Hostname: "earlier"}, true},
		{"question mark", network.Match{Hostname: []string{"a?c*x?z"}}, network.Facts{Hostname: "abc-xxyz"}, network.Facts{Hostname: "abc-xz"}, false},
		{"stars take no byte twice", network.Match{Hostname: []string{"ab*bc"}}, network.Facts{Hostname: "abbc"}, network.Facts{Hostname: "abc"}, false},
		{"escaped star", network.Match{Hostname: []string{`a\*`}}, network.Facts{Hostname: "a*"}, network.Facts{Hostname: "ab"}, false},
		{"middle", network.Match{Hostname: []string{"*b?*d*"}}, network.Facts{Hostname: "abcd"}, network.Facts{Hostname: "abd"}, false},
	} {
		s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
			{ID: "earlier", Match: []network.Match{{Hostname: []string{"earlier"}}}}, {ID: "it", Match: []network.Match{tt.match}},
		}})
		for _, try := range []struct {
			facts network.Facts
			want  bool
		}{{tt.yes, true}, {tt.no, false}, {network.Facts{}, tt.absentFit}} {
			if got := slices.Contains(s.Choose(s.Get("voice"), try.facts).Classes, "it"); got != try.want {
				t.Errorf("%s, %+v: in the class is %t, want %t", tt.name, try.facts, got, try.want)
			}
		}
	}
}
