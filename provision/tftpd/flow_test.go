package tftpd

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// nothingWithin fails if a datagram comes.
func nothingWithin(t *testing.T, c *client, wait time.Duration) {
	t.Helper()
	if p, _, err := c.read(wait); err == nil {
		t.Errorf("got % .20x, want silence", p)
	}
}

// expect reads a datagram that must begin with want.
func expect(t *testing.T, c *client, want string) {
	t.Helper()
	p, from, err := c.read(5 * time.Second)
	if err != nil || !strings.HasPrefix(string(p), want) {
		t.Fatalf("got % .20x, %v; want % x", p, err, want)
	}
	if !c.tid.IsValid() {
		c.tid = from
	}
}

const data1, data2 = "\x00\x03\x00\x01", "\x00\x03\x00\x02"

// slow are times at which nothing is sent again during a test.
func slow(s *Server) {
	s.times = defaultTiming()
	s.times.first, s.times.floor, s.times.ceiling = 20*time.Second, 20*time.Second, 20*time.Second
	s.times.drain = 0
}

// duplicateAck: the sorcerer's apprentice (T-FLOW-01, T-FLOW-03).
func duplicateAck(t *testing.T) {
	t.Parallel()
	s := start(t, serving(map[string]string{"f": text(5000)}), slow)
	c := dial(t, s)
	c.write(rrq("f", "octet"), s.LocalAddr())
	expect(t, c, data1)
	for _, n := range []uint16{0, 2, 7, 1, 1, 1} {
		c.write(ack(n), c.tid)
	}
	expect(t, c, data2)
	nothingWithin(t, c, 100*time.Millisecond)
	c.write([]byte(illegal), c.tid)
}

// clientError: an ERROR isn't answered (T-FLOW-11).
func clientError(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"f": text(5000)})
	s := start(t, h, nil)
	for _, p := range []string{"\x00\x05\x00\x08no\x00", "\x00\x05\x00\x00"} {
		c := dial(t, s)
		c.write(rrq("f", "octet", "blksize", "1428"), s.LocalAddr())
		expect(t, c, "\x00\x06")
		c.write([]byte(p), c.tid)
		if _, d := h.last(t); !errors.Is(d.Err, errRefused) || d.Bytes != 0 {
			t.Errorf("delivery: got %+v, want one with %v", d, errRefused)
		}
		nothingWithin(t, c, 100*time.Millisecond)
	}
}

// silentClient: a limited number of datagrams goes to a client that never answers, and no ERROR (T-FLOW-04).
func silentClient(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"SEP001122334455.cnf.xml": text(5000)})
	s := start(t, h, func(s *Server) { s.times.patience = 1200 * time.Millisecond })
	c := dial(t, s)
	c.write(rrq("SEP001122334455.cnf.xml", "octet"), s.LocalAddr())
	if _, d := h.last(t); !errors.Is(d.Err, errSilent) || d.Took < s.times.patience {
		t.Errorf("delivery: got %+v, want %v after %v", d, errSilent, s.times.patience)
	}
	for range 1 + maxResends {
		expect(t, c, data1)
	}
	nothingWithin(t, c, 50*time.Millisecond)
}

// lastAckLost: all blocks but the last are acknowledged (T-FLOW-14).
func lastAckLost(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"f": text(600)})
	s := start(t, h, nil)
	c := dial(t, s)
	c.write(rrq("f", "octet"), s.LocalAddr())
	expect(t, c, data1)
	c.write(ack(1), c.tid)
	if _, d := h.last(t); !errors.Is(d.Err, errUnconfirmed) || d.Bytes != 512 {
		t.Errorf("delivery: got %+v, want 512 bytes and %v", d, errUnconfirmed)
	}
	eventually(t, "counted", func() bool { return s.Stats().Results["unconfirmed"] == 1 })
}

// repeatedRequest: it opens no second transfer and asks the pipeline nothing (T-FLOW-09, T-RRQ-19).
func repeatedRequest(t *testing.T) {
	t.Parallel()
	h := serving(map[string]string{"f": text(5000), "g": "g"})
	s := start(t, h, slow)
	c := dial(t, s)
	for range 3 {
		c.write(rrq("f", "octet"), s.LocalAddr())
	}
	expect(t, c, data1)
	nothingWithin(t, c, 50*time.Millisecond)
	if got := s.Stats().Dropped["repeated"]; got != 2 {
		t.Errorf("dropped: got %d, want 2", got)
	}
	c.write(rrq("g", "octet"), s.LocalAddr())
	expect(t, c, data1+"g")
	c.write([]byte(illegal), c.tid)
}

// stranger: another port's datagram gets one ERROR 5 and doesn't disturb the transfer (T-FLOW-10).
func stranger(t *testing.T) {
	t.Parallel()
	content := text(1000)
	s := start(t, serving(map[string]string{"f": content}), slow)
	c, other := dial(t, s), dial(t, s)
	c.write(rrq("f", "octet"), s.LocalAddr())
	expect(t, c, data1)
	for range 3 {
		other.write(ack(1), c.tid)
	}
	expect(t, other, string(unknownTID))
	nothingWithin(t, other, 50*time.Millisecond)
	c.write(ack(1), c.tid)
	expect(t, c, data2+content[512:])
	c.write(ack(2), c.tid)
	eventually(t, "sent", func() bool { return s.Stats().Results["sent"] == 1 })
}

