package tftpd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// optionCases are those of options that take more than one exchange.
func optionCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-OPT-06": bigBlocks,
		"T-OPT-07": noBlockSize,
		"T-OPT-11": timerAsked,
		"T-OPT-12": wholeWindow,
		"T-OPT-13": lossInWindow,
		"T-OPT-15": lostOAck,
		"T-OPT-16": clientError,
	}
}

// bigBlocks: the limit can be raised.
func bigBlocks(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), func(s *Server) { s.BlockSize = largestBlock })
	got, options, err := dial(t, s).fetch(rrq("long", "octet", "blksize", "65464"))
	if err != nil || string(got) != names["long"] || options["blksize"] != "65464" {
		t.Errorf("got %d bytes, %v, %v", len(got), options, err)
	}
}

// noBlockSize: the phones of a plugin get 512 whatever they ask for.
func noBlockSize(t *testing.T) {
	t.Parallel()
	h := serving(names)
	h.plugin = "odd"
	s := start(t, h, func(s *Server) { s.Quirks = map[provision.PluginID]Quirks{"odd": {NoBlockSize: true}} })
	got, options, err := dial(t, s).fetch(rrq("b2856", "octet", "blksize", "1428", "tsize", "0"))
	if err != nil || string(got) != names["b2856"] || len(options) != 1 || options["tsize"] != "2856" {
		t.Errorf("got %d bytes, %v, %v", len(got), options, err)
	}
}

// timerAsked: the client's timer is the one that runs (T-FLOW-15), also for one that asks for a long one, which must have
// been there to be waited for.
func timerAsked(t *testing.T) {
	t.Parallel()
	s := start(t, serving(map[string]string{"f": text(5000)}), func(s *Server) { s.times.patience = 10 * time.Second })
	c := dial(t, s)
	c.write(rrq("f", "octet", "timeout", "1"), s.LocalAddr())
	expect(t, c, "\x00\x06timeout\x001\x00")
	c.write(ack(0), c.tid)
	expect(t, c, data1)
	asked := time.Now()
	expect(t, c, data1)
	if got := time.Since(asked); got < 900*time.Millisecond {
		t.Errorf("sent again after %v, want 1s", got)
	}
	c.write([]byte(illegal), c.tid)

	tr := transfer{times: &timing{patience: 25 * time.Second}, trip: roundTrip{fixed: 255 * time.Second}}
	if got := tr.patience(); got != 25*time.Second {
		t.Errorf("patience with who hasn't answered: got %v, want 25s", got)
	}
	tr.heard = true
	if got := tr.patience(); got != 510*time.Second {
		t.Errorf("patience: got %v, want two timers", got)
	}
}

// wholeWindow: as many blocks as agreed come without an acknowledgement, and no more.
func wholeWindow(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), slow)
	c := dial(t, s)
	c.write(rrq("long", "octet", "windowsize", "4"), s.LocalAddr())
	expect(t, c, "\x00\x06windowsize\x004\x00")
	nothingWithin(t, c, 30*time.Millisecond) // RFC 2347: first the OACK is acknowledged
	c.write(ack(0), c.tid)
	blocks(t, c, 1, 4)
	c.write(ack(4), c.tid)
	blocks(t, c, 5, 8)
	c.write([]byte(illegal), c.tid)
}

// blocks reads the blocks from first to last and then nothing.
func blocks(t *testing.T, c *client, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		expect(t, c, fmt.Sprintf("\x00\x03%c%c", n>>8, n&0xff))
	}
	nothingWithin(t, c, 30*time.Millisecond)
}

// lossInWindow: what follows the block that is acknowledged comes again, once.
func lossInWindow(t *testing.T) {
	t.Parallel()
	s := start(t, serving(names), slow)
	c := dial(t, s)
	c.write(rrq("long", "octet", "windowsize", "8"), s.LocalAddr())
	expect(t, c, "\x00\x06")
	c.write(ack(0), c.tid)
	blocks(t, c, 1, 8)
	c.write(ack(4), c.tid) // the fifth was lost
	blocks(t, c, 5, 12)
	for range 3 {
		c.write(ack(4), c.tid) // the fifth was lost again, and the sixth to eighth tell so
	}
	nothingWithin(t, c, 30*time.Millisecond) // once for each loss; else the timer is asked
	c.write(ack(12), c.tid)
	blocks(t, c, 13, 20)
	c.write(ack(12), c.tid) // the thirteenth was lost: the window begins with it
	blocks(t, c, 13, 20)
	c.write([]byte(illegal), c.tid)

	s = start(t, serving(names), nil)
	c = dial(t, s)
	n := 0
	c.copies = func(out bool, p []byte) int {
		if !out && p[1] == opData {
			if n++; n%37 == 5 {
				return 0
			}
		}
		return 1
	}
	if got, _, err := c.fetch(rrq("long", "octet", "windowsize", "8")); err != nil || string(got) != names["long"] {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(names["long"]))
	}
}

// lostOAck: it is sent again, and no data before it is acknowledged.
func lostOAck(t *testing.T) {
	t.Parallel()
	h := serving(names)
	s := start(t, h, nil)
	c := dial(t, s)
	c.write(rrq("b513", "octet", "tsize", "0", "blksize", "600"), s.LocalAddr())
	const oack = "\x00\x06blksize\x00600\x00tsize\x00513\x00"
	for range 3 {
		expect(t, c, oack)
	}
	c.write(ack(0), c.tid)
	for {
		p, _, err := c.read(time.Second)
		if err != nil {
			t.Fatal("no data")
		}
		if string(p) != oack {
			c.write(ack(1), c.tid)
			break
		}
	}
	if _, d := h.last(t); errors.Is(d.Err, errRefused) || d.Bytes != 513 {
		t.Errorf("delivery: got %+v", d)
	}
}

// engineCases are what the engine can't do. Each passes as long as that is so; once the engine can, the case is taken out
// of departures.txt and becomes one of the others.
func engineCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-OPT-04": func(t *testing.T) { inverted(t, "T-OPT-04", smallBlocks) },
	}
}

// inverted runs a case that fails, and must be listed as such.
func inverted(t *testing.T, id string, run func(*testing.T) error) {
	t.Helper()
	if readDepartures(t)[id].kind != byEngine {
		t.Errorf("%s isn't in departures.txt as a case that the engine can't pass", id)
	}
	if err := run(t); err == nil {
		t.Errorf("%s passes now: take it out of departures.txt, and run it as it is", id)
	}
}

// smallBlocks: blksize 8 is agreed on.
func smallBlocks(t *testing.T) error {
	t.Helper()
	got, options, err := dial(t, start(t, serving(names), nil)).fetch(rrq("b513", "octet", "blksize", "8"))
	if err != nil || string(got) != names["b513"] {
		t.Errorf("got %d bytes, %v; want the file in blocks of 512", len(got), err)
	}
	if options["blksize"] != "8" {
		return fmt.Errorf("options %v", options)
	}
	return nil
}
