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
	"text": "one\ntwo\rthree\r\n",
}

// TestCase has the cases of the TFTP conformance table that are a request and its answer, by their ids.
func TestCase(t *testing.T) {
	t.Parallel()
	big := map[string]string{"blksize": "1428"}
	cases := []struct {
		name    string
		request []byte
		want    string
		options map[string]string
		err     error
	}{
		{"T-RRQ-01", rrq("SEP001122334455.cnf.xml", "octet"), names["SEP001122334455.cnf.xml"], nil, nil},
		{"T-RRQ-02 512", rrq("b512", "octet"), names["b512"], nil, nil},
		{"T-RRQ-02 1024", rrq("b1024", "octet"), names["b1024"], nil, nil},
		{"T-RRQ-02 511", rrq("b511", "octet"), names["b511"], nil, nil},
		{"T-RRQ-02 513", rrq("b513", "octet"), names["b513"], nil, nil},
		{"T-RRQ-02 2x1428", rrq("b2856", "octet", "blksize", "1428"), names["b2856"], big, nil},
		{"T-RRQ-03", rrq("empty", "octet"), "", nil, nil},
		{"T-RRQ-04", rrq("missing", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-06 dot", rrq(".", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-06 directory", rrq("dir", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-07 OCTET", rrq("dir/x", "OCTET"), names["dir/x"], nil, nil},
		{"T-RRQ-07 NetASCII", rrq("text", "NetASCII"), "one\r\ntwo\r\x00three\r\x00\r\n", nil, nil},
		{"T-RRQ-08 mail", rrq("dir/x", "mail"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-08 empty", rrq("dir/x", ""), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-09 no mode", rrq("dir/x"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-09 no NUL", []byte("\x00\x01dir/x\x00octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-10", rrq("", "octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-11 slash", rrq("/dir/x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-11 slashes", rrq("//dir//x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-11 dot", rrq("./dir/x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-12", rrq(`\dir\x`, "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-14", rrq("../x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14 backslash", rrq(`..\x`, "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14 inside", rrq("a/../../x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14 percent", rrq("%2e%2e/x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14 overlong", rrq("\xc0\xae\xc0\xae/x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-17 name", rrq(strings.Repeat("n", 256), "octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-17 request", rrq("dir/x", "octet", "x", strings.Repeat("y", 600)), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-18", rrq("a\x1b[31mb", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-OPT-01", rrq("dir/x", "octet", "BLKSIZE", "1428"), names["dir/x"], big, nil},
		{"T-OPT-02", rrq("dir/x", "octet", "utimeout", "9", "blksize", "1428"), names["dir/x"], big, nil},
		{"T-OPT-03", rrq("dir/x", "octet", "windowsize", "8", "timeout", "3"), names["dir/x"], nil, nil},
		{"T-OPT-04 8", rrq("b513", "octet", "blksize", "8"), names["b513"], nil, nil},
		{"T-OPT-04 512", rrq("b513", "octet", "blksize", "512"), names["b513"], map[string]string{"blksize": "512"}, nil},
		{"T-OPT-06 65464", rrq("b2856", "octet", "blksize", "65464"), names["b2856"], big, nil},
		{"T-OPT-05 0", rrq("b513", "octet", "blksize", "0"), names["b513"], nil, nil},
		{"T-OPT-05 -1", rrq("b513", "octet", "blksize", "-1"), names["b513"], nil, nil},
		{"T-OPT-05 abc", rrq("b513", "octet", "blksize", "abc"), names["b513"], nil, nil},
		{"T-OPT-05 65465", rrq("b513", "octet", "blksize", "65465"), names["b513"], nil, nil},
		{"T-OPT-05 huge", rrq("b513", "octet", "blksize", strings.Repeat("9", 40)), names["b513"], nil, nil},
		{"T-OPT-08", rrq("b513", "octet", "tsize", "0"), names["b513"], map[string]string{"tsize": "513"}, nil},
		{"T-OPT-08 empty", rrq("empty", "octet", "tsize", "0"), "", map[string]string{"tsize": "0"}, nil},
		{"T-OPT-09", rrq("b513", "octet", "tsize", "777"), names["b513"], map[string]string{"tsize": "513"}, nil},
		{"T-OPT-10", rrq("text", "netascii", "tsize", "0"), "one\r\ntwo\r\x00three\r\x00\r\n", nil, nil},
		{
			"T-OPT-14", rrq("b513", "octet", "windowsize", "4", "tsize", "0", "blksize", "600"), names["b513"],
			map[string]string{"tsize": "513", "blksize": "600"},
			nil,
		},
		{"T-OPT-17", rrq("b513", "octet", "blksize", "600", "BlkSize", "700"), names["b513"], map[string]string{"blksize": "600"}, nil},
		{"T-OPT-18", rrq("b513", "octet", "blksize"), names["b513"], nil, nil},
		{"T-OPT-19", rrq("b513", "octet", "x", strings.Repeat("z", 400), "blksize", "1428"), names["b513"], big, nil},
		{"T-WRQ-01", append([]byte{0, opWrite}, "dir/x\x00octet\x00"...), "", nil, wireError{2, "Access violation"}},
		{"T-WRQ-01 malformed", []byte{0, opWrite}, "", nil, wireError{2, "Access violation"}},
	}
	s := start(t, serving(names), nil)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, options, err := dial(t, s).fetch(c.request)
			if !errors.Is(err, c.err) {
				t.Fatalf("error: got %v, want %v", err, c.err)
			}
			if string(got) != c.want {
				t.Errorf("content: got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(c.want), c.want)
			}
			if diff := cmp.Diff(c.options, options); diff != "" {
				t.Errorf("OACK (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSilence: what isn't a request, or may start a loop of servers, gets no answer (T-FLOW-12, T-FLOW-13).
func TestSilence(t *testing.T) {
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

func TestDistrust(t *testing.T) {
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

// TestErrorKinds: a client can't tell a file that it may not have from one that isn't there (T-RRQ-05), and a failure of
// ours never looks like either (T-RRQ-21).
func TestErrorKinds(t *testing.T) {
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

func TestBodyFails(t *testing.T) {
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

// TestBadNetwork: datagrams are lost and doubled both ways (T-FLOW-07, T-FLOW-08, T-OPT-15).
func TestBadNetwork(t *testing.T) {
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

func TestNetascii(t *testing.T) {
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

// TestRollOver: more blocks than a block number can count (T-RRQ-23).
func TestRollOver(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	content := text(40 << 20)
	s := start(t, serving(map[string]string{"f": content}), nil)
	got, _, err := dial(t, s).fetch(rrq("f", "octet"))
	if err != nil || string(got) != content {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(content))
	}
}

// TestManyClients: an office is switched on at once.
func TestManyClients(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) { s.PeerTransfers = 1000 })
	var wg sync.WaitGroup
	for range 300 {
		c := dial(t, s)
		wg.Go(func() {
			got, _, err := c.fetch(rrq("b2856", "octet"))
			if err != nil || string(got) != names["b2856"] {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	eventually(t, "all slots given back", func() bool { return s.Stats().InProgress == 0 })
	if got := s.Stats().Results["sent"]; got != 300 {
		t.Errorf("sent: got %d, want 300", got)
	}
}

// TestLocalAddress: who asks one of our addresses is answered from that one, refusals included (T-LIM-11).
func TestLocalAddress(t *testing.T) {
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

func TestIPv6(t *testing.T) {
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

// TestStop: Run gives transfers a while, then tells their clients and ends (T-LIM-09).
func TestStop(t *testing.T) {
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
