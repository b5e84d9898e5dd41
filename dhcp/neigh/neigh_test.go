package neigh

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

var (
	phone = hwaddr.MustParse("00:1b:d4:00:00:01")
	thief = hwaddr.MustParse("3c:52:82:00:00:05")
	addr  = netip.MustParseAddr("192.0.2.7")
)

// fake is a kernel whose table and messages the test makes.
type fake struct {
	events chan message
	done   chan struct{}

	mu    sync.Mutex // guards what follows
	table []change
	dumps int
	fail  error // of dump
}

type message struct {
	changes []change
	err     error
}

func newFake(table ...change) *fake {
	return &fake{table: table}
}

func (f *fake) dump() ([]change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dumps++
	return f.table, f.fail
}

func (f *fake) next() ([]change, error) {
	select {
	case m := <-f.events:
		return m.changes, m.err
	case <-f.done:
		return nil, errors.New("interrupted")
	}
}

func (f *fake) interrupt() { close(f.done) }
func (f *fake) close()     {}

// becomes is what the next dumps return.
func (f *fake) becomes(fail error, table ...change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table, f.fail = table, fail
}

func (f *fake) dumped() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dumps
}

func (f *fake) tell(c ...change) { f.events <- message{changes: c} }

func at(hw hwaddr.Addr, s State) change {
	return change{index: 2, iface: "eth0", addr: addr, hw: hw, state: s}
}

// follow runs a table on a fake kernel, in a bubble of its own time.
func follow(t *testing.T, f *fake, body func(*Table)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.events, f.done = make(chan message), make(chan struct{}) // of the bubble
		table := &Table{Log: slog.New(slog.DiscardHandler), dial: func() (source, error) { return f, nil }}
		if err := table.Open(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- table.Run(ctx) }()
		body(table)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func want(t *testing.T, table *Table, when string, hw hwaddr.Addr) {
	t.Helper()
	synctest.Wait()
	got, ok := table.Neighbour(addr)
	if got != hw || ok == hw.IsZero() {
		t.Errorf("%s: neighbour %q, %v; want %q", when, got, ok, hw)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	f := newFake(at(phone, Stale))
	follow(t, f, func(table *Table) {
		want(t, table, "after the first reading", phone)
		for _, s := range []State{Delay, Probing, Reachable, Permanent} {
			f.tell(at(phone, s))
			want(t, table, s.String(), phone)
			if e, _ := table.Lookup(addr); e.State != s || e.Iface != "eth0" || !e.Prev.IsZero() {
				t.Errorf("entry %+v, want it %s", e, s)
			}
		}
		f.tell(at(phone, Unknown))
		want(t, table, "after it has failed", hwaddr.Addr{})
		f.tell(at(hwaddr.Addr{}, Reachable))
		want(t, table, "without a hardware address", hwaddr.Addr{})
		f.tell(at(hwaddr.MustParse("01:00:5e:00:00:07"), Reachable))
		want(t, table, "of a group", hwaddr.Addr{})
	})
}

// S04: an address that changes hands is told from one that never did, also over a gap, but not for ever.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S04", func(t *testing.T) {
		t.Parallel()
		f := newFake(at(phone, Reachable))
		follow(t, f, func(table *Table) {
			start := time.Now()
			<-time.After(time.Minute)
			f.tell(at(thief, Reachable))
			want(t, table, "after another one has answered", thief)
			if e, _ := table.Lookup(addr); e.Prev != phone || e.Since.Sub(start) != time.Minute {
				t.Errorf("entry %+v, want the phone before it", e)
			}
			f.tell(at(thief, Unknown))
			<-time.After(rememberFor / 2)
			f.tell(at(phone, Reachable))
			synctest.Wait()
			if e, _ := table.Lookup(addr); e.HW != phone || e.Prev != thief {
				t.Errorf("entry %+v, want the thief before it", e)
			}
			f.tell(at(phone, Unknown))
			<-time.After(rememberFor + time.Second)
			f.becomes(nil, at(thief, Reachable)) // it is read again, after so long
			f.tell(at(thief, Reachable))
			synctest.Wait()
			if e, _ := table.Lookup(addr); e.HW != thief || !e.Prev.IsZero() {
				t.Errorf("entry %+v, want nobody before it after so long", e)
			}
		})
	})
}

