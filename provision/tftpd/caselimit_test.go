package tftpd

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"
)

// limitCases are those of limits, resources and modes.
func limitCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-LIM-01": func(t *testing.T) { t.Run("each", slotsLimited); t.Run("flood", flood) },
		"T-LIM-02": slowReader,
		"T-LIM-03": firmwareForAll,
		"T-LIM-04": aborted,
		"T-LIM-05": outside,
		"T-LIM-06": portRange,
		"T-LIM-07": onePort,
		"T-LIM-08": func(t *testing.T) { t.Run("pipeline", errorKinds); t.Run("body", bodyFails) },
		"T-LIM-09": stopping,
		"T-LIM-10": failingSocket,
		"T-LIM-11": func(t *testing.T) { t.Run("addresses", localAddress); t.Run("IPv6", overIPv6) },
		"T-LIM-12": nonsense,
		"T-LIM-13": throughput,
	}
}

// flood: requests from everywhere take the slots, for each of which there is an engine with its two goroutines and a
// socket, and nothing more.
func flood(t *testing.T) {
	t.Parallel()
	s := &Server{Addr: "127.0.0.1:0", Handler: holding(text(5000)), Transfers: 64, PeerTransfers: 4, times: quick}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 5000 {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 40000)
		if a, ok := s.admit(rrq("f", "octet"), peer, s.LocalAddr().Addr()); ok {
			s.dispatch(ctx, a, &running)
		}
	}
	if got := s.Stats().InProgress; got > 64 || s.engines > 64 {
		t.Errorf("got %d transfers and %d engines, want at most 64", got, s.engines)
	}
	if got := s.Stats().Dropped["busy"]; got < 4000 {
		t.Errorf("dropped: got %d, want most of 5000", got)
	}
	close(s.queue)
	cancel()
	running.Wait()
	if got := s.Stats().InProgress; got != 0 {
		t.Errorf("in progress: got %d afterwards", got)
	}
	_ = s.conn.Close()
}

// firmwareForAll: 250 phones fetch a large file together, and it is in memory once. The files of the case have 10 MB;
// here it is one, which takes as many phones as long to share.
func firmwareForAll(t *testing.T) {
	t.Parallel()
	content := text(1 << 20)
	h := serving(map[string]string{"f": content})
	s := start(t, h, func(s *Server) { s.PeerTransfers, s.times = 1000, defaultTiming() })
	var wg sync.WaitGroup
	for range 250 {
		c := dial(t, s)
		c.wait = 5 * time.Second
		wg.Go(func() {
			got, _, err := c.fetch(rrq("f", "octet", "blksize", "1428", "windowsize", "8"))
			if err != nil || string(got) != content {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
}

// aborted: 10,000 transfers that the client breaks off leave no descriptor behind. Not parallel: it counts them.
func aborted(t *testing.T) {
	s := start(t, serving(map[string]string{"f": text(5000)}), func(s *Server) { s.PeerTransfers = 1000 })
	before := openFiles(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1250 {
				conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Error(err)
					return
				}
				c := &client{conn: conn, server: s.LocalAddr()}
				for {
					c.write(rrq("f", "octet"), c.server)
					if _, from, err := c.read(time.Second); err == nil {
						c.write([]byte("\x00\x05\x00\x03Disk full\x00"), from)
						break
					}
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all slots given back", func() bool { return s.Stats().InProgress == 0 })
	eventually(t, "descriptors given back", func() bool { return openFiles(t) <= before+50 }) // other tests run beside this one
	if got := s.Stats().Results["refused"]; got < 9000 {
		t.Errorf("refused: got %d, want most of 10000", got)
	}
}

// outside: who isn't in a network that is served isn't answered at all.
func outside(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) {
		s.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/25"), netip.MustParsePrefix("2001:db8::/32")}
	})
	if _, _, err := dialFrom(t, s, "127.0.0.1").fetch(rrq("empty", "octet")); err != nil {
		t.Errorf("inside: %v", err)
	}
	c := dialFrom(t, s, "127.0.0.200")
	for _, p := range [][]byte{rrq("empty", "octet"), rrq("missing", "octet"), rrq("f")} {
		c.write(p, s.LocalAddr())
	}
	nothingWithin(t, c, 100*time.Millisecond)
	if got := s.Stats().Dropped["outside"]; got != 3 {
		t.Errorf("dropped: got %d, want 3", got)
	}
}

// portRange: transfers use the ports that they may, and wait for one if there is none.
func portRange(t *testing.T) {
	t.Parallel()
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	first := min(local(free).Port(), 65500)
	h := serving(names)
	s := start(t, h, func(s *Server) { s.Ports = PortRange{first, first + 9} })
	for range 30 {
		c := dial(t, s)
		_, _, err := c.fetch(rrq("b513", "octet"))
		if got := c.tid.Port(); err != nil || got < first || got > first+9 {
			t.Fatalf("got it from port %d, %v; want one from %d to %d", got, err, first, first+9)
		}
	}
	only := local(free).Port() // it is taken
	s = start(t, h, func(s *Server) { s.Ports = PortRange{only, only} })
	if _, _, err := dial(t, s).fetch(rrq("b513", "octet")); !errors.Is(err, wireError{0, "Temporary failure, try again"}) {
		t.Errorf("without a free port: got %v", err)
	}
	for _, p := range []PortRange{{2, 1}, {0, 1}} {
		if err := (&Server{Addr: "127.0.0.1:0", Ports: p}).Open(); err == nil {
			t.Errorf("%+v: opened", p)
		}
	}
}

// onePort: many clients get their files from the listening port, and one that answers with nonsense wedges nobody.
func onePort(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) { s.SinglePort, s.PeerTransfers = true, 1000 })
	bad := dial(t, s)
	bad.write(rrq("long", "octet"), s.LocalAddr())
	expect(t, bad, data1)
	for _, p := range [][]byte{ack(7), {0}, {0, 9}, rrq("x"), ack(0), {0, opAck}} {
		for range 2 * laneDepth {
			bad.write(p, s.LocalAddr())
		}
	}
	var wg sync.WaitGroup
	for i := range 50 {
		c := dial(t, s)
		wg.Go(func() {
			request := rrq("long", "octet", "windowsize", strconv.Itoa(1+i%8))
			got, _, err := c.fetch(request)
			if err != nil || string(got) != names["long"] || c.tid != s.LocalAddr() {
				t.Errorf("got %d bytes from %v, %v", len(got), c.tid, err)
			}
		})
	}
	wg.Wait()
	bad.write([]byte(illegal), s.LocalAddr())
	eventually(t, "all slots given back", func() bool { return s.Stats().InProgress == 0 })
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	if len(s.lanes.by) > 0 {
		t.Errorf("lanes left: %d", len(s.lanes.by))
	}
}

// failingSocket: a listening socket that fails for a while is read on, one that is gone ends Run, and neither spins.
func failingSocket(t *testing.T) {
	t.Parallel()
	s := &Server{Addr: "127.0.0.1:0", Handler: serving(names), times: quick}
	s.times.retry = 10 * time.Millisecond
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.WithoutCancel(t.Context())) }()
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // every read fails
	c := dial(t, s)
	c.write(rrq("empty", "octet"), s.LocalAddr())
	nothingWithin(t, c, 50*time.Millisecond)
	_ = s.conn.SetReadDeadline(time.Time{})
	if _, _, err := c.fetch(rrq("dir/x", "octet")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	_ = s.conn.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: got %v, want that the socket is gone", err)
	}
}

