package dhcp

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// theirs is a server of somebody else's on the link that is observed.
var theirs = hwaddr.MustParse("02:00:00:00:00:fe")

// ears is an observer on a link where another server leases 203.0.113.0/24, beside the networks of site.
type ears struct {
	*lab
	*Observer
}

func newEars(t *testing.T) *ears {
	t.Helper()
	e := &ears{lab: newLab(t)}
	e.Observer = &Observer{
		External: &External{Table: e.table, Networks: &e.nets, Foreign: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
		Log:      slog.New(slog.DiscardHandler),
	}
	return e
}

// says has a client send a message to all.
func (e *ears) says(hw hwaddr.Addr, kind byte, opts ...[]byte) {
	e.hear(e.t.Context(), "eth9", frame(hw, somebody(), netip.MustParseAddrPort("0.0.0.0:68"),
		netip.MustParseAddrPort("255.255.255.255:67"), client(hw, kind, opts...).bytes()))
}

// reply has the other server answer.
func (e *ears) reply(hw hwaddr.Addr, kind byte, addr string, xid string, opts ...[]byte) {
	p := client(hw, kind, opts...)
	p.op, p.yi = 2, ip(addr)
	b := p.bytes()
	copy(b[4:], xid)
	e.hear(e.t.Context(), "eth9", frame(theirs, somebody(), netip.MustParseAddrPort("203.0.113.1:67"),
		netip.MustParseAddrPort("255.255.255.255:68"), b))
}

// arp has a host ask for the router, from an address.
func (e *ears) arp(hw hwaddr.Addr, from string) {
	b := arpProbe(hw, ip("203.0.113.1"))
	copy(b[etherHeader+14:], ip(from).AsSlice())
	e.hear(e.t.Context(), "eth9", b)
}

func (e *ears) holds(what, addr string, hw hwaddr.Addr, left time.Duration) lease.Lease {
	e.t.Helper()
	l, ok := e.table.ByAddr(ip(addr))
	if l.Client.HW != hw || ok == hw.IsZero() {
		e.t.Errorf("%s: %s is %q's, want %q", what, addr, l.Client.HW, hw)
	}
	if ok && (l.Origin != lease.External || l.Expiry.Sub(e.table.Now()).Round(time.Second) != left) {
		e.t.Errorf("%s: origin %s, %s left; want external and %s", what, l.Origin, l.Expiry.Sub(e.table.Now()), left)
	}
	return l
}

func wanted(addr string) []byte { return opt(optRequested, ip(addr).AsSlice()...) }

// outbox returns all events.
func (e *ears) outbox() []lease.Event {
	var list []lease.Event
	for ev, err := range e.store.Events(e.t.Context(), 0) {
		if err != nil {
			e.t.Error(err)
		}
		list = append(list, ev)
	}
	return list
}

func lasting(n uint32) []byte { return opt(optLifetime, binary.BigEndian.AppendUint32(nil, n)...) }

func inBubble(t *testing.T, body func(t *testing.T, e *ears)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { body(t, newEars(t)) })
}

