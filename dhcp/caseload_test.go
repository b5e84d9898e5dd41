package dhcp

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// garbledCase sends messages with a few bytes changed; [FuzzRespond] does that for longer.
func garbledCase(t *caseT) {
	l := newLab(t)
	l.Boot = vendors(cisco)
	rnd := rand.New(rand.NewPCG(5, 6))
	all := seeds()
	for range 20_000 {
		b := slices.Clone(all[rnd.IntN(len(all))])
		for range rnd.IntN(4) {
			if len(b) > 0 {
				b[rnd.IntN(len(b))] = byte(rnd.Uint32())
			}
		}
		ing := direct()
		if rnd.IntN(2) == 0 {
			ing = byRelay(relay)
		}
		if a := l.sayBytes(b[:rnd.IntN(len(b)+1)], ing); a.DHCPv4 != nil {
			checkReply(t.T, b, a, ing)
		}
	}
}

// clockCase has the wall clock jump, and later jump back.
func clockCase(step time.Duration) func(*caseT) {
	return func(t *caseT) {
		var off atomic.Int64
		l := newLab(t)
		table, err := lease.Open(t.Context(), l.store, func() time.Time { return time.Now().Add(time.Duration(off.Load())) }, l.Log)
		if err != nil {
			t.Fatal(err)
		}
		l.table, l.Table = table, table
		l.run()
		got := l.lease(phone)
		check := func(when string) {
			t.Helper()
			if l.holder(got) != phone {
				t.Errorf("%s: the lease is gone: %q", when, l.story())
			}
			a := l.say(renew(phone, got), unicast(got)).want(t, ack)
			if n := a.secs(t, optLifetime); n != 3600 {
				t.Errorf("%s: a lease of %d s", when, n)
			}
		}
		off.Store(int64(step))
		l.pass(2 * time.Second)
		check("after the step")
		l.pass(20 * time.Minute)
		check("when it is believed")
		off.Store(0)
		l.pass(20 * time.Minute)
		check("after the step back")
		l.pass(2 * time.Hour)
		if !l.holder(got).IsZero() {
			t.Error("the lease never ends")
		}
	}
}

// garbageCase is a flood of what is no message, among which a client comes.
func garbageCase(t *caseT) {
	l := newLab(t)
	var log lineCounter
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	rnd := rand.New(rand.NewPCG(9, 10))
	crew := newCrew(l.work)
	b := make([]byte, 600)
	for i := range 60_000 {
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		switch i % 3 {
		case 0:
			copy(b, client(number(i), byte(rnd.Uint32())).bytes()[:optionsAt])
		case 1:
			copy(b, []byte{1, 1, 6, 0})
		}
		l.intake(t.Context(), &port{}, b[:rnd.IntN(len(b))], direct(), crew)
		if i%1000 == 0 {
			l.lease(phone)
		}
	}
	crew.workers.Wait()
	if s := l.Snapshot(); s.InHand != 0 || s.Dropped["panic"] != 0 {
		t.Errorf("%d in hand, %d panics", s.InHand, s.Dropped["panic"])
	}
	if n := log.lines.Load(); n > 50 {
		t.Errorf("%d lines of log", n)
	}
}

// lineCounter counts the lines of a log.
type lineCounter struct{ lines atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(1)
	return len(p), nil
}

// loadCase is a minute of 500 new leases a second, and their ends.
func loadCase(t *caseT) {
	nets := tiny(1)
	nets[0].Prefix, nets[0].Server, nets[0].Reservations, nets[0].Options = netip.MustParsePrefix("10.77.0.0/16"), ip("10.77.0.1"), nil, nil
	nets[0].Pools = []network.Pool{{First: ip("10.77.1.0"), Last: ip("10.77.255.254")}}
	l := newLab(t, nets...)
	l.run()
	for i := range 60 * 500 {
		hw := number(i)
		o := l.say(client(hw, discover), direct())
		a := l.say(selecting(hw, o.yiaddr(), ip("10.77.0.1")), direct())
		if o.kind != offer || a.kind != ack {
			t.Fatalf("client %d: %s, %s (%s)", i, typeName(o.kind), typeName(a.kind), a.v.Reason)
		}
		l.pass(2 * time.Millisecond)
	}
}

