package httpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

var files = map[string]string{
	"aastra.cfg": "line1\nline2\n",
	"dir/x":      "in a directory",
	"%2e%2e/x":   "a strange name",
	"a b":        "a blank",
	"empty":      "",
	"big":        strings.Repeat("0123456789", 100_000),
}

// TestTargets: odd request targets reach the pipeline as a clean path or not at all, and nothing is redirected.
func TestTargets(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, raw string
		status    int
		content   string
	}{
		{"plain", get("/aastra.cfg"), 200, files["aastra.cfg"]},
		{"empty file", get("/empty"), 200, ""},
		{"two slashes", get("//aastra.cfg"), 200, files["aastra.cfg"]},
		{"slashes inside", get("/dir//x"), 200, files["dir/x"]},
		{"a dot", get("/./dir/./x"), 200, files["dir/x"]},
		{"encoded slash", get("/dir%2fx"), 200, files["dir/x"]},
		{"encoded letter", get("/%61astra.cfg"), 200, files["aastra.cfg"]},
		{"encoded blank", get("/a%20b"), 200, files["a b"]},
		{"a plus is a plus", get("/a+b"), 404, notFound},
		{"encoded twice", get("/%252e%252e/x"), 200, files["%2e%2e/x"]},
		{"dot dot", get("/../aastra.cfg"), 404, notFound},
		{"dot dot inside", get("/dir/../aastra.cfg"), 404, notFound},
		{"encoded dot dot", get("/%2e%2e/aastra.cfg"), 404, notFound},
		{"encoded backslash dot dot", get("/..%5caastra.cfg"), 404, notFound},
		{"encoded NUL", get("/aastra.cfg%00.txt"), 404, notFound},
		{"encoded line feed", get("/a%0ab"), 404, notFound},
		{"too long", get("/" + strings.Repeat("x", 3000)), 404, notFound},
		{"root", get("/"), 404, notFound},
		{"query", get("/aastra.cfg?token=abc&x=/../y"), 200, files["aastra.cfg"]},
		{"absolute form", get("http://prov.example/aastra.cfg"), 200, files["aastra.cfg"]},
		{"absolute form of elsewhere", get("https://elsewhere.example:8443//dir/x"), 200, files["dir/x"]},
		{"absolute form without a path", get("http://prov.example"), 404, notFound},
		{"no slash", "GET aastra.cfg HTTP/1.1\r\nHost: x\r\n\r\n", 400, "400 Bad Request"},
		{"a bad escape", get("/%zz"), 400, "400 Bad Request"},
		{"HTTP/1.0 without Host", "GET /aastra.cfg HTTP/1.0\r\n\r\n", 200, files["aastra.cfg"]},
		{"HTTP/1.1 without Host", "GET /aastra.cfg HTTP/1.1\r\n\r\n", 400, "400 Bad Request: missing required Host header"},
		{"HTTP/0.9", "GET /aastra.cfg\r\n\r\n", 400, "400 Bad Request"},
		{"a control character", "GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "400 Bad Request"},
		{"no HTTP", "\x16\x03\x01\x02\x00\r\n\r\n", 400, "400 Bad Request"},
		{"huge headers", get("/aastra.cfg", "X: "+strings.Repeat("x", 30_000)), 431, "431 Request Header Fields Too Large"},
		{"POST", "POST /aastra.cfg HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, method},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405, method},
	}
	s := start(t, serving(files), func(s *Server) { s.PeerConnections = 100 })
	unreadable := uint64(0)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, s, c.raw)
			if got.StatusCode != c.status || got.content != c.content {
				t.Errorf("got %d %.60q, want %d %.60q", got.StatusCode, got.content, c.status, c.content)
			}
			if l := got.Header.Get("Location"); l != "" {
				t.Errorf("redirected to %q", l)
			}
			if a := got.Header.Get("Allow"); (a == "GET, HEAD") != (c.status == 405) {
				t.Errorf("Allow: got %q", a)
			}
		})
		if c.status == 400 || c.status == 431 {
			unreadable++
		}
	}
	if got := s.Stats().Results["unreadable"]; got != unreadable {
		t.Errorf("unreadable: got %d, want %d", got, unreadable)
	}
}

