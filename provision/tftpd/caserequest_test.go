package tftpd

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// requestCases are those of read and write requests that take more than one exchange.
func requestCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-RRQ-01": freshPort,
		"T-RRQ-05": errorKinds,
		"T-RRQ-18": controlCharacters,
		"T-RRQ-19": slowRender,
		"T-RRQ-20": sizeTold,
		"T-RRQ-21": errorKinds,
		"T-RRQ-22": replaced,
		"T-RRQ-23": rollOver,
		"T-WRQ-01": nothingWritten,
		"T-WRQ-02": writeFlood,
		"T-ASC-01": netasciiBorders,
		"T-ASC-03": longText,
	}
}

// freshPort: the data comes from another port than the request went to, and what was sent is told.
func freshPort(t *testing.T) {
	t.Parallel()
	h := serving(names)
	s := start(t, h, nil)
	c := dial(t, s)
	if _, _, err := c.fetch(rrq("b513", "octet")); err != nil || c.tid.Port() == s.LocalAddr().Port() {
		t.Errorf("got it from %v, %v; want another port than %v", c.tid, err, s.LocalAddr())
	}
	if r, d := h.last(t); r.Path != "b513" || d.Bytes != 513 || d.Took <= 0 || d.Err != nil {
		t.Errorf("told of %q, %+v", r.Path, d)
	}
}

// controlCharacters: they come neither back nor into the log.
func controlCharacters(t *testing.T) {
	t.Parallel()
	h := serving(names)
	s := start(t, h, nil)
	if _, _, err := dial(t, s).fetch(rrq("a\x1b[31mb\u009b", "octet")); !errors.Is(err, wireError{1, "File not found"}) {
		t.Errorf("got %v, want the fixed sentence", err)
	}
	if got := printable("a\x1b[31mb\u009b\n"); strings.ContainsAny(got, "\x1b\u009b\n") {
		t.Errorf("printable: got %q", got)
	}
}

// slowRender: a phone that repeats its request while the file is made gets it once, and it is made once.
func slowRender(t *testing.T) {
	t.Parallel()
	made := make(chan struct{})
	h := serving(nil)
	h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
		<-made
		return answerOf("late"), nil
	}
	s := start(t, h, nil)
	c := dial(t, s)
	for range 3 {
		c.write(rrq("f", "octet"), s.LocalAddr())
	}
	eventually(t, "repetitions dropped", func() bool { return s.Stats().Dropped["repeated"] == 2 })
	close(made)
	expect(t, c, data1+"late")
	c.write(ack(1), c.tid)
	nothingWithin(t, c, 50*time.Millisecond)
	if r, _ := h.last(t); r.Path != "f" || len(h.asked) != 1 {
		t.Errorf("asked %d times, want once", len(h.asked))
	}
}

// sizeTold: what tsize says is what comes.
func sizeTold(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), nil)
	for _, name := range []string{"empty", "b511", "b512", "b2856"} {
		got, options, err := dial(t, s).fetch(rrq(name, "octet", "tsize", "0"))
		if want := strconv.Itoa(len(got)); err != nil || options["tsize"] != want || string(got) != names[name] {
			t.Errorf("%s: got %d bytes, %v, %v", name, len(got), options, err)
		}
	}
}

// replaced: a transfer that has begun goes on with the file that it began with.
func replaced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	content := text(2000)
	h := serving(nil)
	h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		return answerOf(content), nil
	}
	s := start(t, h, nil)
	old := content
	c := dial(t, s)
	c.copies = func(out bool, p []byte) int {
		if out && p[1] == opAck && p[3] == 2 {
			mu.Lock()
			content = "new"
			mu.Unlock()
		}
		return 1
	}
	if got, _, err := c.fetch(rrq("f", "octet")); err != nil || string(got) != old {
		t.Errorf("got %d bytes, %v; want the old %d", len(got), err, len(old))
	}
	if got, _, err := dial(t, s).fetch(rrq("f", "octet")); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v; want the new", got, err)
	}
}

// rollOver: more blocks than a block number can count, for clients that expect 0 after 65535 and for those that expect 1.
func rollOver(t *testing.T) {
	t.Parallel()
	content := text(34 << 20)
	h := &fakeHandler{delivered: map[uint64]provision.Delivery{}, arrived: make(chan struct{}, 10), plugin: "odd"}
	h.OnHandle = func(*provision.Request) (*provision.Answer, error) { return answerOf(content), nil }
	for _, to := range []uint16{0, 1} {
		s := start(t, h, func(s *Server) {
			if to == 1 {
				s.Quirks = map[provision.PluginID]Quirks{"odd": {RollToOne: true}}
			}
		})
		c := dial(t, s)
		c.rollTo = to
		got, _, err := c.fetch(rrq("f", "octet"))
		if err != nil || string(got) != content {
			t.Errorf("to %d: got %d bytes, %v; want %d", to, len(got), err, len(content))
		}
	}
}

// nothingWritten: the pipeline isn't even asked, so that a write request can't find out what there is.
func nothingWritten(t *testing.T) {
	t.Parallel()
	h := serving(names)
	s := start(t, h, nil)
	for _, name := range []string{"dir/x", "missing"} {
		_, _, err := dial(t, s).fetch(append([]byte{0, opWrite}, name+"\x00octet\x00"...))
		if want := (wireError{2, "Access violation"}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if len(h.asked) != 0 {
		t.Errorf("asked the pipeline: %v", h.asked)
	}
}

// writeFlood: refusing costs no socket and is limited.
func writeFlood(t *testing.T) {
	t.Parallel()
	s := &Server{Addr: "127.0.0.1:0"}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	c := dial(t, s)
	for range 5 * maxScolds {
		if _, ok := s.admit([]byte("\x00\x02f\x00octet\x00"), addrOf(c), addrOf(c).Addr()); ok {
			t.Fatal("a write request got a slot")
		}
	}
	st := s.Stats()
	if st.Results["write"] > 2*maxScolds || st.Dropped["flood"] == 0 { // it may have taken from one second to the next
		t.Errorf("refused %d, dropped %d", st.Results["write"], st.Dropped["flood"])
	}
}

// longText: a text of more blocks than a block number can count.
func longText(t *testing.T) {
	t.Parallel()
	const lines = 17 << 20
	h := serving(nil)
	h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
		b := bytes.NewReader(bytes.Repeat([]byte{'\n'}, lines))
		return &provision.Answer{Size: lines, Body: body{b, func() {}}}, nil
	}
	got, _, err := dial(t, start(t, h, nil)).fetch(rrq("f", "netascii"))
	if err != nil || len(got) != 2*lines || !bytes.Equal(got, bytes.Repeat([]byte("\r\n"), lines)) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, 2*lines)
	}
}

var _ io.Closer = body{}
