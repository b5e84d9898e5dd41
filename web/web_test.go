package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

var phoneHW = hwaddr.MustParse("00:08:5d:11:22:33")

// leases is a lease table with one lease.
type leases struct{}

func (leases) lease() lease.Lease {
	return lease.Lease{
		Addr: netip.MustParseAddr("192.0.2.23"), Network: "office", State: lease.Bound, Origin: lease.Pool,
		Client: lease.Client{HW: phoneHW, VendorClass: "Aastra\x1b[2J"}, Start: time.Now(), Expiry: time.Now().Add(time.Hour),
	}
}

func (l leases) ByAddr(a netip.Addr) (lease.Lease, bool) { return l.lease(), a == l.lease().Addr }

func (l leases) ByHW(hw hwaddr.Addr) []lease.Lease {
	if hw != phoneHW {
		return nil
	}
	return []lease.Lease{l.lease()}
}

func (l leases) All() []lease.Lease {
	old := l.lease()
	old.Addr, old.State = netip.MustParseAddr("192.0.2.9"), lease.Released
	return []lease.Lease{l.lease(), old}
}

// devices is a store whose list may fail.
type devices struct {
	*provision.Memory
	err error
}

func (d devices) Devices(ctx context.Context) ([]provision.Device, error) {
	if d.err != nil {
		return nil, d.err
	}
	x, err := d.DeviceByHW(ctx, phoneHW)
	return []provision.Device{x}, err
}

// noPlugins is a host without plugins but with one that is broken.
type noPlugins struct{}

func (noPlugins) Plugins() *provision.PluginSet { return nil }
func (noPlugins) Rescan(context.Context) error  { return nil }
func (noPlugins) Statuses() []admin.PluginStatus {
	return []admin.PluginStatus{{ID: "aastra-67xx-3.3.1", Problem: "plugin.yaml:3: unknown key"}}
}

// start serves on a socket and a console of its own, and returns clients of both.
func start(t *testing.T, fail error) (c *api.ClientWithResponses, socket *http.Client, console string) {
	t.Helper()
	s := newServer(t, fail)
	run(t, s)
	info, err := os.Stat(s.Socket)
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("socket: %v, %v; others may not use it", info.Mode(), err)
	}
	socket = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.Socket)
	}}}
	c, err = api.NewClientWithResponses("http://dialtone/api/v1", api.WithHTTPClient(socket))
	if err != nil {
		t.Fatal(err)
	}
	return c, socket, s.ConsoleAddr().String()
}

// newServer returns a server that knows one phone, with a store for its users.
func newServer(t *testing.T, fail error) *web.Server {
	t.Helper()
	memory := provision.NewMemory()
	if _, err := memory.PutDevice(t.Context(), provision.Device{ID: "00085d112233", HW: phoneHW, Vendor: "Aastra", Model: "6730i"}); err != nil {
		t.Fatal(err)
	}
	pipeline := &provision.Pipeline{
		Leases: leases{}, Devices: memory, Configs: memory, Plugins: noPlugins{},
		Journal: provision.NewJournal(10), Sightings: provision.NewSightings(10),
	}
	pipeline.Handle(t.Context(), &provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("192.0.2.23"), Path: "<script>.cfg", Raw: "/<script>.cfg",
	})
	dir := t.TempDir()
	db, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	rogue := []admin.Problem{{Part: "dhcp", Kind: "rogue-server", Network: "office", Text: "another server", Since: time.Now()}}
	return &web.Server{
		Admin: &admin.Service{
			Leases: leases{}, Devices: devices{memory, fail}, Pipeline: pipeline, Plugins: noPlugins{},
			Problems: func() []admin.Problem { return rogue },
			Journal:  pipeline.Journal, Sightings: pipeline.Sightings, Local: func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		},
		Build: api.Version{Version: "v0", Go: "go"}, Socket: filepath.Join(dir, "api.sock"), Console: "127.0.0.1:0",
		Access: &access.Gate{Store: db}, Audit: db, Log: slog.New(slog.DiscardHandler),
	}
}

