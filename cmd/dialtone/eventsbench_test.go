package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
)

const (
	benchListeners = 200
	benchStorm     = 2 * time.Second // of each measurement
	benchPhone     = "00:08:5d:00:00:63"
)

// BenchmarkListeners says what 200 listeners for events cost a boot storm: a phone's own file is asked for by all
// processors as fast as they can, in turns without listeners and with 200 of them, whose reading ends of the connections
// are in this process, too. cost_percent is what the listeners take of all processors: what a storm that uses them all loses.
// It is told by processor time, so that other programs don't spoil it.
func BenchmarkListeners(b *testing.B) {
	p, peer := benchDaemon(b)
	tokens := benchTokens(b, p)
	for b.Loop() {
		var alone, listened stormed
		for range 3 {
			alone.add(storm(b, p, peer))
			leave := listeners(b, p, tokens)
			listened.add(storm(b, p, peer))
			leave()
		}
		each := alone.cpu.Seconds() / float64(alone.requests)
		more := listened.cpu.Seconds() - each*float64(listened.requests)
		b.ReportMetric(each*1e6, "cpu-us/request")
		b.ReportMetric(100*more/(listened.wall.Seconds()*float64(runtime.GOMAXPROCS(0))), "cost_percent")
	}
}

// stormed is what a storm did and took.
type stormed struct {
	requests  int64
	wall, cpu time.Duration
}

func (s *stormed) add(o stormed) {
	s.requests, s.wall, s.cpu = s.requests+o.requests, s.wall+o.wall, s.cpu+o.cpu
}

// processorTime is what this process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchDaemon runs a daemon that knows one phone, and returns where the phone is.
func benchDaemon(b *testing.B) (*parts, netip.Addr) {
	b.Helper()
	addr := netip.AddrFrom4([4]byte{127, 99, 250, byte(nextAddr.Add(1))})
	name, data := configs.SandboxSite()
	c, err := readSite(name, data)
	if err != nil {
		b.Fatal(err)
	}
	s := configs.Sandbox()
	s.State = b.TempDir()
	s.DHCP.Relay = []netip.AddrPort{netip.AddrPortFrom(addr, dhcpPort)}
	s.TFTP.Listen, s.HTTP.Listen = netip.AddrPortFrom(addr, tftpPort), netip.AddrPortFrom(addr, httpPort)
	s.HTTP.TLS.Enabled = false
	s.Console.Listen = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 0)
	p, err := openParts(b.Context(), s, c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, notifier{}, func(string) string { return "" }) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	phone := sim.Phone{
		HW: hwaddr.MustParse(benchPhone), TFTPPort: tftpPort, HTTPPort: httpPort,
		Steps: []plugin.BootStep{{Ask: "dhcp", VendorClass: aastraClass, Options: []uint8{1, 3, 66}}},
		Wire:  sim.Wire{Server: netip.AddrPortFrom(addr, dhcpPort), Relay: netip.MustParseAddr("127.64.0.1")},
	}
	r, err := phone.Boot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return p, r.Addr
}

// benchTokens are for 200 listeners, of whom one user can't have all.
func benchTokens(b *testing.B, p *parts) (tokens []string) {
	b.Helper()
	for i := range 4 {
		user := fmt.Sprintf("user-%d", i)
		if _, err := p.access.NewUser(b.Context(), user, "seven green kettles", access.Owner); err != nil {
			b.Fatal(err)
		}
		token, _, err := p.access.NewToken(b.Context(), user, "listen", []access.Scope{access.Read}, 0)
		if err != nil {
			b.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// listeners starts 200 of them, and returns how they leave.
func listeners(b *testing.B, p *parts, tokens []string) (leave func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: -1}}
	for i := range benchListeners {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.consoleAddr()+"/api/v1/events", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokens[i%len(tokens)])
		resp, err := client.Do(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("listener %d: %v, %v", i, resp, err)
		}
		all.Go(func() {
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // until leave
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// storm asks for the phone's file for a while, and returns how often.
func storm(b *testing.B, p *parts, peer netip.Addr) stormed {
	b.Helper()
	const file = "00085D000063.cfg"
	var n atomic.Int64
	var askers sync.WaitGroup
	begun, cpu := time.Now(), processorTime(b)
	for range runtime.GOMAXPROCS(0) {
		askers.Go(func() {
			for time.Since(begun) < benchStorm {
				answer, out := p.pipeline.Handle(b.Context(), &provision.Request{
					Proto: provision.HTTP, Peer: peer, Path: file, Raw: "/" + file,
					Fields: map[string]string{provision.FieldUserAgent: agent("3.3.1.4365", benchPhone)},
				})
				if answer == nil {
					b.Errorf("no answer: %v", out.Err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				p.pipeline.Delivered(out.Request.ID, provision.Delivery{Bytes: out.Size})
				n.Add(1)
			}
		})
	}
	askers.Wait()
	return stormed{n.Load(), time.Since(begun), processorTime(b) - cpu}
}