// slotsLimited: what is over the limits is dropped, and a freed slot is used again (T-LIM-01).
func slotsLimited(t *testing.T) {
	t.Parallel()
	s := start(t, serving(map[string]string{"f": text(5000)}), func(s *Server) {
		slow(s)
		s.Transfers, s.PeerTransfers = 3, 2
	})
	var running []*client
	ask := func(from string) *client {
		c := dialFrom(t, s, from)
		c.write(rrq("f", "octet"), s.LocalAddr())
		return c
	}
	for _, from := range []string{"127.0.0.2", "127.0.0.2", "127.0.0.3"} {
		c := ask(from)
		expect(t, c, data1)
		running = append(running, c)
	}
	nothingWithin(t, ask("127.0.0.2"), 30*time.Millisecond)
	nothingWithin(t, ask("127.0.0.4"), 30*time.Millisecond)
	if got := s.Stats().InProgress; got != 3 {
		t.Errorf("in progress: got %d, want 3", got)
	}
	running[2].write([]byte(illegal), running[2].tid)
	eventually(t, "a slot is free", func() bool { return s.Stats().InProgress == 2 })
	nothingWithin(t, ask("127.0.0.2"), 30*time.Millisecond)
	c := ask("127.0.0.4")
	expect(t, c, data1)
	for _, c := range append(running, c) {
		c.write([]byte(illegal), c.tid)
	}
	st := s.Stats()
	if got, want := []uint64{st.Dropped["busy"], st.Dropped["peer busy"]}, []uint64{2, 1}; !slices.Equal(got, want) {
		t.Errorf("dropped: got %v, want %v", got, want)
	}
}

// slowReader: a client that answers forever is stopped, too (T-LIM-02).
func slowReader(t *testing.T) {
	t.Parallel()
	server, phone := dialPair(t)
	tr := sending(server, phone)
	tr.deadline = time.Now().Add(30 * time.Millisecond)
	block := make([]byte, 516)
	copy(block, data1)
	if err := tr.put(block); err != nil {
		t.Fatal(err)
	}
	phone.write(ack(1), addrOf(server))
	if err := tr.put(block); err != nil {
		t.Fatalf("got %v, want the acknowledgement", err)
	}
	if err := tr.put(block); !errors.Is(err, errTooLong) {
		t.Errorf("got %v, want %v", err, errTooLong)
	}
}

// sending returns a transfer from one socket to the other.
func sending(server, phone *client) *transfer {
	return &transfer{
		conn: server.conn, peer: addrOf(phone), times: &quick, count: &counters{}, blockLen: 512, window: 1, base: 1,
		proven: true, budget: 1 << 20, deadline: time.Now().Add(time.Minute),
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	times := defaultTiming()
	var r roundTrip
	if got := r.timeout(&times); got != time.Second {
		t.Errorf("at first: got %v, want 1s", got)
	}
	for range 20 {
		r.add(400 * time.Millisecond)
	}
	// T-FLOW-06: a distant phone isn't sent everything twice.
	if got := r.timeout(&times); got < 400*time.Millisecond || got > time.Second {
		t.Errorf("400 ms away: got %v", got)
	}
	for range 50 {
		r.add(time.Millisecond)
	}
	if got := r.timeout(&times); got != times.floor {
		t.Errorf("1 ms away: got %v, want %v", got, times.floor)
	}
	for range 10 {
		r.backOff(&times)
	}
	if got := r.timeout(&times); got != times.ceiling {
		t.Errorf("backed off: got %v, want %v", got, times.ceiling)
	}
}

// resendsEndInTime: RFC 1123 wants resending to back off; the whole is over within 30 s (T-FLOW-04).
func resendsEndInTime(t *testing.T) {
	t.Parallel()
	times := defaultTiming()
	var r roundTrip
	total := r.timeout(&times)
	for range maxResends {
		r.backOff(&times)
		total += r.timeout(&times)
	}
	if limit := 30 * time.Second; total > limit || times.patience > limit {
		t.Errorf("got %v and %v, want at most %v", total, times.patience, limit)
	}
}

// TestLibraryDoesNotSpin: the library ends with its transfer. Told too late, it reads a closed connection in a loop,
// with a new buffer each time. Not parallel: it counts allocations.
func TestLibraryDoesNotSpin(t *testing.T) {
	h := serving(map[string]string{"f": text(2048)})
	s := start(t, h, nil)
	got := testing.AllocsPerRun(200, func() {
		if _, _, err := dial(t, s).fetch(rrq("f", "octet")); err != nil {
			t.Error(err)
		}
	})
	if limit := 400.0; got > limit {
		t.Errorf("allocations per transfer: got %v, want at most %v", got, limit)
	}
}

var _ provision.Handler = (*fakeHandler)(nil)
