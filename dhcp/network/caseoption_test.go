package network_test

import (
	"bytes"
	"maps"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

func optionCases() map[string]func(*caseT) {
	cases := map[string]func(*caseT){
		"D-OPT-06": func(t *caseT) {
			old := vendorClass("old", "PXEClient*")
			old.NUL = true
			n := voice()
			n.Options = append(n.Options, opt("66", "pbx"), opt("67", "boot"), opt("12", "host"), opt("15", "example"))
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{old}})
			for class, end := range map[string]string{"yealink": "", "PXEClient:Arch:00000": "\x00"} {
				c := s.Choose(s.Get("voice"), network.Facts{VendorClass: class})
				for code, want := range map[uint8]string{66: "pbx", 67: "boot", 12: "host", 15: "example"} {
					if got := data(c.Options, code); got != want+end {
						t.Errorf("%s: option %d is %q, want %q", class, code, got, want+end)
					}
				}
				if got := data(c.Options, 3); len(got) != 4 {
					t.Errorf("%s: option 3 is %x", class, got)
				}
			}
			if again := s.Choose(s.Get("voice"), network.Facts{}); data(again.Options, 66) != "pbx" {
				t.Error("the NUL has got into what is declared")
			}
		},
		"D-OPT-09": func(t *caseT) {
			for _, at := range []func(*network.Declared, string, string){
				func(d *network.Declared, sname, file string) { d.Sname, d.File = sname, file },
				func(d *network.Declared, sname, file string) { d.Classes[0].Sname, d.Classes[0].File = sname, file },
				func(d *network.Declared, sname, file string) { d.Networks[0].Sname, d.Networks[0].File = sname, file },
				func(d *network.Declared, sname, file string) {
					d.Networks[0].Reservations = []network.Reservation{{HW: mac("00:15:65:aa:bb:01"), Addr: addr("192.0.2.20"), Sname: sname, File: file}}
				},
			} {
				d := network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{vendorClass("a", "a")}}
				at(&d, strings.Repeat("s", 63), strings.Repeat("f", 127))
				newSet(t, d)
				at(&d, strings.Repeat("s", 64), "")
				wantFault(t, d, "sname has 64 bytes; 63 are the most")
				at(&d, "", strings.Repeat("f", 128))
				wantFault(t, d, "file has 128 bytes; 127 are the most")
			}
		},
		"D-OPT-10": func(t *caseT) {
			d := network.Declared{Next: addr("203.0.113.1"), File: "all", Networks: []network.Network{voice()}, Classes: []network.Class{vendorClass("snom", "snom")}}
			n := &d.Networks[0]
			facts := network.Facts{HW: mac("00:04:13:aa:bb:01"), VendorClass: "snom"}
			check := func(want, file string) {
				t.Helper()
				s := newSet(t, d)
				if c := s.Choose(s.Get("voice"), facts); c.Next != addr(want) || c.File != file {
					t.Errorf("next %s, file %q; want %s, %q", c.Next, c.File, want, file)
				}
			}
			check("203.0.113.1", "all")
			n.Next = addr("203.0.113.2")
			check("203.0.113.2", "all")
			n.Reservations = []network.Reservation{{HW: facts.HW, Addr: addr("192.0.2.20"), Next: addr("203.0.113.3"), File: "own"}}
			check("203.0.113.3", "own")
			d.Classes[0].Next = addr("203.0.113.4")
			check("203.0.113.4", "own")
		},
		"D-OPT-18": func(t *caseT) {
			first, second := vendorClass("first", "snom*"), vendorClass("second", "*")
			first.Options, second.Options = []network.Option{opt("43", "01")}, []network.Option{opt("43", "02"), opt("15", "example")}
			d := network.Declared{Options: []network.Option{opt("43", "00")}, Networks: []network.Network{voice()}, Classes: []network.Class{first, second}}
			d.Networks[0].Reservations = []network.Reservation{{HW: mac("00:04:13:aa:bb:09"), Addr: addr("192.0.2.20"), Options: []network.Option{opt("43", "03")}}}
			s := newSet(t, d)
			for _, tt := range []struct{ hw, class, want string }{
				{"00:04:13:aa:bb:01", "snom720", "\x01"}, {"00:04:13:aa:bb:01", "other", "\x02"}, {"00:04:13:aa:bb:01", "", "\x00"}, {"00:04:13:aa:bb:09", "snom720", "\x03"},
			} {
				if c := s.Choose(s.Get("voice"), network.Facts{HW: mac(tt.hw), VendorClass: tt.class}); data(c.Options, 43) != tt.want {
					t.Errorf("%s %q: option 43 is %x, want %x", tt.hw, tt.class, data(c.Options, 43), tt.want)
				}
			}
		},
		"D-OPT-19": func(t *caseT) {
			n := voice()
			n.Options = append(n.Options, opt("125", "3561 1 text http://192.0.2.1/\n1027 text id:ipphone.mitel.com"))
			s := newSet(t, network.Declared{Networks: []network.Network{n}})
			acs := "\x00\x00\x0d\xe9\x13\x01\x11http://192.0.2.1/"
			mitel := "\x00\x00\x04\x03\x14id:ipphone.mitel.com"
			for _, tt := range []struct {
				name   string
				client map[uint8][]byte
				want   string
			}{
				{"names none", nil, acs + mitel},
				{"names one", map[uint8][]byte{125: {0, 0, 0x0d, 0xe9, 0}}, acs},
				{"names the other in 124", map[uint8][]byte{124: {0, 0, 4, 3, 1, 'x'}}, mitel},
				{"names both", map[uint8][]byte{124: {0, 0, 4, 3, 0}, 125: {0, 0, 0x0d, 0xe9, 0}}, acs + mitel},
				{"names a third", map[uint8][]byte{124: {0, 0, 0, 9, 0}}, "(none)"},
			} {
				if got := data(s.Choose(s.Get("voice"), network.Facts{Options: tt.client}).Options, 125); got != tt.want {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
			}
		},
		"D-OPT-20": func(t *caseT) {
			match := []network.Match{{Enterprise: []network.EnterpriseMatch{{Number: 13885, Pattern: "VVX*"}, {Number: 9}}}}
			s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{{ID: "poly", Match: match}}})
			for said, want := range map[string]int{
				"\x00\x00\x36\x3d\x06VVX400": 1, "\x00\x00\x36\x3d\x04SPIP": 0, "\x00\x00\x00\x09\x00": 1,
				"\x00\x00\x00\x07\x01x\x00\x00\x36\x3d\x04VVX1": 1, // the second of two
				"\x00\x00\x36\x3d\x07VVX400":                    0, // cut short
				"":                                              0,
			} {
				if c := s.Choose(s.Get("voice"), network.Facts{Options: map[uint8][]byte{124: []byte(said)}}); len(c.Classes) != want {
					t.Errorf("%q: classes %v, want %d", said, c.Classes, want)
				}
			}
		},
		"D-OPT-21": func(t *caseT) {
			avaya := vendorClass("avaya", "ccp.avaya.com")
			avaya.Options = []network.Option{opt("242", "HTTPSRVR=192.0.2.1,HTTPDIR=/"), opt("128", "VLAN-A=10;"), opt("176", "MCIPADD=192.0.2.1")}
			s := newSet(t, network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{avaya}})
			if c := s.Choose(s.Get("voice"), network.Facts{VendorClass: "ccp.avaya.com"}); data(c.Options, 242) != "HTTPSRVR=192.0.2.1,HTTPDIR=/" || data(c.Options, 128) != "VLAN-A=10;" {
				t.Errorf("options %v", c.Options)
			}
			if c := s.Choose(s.Get("voice"), network.Facts{VendorClass: "snom"}); option(c.Options, 242) != nil {
				t.Error("another vendor gets option 242")
			}
		},
		"D-OPT-28": inheritance,
		"D-OPT-29": func(t *caseT) {
			silent := vendorClass("silent", "quiet*")
			silent.Options = []network.Option{never(66), never(42)}
			n := voice()
			n.Options = append(n.Options, forced(opt("66", "network")), opt("42", "192.0.2.1"))
			n.Reservations = []network.Reservation{{HW: mac("00:04:13:aa:bb:09"), Addr: addr("192.0.2.20"), Options: []network.Option{opt("66", "own")}}}
			s := newSet(t, network.Declared{Networks: []network.Network{n}, Classes: []network.Class{silent}})
			for _, hw := range []string{"00:04:13:aa:bb:01", "00:04:13:aa:bb:09"} {
				if o := option(s.Choose(s.Get("voice"), network.Facts{HW: mac(hw)}).Options, 66); !o.Force || o.Never {
					t.Errorf("%s: option 66 is %+v, want it always sent", hw, o)
				}
				c := s.Choose(s.Get("voice"), network.Facts{HW: mac(hw), VendorClass: "quiet one"})
				if o := option(c.Options, 66); !o.Never {
					t.Errorf("%s: option 66 is %+v, want it never sent", hw, o)
				}
				if o := option(c.Options, 42); !o.Never {
					t.Errorf("%s: option 42 is %+v, want it never sent", hw, o)
				}
			}
		},
	}
	maps.Copy(cases, valueCases())
	return cases
}

