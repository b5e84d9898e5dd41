package dhcp

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func textLog(w *syncBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestMeters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m meters
		take := func(key string) bool { return m.take(key, 3, time.Second) }
		for i := range 3 {
			if m.empty("a", 3, time.Second) || !take("a") {
				t.Errorf("token %d is not there", i)
			}
		}
		if take("a") || !m.empty("a", 3, time.Second) || !take("b") {
			t.Error("a bucket of three has four, or is another's")
		}
		<-time.After(1500 * time.Millisecond)
		if !take("a") || take("a") {
			t.Error("after one interval and a half there is not one token")
		}
		<-time.After(time.Hour)
		for range 3 {
			take("a")
		}
		if take("a") {
			t.Error("an hour makes more than a bucket full")
		}
		for i := range 10 * meterSlots {
			take(strconv.Itoa(i))
		}
		if len(m.slots) != meterSlots {
			t.Errorf("%d slots", len(m.slots))
		}
	})
}

// 300 phones after a power cut, and 300 new ones out of their boxes, are no flood.
func TestLimitsLetPhonesIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nets := site()[:1]
		nets[0].Prefix, nets[0].Reservations, nets[0].Options = netip.MustParsePrefix("10.0.0.0/16"), nil, nil
		nets[0].Server = ip("10.0.0.1")
		nets[0].Pools = []network.Pool{{First: ip("10.0.1.0"), Last: ip("10.0.9.255")}}
		l := newLab(t, nets...)
		l.Limits, l.Directory = Limits{Newcomers: 600, Share: 80}, yealinks{}
		l.takeCensus(t.Context())
		ing := direct()
		ing.Addrs = []netip.Addr{ip("10.0.0.1")}
		for _, class := range []string{"yealink", "MSFT 5.0"} {
			for i := range 300 {
				hw := made(i)
				hw[1] = class[0]
				for range 10 { // D-PHN-13: and go round in circles
					o := l.say(client(hw, discover, text(optVendorClass, class)), ing).want(t, offer)
					l.say(selecting(hw, o.yiaddr(), ip("10.0.0.1"), text(optVendorClass, class)), ing).want(t, ack)
				}
			}
		}
		if len(l.Problems()) != 0 {
			t.Errorf("problems %+v", l.Problems())
		}
	})
}

func TestNewcomers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Limits, l.Directory = Limits{Newcomers: 20}, yealinks{}
		for i := range 20 {
			l.say(client(made(i), discover), direct()).want(t, offer)
		}
		for range 3 { // it is not counted again
			l.say(client(made(3), discover), direct()).want(t, offer)
		}
		l.say(client(phone, discover), direct()).because(t, ReasonNewcomers)
		l.say(reboot(phone, ip("192.0.2.90")), direct()).because(t, ReasonNewcomers)
		l.say(client(phone2, discover, text(optVendorClass, "yealink")), direct()).want(t, offer)
		l.say(client(fixed, discover), direct()).want(t, offer)
		l.say(client(phone, discover).relayed(relay), byRelay(relay)).want(t, offer) // that way, fewer come
		<-time.After(4 * time.Second)
		l.say(client(phone, discover), direct()).want(t, offer) // one more every three seconds
		port := func(i int, circuit byte) answer {
			return l.say(client(made(1000+i), discover).relayed(relay, agentCircuit, 1, circuit), byRelay(relay))
		}
		for i := range minPort {
			port(i, 'a').want(t, offer)
		}
		port(minPort, 'a').because(t, ReasonNewcomers)
		port(minPort, 'b').want(t, offer)
	})
}

func TestProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &syncBuffer{}
		s := &Server{Log: textLog(log)}
		for range 5 {
			s.raise(t.Context(), "eth0", Problem{Kind: ProblemLost, Text: "one"})
			s.passing(t.Context(), "relay", Problem{Kind: ProblemNewcomers, Network: "voice", Text: "two"})
			<-time.After(time.Second)
		}
		got := s.Problems()
		if len(got) != 2 || got[0].Kind != ProblemNewcomers && got[0].Kind != ProblemLost || time.Since(got[0].Since) != 5*time.Second {
			t.Errorf("problems %+v", got)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines for two problems:\n%s", n, log)
		}
		<-time.After(problemStays)
		s.board.sweep(func(ProblemKind, string) bool { return true })
		if got := s.Problems(); len(got) != 1 || got[0].Kind != ProblemLost {
			t.Errorf("after a while: %+v", got)
		}
		s.solved(t.Context(), ProblemLost, "eth0")
		s.solved(t.Context(), ProblemLost, "eth0")
		if got := s.Problems(); len(got) != 0 || strings.Count(log.String(), "is over") != 1 {
			t.Errorf("in the end: %+v\n%s", got, log)
		}
		for i := range 2 * maxProblems {
			s.passing(t.Context(), strconv.Itoa(i), Problem{Kind: ProblemDecliner})
		}
		if n := len(s.Problems()); n != maxProblems {
			t.Errorf("%d problems", n)
		}
	})
}