func TestInterfacesThatDisagree(t *testing.T) {
	t.Parallel()
	f := newFake(at(phone, Reachable))
	follow(t, f, func(table *Table) {
		other := at(phone, Stale)
		other.index, other.iface = 3, "eth1"
		f.tell(other)
		want(t, table, "two that agree", phone)
		other.hw = thief
		f.tell(other)
		want(t, table, "two that don't", hwaddr.Addr{})
		other.state = Unknown
		f.tell(other)
		want(t, table, "when one has gone", phone)
	})
}

func TestOverflow(t *testing.T) {
	t.Parallel()
	gone := change{index: 2, addr: netip.MustParseAddr("192.0.2.8"), hw: thief, state: Reachable}
	f := newFake(at(phone, Reachable), gone)
	follow(t, f, func(table *Table) {
		f.becomes(nil, at(thief, Reachable))
		f.events <- message{err: unix.ENOBUFS}
		want(t, table, "after messages were lost", thief)
		if _, ok := table.Neighbour(gone.addr); ok || f.dumped() != 2 {
			t.Errorf("one whose leaving was lost is still there: %v, %d dumps", ok, f.dumped())
		}
		<-time.After(rereadEvery + time.Second)
		f.tell()
		synctest.Wait()
		if f.dumped() != 3 {
			t.Errorf("%d dumps, want one more after %s", f.dumped(), rereadEvery)
		}
	})
}

// What can't be followed isn't known, and is taken up again.
func TestFailure(t *testing.T) {
	t.Parallel()
	f := newFake(at(phone, Reachable))
	follow(t, f, func(table *Table) {
		f.events <- message{err: errors.New("gone")}
		want(t, table, "while the kernel can't be asked", hwaddr.Addr{})
		<-time.After(retryAfter + time.Second)
		want(t, table, "afterwards", phone)
		f.becomes(errors.New("no dump"))
		f.events <- message{err: unix.ENOBUFS}
		want(t, table, "after a dump has failed", hwaddr.Addr{})
		f.becomes(nil, at(phone, Reachable))
		<-time.After(retryAfter + time.Second)
		want(t, table, "and then worked", phone)
	})
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.fail = errors.New("no dump")
	table := &Table{Log: slog.New(slog.DiscardHandler), dial: func() (source, error) { return f, nil }}
	if err := table.Open(); !errors.Is(err, f.fail) {
		t.Errorf("Open: %v, want %v", err, f.fail)
	}
}

// F-NET-08: a full table leaves the new ones unknown and forgets nobody who is there.
func TestFault(t *testing.T) {
	t.Parallel()
	t.Run("F-NET-08", func(t *testing.T) {
		t.Parallel()
		table := &Table{Log: slog.New(slog.DiscardHandler), Limit: 3}
		now := time.Now()
		nth := func(n byte, s State) change {
			return change{index: 2, addr: netip.AddrFrom4([4]byte{192, 0, 2, n}), hw: hwaddr.Addr{0, 0x1b, 0xd4, 0, 0, n}, state: s}
		}
		for n := range byte(10) {
			table.apply([]change{nth(n, Reachable)}, now)
		}
		if known, refused := table.Len(); known != 3 || refused != 7 {
			t.Errorf("%d known, %d refused; want 3 and 7", known, refused)
		}
		table.apply([]change{nth(1, Unknown), nth(7, Reachable)}, now)
		if _, ok := table.Neighbour(nth(7, Reachable).addr); ok {
			t.Error("room is looked for at every message")
		}
		now = now.Add(refuseFor)
		table.apply([]change{nth(8, Reachable)}, now)
		if got, _ := table.Neighbour(nth(8, Reachable).addr); got != nth(8, Reachable).hw {
			t.Error("the place of one that has gone isn't used again")
		}
		for _, n := range []byte{0, 2} {
			if got, _ := table.Neighbour(nth(n, Reachable).addr); got != nth(n, Reachable).hw {
				t.Errorf("%d is %s", n, got)
			}
		}
	})
}

func FuzzReadARP(f *testing.F) {
	f.Add(arpQuestion(phone, addr, netip.MustParseAddr("192.0.2.1")))
	f.Add([]byte{0, 1, 8, 0, 6, 4, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if from, hw, ok := readARP(b); ok && (hw.IsZero() || !from.Is4()) {
			t.Errorf("%x is from %s at %s", b, hw, from)
		}
	})
}

func BenchmarkNeighbour(b *testing.B) {
	table := &Table{Log: slog.New(slog.DiscardHandler)}
	table.apply([]change{at(phone, Reachable)}, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		table.Neighbour(addr)
	}
}