func TestRequestAndDelivery(t *testing.T) {
	t.Parallel()
	h := serving(files)
	s := start(t, h, nil)
	ask(t, s, get("//dir%2fx?token=s3cret", "User-Agent: Aastra6730i\tMAC:00-08-5D-12-34-56 "+strings.Repeat("v", 600)))
	r, d := h.last(t)
	r.At = time.Time{}
	want := provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("127.0.0.1"), Local: netip.MustParseAddr("127.0.0.1"),
		Path: "dir/x", Raw: "//dir%2fx",
		Fields: map[string]string{
			provision.FieldHost: "prov.example", provision.FieldMethod: "GET",
			provision.FieldUserAgent: "Aastra6730i?MAC:00-08-5D-12-34-56 " + strings.Repeat("v", maxField-34),
		},
	}
	if diff := cmp.Diff(want, r, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if d.Bytes != int64(len(files["dir/x"])) || d.Err != nil || d.Took <= 0 {
		t.Errorf("delivery: got %+v", d)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	h := serving(files)
	s := start(t, h, nil)
	got := ask(t, s, strings.Replace(get("/aastra.cfg"), "GET", "HEAD", 1))
	if got.StatusCode != http.StatusOK || got.ContentLength != int64(len(files["aastra.cfg"])) {
		t.Errorf("got %d, %d bytes", got.StatusCode, got.ContentLength)
	}
	if r, d := h.last(t); !r.Head || d.Err != nil || d.Bytes != 0 {
		t.Errorf("got %+v, %+v", r, d)
	}
}

func TestConditionsAndRanges(t *testing.T) {
	t.Parallel()
	s := start(t, serving(files), func(s *Server) { s.PeerConnections = 100 })
	first := ask(t, s, get("/aastra.cfg"))
	tag, date := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	for name, want := range map[string]string{
		"Content-Type": "text/xml", "Server": "Dialtone", "Accept-Ranges": "bytes", "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT",
		"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	whole := files["aastra.cfg"]
	cases := []struct {
		name    string
		headers []string
		status  int
		content string
	}{
		{"known tag", []string{"If-None-Match: " + tag}, 304, ""},
		{"other tag", []string{`If-None-Match: "x"`}, 200, whole},
		{"known date", []string{"If-Modified-Since: " + date}, 304, ""},
		{"older date", []string{"If-Modified-Since: Sun, 01 Feb 2026 12:00:00 GMT"}, 200, whole},
		{"other tag wins over date", []string{`If-None-Match: "x"`, "If-Modified-Since: " + date}, 200, whole},
		{"must match", []string{`If-Match: "x"`}, 412, ""},
		{"range", []string{"Range: bytes=2-4"}, 206, whole[2:5]},
		{"end", []string{"Range: bytes=-3"}, 206, whole[len(whole)-3:]},
		{"rest", []string{"Range: bytes=6-"}, 206, whole[6:]},
		{"range of this", []string{"Range: bytes=2-4", "If-Range: " + tag}, 206, whole[2:5]},
		{"range of another", []string{"Range: bytes=2-4", `If-Range: "x"`}, 200, whole},
		{"beyond", []string{"Range: bytes=100-"}, 416, "invalid range: failed to overlap\n"},
		{"five ranges", []string{"Range: bytes=0-0,1-1,2-2,3-3,4-4"}, 200, whole},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, s, get("/aastra.cfg", c.headers...))
			if got.StatusCode != c.status || got.content != c.content {
				t.Errorf("got %d %q, want %d %q", got.StatusCode, got.content, c.status, c.content)
			}
		})
	}
	many := ask(t, s, get("/aastra.cfg", "Range: bytes=0-0,2-2"))
	if got := many.Header.Get("Content-Type"); many.StatusCode != http.StatusPartialContent || !strings.HasPrefix(got, "multipart/byteranges") {
		t.Errorf("two ranges: got %d %q", many.StatusCode, got)
	}
}

