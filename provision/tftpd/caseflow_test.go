package tftpd

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// flowCases are those of the way of datagrams.
func flowCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-FLOW-01": duplicateAck,
		"T-FLOW-02": delayedAck,
		"T-FLOW-03": duplicateAck,
		"T-FLOW-04": func(t *testing.T) { t.Run("wire", silentClient); t.Run("times", resendsEndInTime) },
		"T-FLOW-05": reflection,
		"T-FLOW-06": distant,
		"T-FLOW-07": badNetwork,
		"T-FLOW-08": badNetwork,
		"T-FLOW-09": repeatedRequest,
		"T-FLOW-10": stranger,
		"T-FLOW-11": clientError,
		"T-FLOW-12": silence,
		"T-FLOW-13": distrusted,
		"T-FLOW-14": lastAckLost,
		"T-FLOW-15": timerAsked,
	}
}

// delayedAck: the acknowledgement of a block that was sent again comes twice, and the next block once.
func delayedAck(t *testing.T) {
	t.Parallel()
	s := start(t, serving(map[string]string{"f": text(5000)}), func(s *Server) { s.times.floor = 10 * time.Second })
	c := dial(t, s)
	c.write(rrq("f", "octet"), s.LocalAddr())
	expect(t, c, data1)
	expect(t, c, data1)
	c.write(ack(1), c.tid)
	c.write(ack(1), c.tid)
	expect(t, c, data2)
	c.write(ack(2), c.tid)
	expect(t, c, "\x00\x03\x00\x03")
	nothingWithin(t, c, 50*time.Millisecond)
	c.write([]byte(illegal), c.tid)
}

// distant: a phone 400 ms away is sent nothing twice, from the first block on.
func distant(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) { s.times = defaultTiming() })
	c := dial(t, s)
	c.copies = func(out bool, _ []byte) int {
		if out {
			<-time.After(400 * time.Millisecond)
		}
		return 1
	}
	if got, _, err := c.fetch(rrq("b1024", "octet")); err != nil || string(got) != names["b1024"] {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if got := s.Stats().Resent; got > 0 {
		t.Errorf("sent %d datagrams again", got)
	}
}

// reflection: who can't be answered without a doubt isn't sent more than ten times what it sent, and the others not more
// than 120 times, until they have proven that they are there.
func reflection(t *testing.T) {
	t.Parallel()
	const long = "SEP001122334455.cnf.xml"
	files := map[string]string{"f": text(5000), "s": text(60), long: text(5000)}
	for _, c := range []struct {
		name     string
		proven   bool
		request  []byte
		sends    int
		result   string
		netascii bool
	}{
		{"file, unproven", false, rrq("f", "octet"), 0, "unproven", false},
		{"file with a long name, unproven", false, rrq(long, "octet"), 0, "unproven", false},
		{"short file, unproven", false, rrq("s", "octet"), 1, "timeout", false},
		{"options, unproven", false, rrq(long, "octet", "blksize", "1428", "tsize", "0", "windowsize", "64"), 2, "timeout", false},
		{"nothing there, unproven", false, rrq("x", "octet"), 1, "not found", false},
		{"file, proven", true, rrq("f", "octet"), 2, "timeout", false},
		{"file with a long name, proven", true, rrq(long, "octet"), 6, "timeout", false},
		{"options, proven", true, rrq("f", "octet", "windowsize", "64"), 6, "timeout", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, serving(files), func(s *Server) {
				s.Trusted = func(a netip.Addr) bool { return c.proven && a == netip.MustParseAddr("127.0.0.1") }
				s.times.first, s.times.ceiling, s.times.patience = 10*time.Millisecond, 20*time.Millisecond, 400*time.Millisecond
			})
			victim := dial(t, s)
			victim.write(c.request, s.LocalAddr())
			eventually(t, "given up", func() bool { return s.Stats().Results[c.result] == 1 })
			got, sends := 0, 0
			for {
				p, _, err := victim.read(50 * time.Millisecond)
				if err != nil {
					break
				}
				got += len(p)
				sends++
			}
			factor := unprovenFactor
			if c.proven {
				factor = provenFactor
			}
			t.Logf("%d bytes for %d: x%.1f", got, len(c.request), float64(got)/float64(len(c.request)))
			if got > factor*len(c.request) || sends != c.sends {
				t.Errorf("got %d datagrams with %d bytes for %d, want %d with at most %d times", sends, got, len(c.request), c.sends, factor)
			}
		})
	}
	t.Run("proves itself", func(t *testing.T) {
		t.Parallel()
		s := start(t, serving(files), func(s *Server) { s.Trusted = func(netip.Addr) bool { return false } })
		if got, _, err := dial(t, s).fetch(rrq("f", "octet", "tsize", "0")); err != nil || string(got) != files["f"] {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
	t.Run("told", func(t *testing.T) {
		t.Parallel()
		h := serving(files)
		s := start(t, h, func(s *Server) { s.Trusted = func(netip.Addr) bool { return false } })
		dial(t, s).write(rrq("f", "octet"), s.LocalAddr())
		if _, d := h.last(t); !errors.Is(d.Err, errUnproven) || d.Bytes != 0 {
			t.Errorf("delivery: got %+v", d)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		s := start(t, serving(files), nil)
		for _, p := range [][]byte{{0, opWrite}, {0, opRead}} {
			c := dial(t, s)
			c.write(p, s.LocalAddr())
			nothingWithin(t, c, 30*time.Millisecond)
		}
	})
}

// TestThreat has the threats that are answered here, by their ids.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S24", reflection)
	t.Run("S24 loop", distrusted)
}

// TestFault has the ancestor's weaknesses, by their ids.
func TestFault(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), nil)
	ids := map[string]string{
		"T-RRQ-14": "W-08", "T-RRQ-15": "W-08", "T-RRQ-02": "W-10", "T-OPT-04": "W-10", "T-OPT-08": "W-10", "T-RRQ-08": "W-10", "T-WRQ-01": "W-10",
	}
	for _, x := range exchanges() {
		if w := ids[x.id]; w != "" {
			t.Run(strings.TrimSpace(w+" "+x.id+" "+x.variant), func(t *testing.T) { x.run(t, s) })
		}
	}
}