func TestObserve(t *testing.T) {
	t.Parallel()
	const addr, addr2 = "203.0.113.7", "203.0.113.8"
	class := opt(optVendorClass, []byte("yealink")...)
	cases := map[string]func(t *testing.T, e *ears){
		"an answer to all": func(_ *testing.T, e *ears) {
			e.says(phone, request3, wanted(addr), class)
			e.holds("before the answer", addr, hwaddr.Addr{}, 0)
			e.reply(phone, 5, addr, testXID, lasting(600))
			if l := e.holds("after it", addr, phone, 10*time.Minute); l.Client.VendorClass != "yealink" || l.Network != "203.0.113.0/24" {
				e.t.Errorf("lease %+v", l)
			}
			e.pass(11 * time.Minute)
			e.holds("when it has run out", addr, hwaddr.Addr{}, 0)
		},
		"an answer that we can't hear, and the client's ARP": func(_ *testing.T, e *ears) {
			e.says(phone, request3, wanted(addr), class)
			e.arp(phone2, addr)
			e.holds("somebody else's ARP", addr, hwaddr.Addr{}, 0)
			e.arp(phone, addr2)
			e.holds("ARP from another address", addr2, hwaddr.Addr{}, 0)
			e.arp(phone, addr)
			e.holds("its own", addr, phone, assumed)
			e.pass(assumed/2 + time.Minute)
			e.arp(phone2, addr)
			e.holds("somebody else's later", addr, phone, assumed/2-time.Minute)
			e.arp(phone, addr)
			e.holds("its own later", addr, phone, assumed)
			e.pass(assumed + time.Minute)
			e.arp(phone, addr)
			e.holds("its own, when the lease was thought to be over", addr, phone, assumed)
		},
		"an ARP too late": func(_ *testing.T, e *ears) {
			e.says(phone, request3, wanted(addr))
			e.pass(askedFor + time.Second)
			e.arp(phone, addr)
			e.holds("long after the request", addr, hwaddr.Addr{}, 0)
		},
		"an ARP alone": func(_ *testing.T, e *ears) {
			e.arp(phone, addr)
			e.holds("a static address is no lease", addr, hwaddr.Addr{}, 0)
		},
		"answers that count for nothing": func(_ *testing.T, e *ears) {
			e.reply(phone, 5, addr, testXID)
			e.holds("without a request", addr, hwaddr.Addr{}, 0)
			e.says(phone, request3, wanted(addr))
			e.reply(phone, 5, addr, "abcd")
			e.holds("to another request", addr, hwaddr.Addr{}, 0)
			e.reply(phone, 2, addr, testXID)
			e.holds("an offer", addr, hwaddr.Addr{}, 0)
			e.reply(phone, 6, addr, testXID)
			e.reply(phone, 5, addr, testXID)
			e.arp(phone, addr)
			e.holds("a refusal ends it", addr, hwaddr.Addr{}, 0)
			e.says(phone, inform8)
			e.reply(phone, 5, addr, testXID)
			e.holds("D-INF-07: of an INFORM", addr, hwaddr.Addr{}, 0)
		},
		"a client gives its address back": func(_ *testing.T, e *ears) {
			e.says(phone, request3, wanted(addr))
			e.reply(phone, 5, addr, testXID, lasting(600))
			e.says(phone2, decline4, wanted(addr))
			e.holds("another one can't", addr, phone, 10*time.Minute)
			e.says(phone, decline4, wanted(addr))
			e.holds("it can", addr, hwaddr.Addr{}, 0)
			e.arp(phone, addr)
			e.holds("and has not got it again by ARP", addr, hwaddr.Addr{}, 0)
		},
		"an address changes hands": func(_ *testing.T, e *ears) {
			e.says(phone, request3, wanted(addr))
			e.reply(phone, 5, addr, testXID, lasting(600))
			e.says(phone, request3, wanted(addr2))
			e.reply(phone, 5, addr2, testXID, lasting(600))
			e.holds("its former one", addr, hwaddr.Addr{}, 0)
			e.says(phone2, request3, wanted(addr))
			e.reply(phone2, 5, addr, testXID, lasting(infinite))
			e.holds("to another client, for ever", addr, phone2, longest)
			e.holds("the first client's", addr2, phone, 10*time.Minute)
		},
		"of another link": func(_ *testing.T, e *ears) {
			for _, a := range []string{"192.0.2.20", "198.51.100.20", "203.0.114.1"} {
				e.says(phone, request3, wanted(a))
				e.reply(phone, 5, a, testXID, lasting(600))
				e.holds("forged on this one", a, hwaddr.Addr{}, 0)
			}
		},
		"a flood": func(_ *testing.T, e *ears) {
			for i := range 3 * maxAsked {
				hw := hwaddr.Addr{2, 0, 0, 0, byte(i >> 8), byte(i)}
				a := netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i%250)}).String()
				e.says(hw, request3, wanted(a))
				e.reply(hw, 5, a, testXID, lasting(600))
			}
			for i := range 2 * maxAsked {
				e.says(hwaddr.Addr{2, 0, 0, 1, byte(i >> 8), byte(i)}, request3, wanted(addr))
			}
			if n, commits := len(e.asked), len(e.outbox()); n > maxAsked || commits > 3*heardBurst {
				e.t.Errorf("%d requests are remembered, %d events were written", n, commits)
			}
		},
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, body)
		})
	}
}

func TestTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEars(t)
		x, ctx := e.External, t.Context()
		told := func(addr string, hw hwaddr.Addr, state lease.State, life time.Duration) (lease.Lease, error) {
			l := lease.Lease{Addr: ip(addr), State: state, Client: lease.Client{HW: hw}}
			if life != 0 {
				l.Expiry = e.table.Now().Add(life)
			}
			return x.Tell(ctx, l)
		}
		if _, err := e.table.Bind(ctx, lease.Scope{Network: e.set.Get("voice"), Pools: e.set.Pools("voice"), Lifetime: time.Hour},
			lease.Client{HW: phone}, ip("192.0.2.10")); err != nil {
			t.Fatal(err)
		}
		before := len(e.outbox())
		_, err := told("192.0.2.10", phone2, lease.Bound, time.Hour)
		if !errors.Is(err, lease.ErrTaken) || !strings.Contains(err.Error(), phone.String()) || !strings.Contains(err.Error(), phone2.String()) {
			t.Errorf("an address that we leased to another client: %v", err)
		}
		if l, err := told("192.0.2.10", phone, lease.Bound, 9*time.Hour); err != nil || l.Origin != lease.Pool {
			t.Errorf("one that we leased to that client: %+v, %v", l, err)
		}
		if l, err := told("192.0.2.10", phone, lease.Released, 0); err != nil || !l.Active(e.table.Now()) {
			t.Errorf("its end: %+v, %v", l, err)
		}
		for _, bad := range []struct {
			addr string
			hw   hwaddr.Addr
		}{
			{"192.0.2.255", phone},
			{"192.0.3.1", phone},
			{"203.0.113.9", hwaddr.Addr{}},
			{"203.0.113.9", somebody()},
		} {
			if _, err := told(bad.addr, bad.hw, lease.Bound, time.Hour); !errors.Is(err, lease.ErrWrongNet) {
				t.Errorf("%s for %q: %v", bad.addr, bad.hw, err)
			}
		}
		if n := len(e.outbox()); n != before {
			t.Errorf("%d events of what was refused", n-before)
		}
		full := lease.Client{HW: phone2, VendorClass: "yealink", Hostname: "desk", ID: "\x01x", Params: []uint8{1, 66}}
		if _, err := x.Tell(ctx, lease.Lease{Addr: ip("192.0.2.30"), State: lease.Bound, Client: full}); err != nil {
			t.Fatal(err)
		}
		n := len(e.outbox())
		l, err := told("192.0.2.30", phone2, lease.Bound, 0)
		if err != nil || !sameClient(l.Client, full) || l.Network != "voice" || len(e.outbox()) != n {
			t.Errorf("told again with less: %+v, %v, %d events", l, err, len(e.outbox())-n)
		}
		if l, err = told("192.0.2.30", hwaddr.Addr{}, lease.Expired, 0); err != nil || l.Active(e.table.Now()) || l.Client.HW != phone2 {
			t.Errorf("its end, without saying whose: %+v, %v", l, err)
		}
		if _, err = told("192.0.2.30", hwaddr.Addr{}, lease.Released, 0); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

// S05: what is forged on the link by somebody who isn't the server takes nothing from a client of ours.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S05", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, e *ears) {
			e.networks(network.Network{
				ID: "office", Prefix: netip.MustParsePrefix("203.0.113.0/24"), Interface: "eth9",
				Pools: []network.Pool{{First: ip("203.0.113.10"), Last: ip("203.0.113.99")}},
			})
			if _, err := e.table.Bind(t.Context(), lease.Scope{Network: e.set.Get("office"), Pools: e.set.Pools("office"), Lifetime: time.Hour},
				lease.Client{HW: phone}, ip("203.0.113.10")); err != nil {
				t.Fatal(err)
			}
			e.says(phone2, request3, wanted("203.0.113.10"))
			e.reply(phone2, 5, "203.0.113.10", testXID, lasting(600))
			e.says(phone, decline4, wanted("203.0.113.10"))
			if l, ok := e.table.ByAddr(ip("203.0.113.10")); !ok || l.Client.HW != phone || l.Origin != lease.Pool {
				t.Errorf("the phone's lease became %+v", l)
			}
		})
	})
}

func FuzzObserve(f *testing.F) {
	f.Add(frame(phone, somebody(), netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"),
		client(phone, request3, wanted("203.0.113.7")).bytes()))
	f.Add(arpProbe(phone, ip("203.0.113.7")))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &ears{lab: newLab(t)}
		e.Observer = &Observer{External: &External{Table: e.table, Networks: &e.nets}, Log: slog.New(slog.DiscardHandler)}
		e.hear(t.Context(), "eth9", b)
	})
}