// injectionCase has clients say what would make lines of their own in a log.
func injectionCase(t *caseT) {
	l := newLab(t)
	var log syncBuffer
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	evil := "x\nlevel=ERROR msg=\"all is lost\"\x1b[31m\x00" + strings.Repeat("y", 200)
	p := client(phone, discover, text(optHostname, evil), text(optVendorClass, evil), text(optUserClass, evil), text(81, evil), text(optClientID, evil)).
		relayed(relay, text(1, evil)...)
	m, _, _ := decode(p.bytes())
	_, v := l.Respond(t.Context(), m, byRelay(relay))
	level, text := l.tally(v)
	l.record(t.Context(), &job{msg: m, ing: byRelay(relay)}, v, level, text)
	got := log.String()
	if strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\x00") || len(got) > 1024 || !strings.Contains(got, "all is lost") {
		t.Errorf("the log has %d lines of %d bytes: %q", strings.Count(got, "\n"), len(got), got)
	}
}

// probing is a server whose prober asks a wire where nobody answers.
func probing(t testing.TB) (l *lab, p *port, asked *atomic.Int64) {
	t.Helper()
	nets := site()
	nets[0].Probe = true
	nets[0].Pools = []network.Pool{{First: ip("192.0.2.2"), Last: ip("192.0.2.199")}, {First: ip("192.0.2.201"), Last: ip("192.0.2.253")}}
	l, asked = newLab(t, nets...), new(atomic.Int64)
	p = &port{spec: Listener{Interface: "eth0"}, probe: newProber(func(netip.Addr) error {
		asked.Add(1)
		return nil
	})}
	return l, p, asked
}

func (l *lab) viaProbe(p *port, d draft) answer {
	m, _, _ := decode(d.bytes())
	ing := direct()
	ing.Seen = p.probe.sighting
	reply, v := l.resolve(l.t.Context(), &job{msg: m, ing: ing, port: p})
	a := answer{DHCPv4: reply, v: v}
	if reply != nil {
		a.kind, a.to = reply.MessageType(), deliver(m, reply, ing)
	}
	return a
}

// probeCase has so many clients come at once, and ask for addresses that must be probed.
func probeCase(clients int, within time.Duration) func(*caseT) {
	return func(t *caseT) {
		l, p, asked := probing(t)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				d := client(number(i), discover).with(func(d *draft) { d.flags = flagBroadcast })
				if a := l.viaProbe(p, d); a.kind != offer || !a.to.broadcast() || time.Since(start) > within {
					t.Errorf("client %d: %s (%s) after %s", i, typeName(a.kind), a.v.Reason, time.Since(start))
				}
			})
		}
		// Who holds an address is not kept waiting by that.
		held := l.lease(fixed)
		before := time.Now()
		if a := l.say(renew(fixed, held), unicast(held)); a.kind != ack || time.Since(before) > 0 {
			t.Errorf("%s after %s", typeName(a.kind), time.Since(before))
		}
		wg.Wait()
		if asked.Load() == 0 {
			t.Error("nothing was probed")
		}
	}
}

// pendingCase has a client ask again while its address is being probed.
func pendingCase(t *caseT) {
	l, p, asked := probing(t)
	var wg sync.WaitGroup
	got := make([]netip.Addr, 2)
	for i := range got {
		wg.Go(func() { got[i] = l.viaProbe(p, client(phone, discover)).yiaddr() })
	}
	wg.Wait()
	if got[0] != got[1] || !got[0].IsValid() || asked.Load() != 2 { // once, and again in case that it was lost
		t.Errorf("offered %v after %d questions", got, asked.Load())
	}
	// A message that waits is replaced by a newer one.
	s := &Server{}
	said := func(secs uint16) *job {
		m, _, _ := decode(client(phone, discover).bytes())
		m.NumSeconds = secs
		return &job{msg: m, port: &port{}}
	}
	s.queue(said(0))
	s.queue(said(4))
	if _, drop := s.queue(said(8)); drop != ReasonSuperseded {
		t.Errorf("dropped for %s", drop)
	}
	if next := s.next(phone); next.msg.NumSeconds != 8 {
		t.Errorf("answered is the message of %d s, want the newest", next.msg.NumSeconds)
	}
}
