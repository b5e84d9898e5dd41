package dhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// forgetful is a store that keeps nothing, so that what grows is the server's or the table's.
type forgetful struct {
	mu  sync.Mutex // guards what follows
	seq uint64
}

func (*forgetful) LoadLeases(context.Context) iter.Seq2[lease.Lease, error] {
	return func(func(lease.Lease, error) bool) {}
}

func (*forgetful) Events(context.Context, uint64) iter.Seq2[lease.Event, error] {
	return func(func(lease.Event, error) bool) {}
}

func (f *forgetful) CommitLeases(_ context.Context, changes ...lease.Change) ([]lease.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []lease.Event
	for _, c := range changes {
		if c.Kind != lease.KindNone {
			f.seq++
			events = append(events, lease.Event{Seq: f.seq, At: c.At, Kind: c.Kind, Lease: c.Next, Prev: c.Prev})
		}
	}
	return events, nil
}

const (
	soakRate    = 500 // messages or exchanges a second
	soakClients = 20  // that send them, one after the other
)

// soaker is one of the clients' hosts. It relays for itself.
type soaker struct {
	conn *net.UDPConn
	rnd  *mrand.Rand
	held []holding
	n    *soakCount
}

type holding struct {
	hw   hwaddr.Addr
	addr netip.Addr
}

type soakCount struct {
	exchanges, garbage, naks, unanswered, exhausted atomic.Int64
}

var errSilence = errors.New("no answer")

// ask sends a message and waits a second for the answer; garbage may have brought others.
func (s *soaker) ask(p draft) (*dhcpv4.DHCPv4, error) {
	b := viaSelf(p).bytes()
	_, _ = rand.Read(b[4:8])
	if _, err := s.conn.Write(b); err != nil {
		return nil, err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	in := make([]byte, 2048)
	for {
		n, err := s.conn.Read(in)
		if err != nil {
			return nil, errSilence
		}
		m, err := dhcpv4.FromBytes(in[:n])
		if err != nil {
			return nil, err
		}
		if string(m.TransactionID[:]) == string(b[4:8]) {
			return m, nil
		}
	}
}

func (s *soaker) tell(p draft) { _, _ = s.conn.Write(viaSelf(p).bytes()) }

// turn does one thing that clients do.
func (s *soaker) turn() {
	us := ip("127.0.0.1")
	s.n.exchanges.Add(1)
	what := s.rnd.IntN(100)
	switch {
	case what < 10: // garbage
		b := make([]byte, s.rnd.IntN(600))
		_, _ = rand.Read(b)
		if s.rnd.IntN(2) == 0 {
			good := viaSelf(client(made(s.rnd.Int()), byte(s.rnd.IntN(12)))).bytes()
			copy(good[s.rnd.IntN(len(good)):], b)
			b = good
		}
		s.n.garbage.Add(1)
		_, _ = s.conn.Write(b)
		return
	case what < 45 || len(s.held) == 0:
		hw := made(s.rnd.Int())
		o, err := s.ask(client(hw, discover, text(optVendorClass, "yealink")))
		if err != nil {
			s.n.exhausted.Add(1) // perhaps: silence doesn't say why
			return
		}
		got := fromIP(o.YourIPAddr)
		s.take(holding{hw, got}, selecting(hw, got, us, text(optVendorClass, "yealink")))
		return
	}
	i := s.rnd.IntN(len(s.held))
	h := s.held[i]
	s.held[i] = s.held[len(s.held)-1]
	s.held = s.held[:len(s.held)-1]
	switch {
	case what < 75:
		s.take(h, renew(h.hw, h.addr))
	case what < 80:
		s.take(h, reboot(h.hw, h.addr))
	case what < 95:
		s.tell(client(h.hw, release7).from(h.addr))
	default:
		s.tell(client(h.hw, decline4, addr(optRequested, h.addr), addr(optServer, us)))
	}
}

// take asks for an address, and holds it if it is leased.
func (s *soaker) take(h holding, p draft) {
	m, err := s.ask(p)
	switch {
	case err != nil:
		s.n.unanswered.Add(1)
	case m.MessageType() == ack:
		s.held = append(s.held, h)
	default:
		s.n.naks.Add(1) // its lease had run out, and others wanted the address
	}
}

// TestSoak has clients of all kinds at work for as long as DIALTONE_SOAK says (10m, say), and looks whether memory and
// goroutines stay what they are.
func TestSoak(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("DIALTONE_SOAK"))
	if err != nil || testing.Short() {
		t.Skip("set DIALTONE_SOAK to how long it may take, such as 10m")
	}
	n := sandbox()
	n.Pools = []network.Pool{{First: ip("127.64.1.0"), Last: ip("127.64.16.255")}}
	n.Lease = network.Lifetime{Default: 20 * time.Second, Min: 20 * time.Second, Max: 20 * time.Second}
	l := newLab(t, n)
	l.Log = slog.New(slog.DiscardHandler)
	table, err := lease.Open(t.Context(), &forgetful{}, time.Now, l.Log)
	if err != nil {
		t.Fatal(err)
	}
	l.table, l.Table, l.Directory = table, table, yealinks{}
	l.Listen = []Listener{{Addr: netip.MustParseAddrPort("127.0.0.1:0")}}
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var servers, clients sync.WaitGroup
	servers.Go(func() { _ = table.Run(ctx) })
	servers.Go(func() { _ = l.Run(ctx) })

	var count soakCount
	work, end := context.WithTimeout(ctx, span)
	defer end()
	for i := range soakClients {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IP{127, 64, 0, 1}}, net.UDPAddrFromAddrPort(l.Addrs()[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := &soaker{conn: conn, rnd: mrand.New(mrand.NewPCG(1, uint64(i))), n: &count}
		clients.Go(func() {
			tick := time.NewTicker(time.Second * soakClients / soakRate)
			defer tick.Stop()
			for work.Err() == nil {
				<-tick.C
				s.turn()
			}
		})
	}
	watchSoak(work, t, span, l, &count)
	clients.Wait()
	cancel()
	servers.Wait()
	t.Logf("%d exchanges, %d of garbage; %d NAKs, %d unanswered, %d without an offer; counters %+v", count.exchanges.Load(),
		count.garbage.Load(), count.naks.Load(), count.unanswered.Load(), count.exhausted.Load(), l.Snapshot())
	if n := count.unanswered.Load(); n*1000 > count.exchanges.Load() {
		t.Errorf("%d REQUESTs are unanswered", n)
	}
}

// watchSoak looks every ten seconds, and compares the end with what it was after a third of the time.
func watchSoak(ctx context.Context, t *testing.T, span time.Duration, l *lab, count *soakCount) {
	t.Helper()
	var heap0, goroutines0 uint64
	start := time.Now()
	tick := time.NewTicker(max(span/60, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		goroutines := uint64(runtime.NumGoroutine())
		t.Logf("%4.0f s  heap %5.1f MiB  goroutines %d  exchanges %d  in hand %d", time.Since(start).Seconds(),
			float64(m.HeapAlloc)/(1<<20), goroutines, count.exchanges.Load(), l.Snapshot().InHand)
		if heap0 == 0 && time.Since(start) > span/3 {
			heap0, goroutines0 = m.HeapAlloc, goroutines
		}
		if ctx.Err() == nil {
			continue
		}
		if m.HeapAlloc > heap0+heap0/5+4<<20 {
			t.Errorf("the heap grew from %d to %d bytes", heap0, m.HeapAlloc)
		}
		if goroutines > goroutines0+2*soakClients {
			t.Errorf("%d goroutines became %d", goroutines0, goroutines)
		}
		return
	}
}