// run serves until the test ends.
func run(t *testing.T, s *web.Server) {
	t.Helper()
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestAPI(t *testing.T) {
	t.Parallel()
	c, _, _ := start(t, nil)
	ctx := t.Context()

	if r, err := c.GetVersionWithResponse(ctx); err != nil || r.JSON200 == nil || r.JSON200.Version != "v0" {
		t.Errorf("version: %+v, %v", r, err)
	}
	all, err := c.ListLeasesWithResponse(ctx, &api.ListLeasesParams{})
	if err != nil || all.JSON200 == nil || len(all.JSON200.Leases) != 2 {
		t.Fatalf("leases: %s, %v", all.Body, err)
	}
	if got, want := all.JSON200.Leases[0].IP, "192.0.2.9"; got != want {
		t.Errorf("first lease is %s, want %s: they are sorted", got, want)
	}
	if got, want := all.JSON200.Leases[1].VendorClass, `Aastra\x1b[2J`; got != want {
		t.Errorf("vendor class %q, want %q: what a client says is shown escaped", got, want)
	}
	active, err := c.ListLeasesWithResponse(ctx, &api.ListLeasesParams{Active: true})
	if err != nil || active.JSON200 == nil || len(active.JSON200.Leases) != 1 {
		t.Errorf("active leases: %s, %v", active.Body, err)
	}
	for _, key := range []string{"00085d112233", "00-08-5D-11-22-33", "192.0.2.23"} {
		r, err := c.GetPhoneWithResponse(ctx, key)
		if err != nil || r.JSON200 == nil {
			t.Errorf("phone %s: %s, %v", key, r.Body, err)
			continue
		}
		if r.JSON200.Mac != phoneHW.String() || len(r.JSON200.Addresses) != 1 || r.JSON200.Seen.IsZero() {
			t.Errorf("phone %s: %+v", key, r.JSON200)
		}
	}
	plugins, err := c.ListPluginsWithResponse(ctx)
	if err != nil || plugins.JSON200 == nil || plugins.JSON200.Plugins[0].InForce || plugins.JSON200.Plugins[0].Problem == "" {
		t.Errorf("plugins: %s, %v", plugins.Body, err)
	}
	problems, err := c.ListProblemsWithResponse(ctx)
	if err != nil || problems.JSON200 == nil || len(problems.JSON200.Problems) != 2 || problems.JSON200.Problems[1].Network != "office" {
		t.Errorf("problems: %s, %v", problems.Body, err)
	}
	requests, err := c.ListRequestsWithResponse(ctx, &api.ListRequestsParams{})
	if err != nil || requests.JSON200 == nil || len(requests.JSON200.Requests) != 1 {
		t.Errorf("requests: %s, %v", requests.Body, err)
	}
	explained, err := c.ExplainWithResponse(ctx, api.Question{Proto: "tftp", Path: "/RINGLIST.XML", From: "192.0.2.23"})
	if err != nil || explained.JSON200 == nil || !strings.Contains(explained.JSON200.Text, phoneHW.String()) {
		t.Errorf("explain: %s, %v", explained.Body, err)
	}
}

// What the API promises is there for whoever reaches it, as often as it is asked for.
func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	_, socket, console := start(t, nil)
	for _, url := range []string{"http://dialtone/api/v1/openapi.json", "http://dialtone/api/v1/openapi.json", "http://" + console + "/api/v1/openapi.json"} {
		client := http.DefaultClient
		if strings.Contains(url, "dialtone/") {
			client = socket
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"openapi":"3.1.0"`) {
			t.Errorf("%s: %d, %v, %.80s", url, resp.StatusCode, err, body)
		}
	}
}

func TestAPIProblems(t *testing.T) {
	t.Parallel()
	c, socket, _ := start(t, errors.New("the disk has a secret name"))
	ctx := t.Context()
	post := func(path, body string) (int, api.Problem) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dialtone/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := socket.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var p api.Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			t.Errorf("POST %s: no problem document: %v", path, err)
		}
		return resp.StatusCode, p
	}
	whole, _, _ := start(t, nil)
	if r, err := whole.GetPhoneWithResponse(ctx, "nobody"); err != nil || r.StatusCode() != http.StatusNotFound || r.ApplicationProblemJSONDefault == nil {
		t.Errorf("unknown phone: %s, %v", r.Body, err)
	}
	if r, err := c.AdoptSightingWithResponse(ctx, "00:08:5d:00:00:00", nil); err != nil || r.StatusCode() != http.StatusNotFound {
		t.Errorf("unknown sighting: %s, %v", r.Body, err)
	}
	if r, err := c.ListRequestsWithResponse(ctx, &api.ListRequestsParams{Limit: 5000}); err != nil || r.StatusCode() != http.StatusBadRequest {
		t.Errorf("a limit beyond the bound: %s, %v", r.Body, err)
	}
	for _, body := range []string{
		`{"proto":"tftp","path":"../x","from":"192.0.2.23"}`, `{"proto":"smtp","path":"x","from":"192.0.2.23"}`,
		`{"proto":"tftp","path":"x","from":"somewhere"}`, `{`,
	} {
		if status, p := post("/explain", body); status != http.StatusBadRequest || p.Detail == "" {
			t.Errorf("explain %s: %d %+v", body, status, p)
		}
	}
	for path, want := range map[string]string{
		"/requests/many/replay": `want a whole number, not "many"`, "/requests/9223372036854775808/replay": "9223372036854775808 is out of bounds",
	} {
		if status, p := post(path, ``); status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0].Pointer != "/number" || p.Errors[0].Detail != want {
			t.Errorf("POST %s: %d %+v, want %q", path, status, p, want)
		}
	}
	for path, want := range map[string]int{
		"/nothing": http.StatusNotFound, "/phones/x/nothing": http.StatusNotFound, "/version": http.StatusMethodNotAllowed, "/../docs": http.StatusNotFound,
	} {
		if status, p := post(path, `{}`); status != want || p.Status != int32(want) || p.RequestID == "" && path != "/../docs" {
			t.Errorf("POST %s: %d %+v, want %d", path, status, p, want)
		}
	}
	status, p := post("/explain", `{"proto":"tftp","path":"x","form":"192.0.2.23"}`)
	if status != http.StatusBadRequest || len(p.RequestID) != 16 || len(p.Errors) != 2 || p.Errors[0].Pointer != "/from" || p.Errors[1].Pointer != "/form" {
		t.Errorf("an unknown field: %d %+v; want what is missing and what is unknown, with their pointers", status, p)
	}
	if status, _ := post("/explain", `{"path":"`+strings.Repeat("x", 2<<20)+`"}`); status != http.StatusBadRequest {
		t.Errorf("a huge body: %d", status)
	}
	r, err := c.ListPhonesWithResponse(ctx, &api.ListPhonesParams{})
	if err != nil || r.StatusCode() != http.StatusInternalServerError || strings.Contains(string(r.Body), "secret") {
		t.Errorf("a failure of ours: %d %s, %v; its details are for the log", r.StatusCode(), r.Body, err)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	_, _, addr := start(t, nil)
	get := func(host, path string) (status int, header http.Header, page string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(body)
	}
	status, header, body := get(addr, "/")
	if status != http.StatusOK || !strings.Contains(body, phoneHW.String()) || !strings.Contains(body, "1 phone known") {
		t.Errorf("page: %d %s", status, body)
	}
	if !strings.Contains(body, "another server") {
		t.Error("the problems aren't on the page")
	}
	if strings.Contains(body, "<script>") {
		t.Error("what a phone asked for is on the page unescaped")
	}
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("content security policy: %q", csp)
	}
	if status, header, _ := get("localhost", "/console.css"); status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %s", status, header.Get("Content-Type"))
	}
	if status, _, _ := get("evil.example", "/"); status != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %d, want 421", status)
	}
	if status, _, _ := get(addr, "/api/v1/phones"); status != http.StatusUnauthorized {
		t.Errorf("the API on the console's port without having signed in: %d, want 401", status)
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.sock")
	first := &web.Server{Admin: &admin.Service{}, Socket: path, Log: slog.New(slog.DiscardHandler)}
	if err := first.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := &web.Server{Admin: &admin.Service{}, Socket: path, Log: slog.New(slog.DiscardHandler)}
	if err := second.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "another dialtone") {
		t.Errorf("a second server on the socket: %v", err)
	}
	runtime.KeepAlive(first) // else its socket may be closed before
}
