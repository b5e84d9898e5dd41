package httpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
	"github.com/dialtone-project/dialtone/provision/store"
)

// knownPhone is a phone that asks for its file.
const (
	knownMAC     = "00:08:5d:23:73:01"
	knownRequest = "GET /00085D237301.cfg HTTP/1.1\r\nHost: 192.0.2.1:8667\r\n" +
		"User-Agent: Aastra6757i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP\r\nAccept: */*\r\n\r\n"
)

// knownParams are those of a phone at a busy desk: two lines, a score of keys, and what a site sets. They make a file of
// 151 lines, which BenchmarkKnownPhone counts.
func knownParams() provision.Params {
	line := func(number, name string) map[string]any {
		return map[string]any{
			"username": number, "auth_username": number, "password": provision.Secret("s3cret"), "display_name": name, "number": number,
			"voicemail": "*98", "dtmf_mode": "RTP-out-of-band", "backup_proxy_ip": "192.0.2.2",
		}
	}
	keys := map[string]any{}
	for i := range 21 {
		keys[strconv.Itoa(i+1)] = map[string]any{"type": "blf", "value": strconv.Itoa(1000 + i), "label": fmt.Sprintf("Colleague %d", i)}
	}
	return provision.Params{
		"sip_lines": map[string]any{"1": line("1001", "Reception"), "2": line("1002", "Front door")}, "sip_proxy_ip": "192.0.2.1",
		"sip_registrar_ip": "192.0.2.1", "sip_transport": "tcp", "sip_codecs": []any{"g722", "pcma", "pcmu"}, "sip_dtmf_mode": "RTP-out-of-band",
		"sip_subscribe_mwi": true, "ntp_enabled": true, "ntp_ip": "192.0.2.1", "timezone": "Europe/Berlin", "locale": "de_DE",
		"dns_enabled": true, "dns_ip": "192.0.2.53", "vlan_enabled": true, "vlan_id": 20, "vlan_priority": 5, "dscp_sip": 26, "dscp_rtp": 46,
		"admin_username": "admin", "admin_password": provision.Secret("s3cret"), "user_password": provision.Secret("s3cret"),
		"exten_pickup_call": "*8", "exten_park": "700", "funckeys": keys,
	}
}

// knownPipeline is a pipeline with all its real parts, in which the device is stored.
func knownPipeline(b *testing.B, renders *provision.Renders) *provision.Pipeline {
	b.Helper()
	return pipelineOn(b, openStore(b), renders)
}

// quiet logs to nowhere, but does the work of formatting.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil)) //nolint:sloglint // DiscardHandler would format nothing
}