// inheritance takes the levels away from the top, one by one.
func inheritance(t *caseT) {
	facts := network.Facts{HW: mac("00:04:13:aa:bb:01"), VendorClass: "snom"}
	text := func(s string) []network.Option { return []network.Option{opt("66", s)} }
	d := sharedLink()
	d.Options, d.Classes = text("global"), []network.Class{vendorClass("snom", "snom")}
	d.Classes[0].Options = text("class")
	d.Networks[0].Options = text("network")
	d.Networks[0].Pools[0].Options = text("pool")
	d.Networks[0].Reservations = []network.Reservation{{HW: facts.HW, Addr: addr("192.0.2.50"), Options: text("reservation")}}
	for _, level := range []struct {
		want string
		take func()
	}{
		{"reservation", func() { d.Networks[0].Reservations[0].Options = nil }},
		{"pool", func() { d.Networks[0].Pools[0].Options = nil }},
		{"network", func() { d.Networks[0].Options = nil }},
		{"link", func() { d.Shared[0].Options = nil }},
		{"class", func() { d.Classes[0].Options = nil }},
		{"global", func() { d.Options = nil }},
		{"(none)", func() {}},
	} {
		s := newSet(t, d)
		c := s.Choose(s.Get("first"), facts)
		if got := data(c.OptionsAt(addr("192.0.2.50")), 66); got != level.want {
			t.Errorf("option 66 is of the %s, want the %s's", got, level.want)
		}
		if got := data(c.OptionsAt(addr("192.0.2.51")), 66); level.want == "pool" && got != "network" {
			t.Errorf("outside the pool, option 66 is of the %s, want the network's", got)
		}
		level.take()
	}
}

