package tftpd

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/dialtone-project/dialtone/provision"
)

// holding is a handler that answers everything with the same file and remembers nothing.
type holding string

func (h holding) Handle(_ context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	return &provision.Answer{Size: int64(len(h)), Body: unclosed{strings.NewReader(string(h))}}, &provision.Outcome{Request: *r}
}

func (holding) Delivered(uint64, provision.Delivery) {}

// unclosed is a body that needs no closing.
type unclosed struct{ io.ReadSeeker }

func (unclosed) Close() error { return nil }

// bare runs the library alone, as its documentation does, and returns its address.
func bare(tb testing.TB, content string) *net.UDPAddr {
	tb.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	lib := tftp.NewServer(func(_ string, to io.ReaderFrom) error {
		_, err := to.ReadFrom(strings.NewReader(content))
		return err
	}, nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = lib.Serve(conn) }()
	tb.Cleanup(func() { lib.Shutdown(); <-done })
	return net.UDPAddrFromAddrPort(local(conn))
}

func ours(tb testing.TB, content string) *net.UDPAddr {
	tb.Helper()
	s := start(tb, holding(content), func(s *Server) { s.Transfers, s.PeerTransfers, s.times = 1000, 1000, defaultTiming() })
	return net.UDPAddrFromAddrPort(s.LocalAddr())
}

// phones fetch a file of that size n times in all, that many at a time, and tell how long it took.
func phones(tb testing.TB, to *net.UDPAddr, request []byte, size, block, many, n int) time.Duration {
	tb.Helper()
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			buf, reply := make([]byte, block+4), []byte{0, opAck, 0, 0}
			for range (n + many - 1 - i) / many {
				if err := fetchFast(to, request, size, block, buf, reply); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// fetchFast is a client that costs as little as it can: nothing is lost on the way here.
func fetchFast(to *net.UDPAddr, request []byte, size, block int, buf, reply []byte) error {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.WriteToUDP(request, to); err != nil {
		return err
	}
	got := 0
	for {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
		copy(reply[2:], buf[2:4])
		last := false
		switch binary.BigEndian.Uint16(buf) {
		case opOAck:
			reply[2], reply[3] = 0, 0
		case opData:
			got += n - 4
			last = n-4 < block
		default:
			return fmt.Errorf("after %d bytes: %q", got, buf[:n])
		}
		if _, err := conn.WriteToUDPAddrPort(reply, from); err != nil {
			return err
		}
		if last {
			if got != size {
				return fmt.Errorf("got %d bytes, want %d", got, size)
			}
			return nil
		}
	}
}

const small = 2048

func smallFile(b *testing.B, to *net.UDPAddr) {
	b.Helper()
	for _, many := range []int{1, 50} {
		b.Run(fmt.Sprintf("clients=%d", many), func(b *testing.B) {
			b.ReportAllocs()
			phones(b, to, rrq("f", "octet"), small, defaultBlock, many, b.N)
		})
	}
}

// BenchmarkSmallFile is a whole transfer of 2 KiB (five blocks) from our server, and BenchmarkSmallFileBare from the
// library's alone, with the client's share in both. For a ratio, BenchmarkSmallFileRatio is better on a busy machine.
func BenchmarkSmallFile(b *testing.B)     { smallFile(b, ours(b, text(small))) }
func BenchmarkSmallFileBare(b *testing.B) { smallFile(b, bare(b, text(small))) }

// BenchmarkSmallFileRatio has both take turns, and reports the median of how many transfers we do in the time that the
// library alone needs for one.
func BenchmarkSmallFileRatio(b *testing.B) {
	ratio(b, small, defaultBlock, rrq("f", "octet"), []int{1, 50}, 100)
}

// BenchmarkFirmware is the same for a long transfer, whose throughput it reports, too.
func BenchmarkFirmware(b *testing.B) {
	const size = 4 << 20
	ratio(b, size, wireBlock, rrq("f", "octet", "blksize", "1428"), []int{1}, 1)
	b.Run("window=16", func(b *testing.B) {
		s := start(b, holding(text(size)), func(s *Server) { s.times = defaultTiming() })
		b.SetBytes(size)
		for b.Loop() {
			got, _, err := dial(b, s).fetch(rrq("f", "octet", "blksize", "1428", "windowsize", "16"))
			if err != nil || len(got) != size {
				b.Fatalf("got %d bytes, %v", len(got), err)
			}
		}
	})
}

func ratio(b *testing.B, size, block int, request []byte, clients []int, turn int) {
	b.Helper()
	a, l := ours(b, text(size)), bare(b, text(size))
	for _, many := range clients {
		b.Run(fmt.Sprintf("clients=%d", many), func(b *testing.B) {
			var ratios []float64
			var spent time.Duration
			n := max(turn, many)
			for i := 0; b.Loop(); i++ {
				var took [2]time.Duration
				for k := range took { // who comes first takes turns, too
					which := (i + k) % 2
					took[which] = phones(b, []*net.UDPAddr{a, l}[which], request, size, block, many, n)
				}
				ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
				spent += took[0]
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ours/bare")
			b.ReportMetric(float64(n*size)*float64(len(ratios))/1e6/spent.Seconds(), "MB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
