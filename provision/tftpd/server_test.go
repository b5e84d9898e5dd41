package tftpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

func text(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

var names = map[string]string{
	"SEP001122334455.cnf.xml": "<device/>",
	"dir/x":                   "in a directory",
	"empty":                   "",
	"b511":                    text(511), "b512": text(512), "b513": text(513), "b1024": text(1024), "b2856": text(2856),
	"long": text(100_000),
	"text": "one\ntwo\rthree\r\n",
}

// silence: what isn't a request, or may start a loop of servers, gets no answer (T-FLOW-12, T-FLOW-13).
func silence(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), nil)
	for _, p := range [][]byte{{}, {0}, ack(1), ack(0), {0, opData, 0, 1, 'x'}, []byte(notFound), {0, opOAck, 'a', 0, 'b', 0}, {0, 0}, {0, 9}} {
		c := dial(t, s)
		c.write(p, s.LocalAddr())
		// The server takes datagrams in order, so once this is answered, that wasn't.
		if _, _, err := c.fetch(rrq("empty", "octet")); err != nil {
			t.Errorf("% x: got %v, want no answer", p, err)
		}
	}
	if got, want := s.Stats().Dropped["opcode"], uint64(9); got != want {
		t.Errorf("dropped: got %d, want %d", got, want)
	}
}

func distrusted(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), nil)
	port := s.LocalAddr().Port()
	cases := []struct {
		name, peer, to string
		want           drop
	}{
		{"a phone", "192.0.2.9:50000", "192.0.2.1", dropNone},
		{"another TFTP server", "192.0.2.9:69", "192.0.2.1", dropSource},
		{"our own port elsewhere", fmt.Sprintf("192.0.2.9:%d", port), "192.0.2.1", dropSource},
		{"port 0", "192.0.2.9:0", "192.0.2.1", dropSource},
		{"our own address", "192.0.2.1:50000", "192.0.2.1", dropSource},
		{"this machine", "127.0.0.1:50000", "127.0.0.1", dropNone},
		{"broadcast", "192.0.2.9:50000", "255.255.255.255", dropBroadcast},
		{"multicast", "192.0.2.9:50000", "224.0.0.1", dropBroadcast},
	}
	for _, c := range cases {
		if got := s.distrust(netip.MustParseAddrPort(c.peer), netip.MustParseAddr(c.to)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRequestAndDelivery(t *testing.T) {
	t.Parallel()
	h := serving(names)
	s := start(t, h, nil)
	if _, _, err := dialFrom(t, s, "127.0.0.9").fetch(rrq(`\dir\x`, "octet")); err != nil {
		t.Fatal(err)
	}
	r, d := h.last(t)
	r.At = time.Time{}
	want := provision.Request{
		Proto: provision.TFTP, Peer: netip.MustParseAddr("127.0.0.9"), Local: netip.MustParseAddr("127.0.0.1"),
		Path: "dir/x", Raw: `\dir\x`,
	}
	if diff := cmp.Diff(want, r, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if d.Bytes != int64(len(names["dir/x"])) || d.Err != nil || d.Took <= 0 {
		t.Errorf("delivery: got %+v", d)
	}
}

// errorKinds: a client can't tell a file that it may not have from one that isn't there (T-RRQ-05), and a failure of
// ours never looks like either (T-RRQ-21).
func errorKinds(t *testing.T) {
	t.Parallel()
	missing, failure := wireError{1, "File not found"}, wireError{0, "Temporary failure, try again"}
	for _, c := range []struct {
		name string
		err  error
		want wireError
	}{
		{"not found", provision.ErrNotFound, missing},
		{"forbidden", provision.ErrForbidden, missing},
		{"invalid", provision.ErrInvalid, missing},
		{"conflict", provision.ErrConflict, failure},
		{"other", errors.New("open /var/lib/x: too many open files"), failure},
		{"panic", nil, failure},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := serving(nil)
			h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
				if c.err == nil {
					panic("on purpose")
				}
				return nil, fmt.Errorf("open /srv/x: %w", c.err)
			}
			s := start(t, h, nil)
			_, _, err := dial(t, s).fetch(rrq("x", "octet"))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			eventually(t, "slot given back", func() bool { return s.Stats().InProgress == 0 })
			if got, want := s.Stats().Panics == 1, c.err == nil; got != want {
				t.Errorf("panic counted: got %v, want %v", got, want)
			}
		})
	}
}

