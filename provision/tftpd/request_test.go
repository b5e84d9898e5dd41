package tftpd

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pin/tftp/v3"
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
		rq.name = again.name
		if err != nil || again != rq || len(d) > maxRequest {
			t.Fatalf("the library gets %q: %+v, %v; want %+v", d, again, err, rq)
		}
	})
}

// FuzzAcknowledgements: whatever a client sends during a transfer, the library sees at most one datagram, and a sane one.
func FuzzAcknowledgements(f *testing.F) {
	f.Add([]byte{0, 4, 0, 1})
	f.Add([]byte{0, 5, 0, 0})
	f.Add([]byte{0, 4, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		tr := &transfer{
			blockLen: 512, last: append([]byte(data1), make([]byte, 512)...), awaiting: true, sends: 1,
			began: time.Now(), times: quick, count: &counters{},
		}
		pass, over := tr.accept(p)
		if pass && (over || string(p[:4]) != string(ack(1)) || tr.acked != 512) {
			t.Fatalf("% x: pass %v, over %v, acked %d", p, pass, over, tr.acked)
		}
		if again, _ := tr.accept(p); pass && again {
			t.Fatalf("% x passed twice", p)
		}
	})
}

// bareServer is the library alone, serving the same bytes.
func bareServer(b *testing.B, content string) *Server {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	lib := tftp.NewServer(func(_ string, to io.ReaderFrom) error {
		_, err := to.ReadFrom(strings.NewReader(content))
		return err
	}, nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = lib.Serve(conn) }()
	b.Cleanup(func() { lib.Shutdown(); <-done })
	return &Server{conn: conn}
}

// BenchmarkSmallFile compares a whole transfer of 2 KiB (five blocks) with the library's alone, one client and many.
func BenchmarkSmallFile(b *testing.B) {
	content := text(2048)
	fetch := func(b *testing.B, s *Server) {
		b.Helper()
		b.Run("one", func(b *testing.B) {
			for b.Loop() {
				fetchOnce(b, s, content)
			}
		})
		b.Run("many", func(b *testing.B) {
			b.SetParallelism(25)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					fetchOnce(b, s, content)
				}
			})
		})
	}
	b.Run("ours", func(b *testing.B) {
		h := serving(map[string]string{"f": content})
		h.arrived = make(chan struct{}, 1<<22)
		fetch(b, start(b, h, func(s *Server) { s.PeerTransfers = 1000; s.times = defaultTiming() }))
	})
	b.Run("library", func(b *testing.B) { fetch(b, bareServer(b, content)) })
}

// BenchmarkFirmware compares a long transfer.
func BenchmarkFirmware(b *testing.B) {
	content := text(4 << 20)
	run := func(b *testing.B, s *Server) {
		b.Helper()
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			fetchOnce(b, s, content)
		}
	}
	b.Run("ours", func(b *testing.B) { run(b, start(b, serving(map[string]string{"f": content}), nil)) })
	b.Run("library", func(b *testing.B) { run(b, bareServer(b, content)) })
}

func fetchOnce(b *testing.B, s *Server, want string) {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	c := &client{conn: conn, server: s.LocalAddr()}
	got, _, err := c.fetch(rrq("f", "octet"))
	if err != nil || len(got) != len(want) {
		b.Errorf("got %d bytes, %v", len(got), err)
	}
}
