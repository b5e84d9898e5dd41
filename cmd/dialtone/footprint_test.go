package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/sim"
	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/provision/trace"
)

// TestBootStorm switches 300 phones on at once: half of them ask over TFTP, half over HTTP. Each gets its address and all
// files that it can't do without, none waits in vain, and each is known afterwards.
func TestBootStorm(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const each = 150
	type phone struct {
		*sim.Phone
		result sim.Result
		err    error
	}
	var phones []*phone
	for i := range each {
		phones = append(phones,
			&phone{Phone: o.phone("7941G", fmt.Sprintf("00:1b:54:01:%02x:%02x", i>>8, i&0xff))},
			&phone{Phone: o.phone("6730i", fmt.Sprintf("00:08:5d:01:%02x:%02x", i>>8, i&0xff))})
	}
	var wg sync.WaitGroup
	for _, p := range phones {
		wg.Go(func() { p.result, p.err = p.Boot(t.Context()) })
	}
	wg.Wait()
	addrs := map[netip.Addr]string{}
	for _, p := range phones {
		if p.err != nil {
			t.Errorf("%s %s: %v", p.Model, p.HW, p.err)
			continue
		}
		if other, taken := addrs[p.result.Addr]; taken {
			t.Errorf("%s and %s both have %s", p.HW, other, p.result.Addr)
		}
		addrs[p.result.Addr] = p.HW.String()
		d, err := o.parts.db.DeviceByHW(t.Context(), p.HW)
		if err != nil || d.Plugin == "" || d.Config == "" {
			t.Errorf("%s %s isn't known: %+v, %v", p.Model, p.HW, d, err)
		}
	}
}