// badBody fails or panics in the middle.
type badBody struct {
	*bytes.Reader
	panics bool
	closed chan struct{}
}

func (b *badBody) Read(p []byte) (int, error) {
	if b.Len() > 0 {
		return b.Reader.Read(p)
	}
	if b.panics {
		panic("on purpose")
	}
	return 0, errors.New("read /srv/x: input/output error")
}

func (b *badBody) Close() error {
	close(b.closed)
	return nil
}

func bodyFails(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		h := serving(nil)
		b := &badBody{Reader: bytes.NewReader(make([]byte, 1024)), panics: panics, closed: make(chan struct{})}
		h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
			return &provision.Answer{Size: 4096, Body: b}, nil
		}
		s := start(t, h, nil)
		got, _, err := dial(t, s).fetch(rrq("x", "octet"))
		if want := (wireError{0, "Temporary failure, try again"}); len(got) != 1024 || !errors.Is(err, want) {
			t.Errorf("panics %v: got %d bytes, %v; want 1024, %v", panics, len(got), err, want)
		}
		<-b.closed
		if _, d := h.last(t); d.Err == nil || d.Bytes != 1024 {
			t.Errorf("panics %v: delivery: got %+v", panics, d)
		}
		eventually(t, "failure counted", func() bool { return s.Stats().Results["failed"] == 1 })
	}
}

// badNetwork: datagrams are lost and doubled both ways (T-FLOW-07, T-FLOW-08, T-OPT-15).
func badNetwork(t *testing.T) {
	t.Parallel()
	content := text(100_000)
	for _, request := range [][]byte{
		rrq("f", "octet"),
		rrq("f", "octet", "blksize", "1428", "tsize", "0"),
	} {
		s := start(t, serving(map[string]string{"f": content}), nil)
		c := dial(t, s)
		random := rand.New(rand.NewPCG(7, 7))
		c.copies = func(bool, []byte) int {
			switch n := random.IntN(10); n {
			case 0:
				return 0
			case 1:
				return 2
			default:
				return 1
			}
		}
		got, _, err := c.fetch(request)
		if err != nil || string(got) != content {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(content))
		}
		if s.Stats().Resent == 0 {
			t.Error("nothing was sent again")
		}
	}
}

func netasciiBorders(t *testing.T) {
	t.Parallel()
	// T-ASC-01: pairs that straddle every boundary of blocks and buffers.
	for pad := 505; pad < 520; pad++ {
		plain := strings.Repeat("x", pad) + "\r\n\r\r\n\n" + strings.Repeat("y", 600-pad) + "\n"
		want := strings.NewReplacer("\r", "\r\x00", "\n", "\r\n").Replace(plain)
		s := start(t, serving(map[string]string{"f": plain}), nil)
		got, _, err := dial(t, s).fetch(rrq("f", "netascii"))
		if err != nil || string(got) != want {
			t.Errorf("pad %d: got %d bytes, %v; want %d", pad, len(got), err, len(want))
		}
	}
}