func valueCases() map[string]func(*caseT) {
	encodes := func(key string, values map[string]string) func(*caseT) {
		return func(t *caseT) {
			for value, want := range values {
				if got, err := network.ParseOption(key, value); err != nil || !bytes.Equal(got.Data, []byte(want)) {
					t.Errorf("option %s of %q is %x, %v; want %x", key, value, got.Data, err, want)
				}
			}
		}
	}
	return map[string]func(*caseT){
		"D-OPT-12": func(t *caseT) {
			encodes("121", map[string]string{
				"default 192.0.2.254":                        "\x00\xc0\x00\x02\xfe",
				"10.0.0.0/8 192.0.2.1":                       "\x08\x0a\xc0\x00\x02\x01",
				"10.17.0.0/23 192.0.2.1":                     "\x17\x0a\x11\x00\xc0\x00\x02\x01",
				"10.229.0.128/25 192.0.2.1":                  "\x19\x0a\xe5\x00\x80\xc0\x00\x02\x01",
				"203.0.113.5/32 192.0.2.1":                   "\x20\xcb\x00\x71\x05\xc0\x00\x02\x01",
				"0.0.0.0/0 192.0.2.1":                        "\x00\xc0\x00\x02\x01",
				"10.0.0.0/8 192.0.2.1, default 192.0.2.254,": "\x08\x0a\xc0\x00\x02\x01\x00\xc0\x00\x02\xfe",
			})(t)
			n := voice()
			n.Options = append(n.Options, opt("121", "10.0.0.0/8 192.0.2.1"))
			if w := newSet(t, network.Declared{Networks: []network.Network{n}}).Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "no default route") {
				t.Errorf("warnings %v, want one of the missing default route", w)
			}
			n.Options[1] = opt("121", "10.0.0.0/8 192.0.2.1, default 192.0.2.254")
			if w := newSet(t, network.Declared{Networks: []network.Network{n}}).Warnings(); len(w) != 0 {
				t.Errorf("warnings %v, want none", w)
			}
		},
		"D-OPT-14": func(t *caseT) {
			encodes("120", map[string]string{
				"192.0.2.1, 192.0.2.2":    "\x01\xc0\x00\x02\x01\xc0\x00\x02\x02",
				"sip.example, b.example.": "\x00\x03sip\x07example\x00\x01b\x07example\x00",
			})(t)
			for _, mixed := range []string{"192.0.2.1 sip.example", "sip.example 192.0.2.1", ""} {
				if o, err := network.ParseOption("120", mixed); err == nil {
					t.Errorf("%q gives %x", mixed, o.Data)
				}
			}
			for _, b := range []string{"\x01\xc0\x00\x02", "\x02\xc0\x00\x02\x01", "\x01"} {
				wantFault(t, network.Declared{Options: []network.Option{{Code: 120, Data: []byte(b)}}}, "option 120 (sip-servers)")
			}
		},
		"D-OPT-15": encodes("150", map[string]string{"192.0.2.9 192.0.2.1": "\xc0\x00\x02\x09\xc0\x00\x02\x01"}),
		"D-OPT-17": encodes("43", map[string]string{
			"2 text http://192.0.2.1/Aastra\n3 bool false":           "\x02\x17http://192.0.2.1/Aastra\x03\x01\x00",
			"66 text http://192.0.2.1":                               "\x42\x10http://192.0.2.1",
			"67 text http://192.0.2.1":                               "\x43\x10http://192.0.2.1",
			"text:http://192.0.2.1/":                                 "http://192.0.2.1/",
			"1 text Siemens\n2 uint32 20\n8 hex 4161737472612020":    "\x01\x07Siemens\x02\x04\x00\x00\x00\x14\x08\x08Aastra  ",
			"1 addr 192.0.2.1\n2 flag\n3 domains a.b\n4 uint16s 1 2": "\x01\x04\xc0\x00\x02\x01\x02\x00\x03\x05\x01a\x01b\x00\x04\x04\x00\x01\x00\x02",
			"01:04:c0:00:02:01":                                      "\x01\x04\xc0\x00\x02\x01",
		}),
		"D-OPT-32": func(t *caseT) {
			if o, err := network.ParseOption("43", "text:"+strings.Repeat("x", 600)); err != nil || len(o.Data) != 600 {
				t.Errorf("600 bytes: %d, %v", len(o.Data), err)
			}
			wantFault(t, network.Declared{Options: []network.Option{{Code: 43, Data: make([]byte, 1025)}}}, "too many for a DHCP reply")
		},
		"D-OPT-33": func(t *caseT) {
			newSet(t, network.Declared{Options: []network.Option{{Code: 43}, {Code: 224}}})
			for _, code := range []uint8{3, 6, 12, 15, 42, 66, 119, 120, 121, 125, 150} {
				wantFault(t, network.Declared{Options: []network.Option{{Code: code}}}, "it is empty")
			}
		},
		"D-OPT-34": func(t *caseT) {
			encodes("119", map[string]string{"example.com, voice.example.com": "\x07example\x03com\x00\x05voice\x07example\x03com\x00"})(t)
			for _, bad := range []string{"a..b", strings.Repeat("a", 64), strings.Repeat("abcdefg.", 32) + "x", ""} {
				if o, err := network.ParseOption("119", bad); err == nil {
					t.Errorf("%.30q gives %x", bad, o.Data)
				}
			}
		},
	}
}
