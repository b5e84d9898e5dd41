package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
	"github.com/dialtone-project/dialtone/web/api"
)

// The class that phones of the two families send in option 60.
const (
	ciscoClass  = "Cisco Systems, Inc. IP Phone CP-7941G"
	aastraClass = "AastraIPPhone6730i"
)

// office is a daemon in this process, on a loopback address of its own.
type office struct {
	t     *testing.T
	parts *parts
	addr  netip.Addr
	state string
	log   *syncBuffer
	stop  func()
}

// Ports of every test's daemon; the addresses differ.
const (
	dhcpPort = 6767
	tftpPort = 6969
	httpPort = 8667

	httpsPort = 8643
)

var nextAddr atomic.Uint32 // hands out loopback addresses to parallel tests

// newOffice starts a daemon with the sandbox's site, as change has it.
func newOffice(t *testing.T, change func(site string) string, set ...func(*configs.Settings)) *office {
	t.Helper()
	n := nextAddr.Add(1)
	addr := netip.AddrFrom4([4]byte{127, 99, byte(n >> 8), byte(n)})
	_, data := configs.SandboxSite()
	site := strings.Replace(string(data), "server: 127.0.0.1", "server: "+addr.String(), 1)
	if change != nil {
		site = change(site)
	}
	c, err := readSite("site.yaml", []byte(site))
	if err != nil {
		t.Fatal(err)
	}
	s := configs.Sandbox()
	s.State = t.TempDir()
	s.DHCP.Relay = []netip.AddrPort{netip.AddrPortFrom(addr, dhcpPort)}
	s.TFTP.Listen = netip.AddrPortFrom(addr, tftpPort)
	s.HTTP.Listen = netip.AddrPortFrom(addr, httpPort)
	s.HTTP.TLS.Enabled, s.HTTP.TLS.Listen = false, netip.AddrPortFrom(addr, httpsPort) // making keys takes long
	s.Console.Listen = netip.AddrPortFrom(addr, 8080)
	for _, f := range set {
		f(&s)
	}
	o := &office{t: t, addr: addr, state: s.State, log: &syncBuffer{}}
	o.start(s, c)
	return o
}

// start opens the daemon and runs it until stop.
func (o *office) start(s configs.Settings, c content) {
	t := o.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var err error
	if o.parts, err = openParts(ctx, s, c, slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: s.Log.Level}))); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.parts.run(ctx, notifier{}, func(string) string { return "" }) }()
	var once atomic.Bool
	o.stop = func() {
		if once.Swap(true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the daemon ended: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the daemon:\n%s", o.log)
		}
	}
	t.Cleanup(o.stop)
}

// restart ends the daemon and starts it again on the same state.
func (o *office) restart() {
	o.t.Helper()
	o.stop()
	o.start(o.parts.settings, content{})
}

// phone returns a phone of that model whose steps come from the newest plugin that knows it.
func (o *office) phone(model, mac string) *sim.Phone {
	o.t.Helper()
	var steps []plugin.BootStep
	for _, p := range o.parts.plugins.Plugins().All() {
		if x, ok := p.(*plugin.Plugin); ok {
			if _, knows := x.Model(model); knows {
				steps = x.Boot()
			}
		}
	}
	return &sim.Phone{
		HW: hwaddr.MustParse(mac), Model: model, Steps: steps, TFTPPort: tftpPort, HTTPPort: httpPort,
		Wire: sim.Wire{Server: netip.AddrPortFrom(o.addr, dhcpPort), Relay: netip.MustParseAddr("127.64.0.1")},
	}
}

// lease gets an address for a MAC, with that vendor class.
func (o *office) lease(mac, class string) netip.Addr {
	o.t.Helper()
	p := o.phone("", mac)
	p.Steps = []plugin.BootStep{{Ask: "dhcp", VendorClass: class, Options: []uint8{1, 3, 66, 150}}}
	r, err := p.Boot(o.t.Context())
	if err != nil {
		o.t.Fatalf("lease for %s: %v", mac, err)
	}
	return r.Addr
}

// get asks by HTTP from an address and returns the status and the body.
func (o *office) get(from netip.Addr, path, agent string) (int, string) {
	o.t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}).DialContext,
	}}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d%s", o.addr, httpPort, path), http.NoBody)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// rrq asks by TFTP from an address; ok is false if the server says that there is no such file.