// BenchmarkFootprint starts the program on a state with so many devices and as many leases, and with as much of a trace as
// is kept, and tells how long it takes until it serves, of CPUs that others may be busy on, too, and of CPU time with that
// of its children; and how much memory it holds then and after 40 seconds of rest, in which it gives back what it doesn't
// need.
func BenchmarkFootprint(b *testing.B) {
	for _, n := range []int{50, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := newProcess(b)
			name := filepath.Join(filepath.Dir(p.settings), "site.yaml")
			site, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			site = bytes.Replace(site, []byte("127.64.0.0/16"), []byte("127.64.0.0/14"), 1)
			site = bytes.Replace(site, []byte("127.64.255.250"), []byte("127.66.255.250"), 1)
			if err := os.WriteFile(name, site, 0o600); err != nil {
				b.Fatal(err)
			}
			p.start() // imports the site
			p.kill()
			fillState(b, p.state, n)
			fillTrace(b, filepath.Join(p.state, "trace"), n)
			var ready time.Duration
			var cpu, at, rest float64
			runs := 0
			for b.Loop() {
				begun := time.Now()
				p.start()
				ready += time.Since(begun)
				cpu += usedCPU(b, p)
				at += residentMB(b, p)
				<-time.After(40 * time.Second)
				rest += residentMB(b, p)
				p.kill()
				runs++
			}
			b.ReportMetric(ready.Seconds()/float64(runs), "s-to-ready")
			b.ReportMetric(cpu/float64(runs), "cpu-s-to-ready")
			b.ReportMetric(at/float64(runs), "MB-ready")
			b.ReportMetric(rest/float64(runs), "MB-idle")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fillState writes n devices and their leases into a state that nobody uses.
func fillState(b *testing.B, dir string, n int) {
	b.Helper()
	db, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}()
	const together = 100
	var last atomic.Uint64
	var wg sync.WaitGroup
	for w := range together {
		wg.Go(func() {
			for i := w; i < n; i += together {
				hw := hwaddr.Addr{0x00, 0x08, 0x5d, byte(i >> 16), byte(i >> 8), byte(i)}
				d := provision.Device{
					ID: provision.DeviceID(hw.Join("")), HW: hw, Vendor: "Aastra", Model: "6730i", Version: "3.3.1.4365", Plugin: "aastra-67xx-3.3.1",
					Config: "autocreate", Auto: true, Created: time.Now(),
				}
				a := i + 257
				now := time.Now()
				l := lease.Lease{
					Addr: netip.AddrFrom4([4]byte{127, byte(64 + a>>16), byte(a >> 8), byte(a)}), Network: "sandbox", State: lease.Bound,
					Origin: lease.Pool, Start: now, Expiry: now.Add(time.Hour), Client: lease.Client{
						HW: hw, ID: "\x01" + string(hw[:]), VendorClass: "AastraIPPhone6730i", Params: []uint8{1, 3, 6, 42, 43, 66, 159, 160},
					},
				}
				_, err := db.PutDevice(b.Context(), d)
				var events []lease.Event
				if err == nil {
					events, err = db.CommitLeases(b.Context(), lease.Change{At: now, Kind: lease.KindBound, Next: l})
				}
				if err != nil {
					b.Error(err)
					return
				}
				for seq := last.Load(); events[0].Seq > seq && !last.CompareAndSwap(seq, events[0].Seq); seq = last.Load() {
				}
			}
		})
	}
	wg.Wait()
	if err := db.SaveCursor(b.Context(), "observer", last.Load()); err != nil { // else it would observe all of them first
		b.Fatal(err)
	}
}

// fillTrace writes what phones asked for lately, as much as the trace keeps.
func fillTrace(b *testing.B, dir string, n int) {
	b.Helper()
	o := provision.Outcome{
		Request: provision.Request{
			Proto: provision.HTTP, At: time.Now(), Fields: map[string]string{provision.FieldUserAgent: "Aastra6730i V:3.3.1.4365-SIP"},
		},
		Plugin: "aastra-67xx-3.3.1", Layers: map[string]provision.ConfigID{}, Delivery: &provision.Delivery{Bytes: 3585}, Size: 3585,
		Route: provision.Route{Rule: "routes[1] {MAC}.cfg", Class: provision.ClassSecret},
	}
	for i := range 17 {
		o.Claims = append(o.Claims, provision.Claim{
			Attr: provision.AttrModel, Value: "6730i", Source: provision.SourceHeader, By: fmt.Sprintf("aastra-67xx-3.3.1 extract[%d]", i),
		})
	}
	for i := range 100 {
		o.Layers[fmt.Sprintf("funckeys.%d.value", i)] = "base"
	}
	for _, stage := range []string{"extract", "retrieve", "update", "route", "guard", "answer"} {
		o.Steps = append(o.Steps, provision.Step{Stage: stage, Note: "what it concluded, in a sentence or two", Took: time.Microsecond})
	}
	const files = 15
	id := 0
	for range files {
		var lines bytes.Buffer
		name := filepath.Join(dir, fmt.Sprintf("%020d.trace.jsonl", id+1))
		for lines.Len() < trace.DefaultMaxBytes/(files+1) {
			id++
			hw := hwaddr.Addr{0x00, 0x08, 0x5d, byte(id % n >> 16), byte(id % n >> 8), byte(id % n)}
			o.Request.ID, o.Request.Path = uint64(id), hw.Join("")+".cfg"
			o.Device = provision.Device{ID: provision.DeviceID(hw.Join("")), HW: hw, Vendor: "Aastra", Model: "6730i", Plugin: o.Plugin, Config: "base"}
			line, err := o.MarshalJSON()
			if err != nil {
				b.Fatal(err)
			}
			lines.Write(append(line, '\n'))
		}
		if err := os.WriteFile(name, lines.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// usedCPU returns the seconds of CPU time that the daemon and its children have taken.
func usedCPU(b *testing.B, p *process) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:15] { // utime stime cutime cstime (proc(5))
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return float64(ticks) / 100 // USER_HZ
}

// residentMB returns how much of the daemon is in memory.
func residentMB(b *testing.B, p *process) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / 1e6
}
