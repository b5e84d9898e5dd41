package tftpd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// quick are the times of tests: a lost datagram costs little.
var quick = timing{
	first: 100 * time.Millisecond, floor: 20 * time.Millisecond, ceiling: 200 * time.Millisecond,
	patience: time.Second, drain: 50 * time.Millisecond, retry: time.Millisecond,
}

// fakeHandler is the pipeline for tests.
type fakeHandler struct {
	OnHandle func(*provision.Request) (*provision.Answer, error)

	mu        sync.Mutex
	plugin    provision.PluginID // of all outcomes
	asked     []provision.Request
	delivered map[uint64]provision.Delivery
	arrived   chan struct{} // one for each delivery
}

func (h *fakeHandler) Handle(_ context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	h.mu.Lock()
	h.asked = append(h.asked, *r)
	out := &provision.Outcome{Request: *r, Plugin: h.plugin}
	out.Request.ID = uint64(len(h.asked))
	h.mu.Unlock()
	answer, err := h.OnHandle(r)
	out.Err = err
	return answer, out
}

func (h *fakeHandler) Delivered(id uint64, d provision.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered[id] = d
	h.arrived <- struct{}{}
}

// last waits for a delivery and returns the request it belongs to.
func (h *fakeHandler) last(t *testing.T) (provision.Request, provision.Delivery) {
	t.Helper()
	select {
	case <-h.arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported as delivered")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := uint64(len(h.asked))
	return h.asked[id-1], h.delivered[id]
}

// body is a file in memory that tells whether it was closed.
type body struct {
	io.ReadSeeker
	closed func()
}

func (b body) Close() error {
	b.closed()
	return nil
}

// serving returns a handler with these files. Others aren't found.
func serving(files map[string]string) *fakeHandler {
	return &fakeHandler{
		delivered: map[uint64]provision.Delivery{},
		arrived:   make(chan struct{}, 10000),
		OnHandle: func(r *provision.Request) (*provision.Answer, error) {
			content, ok := files[r.Path]
			if !ok {
				return nil, fmt.Errorf("/srv/secret/%s: %w", r.Path, provision.ErrNotFound)
			}
			return answerOf(content), nil
		},
	}
}

func answerOf(content string) *provision.Answer {
	return &provision.Answer{Size: int64(len(content)), Body: body{strings.NewReader(content), func() {}}}
}

// start runs a server until the test ends. change may be nil.
func start(tb testing.TB, h provision.Handler, change func(*Server)) *Server {
	tb.Helper()
	s := &Server{Addr: "127.0.0.1:0", Handler: h, Log: slog.New(slog.DiscardHandler), times: quick}
	if change != nil {
		change(s)
	}
	if err := s.Open(); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	return s
}

// client is a small TFTP client that misbehaves on demand.
type client struct {
	conn   *net.UDPConn
	server netip.AddrPort
	tid    netip.AddrPort // where the transfer's datagrams come from
	// copies says how many of a datagram pass: none is a loss. Nil: one.
	copies func(out bool, p []byte) int
	held   [][]byte // received again later
	buf    []byte
	wait   time.Duration // before fetch sends again; zero: a short while
	tries  int           // how often it does; zero: ten times
	rollTo uint16        // what it takes for the number after 65535
}

func dial(tb testing.TB, s *Server) *client {
	tb.Helper()
	return dialFrom(tb, s, "127.0.0.1")
}

func dialFrom(tb testing.TB, s *Server, from string) *client {
	tb.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &client{conn: conn, server: s.LocalAddr()}
}

func (c *client) write(p []byte, to netip.AddrPort) {
	n := 1
	if c.copies != nil {
		n = c.copies(true, p)
	}
	for range n {
		_, _ = c.conn.WriteToUDPAddrPort(p, to)
	}
}

var errNothing = errors.New("no datagram")

// read waits for the next datagram, which is overwritten by the one after.
func (c *client) read(wait time.Duration) ([]byte, netip.AddrPort, error) {
	if len(c.held) > 0 {
		p := c.held[0]
		c.held = c.held[1:]
		return p, c.tid, nil
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(wait))
	if c.buf == nil {
		c.buf = make([]byte, 65536)
	}
	buf := c.buf
	for {
		n, from, err := c.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil, from, errNothing
		}
		copies := 1
		if c.copies != nil {
			copies = c.copies(false, buf[:n])
		}
		for range copies - 1 {
			c.held = append(c.held, bytes.Clone(buf[:n]))
		}
		if copies > 0 {
			return buf[:n], unmap(from), nil
		}
	}
}

// rrq makes a read request. With no mode it is cut off after the name.
func rrq(name string, rest ...string) []byte {
	return append([]byte{0, opRead}, strings.Join(append([]string{name}, rest...), "\x00")+"\x00"...)
}

func ack(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, opAck}, n) }

// wireError is an ERROR from the server.
type wireError struct {
	code uint16
	text string
}

func (e wireError) Error() string { return fmt.Sprintf("%d %s", e.code, e.text) }

// fetch gets a file and the OACK's options. It sends its last datagram again after a silence, up to ten times.
func (c *client) fetch(request []byte) (content []byte, options map[string]string, err error) {
	patience := cmp.Or(c.wait, 150*time.Millisecond)
	block, size, window := uint16(0), 512, 1
	since := 0 // blocks since the last acknowledgement
	last, to := request, c.server
	c.write(last, to)
	for tries := 0; tries < cmp.Or(c.tries, 10); {
		p, from, err := c.read(patience)
		if err != nil {
			tries++
			c.write(last, to)
			continue
		}
		if c.tid.IsValid() && from != c.tid && from != c.server {
			continue
		}
		number := binary.BigEndian.Uint16(p[2:])
		switch binary.BigEndian.Uint16(p) {
		case opError:
			return content, options, wireError{number, strings.TrimSuffix(string(p[4:]), "\x00")}
		case opOAck:
			c.tid, to = from, from
			if options == nil {
				options = map[string]string{}
				parts := strings.Split(strings.TrimSuffix(string(p[2:]), "\x00"), "\x00")
				for i := 0; i+1 < len(parts); i += 2 {
					options[parts[i]] = parts[i+1]
				}
				for name, to := range map[string]*int{"blksize": &size, "windowsize": &window} {
					if v, ok := options[name]; ok {
						if _, err := fmt.Sscan(v, to); err != nil {
							return nil, options, err
						}
					}
				}
			}
			if block == 0 {
				last = ack(0)
			}
			c.write(last, to)
		case opData:
			c.tid, to = from, from
			next := block + 1
			if next == 0 {
				next = c.rollTo
			}
			if number != next {
				if window == 1 || since >= 0 { // RFC 7440 §4: once for each gap
					c.write(last, to)
					since = -1
				}
				continue
			}
			tries = 0
			block = next
			content = append(content, p[4:]...)
			last = ack(block)
			if since = max(since, 0) + 1; since == window || len(p)-4 < size {
				c.write(last, to)
				since = 0
			}
			if len(p)-4 < size {
				return content, options, nil
			}
		}
	}
	return content, options, errNothing
}

// eventually waits until cond holds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			tb.Fatalf("never happened: %s", what)
		}
	}
}

// dialPair returns two sockets that belong to no server.
func dialPair(t *testing.T) (a, b *client) {
	t.Helper()
	s := &Server{Addr: "127.0.0.1:0"}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	return dial(t, s), dial(t, s)
}

func addrOf(c *client) netip.AddrPort { return local(c.conn) }
