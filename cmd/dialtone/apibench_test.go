package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
)

const (
	benchPhones = 1000
	benchReads  = 50 // a second, in a storm: ten people who click five times a second
)

// BenchmarkReads says what reading by the API takes of a daemon with 1,000 phones that have leases and have asked: from the
// request's first byte to the answer's last, by HTTP on loopback with a token, the client's own part included.
func BenchmarkReads(b *testing.B) {
	p, _ := benchDaemon(b)
	read := benchReader(b, p)
	fill(b, p)
	last := p.pipeline.Journal.Recent(1)[0].Request.ID
	for name, path := range map[string]string{
		"phones/1000": "/phones?limit=1000", "phones/100": "/phones?limit=100", "phones/filtered": "/phones?limit=100&filter=model:6730i&sort=-seen",
		"leases/1000": "/leases?limit=1000", "requests/50": "/requests", "phone": "/phones/00085d010010", "phone-by-mac": "/phones/00:08:5d:01:00:10",
		"config": "/configs/autocreate", "resolved": "/configs/autocreate/resolved", "request-of-disk": "/requests/1", "request": fmt.Sprint("/requests/", last), "me": "/me", "boots": "/phones/00:08:5d:01:00:10/boots",
	} {
		b.Run(name, func(b *testing.B) {
			cpu := processorTime(b)
			for b.Loop() {
				if err := read(path); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processorTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// BenchmarkReadsInStorm says what reading by the API costs a boot storm, in turns without readers and with 50 reads a second,
// of which every fifth lists phones. cost_percent is the part of the processors' time that is gone by that.
func BenchmarkReadsInStorm(b *testing.B) {
	p, peer := benchDaemon(b)
	read := benchReader(b, p)
	fill(b, p)
	for b.Loop() {
		var beside stormed
		var costs []float64 // of the turns, whose median other programs spoil less than their sum
		reads := 0
		for range 5 {
			alone := storm(b, p, peer)
			leave := readers(b, read)
			x := storm(b, p, peer)
			reads += leave()
			each := alone.cpu.Seconds() / float64(alone.requests)
			costs = append(costs, 100*(x.cpu.Seconds()-each*float64(x.requests))/x.cpu.Seconds())
			beside.add(x)
		}
		slices.Sort(costs)
		b.ReportMetric(costs[len(costs)/2], "cost_percent")
		b.ReportMetric(float64(reads)/beside.wall.Seconds(), "reads/s")
		b.ReportMetric(float64(beside.requests)/beside.wall.Seconds(), "files/s")
	}
}

// readers read in a fixed rhythm, whether or not there is an answer yet, until they leave, and then say how often they did.
func readers(b *testing.B, read func(path string) error) (leave func() int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	n := 0
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Second / benchReads)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			path := fmt.Sprintf("/phones/00:08:5d:01:%02x:%02x", n%benchPhones>>8, n&255)
			if n%5 == 0 {
				path = "/phones?limit=100&sort=-seen"
			}
			all.Go(func() {
				if err := read(path); err != nil {
					b.Error(err)
				}
			})
			n++
		}
	})
	return func() int {
		cancel()
		all.Wait()
		return n
	}
}

// benchReader reads by a token.
func benchReader(b *testing.B, p *parts) func(path string) error {
	b.Helper()
	token, client := benchTokens(b, p)[0], &http.Client{}
	return func(path string) error {
		r, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodGet, "http://"+p.consoleAddr()+"/api/v1"+path, http.NoBody)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("GET %s: %d %s", path, resp.StatusCode, body)
		}
		return err
	}
}

// fill makes 1,000 phones that get addresses and ask for their file, by all of which the journal is full.
func fill(b *testing.B, p *parts) {
	b.Helper()
	server := p.settings.DHCP.Relay[0]
	each := make(chan int)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range each {
				mac := hwaddr.MustParse(fmt.Sprintf("00:08:5d:01:%02x:%02x", i>>8, i&255))
				phone := sim.Phone{
					HW: mac, TFTPPort: tftpPort, HTTPPort: httpPort, Wire: sim.Wire{Server: server, Relay: netip.AddrFrom4([4]byte{127, 64, 0, 1})},
					Steps: []plugin.BootStep{{Ask: "dhcp", VendorClass: aastraClass, Options: []uint8{1, 3, 66}}},
				}
				r, err := phone.Boot(b.Context())
				if err != nil {
					b.Error(err)
					continue
				}
				for range p.settings.Journal.Size/benchPhones + 1 {
					ask(b, p, r.Addr, mac)
				}
			}
		})
	}
	for i := range benchPhones {
		each <- i
	}
	close(each)
	all.Wait()
}

func ask(b *testing.B, p *parts, from netip.Addr, mac hwaddr.Addr) {
	b.Helper()
	file := strings.ToUpper(mac.Join("")) + ".cfg"
	answer, out := p.pipeline.Handle(b.Context(), &provision.Request{
		Proto: provision.HTTP, At: time.Now(), Peer: from, Path: file, Raw: "/" + file,
		Fields: map[string]string{provision.FieldUserAgent: agent("3.3.1.4365", mac.String())},
	})
	if answer == nil {
		b.Errorf("no answer for %s: %v", mac, out.Err)
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}