// TestErrorKinds: a client can't tell a file that it may not have from one that isn't there, and a failure of ours never
// looks like either.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	var first string
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"not found", provision.ErrNotFound, 404},
		{"forbidden", provision.ErrForbidden, 404},
		{"invalid", provision.ErrInvalid, 404},
		{"conflict", provision.ErrConflict, 503},
		{"hung up", context.Canceled, 503},
		{"other", errors.New("too many open files"), 503},
		{"panic", nil, 503},
	} {
		h := serving(nil)
		h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
			if c.err == nil {
				panic("on purpose")
			}
			return nil, fmt.Errorf("open /srv/x: %w", c.err)
		}
		s := start(t, h, nil)
		got := ask(t, s, get("/x"))
		if got.StatusCode != c.status || strings.Contains(got.content, "srv") {
			t.Errorf("%s: got %d %q, want %d", c.name, got.StatusCode, got.content, c.status)
		}
		got.Header.Del("Date")
		seen := fmt.Sprint(got.Header, got.content)
		if first == "" {
			first = seen
		}
		if c.status == 404 && seen != first {
			t.Errorf("%s: got %s, want what a missing file gets: %s", c.name, seen, first)
		}
		if (c.status == 503) != (got.Header.Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After: got %q", c.name, got.Header.Get("Retry-After"))
		}
		if got, want := s.Stats().Panics == 1, c.err == nil; got != want {
			t.Errorf("%s: panic counted: got %v, want %v", c.name, got, want)
		}
		came := "failed"
		switch {
		case c.status == 404:
			came = "not found"
		case errors.Is(c.err, context.Canceled):
			came = "broken" // no fault of ours
		}
		if got := s.Stats().Results; got[came] != 1 {
			t.Errorf("%s: counted as %v, want %s", c.name, got, came)
		}
	}
}

// TestBodyFails: a body that breaks or lies about its size never looks whole, and is closed.
func TestBodyFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		body   io.ReadSeeker
		status int
	}{
		{"wrong size", strings.NewReader("xyz"), 503},
		{"breaks", badBody{strings.NewReader(files["big"]), func() (int, error) { return 0, errors.New("i/o error") }}, 200},
		{"panics", badBody{strings.NewReader(files["big"]), func() (int, error) { panic("on purpose") }}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := serving(nil)
			closed := make(chan struct{})
			h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
				a := answerOf(files["big"])
				a.Body = body{c.body, func() { close(closed) }}
				return a, nil
			}
			s := start(t, h, nil)
			conn := dial(t, s, "127.0.0.1")
			if _, err := io.WriteString(conn, get("/x", "Connection: close")); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(conn)
			if want := fmt.Sprintf("HTTP/1.1 %d ", c.status); c.status != 0 && !strings.HasPrefix(string(got), want) {
				t.Errorf("got %.40q, want %q", got, want)
			}
			if len(got) > len(files["big"]) {
				t.Errorf("got %d bytes: a whole file", len(got))
			}
			<-closed
			if _, d := h.last(t); d.Err == nil {
				t.Errorf("delivery: got %+v, want an error", d)
			}
		})
	}
}

type badBody struct {
	*strings.Reader
	read func() (int, error)
}

func (b badBody) Read([]byte) (int, error) { return b.read() }