func TestSizeOf(t *testing.T) {
	t.Parallel()
	set, err := network.NewSet(site())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pool network.Pool
		want int
	}{
		{network.Pool{First: ip("192.0.2.10"), Last: ip("192.0.2.99")}, 90},
		{network.Pool{First: ip("192.0.2.10"), Last: ip("192.0.2.10")}, 1},
		{network.Pool{First: ip("192.0.2.10"), Last: ip("192.0.2.19"), Exclude: []netip.Addr{ip("192.0.2.12"), ip("192.0.2.12"), ip("192.0.2.40")}}, 9},
		{network.Pool{First: ip("192.0.2.190"), Last: ip("192.0.2.209")}, 19}, // .200 is reserved
		{network.Pool{First: ip("10.0.0.0"), Last: ip("10.0.3.255")}, 4 * 254},
		{network.Pool{First: ip("10.0.0.0"), Last: ip("10.0.3.255"), Edges: true}, 1024},
		{network.Pool{First: ip("10.0.0.255"), Last: ip("10.0.1.0")}, 0},
		{network.Pool{First: ip("0.0.0.1"), Last: ip("0.0.0.255")}, 254},
		{network.Pool{First: ip("10.77.8.0"), Last: ip("10.77.255.250"), Exclude: []netip.Addr{ip("10.77.9.0")}}, 248*254 - 4},
	} {
		if got := sizeOf(c.pool, set); got != c.want {
			t.Errorf("%s: %d addresses, want %d", c.pool, got, c.want)
		}
	}
}

func TestCensus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Directory, l.Limits.Share = yealinks{}, 100
		l.lease(phone)
		l.lease(phone2, text(optVendorClass, "yealink"))
		l.lease(fixed)
		l.say(client(made(1), discover), direct()).want(t, offer)
		bad := l.lease(made(2))
		l.say(client(made(2), decline4, addr(optRequested, bad), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
		gone := l.lease(made(3))
		l.say(client(made(3), release7).from(gone), unicast(gone)).because(t, ReasonNone)
		l.takeCensus(t.Context())
		k := keyOf("voice", l.set.Pools("voice")[0])
		if got, want := l.census.of(k), (count{size: 90, held: 4, strangers: 2, quarantined: 1}); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		l.census.add(k, count{strangers: 1})
		l.census.begin()
		l.census.add(k, count{strangers: 1})
		if got := l.census.of(k).strangers; got != 4 {
			t.Errorf("%d strangers before the count has ended, want 4", got)
		}
		l.census.end(map[poolKey]count{k: {size: 90, strangers: 3}})
		if got := l.census.of(k).strangers; got != 4 {
			t.Errorf("%d strangers after it has, want 4", got)
		}
	})
}

// BenchmarkCensus counts a large office's leases.
func BenchmarkCensus(b *testing.B) {
	nets := site()[:1]
	nets[0].Prefix, nets[0].Reservations, nets[0].Options = netip.MustParsePrefix("10.0.0.0/8"), nil, nil
	nets[0].Server = ip("10.0.0.1")
	nets[0].Pools = []network.Pool{{First: ip("10.1.0.0"), Last: ip("10.1.255.255")}}
	l := newLab(b, nets...)
	l.Directory = yealinks{}
	s := lease.Scope{Network: l.set.Get("voice"), Networks: l.set, Pools: nets[0].Pools, Lifetime: time.Hour}
	for i := range 60000 {
		c := lease.Client{HW: made(i), VendorClass: "yealink"}
		o, err := l.table.Offer(b.Context(), s, c, netip.Addr{})
		if err == nil {
			_, err = l.table.Bind(b.Context(), s, c, o.Addr)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l.takeCensus(b.Context())
	}
}