// TestManyClients: an office of 300 phones is switched on at once. Each asks for a file that isn't there, its config and
// its firmware, and has patience as phones have: those that find no slot ask again. All get all, and no transfer is given up.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const phones = 300
	s := start(t, serving(names), func(s *Server) { s.times = defaultTiming() })
	var wg sync.WaitGroup
	for i := range phones {
		c := dialFrom(t, s, fmt.Sprintf("127.0.%d.%d", 1+i/100, 1+i%100))
		c.wait, c.tries = time.Second, 60 // a machine that is busy with other tests may take its time
		wg.Go(func() {
			if _, _, err := c.fetch(rrq("missing", "octet")); !errors.Is(err, wireError{1, "File not found"}) {
				t.Errorf("missing: got %v", err)
			}
			for name, request := range map[string][]byte{
				"b2856": rrq("b2856", "octet"), "long": rrq("long", "octet", "blksize", "1428", "tsize", "0"),
			} {
				c.tid = netip.AddrPort{}
				got, _, err := c.fetch(request)
				if err != nil || string(got) != names[name] {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all slots given back", func() bool { return s.Stats().InProgress == 0 })
	st := s.Stats()
	if got := []uint64{st.Results["sent"], st.Results["timeout"], st.Results["unconfirmed"]}; !slices.Equal(got, []uint64{2 * phones, 0, 0}) {
		t.Errorf("sent, timeout, unconfirmed: got %v, want all sent", got)
	}
	t.Logf("dropped %v, sent again %d", st.Dropped, st.Resent)
}

// localAddress: who asks one of our addresses is answered from that one, refusals included (T-LIM-11).
func localAddress(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":0"} {
		s := start(t, serving(names), func(s *Server) { s.Addr = listen })
		for _, request := range [][]byte{rrq("dir/x", "octet"), rrq("missing", "octet"), rrq("x")} {
			c := dialFrom(t, s, "127.0.0.1")
			to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.77"), s.LocalAddr().Port())
			c.write(request, to)
			_, from, err := c.read(5 * time.Second)
			if err != nil || from.Addr() != to.Addr() {
				t.Errorf("%s: %q: got an answer from %v, %v; want %v", listen, request, from, err, to.Addr())
			}
		}
	}
}

func overIPv6(t *testing.T) {
	t.Parallel()
	if c, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		_ = c.Close()
	}
	s := start(t, serving(names), func(s *Server) { s.Addr = "[::1]:0" })
	for _, name := range []string{"dir/x", "missing"} {
		got, _, err := dialFrom(t, s, "::1").fetch(rrq(name, "octet"))
		if string(got) != names[name] || (err != nil) != (name == "missing") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// openFiles counts our descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	return len(d)
}

// TestNoLeak: transfers that end in every bad way leave nothing behind (T-LIM-04). Not parallel: it counts descriptors.
func TestNoLeak(t *testing.T) {
	h := serving(map[string]string{"f": text(5000)})
	var open sync.WaitGroup
	h.OnHandle = func(r *provision.Request) (*provision.Answer, error) {
		if r.Path == "missing" {
			return nil, provision.ErrNotFound
		}
		open.Add(1)
		return &provision.Answer{Size: 5000, Body: body{strings.NewReader(text(5000)), open.Done}}, nil
	}
	s := start(t, h, func(s *Server) {
		s.PeerTransfers = 1000
		s.times.patience = 50 * time.Millisecond
		s.times.first = time.Millisecond
	})
	c := dial(t, s)
	before := openFiles(t)
	conns := make([]*client, 300) // all open to the end, so that no port is used twice
	for i := range conns {
		conn := dial(t, s)
		conns[i] = conn
		conn.write(rrq([]string{"f", "missing"}[i%2], "octet"), s.LocalAddr())
		p, from, err := conn.read(5 * time.Second)
		if err == nil && i%4 == 0 && p[1] == opData {
			conn.write([]byte("\x00\x05\x00\x03Disk full\x00"), from)
		}
	}
	eventually(t, "all slots given back", func() bool { return s.Stats().InProgress == 0 })
	open.Wait()
	for _, c := range conns {
		_ = c.conn.Close()
	}
	if got := openFiles(t); got > before {
		t.Errorf("descriptors: got %d, want %d", got, before)
	}
	if _, _, err := c.fetch(rrq("f", "octet")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	st := s.Stats()
	if st.Results["refused"] == 0 || st.Results["timeout"] == 0 {
		t.Errorf("results: got %v, want some refused and some timed out", st.Results)
	}
}

// stopping: Run gives transfers a while, then tells their clients and ends (T-LIM-09).
func stopping(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"f": text(5000)})
	s := &Server{Addr: "127.0.0.1:0", Handler: h, times: quick}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := dial(t, s)
	c.write(rrq("f", "octet"), s.LocalAddr())
	if _, _, err := c.read(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for {
		p, _, err := c.read(time.Second)
		if err != nil {
			t.Fatal("the client wasn't told")
		}
		if string(p) == string(temporary) {
			break
		}
	}
	if _, d := h.last(t); !errors.Is(d.Err, errStopping) {
		t.Errorf("delivery: got %v, want %v", d.Err, errStopping)
	}
	if got := s.Stats().Results["stopped"]; got != 1 {
		t.Errorf("stopped: got %d, want 1", got)
	}
}

func TestOpenNamesRemedy(t *testing.T) {
	t.Parallel()
	s := start(t, serving(nil), nil)
	err := (&Server{Addr: s.LocalAddr().String()}).Open()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("sport = :%d", s.LocalAddr().Port())) {
		t.Errorf("got %v, want an error that says how to find the other server", err)
	}
}

var _ io.ReadSeekCloser = body{}
