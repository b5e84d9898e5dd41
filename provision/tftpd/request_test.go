package tftpd

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// FuzzRequest: whatever comes, what passes is bounded, and the library is given a request that it reads the same way.
func FuzzRequest(f *testing.F) {
	for _, p := range [][]byte{
		rrq("SEP001122334455.cnf.xml", "octet"),
		rrq("RINGLIST.XML", "NETASCII", "tsize", "0"),
		rrq("f", "octet", "blksize", "1428", "tsize", "0", "timeout", "5", "windowsize", "16"),
		rrq("f", "octet", "BLKSIZE", "65464", "blksize", "8"),
		rrq("f", "octet", "blksize", "99999999999999999999"),
		rrq("f", "octet", "blksize"), rrq("f"), rrq("", ""), rrq("f", "mail"),
		[]byte("\x00\x01f\x00octet"), []byte("\x00\x02f\x00octet\x00"),
		{0, 1},
		{0},
		{},
		[]byte(notFound), ack(7),
		rrq(strings.Repeat("n", 300), "octet"), rrq("f", "octet", strings.Repeat("o", 600)),
	} {
		f.Add(p, wireBlock)
	}
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = min(max(limit, defaultBlock), largestBlock)
		rq, err := parseRequest(p, limit)
		if err != nil {
			if !errors.Is(err, errNoRequest) && !errors.Is(err, errWrite) && !errors.Is(err, errIllegal) {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		if rq.name == "" || len(rq.name) > maxName || strings.Contains(rq.name, "\x00") {
			t.Fatalf("name %q", rq.name)
		}
		if rq.block != 0 && (rq.block < defaultBlock || rq.block > limit) {
			t.Fatalf("block size %d, limit %d", rq.block, limit)
		}
		if rq.netascii && rq.size {
			t.Fatal("the size of a text")
		}
		d := rq.datagram()
		again, err := parseRequest(d, largestBlock)
		if want := (request{name: again.name, netascii: rq.netascii, block: rq.block}); err != nil || again != want || len(d) > maxRequest {
			t.Fatalf("the library gets %q: %+v, %v; want %+v", d, again, err, want)
		}
		if oack := rq.oack(1 << 40); len(oack) > maxRequest || rq.timeout > 255 || rq.window > largestWindow {
			t.Fatalf("OACK of %+v: %q", rq, oack)
		}
	})
}

// FuzzAcknowledgements: whatever a client sends during a transfer, it can't acknowledge what wasn't sent, and a block
// counts once.
func FuzzAcknowledgements(f *testing.F) {
	f.Add([]byte{0, 4, 0, 1}, 1)
	f.Add([]byte{0, 4, 0, 3}, 4)
	f.Add([]byte{0, 4, 0, 0}, 4)
	f.Add([]byte{0, 5, 0, 0}, 1)
	f.Add([]byte{0, 4, 0}, 2)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, p []byte, window int) {
		window = min(max(window, 1), largestWindow)
		tr := &transfer{blockLen: 512, window: window, base: 1, heard: true, times: &quick, count: &counters{}, conn: deaf{}}
		for range window {
			if err := tr.put(append([]byte(data1), make([]byte, 512)...)); err != nil {
				t.Fatal(err)
			}
		}
		progress, err := tr.accept(p)
		if progress && (err != nil || len(p) < 4 || p[1] != opAck || tr.acked != 512*int64(p[3])) {
			t.Fatalf("% x: %v, acked %d", p, err, tr.acked)
		}
		if len(tr.out)+int(tr.base) != window+1 {
			t.Fatalf("% x: %d blocks out, base %d, of %d", p, len(tr.out), tr.base, window)
		}
		acked := tr.acked
		if again, _ := tr.accept(p); again || tr.acked != acked {
			t.Fatalf("% x counted twice", p)
		}
	})
}

// deaf is a socket that sends nowhere.
type deaf struct{ wire }

func (deaf) WriteToUDPAddrPort(p []byte, _ netip.AddrPort) (int, error) { return len(p), nil }