func openStore(b *testing.B) *store.DB {
	b.Helper()
	db, err := store.Open(b.TempDir(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// pipelineOn is one over any store.
func pipelineOn(b *testing.B, db provisiontest.Stores, renders *provision.Renders) *provision.Pipeline {
	b.Helper()
	var set []provision.Plugin
	for _, id := range []string{"aastra-67xx-3.2.2", "aastra-67xx-3.3.1", "cisco-79xx-sccp-9.4"} {
		dir, err := fs.Sub(plugins.Files(), id)
		if err != nil {
			b.Fatal(err)
		}
		p, err := plugin.Load(provision.PluginID(id), plugin.Dirs{Plugin: dir})
		if err != nil {
			b.Fatal(err)
		}
		set = append(set, p)
	}
	if _, err := db.PutConfig(b.Context(), provision.Config{ID: "site", Params: knownParams()}); err != nil {
		b.Fatal(err)
	}
	own := provision.Config{ID: "own", Parents: []provision.ConfigID{"site"}, Params: provision.Params{"locale": "en_GB"}}
	if _, err := db.PutConfig(b.Context(), own); err != nil {
		b.Fatal(err)
	}
	hw := hwaddr.MustParse(knownMAC)
	if _, err := db.PutDevice(b.Context(), provision.Device{ID: "00085d237301", HW: hw, Config: "own"}); err != nil {
		b.Fatal(err)
	}
	leases := &provisiontest.Leases{}
	leases.Hold(netip.MustParseAddr("127.0.0.1"), lease.Client{HW: hw, VendorClass: "AastraIPPhone6757i", Params: []uint8{1, 3, 6, 42, 43, 66}})
	return &provision.Pipeline{
		Leases: leases, Devices: db, Configs: db, Plugins: provisiontest.PluginsOf(set...), Journal: provision.NewJournal(0),
		Sightings: provision.NewSightings(0), Renders: renders, Flats: provision.NewFlats(0),
		HTTP: func(a netip.Addr) string { return "http://" + a.String() + ":8667" },
		Log:  quiet(),
	}
}

// bare runs net/http with nothing but the same bytes.
func bare(b *testing.B, body []byte) string {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	b.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return l.Addr().String()
}

// client asks a server again and again, and does as little as possible beside that.
type client struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

func (c *client) ask(request []byte, want int, again bool) error {
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp4", c.addr)
		if err != nil {
			return err
		}
		c.conn, c.r = conn, bufio.NewReaderSize(conn, 32<<10)
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil || !bytes.Contains(status, []byte(" 200 ")) {
		return fmt.Errorf("answer %q: %w", status, err)
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := c.r.Discard(want); err != nil {
		return err
	}
	if !again {
		err := c.conn.Close()
		c.conn = nil
		return err
	}
	return nil
}

// BenchmarkKnownPhone is the request of a phone that is known and has nothing new to tell, from socket to socket: through
// a pipeline that renders its file each time, through one that keeps it, and by bare net/http with the same bytes in hand.
// The three take turns, and what counts is the CPU time that each takes, clients and kernel included: their ratios are
// those of what a busy machine would get done, and hold on one that has other things to do. "kept" asks over one
// connection, "new" over a new one for each request, as most phones do.
func BenchmarkKnownPhone(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the daemon does while its heap is as small
	renders, cached := knownPipeline(b, nil), knownPipeline(b, provision.NewRenders(0))
	a, out := renders.Handle(b.Context(), &provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("127.0.0.1"), Local: netip.MustParseAddr("127.0.0.1"), Path: "00085D237301.cfg",
		Fields: map[string]string{provision.FieldUserAgent: "Aastra6757i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP"},
	})
	if out.Err != nil {
		b.Fatal(out.Err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		b.Fatal(err)
	}
	if lines := bytes.Count(body, []byte("\n")); lines < 150 || lines > 155 {
		b.Fatalf("the file has %d lines, want about 150:\n%s", lines, body)
	}
	servers := []struct {
		name, addr string
	}{
		{"bare", bare(b, body)},
		{"cached", start(b, cached, nil).LocalAddr().String()},
		{"render", start(b, renders, nil).LocalAddr().String()},
	}
	for _, again := range []bool{true, false} {
		name := map[bool]string{true: "kept", false: "new"}[again]
		b.Run(name, func(b *testing.B) {
			const clients, round = 8, 100
			var took, each [3]time.Duration
			var n [3]int
			for b.Loop() {
				for i, s := range servers {
					if err := (&client{addr: s.addr}).ask([]byte(knownRequest), len(body), false); err != nil {
						b.Fatal(err)
					}
					runtime.GC() // what the one before has left behind isn't this one's
					n[i] += clients * round
					begun := cpuTime()
					var wg sync.WaitGroup
					for range clients {
						wg.Go(func() {
							c := &client{addr: s.addr}
							for range round {
								if err := c.ask([]byte(knownRequest), len(body), again); err != nil {
									b.Errorf("%s: %v", s.name, err)
									return
								}
							}
							if c.conn != nil {
								_ = c.conn.Close()
							}
						})
					}
					wg.Wait()
					took[i] += cpuTime() - begun
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, s := range servers {
				each[i] = took[i] / time.Duration(n[i])
				b.ReportMetric(float64(each[i].Microseconds()), s.name+"-us")
				if i > 0 {
					b.ReportMetric(float64(each[0])/float64(each[i]), s.name+":bare")
				}
			}
		})
	}
}

// cpuTime is what this process has used of all CPUs.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandle is the same without sockets: what the pipeline itself takes of a known phone's request.
func BenchmarkHandle(b *testing.B) {
	for _, c := range []struct {
		name    string
		renders *provision.Renders
	}{{"render", nil}, {"cached", provision.NewRenders(0)}} {
		b.Run(c.name, func(b *testing.B) {
			p := knownPipeline(b, c.renders)
			b.ReportAllocs()
			for b.Loop() {
				a, out := p.Handle(b.Context(), &provision.Request{
					Proto: provision.HTTP, Peer: netip.MustParseAddr("127.0.0.1"), Local: netip.MustParseAddr("127.0.0.1"), Path: "00085D237301.cfg",
					Fields: map[string]string{
						provision.FieldUserAgent: "Aastra6757i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP", provision.FieldMethod: "GET",
						provision.FieldHost: "192.0.2.1:8667",
					},
				})
				if out.Err != nil {
					b.Fatal(out.Err)
				}
				_ = a.Body.Close()
				p.Delivered(out.Request.ID, provision.Delivery{Bytes: a.Size})
			}
		})
	}
}

// BenchmarkFlat is a known phone's request while few and while many devices are known, each asking in turn, in no order.
// It asks for a file that there isn't: what is measured is finding the device. The two take turns; each phone has asked
// once before.
func BenchmarkFlat(b *testing.B) {
	for _, in := range []string{"memory", "store"} {
		b.Run(in, func(b *testing.B) {
			sizes := [2]int{100, 100_000}
			var sites [2]*provision.Pipeline
			for i, n := range sizes {
				var db provisiontest.Stores = provision.NewMemory()
				if in == "store" {
					db = openStore(b)
				}
				sites[i] = pipelineOn(b, db, nil)
				sites[i].Leases = leaseOf(phoneMAC)
				fillDevices(b, db, n)
				for k := range n {
					askFor(b, sites[i], k)
				}
			}
			var took [2][]time.Duration
			r := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				for i, n := range sizes {
					took[i] = append(took[i], askFor(b, sites[i], r.IntN(n)))
				}
			}
			var median [2]float64
			for i, n := range sizes {
				slices.Sort(took[i])
				median[i] = float64(took[i][len(took[i])/2].Nanoseconds())
				b.ReportMetric(median[i], fmt.Sprintf("ns/%d", n))
			}
			b.ReportMetric(median[1]/median[0], "ratio")
		})
	}
}

func phoneMAC(i int) hwaddr.Addr {
	return hwaddr.Addr{0x00, 0x08, 0x5d, byte(i >> 16), byte(i >> 8), byte(i)}
}

func fillDevices(b *testing.B, db provisiontest.Stores, n int) {
	b.Helper()
	const together = 64 // they share a transaction
	var wg sync.WaitGroup
	for w := range together {
		wg.Go(func() {
			for i := w; i < n; i += together {
				d := provision.Device{
					ID: provision.DeviceID(phoneMAC(i).Join("")), HW: phoneMAC(i), Vendor: "Aastra", Model: "6757i", Version: "3.3.1.4365",
					Plugin: "aastra-67xx-3.3.1", Config: "own",
				}
				if _, err := db.PutDevice(b.Context(), d); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func askFor(b *testing.B, p *provision.Pipeline, i int) time.Duration {
	b.Helper()
	req := provision.Request{
		Proto: provision.HTTP, Peer: peerOf(i), Local: netip.MustParseAddr("127.0.0.1"), Path: "nothing.here",
		Fields: map[string]string{provision.FieldUserAgent: "Aastra6757i MAC:" + strings.ToUpper(phoneMAC(i).Join("-")) + " V:3.3.1.4365-SIP"},
	}
	begun := time.Now()
	a, out := p.Handle(b.Context(), &req)
	took := time.Since(begun)
	if a != nil || out.Device.ID == "" {
		b.Fatalf("device %d isn't known: %v", i, out.Err)
	}
	return took
}

// leaseOf is a lease table in which the i-th address is the i-th phone's.
type leaseOf func(int) hwaddr.Addr

func peerOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func (f leaseOf) ByAddr(a netip.Addr) (lease.Lease, bool) {
	b := a.As4()
	i := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	return lease.Lease{Addr: a, Network: "voice", State: lease.Bound, Client: lease.Client{HW: f(i), VendorClass: "AastraIPPhone6757i"}}, true
}

func (leaseOf) ByHW(hw hwaddr.Addr) []lease.Lease {
	i := int(hw[3])<<16 | int(hw[4])<<8 | int(hw[5])
	return []lease.Lease{{Addr: peerOf(i), Network: "voice", State: lease.Bound, Client: lease.Client{HW: hw}}}
}
