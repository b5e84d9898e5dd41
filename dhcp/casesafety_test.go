package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

var (
	rivalAddr = netip.MustParseAddr("192.0.2.9")
	rivalHW   = hwaddr.MustParse("00:1b:d4:aa:bb:09")
)

// yealinks is a directory that knows one vendor.
type yealinks struct{}

func (yealinks) Known(hwaddr.Addr) bool { return false }

func (yealinks) Vendor(c lease.Client) string {
	if strings.EqualFold(c.VendorClass, "yealink") {
		return "Yealink"
	}
	return ""
}

// made is the hardware address of one of many made-up clients.
func made(i int) hwaddr.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return hwaddr.Addr{0x3c, 0x52, b[0], b[1], b[2], b[3]}
}

// guarded is a lab with limits. Its strangers' share of the 90 addresses is 72.
func guarded(tb testing.TB, newcomers int) *lab {
	tb.Helper()
	l := newLab(tb)
	l.Limits, l.Directory = Limits{Newcomers: newcomers, Share: 80}, yealinks{}
	l.takeCensus(tb.Context())
	return l
}

// problem returns the first problem of a kind, or an empty one.
func (l *lab) problem(kind ProblemKind) Problem {
	for _, p := range l.Problems() {
		if p.Kind == kind {
			return p
		}
	}
	return Problem{}
}

// reply is what another server says to a client.
func reply(kind dhcpv4.MessageType, to []byte, hw hwaddr.Addr, yi netip.Addr) []byte {
	d := client(hw, byte(kind), addr(optServer, rivalAddr), addr(optRouter, rivalAddr), text(optTFTPName, "tftp\n.example.net"),
		addr(optTFTPAddrs, rivalAddr))
	d.op, d.yi = 2, yi
	b := d.bytes()
	copy(b[4:8], to)
	return b
}

// answering is a link on which another server answers every DISCOVER, while it is there.
type answering struct {
	l     *lab
	there atomic.Bool

	mu    sync.Mutex // guards what follows
	asked [][]byte
}

