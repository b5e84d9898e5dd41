package httpd

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// fakeHandler is the pipeline for tests.
type fakeHandler struct {
	OnHandle func(*provision.Request) (*provision.Answer, error)

	mu        sync.Mutex
	asked     []provision.Request
	delivered map[uint64]provision.Delivery
	arrived   chan struct{} // one for each delivery
}

func (h *fakeHandler) Handle(_ context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	h.mu.Lock()
	h.asked = append(h.asked, *r)
	out := &provision.Outcome{Request: *r}
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

type body struct {
	io.ReadSeeker
	closed func()
}

func (b body) Close() error {
	b.closed()
	return nil
}

var modified = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func answerOf(content string) *provision.Answer {
	return &provision.Answer{
		Type: "text/xml", Size: int64(len(content)), Hash: sha256.Sum256([]byte(content)), ModTime: modified,
		Body: body{strings.NewReader(content), func() {}},
	}
}

// serving returns a handler with these files. Others aren't found.
func serving(files map[string]string) *fakeHandler {
	return &fakeHandler{
		delivered: map[uint64]provision.Delivery{},
		arrived:   make(chan struct{}, 1<<20),
		OnHandle: func(r *provision.Request) (*provision.Answer, error) {
			content, ok := files[r.Path]
			if !ok {
				return nil, fmt.Errorf("/srv/secret/%s: %w", r.Path, provision.ErrNotFound)
			}
			return answerOf(content), nil
		},
	}
}

// start runs a server until the test ends. change may be nil.
func start(tb testing.TB, h provision.Handler, change func(*Server)) *Server {
	tb.Helper()
	s := &Server{Addr: "127.0.0.1:0", Handler: h, Log: slog.New(slog.DiscardHandler), times: defaultTiming()}
	s.times.drain = 50 * time.Millisecond
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

// dial connects to the server from an address of the loopback interface.
func dial(tb testing.TB, s *Server, from string) net.Conn {
	tb.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.DialContext(tb.Context(), "tcp", s.LocalAddr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// reply is an answer read whole.
type reply struct {
	*http.Response
	content string
}

// ask sends bytes over a new connection and reads the answer.
func ask(tb testing.TB, s *Server, raw string) reply {
	tb.Helper()
	c := dial(tb, s, "127.0.0.1")
	if _, err := io.WriteString(c, raw); err != nil {
		tb.Fatal(err)
	}
	return answerFrom(tb, bufio.NewReader(c), raw)
}

func answerFrom(tb testing.TB, r *bufio.Reader, raw string) reply {
	tb.Helper()
	verb, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: verb})
	if err != nil {
		tb.Fatalf("%.60q: %v", raw, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%.60q: %v", raw, err)
	}
	return reply{resp, string(content)}
}

// get makes a request with headers, each "Name: value".
func get(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: prov.example\r\n" + strings.Join(append(headers, "", ""), "\r\n")
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

// quietHandler has one file and remembers nothing.
type quietHandler struct{ content string }

func (h quietHandler) Handle(_ context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	a := answerOf("")
	a.Size, a.Body = int64(len(h.content)), body{strings.NewReader(h.content), func() {}}
	return a, &provision.Outcome{Request: *r}
}

func (quietHandler) Delivered(uint64, provision.Delivery) {}
