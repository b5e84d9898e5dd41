package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/httpd"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
	"github.com/dialtone-project/dialtone/provision/tftpd"
)

// refusals are all the ways of not getting a file: by which row of the guard's table or else why, who asks and for what. Each
// asks from an address of its own.
var refusals = []struct {
	name, from, path string
	row              string
	err              error
	stranger         bool // knows nothing but a MAC, and wants to know whether there is such a phone
}{
	{"nobody's file", "127.0.1.10", "0000000000000000", "ID-21", provision.ErrNotFound, false},
	{"a phone that there isn't", "127.0.1.11", "00085D999999.cfg", "ID-20", provision.ErrNotFound, true},
	{"a phone that there is", "127.0.1.12", "00085D000001.cfg", "ID-20", provision.ErrForbidden, true},
	{"a phone that is at its address", "127.0.1.13", "00085D000002.cfg", "ID-04", provision.ErrForbidden, true},
	{"a phone that is retired", "127.0.1.14", "00085D000003.cfg", "ID-02", provision.ErrForbidden, true},
	{"a phone that is suspicious", "127.0.1.15", "00085D000004.cfg", "ID-03", provision.ErrForbidden, true},
	{"a phone that was set aside", "127.0.1.16", "00085D000005.cfg", "ID-02", provision.ErrForbidden, true},
	{"a phone whose plugin is gone", "127.0.1.17", "00085D000006.cfg", "ID-20", provision.ErrNotFound, true},
	{"a new phone at its address", "127.0.1.27", "00085D000007.cfg", "ID-17", provision.ErrForbidden, false},
	{"a phone that asks for another's", "127.0.1.22", "00085D000001.cfg", "ID-16", provision.ErrForbidden, false},
	{"a phone that asks for what there isn't", "127.0.1.22", "0000000000000000", "ID-16", provision.ErrNotFound, false},
	{"a PC with a lease", "127.0.1.29", "00085D000001.cfg", "ID-04", provision.ErrNotFound, false},
	{"a locked source", "127.0.1.30", "00085D000001.cfg", "ID-01", provision.ErrForbidden, false},
	{"from none of our networks", "127.0.9.1", "00085D000001.cfg", "ID-01", provision.ErrForbidden, false},
}

// branch is an office whose TFTP and HTTP servers listen on the loopback interface, with all kinds of phones.
type branch struct {
	tftp, http netip.AddrPort
	pipeline   *provision.Pipeline
	store      *reads
	renders    atomic.Int64
	out        chan *provision.Outcome // of the last request
}

// Handle implements [provision.Handler].
func (b *branch) Handle(ctx context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	b.store.n.Store(0)
	b.renders.Store(0)
	a, o := b.pipeline.Handle(ctx, r)
	b.out <- o
	return a, o
}

// Delivered implements [provision.Handler].
func (b *branch) Delivered(uint64, provision.Delivery) {}

// reads counts how often a store is asked, and is asked to write.
type reads struct {
	*provision.Memory
	n, writes atomic.Int64
}

func (s *reads) Device(ctx context.Context, id provision.DeviceID) (provision.Device, error) {
	s.n.Add(1)
	return s.Memory.Device(ctx, id)
}

func (s *reads) DeviceByHW(ctx context.Context, hw hwaddr.Addr) (provision.Device, error) {
	s.n.Add(1)
	return s.Memory.DeviceByHW(ctx, hw)
}

func (s *reads) ConfigByRole(ctx context.Context, role provision.Role) (provision.Config, error) {
	s.n.Add(1)
	return s.Memory.ConfigByRole(ctx, role)
}

func (s *reads) Config(ctx context.Context, id provision.ConfigID) (provision.Config, error) {
	s.n.Add(1)
	return s.Memory.Config(ctx, id)
}

func (s *reads) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	s.writes.Add(1)
	return s.Memory.PutDevice(ctx, d)
}

func (s *reads) AddDevice(ctx context.Context, d provision.Device, c provision.Config) (provision.Device, error) {
	s.writes.Add(1)
	return s.Memory.AddDevice(ctx, d, c)
}