// nonsense: no datagram to the listening port or to a transfer's does any harm. Beside this there are the fuzz targets.
func nonsense(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) { s.PeerTransfers = 1000 })
	random := rand.New(rand.NewPCG(3, 3))
	c := dial(t, s)
	c.write(rrq("long", "octet", "windowsize", "8"), s.LocalAddr())
	expect(t, c, "\x00\x06")
	for range 20_000 {
		p := rrq("long", "octet", "blksize", "1428", "windowsize", "8", "tsize", "0")
		for range 1 + random.IntN(4) {
			p[random.IntN(len(p))] = byte(random.Uint32())
		}
		p = p[:random.IntN(len(p)+1)]
		to := c.tid
		if random.IntN(4) == 0 {
			to = s.LocalAddr()
		}
		if len(p) > 1 && to == c.tid && p[1] == opError {
			p[1] = opAck // it would end the transfer
		}
		c.write(p, to)
	}
	if got, _, err := dial(t, s).fetch(rrq("b513", "octet")); err != nil || string(got) != names["b513"] {
		t.Errorf("afterwards: got %d bytes, %v", len(got), err)
	}
	if got := s.Stats().Panics; got > 0 {
		t.Errorf("panics: %d", got)
	}
}

// throughput: a window must pay, and nothing be lost. The figures of the case are for a quiet machine and are
// BenchmarkFirmware's affair: here they would measure what else runs.
func throughput(t *testing.T) {
	t.Parallel()
	content := text(4 << 20)
	s := start(t, serving(map[string]string{"f": content}), func(s *Server) { s.times = defaultTiming() })
	for _, window := range []string{"1", "16"} {
		begun := time.Now()
		c := dial(t, s)
		c.wait = 2 * time.Second
		got, _, err := c.fetch(rrq("f", "octet", "blksize", "1428", "windowsize", window))
		if err != nil || string(got) != content {
			t.Errorf("window %s: got %d bytes, %v", window, len(got), err)
		}
		t.Logf("window %s: %.0f MB/s", window, float64(len(got))/1e6/time.Since(begun).Seconds())
	}
	eventually(t, "all acknowledged", func() bool { return s.Stats().Bytes == 2*uint64(len(content)) })
}

// TestBehaviour has the ancestor's behaviours that are kept, by their ids.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	t.Run("U24", func(t *testing.T) {
		t.Parallel()
		got, err := parseRequest(rrq("f", "octet", "blksize", "1428", "tsize", "0"), wireBlock)
		if want := (request{name: "f", block: 1428, size: true}); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		for _, c := range []struct {
			p    string
			want error
		}{
			{"", errNoRequest},
			{"\x00", errNoRequest},
			{"\x00\x01", errIllegal},
			{"\x00\x01f\x00oct", errIllegal},
			{"\x00\x05\x00\x01", errNoRequest},
		} {
			if _, err := parseRequest([]byte(c.p), wireBlock); !errors.Is(err, c.want) {
				t.Errorf("% x: got %v, want %v", c.p, err, c.want)
			}
		}
	})
}