func (o *office) rrq(from netip.Addr, name string) (body string, ok bool) {
	o.t.Helper()
	var b bytes.Buffer
	err := sim.TFTP(o.t.Context(), from, netip.AddrPortFrom(o.addr, tftpPort), name, &b)
	if err != nil && !errors.Is(err, sim.ErrMissing) {
		o.t.Errorf("RRQ %s: %v", name, err)
	}
	return b.String(), err == nil
}

// cli runs a verb against the daemon.
func (o *office) cli(args ...string) (stdout string, code int) {
	o.t.Helper()
	var out, errs bytes.Buffer
	code = run(o.t.Context(), append(args, "--state", o.state), func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if code != 0 {
		o.t.Logf("dialtone %s: exit %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String(), code
}

// phones returns what `dialtone phone list --json` has.
func (o *office) phones() []api.Phone {
	o.t.Helper()
	out, code := o.cli("phone", "list", "--json")
	var list api.PhoneList
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		o.t.Fatalf("phone list: exit %d, %v: %s", code, err, out)
	}
	return list.Phones
}

// install puts a stand-in for firmware where an administrator would, and waits until it is served.
func (o *office) install(id, name, content string) {
	o.t.Helper()
	dir := filepath.Join(o.state, "firmware", id)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if _, code := o.cli("plugin", "rescan"); code != 0 {
		o.t.Fatal("plugins not rescanned")
	}
}

// last returns the newest outcome of a path.
func (o *office) last(path string) *provision.Outcome {
	o.t.Helper()
	for _, x := range o.parts.pipeline.Journal.Recent(0) {
		if x.Request.Path == path {
			return x
		}
	}
	o.t.Fatalf("nobody asked for %s", path)
	return nil
}

func agent(version, mac string) string {
	return "Aastra6730i MAC:" + strings.ToUpper(hwaddr.MustParse(mac).Join("-")) + " V:" + version + "-SIP"
}

// A Cisco 7941, which speaks only TFTP, and an Aastra get an address and then their own files.
func TestPhonesBoot(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, tt := range []struct{ model, mac, plugin string }{
		{"7941G", "00:1b:54:00:00:01", "cisco-79xx-sccp-9.4"},
		{"6730i", "00:08:5d:00:00:01", "aastra-67xx-3.3.1"},
	} {
		r, err := o.phone(tt.model, tt.mac).Boot(t.Context())
		if err != nil {
			t.Errorf("%s: %v", tt.model, err)
		}
		for _, s := range r.Steps {
			t.Logf("%s %s %s: %s", tt.model, s.Ask, s.What, s.Got)
		}
		out, code := o.cli("phone", "show", tt.mac, "--json")
		var p api.Phone
		if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 {
			t.Fatalf("phone show %s: exit %d, %v", tt.mac, code, err)
		}
		if p.Plugin != tt.plugin || p.Model != tt.model || p.Config == "" || len(p.Addresses) != 1 || p.Addresses[0] != r.Addr.String() {
			t.Errorf("%s is known as %+v, want plugin %s and the address %s", tt.model, p, tt.plugin, r.Addr)
		}
	}
}

// Two phones of one model on two firmware generations ask for the same URL and get different bytes.
func TestSameURLDifferentBytes(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.install("aastra-67xx-3.2.2", "6730i.st", "firmware 3.2.2")
	o.install("aastra-67xx-3.3.1", "6730i.st", "firmware 3.3.1")
	const older, newer = "00:08:5d:00:00:22", "00:08:5d:00:00:31"
	a, b := o.lease(older, aastraClass), o.lease(newer, aastraClass)
	for range 2 { // the second time they are known
		if status, body := o.get(a, "/6730i.st", agent("3.2.2.6038", older)); status != http.StatusOK || body != "firmware 3.2.2" {
			t.Errorf("firmware 3.2.2's phone gets %d %q", status, body)
		}
		if status, body := o.get(b, "/6730i.st", agent("3.3.1.4365", newer)); status != http.StatusOK || body != "firmware 3.3.1" {
			t.Errorf("firmware 3.3.1's phone gets %d %q", status, body)
		}
	}
	_, site22 := o.get(a, "/aastra.cfg", agent("3.2.2.6038", older))
	_, site31 := o.get(b, "/aastra.cfg", agent("3.3.1.4365", newer))
	if site22 == "" || site31 == "" {
		t.Errorf("aastra.cfg: %q and %q", site22, site31)
	}
}

// A browser on a PC that holds our lease gets 404 on the phones' URL, and no device is made of the PC.
func TestBrowser(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.install("aastra-67xx-3.3.1", "6730i.st", "firmware 3.3.1")
	pc := o.lease("3c:52:82:00:00:01", "MSFT 5.0")
	for _, path := range []string{"/6730i.st", "/aastra.cfg", "/", "/00085D000001.cfg"} {
		if status, body := o.get(pc, path, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"); status != http.StatusNotFound {
			t.Errorf("GET %s from a browser: %d %q, want 404", path, status, body)
		}
	}
	// Nor does a phone's file name make one of whoever asks from elsewhere.
	if status, body := o.get(netip.MustParseAddr("127.200.0.5"), "/00085D000001.cfg", "Mozilla/5.0"); status != http.StatusNotFound {
		t.Errorf("a phone's file for a browser: %d %q, want 404", status, body)
	}
	if phones := o.phones(); len(phones) != 0 {
		t.Errorf("the PC became a phone: %+v", phones)
	}
}

// A Cisco that asks for a file that all of them share is told apart by its address alone.
func TestToldApartByAddress(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, mac := range []string{"00:1b:54:00:00:01", "00:1b:54:00:00:02"} {
		addr := o.lease(mac, ciscoClass)
		if _, ok := o.rrq(addr, "RINGLIST.XML"); !ok {
			t.Errorf("%s gets no RINGLIST.XML", mac)
		}
		if got := o.last("RINGLIST.XML"); got.Identity.HW.String() != mac || got.Plugin != "cisco-79xx-sccp-9.4" || got.Identity.Assurance != provision.SourceLease {
			t.Errorf("%s at %s was taken for %s by %s, plugin %q", mac, addr, got.Identity.HW, got.Identity.Assurance, got.Plugin)
		}
	}
}

// An address that changes hands is followed by the very next request.
func TestAddressChangesHands(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(site string) string {
		site = strings.Replace(site, "127.64.1.1-127.64.255.250", "127.64.77.1-127.64.77.1", 1)
		return strings.Replace(site, "{default: 10m, min: 1m, max: 1h}", "{default: 2s, min: 1s, max: 2s}", 1)
	})
	const before, after = "00:1b:54:00:00:0a", "00:1b:54:00:00:0b"
	addr := o.lease(before, ciscoClass)
	if _, ok := o.rrq(addr, "SEP001B5400000A.cnf.xml"); !ok {
		t.Error("the first holder doesn't get its file")
	}
	deadline := time.Now().Add(10 * time.Second) // the pool's only address is free when the lease has run out
	for {
		p := o.phone("", after)
		p.Steps, p.Timeout = []plugin.BootStep{{Ask: "dhcp", VendorClass: ciscoClass}}, time.Second
		r, err := p.Boot(t.Context())
		if err == nil {
			if r.Addr != addr {
				t.Fatalf("the second phone got %s", r.Addr)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the address never came free: %v", err)
		}
	}
	if _, ok := o.rrq(addr, "SEP001B5400000A.cnf.xml"); ok {
		t.Error("the address's new holder got the file of the one before")
	}
	if _, ok := o.rrq(addr, "SEP001B5400000B.cnf.xml"); !ok {
		t.Error("the address's new holder doesn't get its own file")
	}
}

// A device never seen is made, associated, configured and answered within its first request.
func TestFirstRequest(t *testing.T) {
	t.Parallel()
	// It is of no network of ours, and no lease speaks for it: it is answered because the settings say so.
	o := newOffice(t, nil, func(s *configs.Settings) { s.Guard.Outside = "legacy" })
	from := netip.MustParseAddr("127.200.0.9")
	if phones := o.phones(); len(phones) != 0 {
		t.Fatalf("phones at the start: %+v", phones)
	}
	const mac = "00:08:5d:00:00:77"
	status, body := o.get(from, "/00085D000077.cfg", agent("3.3.1.4365", mac))
	if status != http.StatusOK || !strings.Contains(body, "sip line1 user name: sandbox-guest") {
		t.Errorf("the first request: %d %q", status, body)
	}
	phones := o.phones()
	if len(phones) != 1 || phones[0].Mac != mac || phones[0].Plugin != "aastra-67xx-3.3.1" || phones[0].Config == "" || !phones[0].Auto {
		t.Errorf("phones after it: %+v", phones)
	}
}

// With no plugins nothing is configured, and explain says so.
func TestNoPlugins(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	entries, err := os.ReadDir(filepath.Join(o.state, "plugins"))
	if err != nil || len(entries) < 3 {
		t.Fatalf("plugins of a new state: %v, %v", entries, err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(o.state, "plugins", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if _, code := o.cli("plugin", "rescan"); code != 0 {
		t.Fatal("plugins not rescanned")
	}
	addr := o.lease("00:1b:54:00:00:01", ciscoClass)
	if _, ok := o.rrq(addr, "SEP001B54000001.cnf.xml"); ok {
		t.Error("a file was served without a plugin")
	}
	if phones := o.phones(); len(phones) != 0 {
		t.Errorf("phones without plugins: %+v", phones)
	}
	out, code := o.cli("explain", "RRQ", "SEP001B54000001.cnf.xml", "--from", addr.String())
	if code != 0 || !strings.Contains(out, "no plugin") {
		t.Errorf("explain: exit %d, %s; want it to say that there is no plugin", code, out)
	}
}

// A phone that asks for another's file is refused, and the outcome says why. Outside, it looks like a missing file.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	a := o.lease("00:1b:54:00:00:01", ciscoClass)
	b := o.lease("00:1b:54:00:00:02", ciscoClass)
	if _, ok := o.rrq(b, "SEP001B54000002.cnf.xml"); !ok {
		t.Error("B doesn't get its own file")
	}
	if _, ok := o.rrq(a, "SEP001B54000002.cnf.xml"); ok {
		t.Error("A got B's file")
	}
	got := o.last("SEP001B54000002.cnf.xml")
	if got.Status() != provision.StatusForbidden || !strings.Contains(got.Err.Error(), "00:1b:54:00:00:01") {
		t.Errorf("outcome: %s, %v", got.Status(), got.Err)
	}
	out, code := o.cli("explain", "RRQ", "SEP001B54000002.cnf.xml", "--from", a.String())
	for _, want := range []string{"00:1b:54:00:00:01", "00:1b:54:00:00:02", "lease", "path", "forbidden"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("explain: exit %d; no %q in\n%s", code, want, out)
		}
	}
}

// Explain prints every stage of a TFTP request: claims with source, winner, device, scores, route, verdict, layers.
func TestExplain(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	addr := o.knownAs("00:1b:54:00:00:01", ciscoClass)
	out, code := o.cli("explain", "RRQ", "SEP001B54000001.cnf.xml", "--from", addr.String())
	for _, want := range []string{
		"extract", "retrieve", "update", "route", "guard", "answer",
		"mac 00:1b:54:00:00:01", "cisco-79xx-sccp-9.4 extract[", "core", "001b54000001", "complete", "{MAC}.cnf.xml", "allow", "from base",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("explain: exit %d; no %q", code, want)
		}
	}
	if t.Failed() {
		t.Logf("explain:\n%s", out)
	}
	if strings.Contains(out, "sandbox-only") {
		t.Error("explain shows a secret")
	}
}

// A program named in the settings is told of each lease event, as JSON.
func TestHook(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "events")
	program := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat >> "+log+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, nil, func(s *configs.Settings) {
		s.Hooks = []configs.Hook{{Name: "crm", Exec: []string{program}, Timeout: 5 * time.Second}}
	})
	addr := o.lease("00:1b:54:00:00:01", ciscoClass)
	deadline := time.Now().Add(10 * time.Second)
	for {
		data, err := os.ReadFile(log)
		if err == nil && len(data) > 0 {
			var e struct{ Event, IP, MAC string }
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatalf("the hook got %q: %v", data, err)
			}
			if e.Event != "bound" || e.IP != addr.String() || e.MAC != "00:1b:54:00:00:01" {
				t.Errorf("the hook got %+v", e)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the hook was never told")
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // another process's work
	}
}

// syncBuffer is a buffer that goroutines may write to.
type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