func newBranch(t *testing.T) *branch {
	t.Helper()
	b := &branch{store: &reads{Memory: provision.NewMemory()}, out: make(chan *provision.Outcome, 1)}
	name := regexp.MustCompile(`^([0-9A-F]{12})\.cfg$`)
	plugin := &provisiontest.Plugin{
		T: t, Name: "acme",
		OnExtract: func(r *provision.Request) []provision.Claim {
			m := name.FindStringSubmatch(r.Path)
			if m == nil {
				return nil
			}
			claim := provision.Claim{Attr: provision.AttrMAC, Value: m[1], Source: provision.SourcePath, By: "acme"}
			return []provision.Claim{claim, {Attr: provision.AttrVendor, Value: "Acme", Source: provision.SourcePath, By: "acme"}}
		},
		OnSupport: func(id provision.Identity) (provision.Support, string) {
			return map[bool]provision.Support{true: provision.SupportProbable, false: provision.SupportUnknown}[id.Vendor == "Acme"], ""
		},
		OnRoute: func(r *provision.Request, _ provision.Identity) (provision.Route, bool) {
			m := name.FindStringSubmatch(r.Path)
			if m == nil {
				return provision.Route{}, false
			}
			return provision.Route{Rule: "{MAC}.cfg", Template: "x", Class: provision.ClassSecret, HW: hwaddr.MustParse(m[1])}, true
		},
		OnAnswer: func(context.Context, provision.Route, *provision.View) (*provision.Answer, error) {
			b.renders.Add(1)
			return provisiontest.TextAnswer("a file with its secrets"), nil
		},
	}
	gate, err := provision.OpenGate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	leases := &provisiontest.Leases{}
	if _, err := b.store.PutConfig(t.Context(), provision.Config{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	for i, state := range []provision.DeviceState{
		provision.StateProvisioned, provision.StateProvisioned, provision.StateRetired, provision.StateSuspicious, provision.StateProvisioned,
		provision.StateProvisioned, provision.StateNew,
	} {
		n := byte(i + 1)
		d := provision.Device{
			ID: provision.DeviceID(strconv.Itoa(i + 1)), HW: hwaddr.Addr{0, 0x08, 0x5d, 0, 0, n}, Vendor: "Acme", Plugin: "acme", Config: "c",
			State: state, Auto: state == provision.StateNew,
		}
		if n == 6 {
			d.Plugin, d.Pinned = "gone", true
		}
		if n == 2 || n == 7 {
			leases.Hold(netip.AddrFrom4([4]byte{127, 0, 1, 20 + n}), lease.Client{HW: d.HW})
		}
		if _, err := b.store.Memory.PutDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	leases.Hold(netip.MustParseAddr("127.0.1.29"), lease.Client{HW: hwaddr.MustParse("02:00:5e:10:20:30")})
	if err := gate.SetAside(t.Context(), provision.Aside{Key: "mac 00:08:5d:00:00:05"}); err != nil {
		t.Fatal(err)
	}
	ours := netip.MustParsePrefix("127.0.1.0/24")
	b.pipeline = &provision.Pipeline{
		Leases: leases, Devices: b.store, Configs: b.store, Plugins: provisiontest.PluginsOf(plugin), Gate: gate,
		PolicyFor: func(a netip.Addr) provision.Policy {
			return provision.Policy{Network: "voice", AutoAdd: provision.AddOff, Guard: provision.GuardStrict, CleartextOK: true, Foreign: !ours.Contains(a)}
		},
		Tokens:  nobodys{},
		Journal: provision.NewJournal(10), Sightings: provision.NewSightings(100),
	}
	b.listen(t)
	return b
}

// nobodys are tokens that nobody has.
type nobodys struct{}

func (nobodys) Check(string, netip.Addr, time.Time) (hwaddr.Addr, provision.DeviceID, provision.TokenState) {
	return hwaddr.Addr{}, "", provision.TokenNone
}

func (b *branch) listen(t *testing.T) {
	t.Helper()
	files := &tftpd.Server{Addr: "127.0.0.1:0", Handler: b}
	pages := &httpd.Server{Addr: "127.0.0.1:0", Handler: b}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, s := range []interface {
		Open() error
		Run(context.Context) error
	}{files, pages} {
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- s.Run(ctx) }()
	}
	b.tftp, b.http = files.LocalAddr(), pages.LocalAddr()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

// say sends bytes from an address and returns all that comes back: until the server closes the connection, or one datagram.
func say(t *testing.T, network, from string, to netip.AddrPort, text string) []byte {
	t.Helper()
	ip := net.ParseIP(from)
	var local net.Addr = &net.TCPAddr{IP: ip}
	if network == "udp" {
		local = &net.UDPAddr{IP: ip}
	}
	d := net.Dialer{LocalAddr: local}
	c, err := d.DialContext(t.Context(), network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if network == "udp" {
		got = make([]byte, 2048)
		var n int
		n, err = c.Read(got) // the socket is connected: it comes from the port that was asked
		got = got[:n]
	} else {
		got, err = io.ReadAll(bufio.NewReader(c))
	}
	if err != nil {
		t.Fatalf("%s from %s: %v", network, from, err)
	}
	return got
}

// sameRefusals: from outside, all of them are one, byte for byte, whatever they are asked with and by which protocol. And of a
// phone that there is not more is read, rendered or written than of one that there isn't.
func sameRefusals(t *testing.T) {
	t.Parallel()
	const head = "Host: p\r\nConnection: close\r\n"
	for name, text := range map[string]string{ // TFTP's have the opcode
		"TFTP":                  "\x00\x01%s\x00octet\x00",
		"TFTP with options":     "\x00\x01%s\x00octet\x00blksize\x001024\x00tsize\x000\x00",
		"TFTP in netascii":      "\x00\x01%s\x00netascii\x00",
		"TFTP with a token":     "\x00\x01t/abcdefgh/%s\x00octet\x00",
		"HTTP":                  "GET /%s HTTP/1.1\r\n" + head + "\r\n",
		"HTTP/1.0":              "GET /%s HTTP/1.0\r\n\r\n",
		"HEAD":                  "HEAD /%s HTTP/1.1\r\n" + head + "\r\n",
		"HTTP with a range":     "GET /%s HTTP/1.1\r\n" + head + "Range: bytes=0-3\r\n\r\n",
		"HTTP with a condition": "GET /%s HTTP/1.1\r\n" + head + "If-None-Match: *\r\n\r\n",
		"HTTP with a token":     "GET /t/abcdefgh/%s HTTP/1.1\r\n" + head + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameRefusal(t, text)
		})
	}
}

func sameRefusal(t *testing.T, text string) {
	t.Helper()
	b := newBranch(t)
	network, to, want := "tcp", b.http, "Not found\n"
	switch {
	case text[0] == 0:
		network, to, want = "udp", b.tftp, "\x00\x05\x00\x01File not found\x00"
	case strings.HasPrefix(text, "HEAD"):
		want = "\r\n\r\n"
	}
	ask := func(from, path string) (string, *provision.Outcome) {
		got := say(t, network, from, to, fmt.Sprintf(text, path))
		return regexp.MustCompile(`(?m)^Date: [^\r]*\r\n`).ReplaceAllString(string(got), ""), <-b.out
	}
	for n := range 3 { // so that this source is locked
		ask("127.0.1.30", fmt.Sprintf("00085D88888%d.cfg", n))
	}
	var first string
	var work [3]int64
	for _, r := range refusals {
		got, o := ask(r.from, r.path)
		did := [3]int64{b.store.n.Load(), b.renders.Load(), b.store.writes.Load()}
		if o.Decision.Row != r.row || !errors.Is(o.Err, r.err) {
			t.Errorf("%s: row %s, %v; want %s, %v", r.name, o.Decision.Row, o.Err, r.row, r.err)
		}
		if first == "" {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" || !strings.HasSuffix(got, want) {
			t.Errorf("%s is refused with %q (-%s +got):\n%s", r.name, got, refusals[0].name, diff)
		}
		if r.name == "a phone that there isn't" {
			work = did
		} else if r.stranger && did != work {
			t.Errorf("%s: %d reads, renders and writes; of one that there isn't: %d", r.name, did, work)
		}
	}
	if work[0] == 0 {
		t.Error("nothing was counted")
	}
}