// WriteTo hides the reader's own.
func (b badBody) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{b}) }

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := start(t, serving(files), nil)
	c := dial(t, s, "127.0.0.1")
	r := bufio.NewReader(c)
	for _, target := range []string{"/aastra.cfg", "/missing", "/dir/x", "/../x"} {
		if _, err := io.WriteString(c, get(target)); err != nil {
			t.Fatal(err)
		}
		if got := answerFrom(t, r, "GET "); got.Close {
			t.Errorf("%s: the connection is closed", target)
		}
	}
}

// TestSlowHeaders: who dribbles his request is cut off.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, serving(files), func(s *Server) { s.times.header = 50 * time.Millisecond })
	c := dial(t, s, "127.0.0.1")
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("got %v, want the end of the connection", err)
	}
}

// TestSlowReader: who doesn't take his answer is cut off, and the outcome says so.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 64<<20)
	h := serving(map[string]string{"f": huge})
	s := start(t, h, func(s *Server) { s.times.write = 100 * time.Millisecond; s.times.rate = 1 << 40 })
	c := dial(t, s, "127.0.0.1")
	if _, err := io.WriteString(c, get("/f")); err != nil {
		t.Fatal(err)
	}
	if _, d := h.last(t); d.Err == nil || d.Bytes >= int64(len(huge)) {
		t.Errorf("delivery: got %d bytes, %v; want an error", d.Bytes, d.Err)
	}
	eventually(t, "counted", func() bool { return s.Stats().Results["broken"] == 1 })
	broken := Count{Listener: "http", Method: http.MethodGet, Code: http.StatusOK, Result: "broken", N: 1}
	if st := s.Stats(); !slices.Contains(st.Requests, broken) || !slices.ContainsFunc(st.Took, func(x Took) bool {
		_, sum := x.Took.Took()
		return x.Listener == "http" && x.Result == "broken" && sum >= 100*time.Millisecond
	}) {
		t.Errorf("counted as %v, took %v", st.Requests, st.Took)
	}
}

func TestTimeForSize(t *testing.T) {
	t.Parallel()
	if got, want := defaultTiming().send(16<<20), 30*time.Second+1024*time.Second; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCaps: an address has so many connections, all together have so many.
func TestCaps(t *testing.T) {
	t.Parallel()
	s := start(t, serving(files), func(s *Server) { s.Connections, s.PeerConnections = 3, 2 })
	served := func(c net.Conn) {
		t.Helper()
		if _, err := io.WriteString(c, get("/dir/x")); err != nil {
			t.Fatal(err)
		}
		answerFrom(t, bufio.NewReader(c), "GET ")
	}
	a, b := dial(t, s, "127.0.0.2"), dial(t, s, "127.0.0.2")
	served(a)
	served(b)
	if _, err := io.ReadAll(dial(t, s, "127.0.0.2")); err != nil {
		t.Errorf("one too many of an address: got %v, want the end of the connection", err)
	}
	if got := s.Stats(); got.OverCap != 1 || got.Connections != 2 {
		t.Errorf("got %d over the cap, %d open; want 1 and 2", got.OverCap, got.Connections)
	}
	served(dial(t, s, "127.0.0.3"))
	waiting := dial(t, s, "127.0.0.4") // the kernel takes it, we don't yet
	if _, err := io.WriteString(waiting, get("/dir/x")); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	answerFrom(t, bufio.NewReader(waiting), "GET ")
}

// TestStop: Run gives answers a while, then breaks them off and ends.
func TestStop(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"f": strings.Repeat("x", 64<<20)})
	s := &Server{Addr: "127.0.0.1:0", Handler: h, times: defaultTiming()}
	s.times.drain = 20 * time.Millisecond
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := dial(t, s, "127.0.0.1")
	if _, err := io.WriteString(c, get("/f")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "answering", func() bool { return s.Stats().InProgress == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, d := h.last(t); d.Err == nil {
		t.Error("delivery: got no error")
	}
	if got := s.Stats(); got.InProgress != 0 || got.Connections != 0 {
		t.Errorf("left: got %d requests, %d connections", got.InProgress, got.Connections)
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