// questions returns what was asked so far.
func (a *answering) questions() [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

func (a *answering) shout(frame []byte) error {
	a.mu.Lock()
	a.asked = append(a.asked, bytes.Clone(frame))
	a.mu.Unlock()
	if a.there.Load() {
		m := frame[frameHeader:]
		a.l.overheard(context.Background(), "eth0", rivalHW, rivalAddr, reply(offer, m[4:8], hwaddr.Addr(m[28:34]), ip("192.0.2.77")))
	}
	return nil
}

// watched is a lab whose link is watched, as it is when the server starts.
func watched(t *caseT, rival bool, nets ...network.Network) (*lab, *answering) {
	t.Helper()
	l := newLab(t, nets...)
	a := &answering{l: l}
	a.there.Store(rival)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	l.watch.link("eth0")
	go l.lookOut(ctx, "eth0", hwaddr.MustParse("00:15:65:00:00:01"), a.shout)
	synctest.Wait()
	return l, a
}

// link is how a broadcast reaches us now.
func (l *lab) link() Ingress {
	ing := direct()
	ing.Standing = l.watch.link("eth0").standing()
	return ing
}

func safetyCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-DISC-19": func(t *caseT) {
			p := newProber(func(netip.Addr) error { return nil })
			for i := range 600 { // 200 a second
				a := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
				go func() { _, _ = p.probe(t.Context(), a) }()
				synctest.Wait()
				p.mu.Lock()
				under, asked := len(p.waiting), p.waiting[a] != nil
				p.mu.Unlock()
				if under > maxProbes {
					t.Fatalf("%d probes under way", under)
				}
				if !asked && p.sighting(a, phone) == Unasked {
					t.Fatalf("client %d waits for a probe that is not made", i)
				}
				if i%200 > 100 {
					<-time.After(5 * time.Millisecond)
				}
			}
			<-time.After(probeFor)
			synctest.Wait()
			if got := p.sighting(netip.AddrFrom4([4]byte{198, 51, 0, 99}), phone); got != Vacant {
				t.Errorf("client 99's address is %d, want it to be offered", got)
			}
		},
		"D-DISC-20": func(t *caseT) {
			l := newLab(t)
			l.pings.Store(nil)
			nets := site()
			nets[1].Probe = true
			l.networks(nets...)
			l.say(client(phone, discover).relayed(relay), byRelay(relay)).want(t, offer) // we may not ping
			for range 3 {
				l.takeCensus(t.Context())
			}
			if p := l.problem(ProblemNoPing); !strings.Contains(p.Text, "CAP_NET_RAW") || len(l.Problems()) != 1 {
				t.Errorf("problems %+v", l.Problems())
			}
		},
		"D-DEC-08": declineCase,
		"D-DEC-11": func(t *caseT) {
			p := newProber(func(netip.Addr) error { return nil })
			a := ip("192.0.2.20")
			_, _ = p.probe(t.Context(), a)
			if p.sighting(a, phone) != Vacant {
				t.Fatal("nobody answered, and yet it is not vacant")
			}
			p.answered(a, phone2) // it says something else to somebody else
			if got := p.sighting(a, phone); got != Unasked {
				t.Errorf("sighting %d, want another probe before it is offered", got)
			}
		},
		"D-LIM-02": starvationCase,
		"D-LIM-03": func(t *caseT) {
			l := guarded(t, 0)
			l.Limits = Limits{}
			held := l.lease(phone)
			before := l.events()
			for i := range 20000 {
				l.say(client(made(i), discover), direct())
			}
			n := 0
			l.table.Each(func(lease.Lease) bool {
				n++
				return true
			})
			if l.events() != before || n > 91 {
				t.Errorf("%d events and %d entries after a flood", l.events()-before, n)
			}
			l.say(renew(phone, held), unicast(held)).want(t, ack)
		},
		"D-LIM-04": func(t *caseT) {
			l, answered := newLab(t), 0
			said := func(hw hwaddr.Addr) Reason {
				m, _, _ := decode(client(hw, discover).bytes())
				start, drop := l.admit(&job{msg: m, ing: direct(), port: &port{}})
				if start != nil {
					l.next(hw)
				}
				return drop
			}
			for i := range 5000 {
				if why := said(phone); why == ReasonNone {
					answered++
				} else if why != ReasonRate {
					t.Fatalf("message %d: %s", i, why)
				}
				if i%50 == 0 {
					<-time.After(100 * time.Millisecond)
				}
				if i%250 == 0 {
					if why := said(phone2); why != ReasonNone {
						t.Fatalf("another client's message beside it: %s", why)
					}
				}
			}
			if answered < perClientBurst || answered > perClientBurst+60 {
				t.Errorf("%d of 5000 messages in 10 s are taken", answered)
			}
		},
		"D-LIM-05": func(t *caseT) {
			l := guarded(t, 60)
			a := l.lease(phone)
			for i := range 100 {
				l.say(client(made(i), release7).from(ip("192.0.2.40")), unicast(ip("192.0.2.41"))).because(t, ReasonSpoofed)
			}
			l.say(client(phone, release7).from(a), unicast(ip("192.0.2.41"))).because(t, ReasonSpoofed)
			kept := 0
			for i := range 500 {
				b := ip("192.0.2.40")
				if l.say(client(made(i), release7).from(b), unicast(b)).v.Reason == ReasonReleases {
					kept++
				}
			}
			if kept < 430 || l.problem(ProblemNewcomers).Text == "" {
				t.Errorf("%d of 500 were ignored; problems %+v", kept, l.Problems())
			}
			if got := l.holder(a); got != phone {
				t.Errorf("%s is held by %s", a, got)
			}
			l.pass(time.Minute)
			l.say(client(phone, release7).from(a), unicast(a)).because(t, ReasonNone)
			if got := l.lease(phone); got != a {
				t.Errorf("after its address was given back, it got %s and not %s", got, a)
			}
		},
		"D-LIM-06": func(t *caseT) {
			l := newLab(t)
			l.lease(phone)
			said := func(hw hwaddr.Addr, kind byte) Reason {
				m, _, _ := decode(client(hw, kind).bytes())
				_, drop := l.admit(&job{msg: m, port: &port{}})
				return drop
			}
			for i := range maxStrangersInHand {
				if why := said(made(i), discover); why != ReasonNone {
					t.Fatalf("message %d: %s", i, why)
				}
			}
			if why := said(made(5000), discover); why != ReasonBusy {
				t.Errorf("a stranger beyond the bound: %s", why)
			}
			for _, hw := range []hwaddr.Addr{phone, fixed} {
				if why := said(hw, request3); why != ReasonNone {
					t.Errorf("%s, whom we know: %s", hw, why)
				}
			}
		},
		"D-LIM-08": func(t *caseT) {
			l := guarded(t, 0)
			l.Limits = Limits{}
			for i := range 83 {
				l.lease(made(i))
			}
			l.takeCensus(t.Context())
			if p := l.problem(ProblemNearlyFull); p.Network != "voice" {
				t.Errorf("83 of 90 in use: %+v", l.Problems())
			}
			for i := range 7 {
				l.lease(made(83 + i))
			}
			l.takeCensus(t.Context())
			if p := l.problem(ProblemExhausted); p.Network != "voice" || l.problem(ProblemNearlyFull).Text != "" {
				t.Errorf("all in use: %+v", l.Problems())
			}
			l.say(client(phone, discover), direct()).because(t, ReasonExhausted)
			a := l.table.ByHW(made(7))[0].Addr
			l.say(renew(made(7), a), unicast(a)).want(t, ack)
			for i := range 20 {
				a := l.table.ByHW(made(i))[0].Addr
				l.say(client(made(i), release7).from(a), unicast(a))
			}
			l.takeCensus(t.Context())
			if len(l.Problems()) != 0 {
				t.Errorf("it is over, but: %+v", l.Problems())
			}
		},
		"D-AUT-01": func(t *caseT) {
			l, a := watched(t, false)
			if w := l.say(client(phone, discover), l.link()); !w.v.Wait || w.v.Reason != ReasonNone {
				t.Errorf("before it is known who else is there: %+v", w.v)
			}
			l.pass(time.Minute)
			l.say(reboot(phone, ip("203.0.113.7")), l.link()).want(t, nak)
			l.say(client(phone, discover), l.link()).want(t, offer)
			if len(a.questions()) != 2 || l.Rogues() != nil && len(l.Rogues()) != 0 {
				t.Errorf("%d questions, rogues %v", len(a.questions()), l.Rogues())
			}
			checkQuestion(t, a.questions()[0])
		},
		"D-AUT-02": func(t *caseT) {
			l, a := watched(t, false)
			l.pass(5 * time.Minute)
			wrong := reboot(phone, ip("203.0.113.7"))
			l.say(wrong, l.link()).want(t, nak)
			l.overheard(t.Context(), "eth0", rivalHW, rivalAddr, reply(ack, []byte("abcd"), phone2, ip("192.0.2.50")))
			l.say(wrong, l.link()).want(t, silence)
			l.say(client(phone, discover), l.link()).want(t, offer) // what we serve we go on to serve
			nets := site()
			nets[0].Rivals = network.RivalsAllow
			l.networks(nets...)
			l.say(wrong, l.link()).want(t, nak)
			l.networks(site()...)
			l.pass(10 * time.Minute)
			l.say(wrong, l.link()).want(t, silence)
			l.pass(30 * time.Minute)
			l.say(wrong, l.link()).want(t, nak)
			if len(l.Problems()) != 0 || len(l.Rogues()) != 1 || len(a.questions()) < 6 {
				t.Errorf("long after: problems %+v, rogues %v, %d questions", l.Problems(), l.Rogues(), len(a.questions()))
			}
		},
		"D-NET-18": rivalCase,
		"D-ADM-06": queryCase,
	}
}

// checkQuestion checks what the watch asks.
func checkQuestion(t *caseT, frame []byte) {
	t.Helper()
	m, _, reason := decode(frame[frameHeader:])
	if reason != ReasonNone || messageType(m) != dhcpv4.MessageTypeDiscover || !m.IsBroadcast() ||
		!hwaddr.Addr(m.ClientHWAddr).IsLocal() || hwaddr.Addr(frame[:6]) != somebody() {
		t.Errorf("the watch asks %v (%s)", m, reason)
	}
}

func declineCase(t *caseT) {
	l := guarded(t, 0)
	l.Limits = Limits{}
	declined, silent := 0, 0
	for range 20 {
		a := l.say(client(phone, discover), direct())
		if a.kind == silence {
			a.because(t, ReasonDeclines)
			silent++
			l.pass(10 * time.Second)
			continue
		}
		l.say(selecting(phone, a.yiaddr(), ourAddr), direct()).want(t, ack)
		l.say(client(phone, decline4, addr(optRequested, a.yiaddr()), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
		declined++
	}
	if declined != perClientDeclines || silent != 20-declined || !strings.Contains(l.problem(ProblemDecliner).Text, phone.String()) {
		t.Errorf("%d declined, %d times silent, problems %+v", declined, silent, l.Problems())
	}
	l.pass(declineEvery)
	l.say(client(phone, discover), direct()).want(t, offer)

	for i := range 20 { // as many clients, each of which declines one address
		got := l.lease(made(i))
		l.say(client(made(i), decline4, addr(optRequested, got), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
		if i == 10 {
			l.takeCensus(t.Context())
		}
	}
	bad := 0
	l.table.Each(func(x lease.Lease) bool {
		if x.State == lease.Declined {
			bad++
		}
		return true
	})
	if bad != 9 || l.problem(ProblemQuarantine).Network != "voice" {
		t.Errorf("%d of 90 in quarantine, want 9; problems %+v", bad, l.Problems())
	}

	// A router that answers ARP for all addresses doesn't keep anybody from an address, either.
	nets := site()
	nets[0].Probe = true
	l.networks(nets...)
	ing := direct()
	ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Occupied }
	l.say(client(phone2, discover), ing).want(t, offer)
}

// starvationCase has 20,000 made-up clients lease what they can get, at 2,000 a second.
func starvationCase(t *caseT) {
	l := guarded(t, 600)
	old, gone := phone, phone2
	oldAddr, goneAddr := l.lease(old), l.lease(gone)
	l.say(client(gone, release7).from(goneAddr), unicast(goneAddr)).because(t, ReasonNone)
	refused := make(map[Reason]int)
	for i := range 20000 {
		if i%2 == 0 {
			<-time.After(time.Millisecond)
		}
		if i%5000 == 0 {
			l.takeCensus(t.Context())
			l.say(renew(old, oldAddr), unicast(oldAddr)).want(t, ack)
			l.say(client(old, discover), direct()).want(t, offer)
			l.say(client(fixed, discover), direct()).want(t, offer)
		}
		o := l.say(client(made(i), discover), direct())
		if o.kind != offer {
			refused[o.v.Reason]++
			// It may as well ask for an address that nobody offered.
			if l.say(selecting(made(i), ip("192.0.2.60"), ourAddr), direct()).kind == ack {
				t.Fatalf("client %d got an address by asking for it", i)
			}
			continue
		}
		l.say(selecting(made(i), o.yiaddr(), ourAddr), direct()).want(t, ack)
	}
	l.takeCensus(t.Context())
	var c count
	for _, p := range l.set.Pools("voice") {
		c = l.census.of(keyOf("voice", p))
	}
	// The two phones count, too, since nobody recognises their class.
	if c.strangers < 70 || c.strangers > 72 || refused[ReasonShare] == 0 || l.problem(ProblemNewcomers).Network != "voice" {
		t.Errorf("strangers hold %d of %d; refused %v; problems %+v", c.strangers, c.size, refused, l.Problems())
	}
	if got := l.lease(gone); got != goneAddr {
		t.Errorf("who comes back gets %s, want its %s", got, goneAddr)
	}
	for i := range 10 {
		l.lease(hwaddr.Addr{0, 0x15, 0x65, 1, 1, byte(i)}, text(optVendorClass, "yealink")) // new phones
	}
}

// rivalCase has another server at work before ours.
func rivalCase(t *caseT) {
	nets := site()
	l, a := watched(t, true, nets...)
	held := l.lease(phone) // as before a restart
	l.pass(settleFor + time.Second)
	synctest.Wait()
	l.say(client(phone2, discover), l.link()).because(t, ReasonRival)
	l.say(reboot(phone2, ip("192.0.2.60")), l.link()).because(t, ReasonRival)
	ing := unicast(held)
	ing.Standing = l.link().Standing
	l.say(renew(phone, held), ing).want(t, ack)
	l.say(client(phone2, discover).relayed(relay), byRelay(relay)).want(t, offer) // another link

	rogues := l.Rogues()
	if len(rogues) != 1 {
		t.Fatalf("rogues %v", rogues)
	}
	r := rogues[0]
	want := Rogue{
		Interface: "eth0", Server: rivalAddr, From: rivalAddr, HW: rivalHW, Offered: ip("192.0.2.77"), TFTPName: "tftp\n.example.net",
		Since: r.Since, Last: r.Last,
	}
	if !slices.Equal(r.Routers, []netip.Addr{rivalAddr}) || !slices.Equal(r.TFTP, r.Routers) {
		t.Errorf("routers %v, TFTP servers %v", r.Routers, r.TFTP)
	}
	r.Routers, r.TFTP = nil, nil
	if fmt.Sprintf("%#v", r) != fmt.Sprintf("%#v", want) {
		t.Errorf("rogue %#v, want %#v", r, want)
	}
	p := l.problem(ProblemRefused)
	if p.Network != "voice" || !strings.Contains(p.Text, rivalHW.String()) || !strings.Contains(p.Text, `tftp\n.example.net`) {
		t.Errorf("problem %+v", p)
	}

	l.pass(5 * time.Minute) // it is still there
	l.say(client(phone2, discover), l.link()).because(t, ReasonRival)
	nets = site()
	nets[0].Authoritative = false
	l.networks(nets...)
	l.say(client(phone2, discover), l.link()).want(t, offer)
	l.networks(site()...)
	a.there.Store(false)
	l.pass(2 * time.Minute)
	synctest.Wait()
	l.say(client(phone2, discover), l.link()).want(t, offer)
	if p := l.problem(ProblemRefused); p.Text != "" {
		t.Errorf("it is gone, but: %+v", p)
	}
}
