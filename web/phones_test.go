package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/web/api"
)

// declared is a store's networks, as the program takes them into force.
type declared struct {
	*store.DB
	mu  sync.Mutex
	set *network.Set // guarded by mu
}

func (d *declared) Networks() *network.Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set
}

func (d *declared) Declare(ctx context.Context, to network.Declared, rev uint64) (uint64, error) {
	set, err := network.New(to)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set = set
	return d.SaveDeclared(ctx, to, rev)
}

func (*declared) Unserved(*network.Set) []admin.Unserved { return nil }

// strict is a client's transport which checks all answers against the document.
type strict struct {
	t        *testing.T
	contract *api.Contract
	base     http.RoundTripper

	mu   sync.Mutex
	seen map[string]bool // operations that were called, guarded by mu
}

func (s *strict) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	id, found := s.contract.Response(r.Method, strings.TrimPrefix(r.URL.Path, "/api/v1"), resp.StatusCode, resp.Header.Get("Content-Type"), body)
	for _, v := range found {
		s.t.Errorf("%s %s answers %d, which isn't as the document has it: %s %s\n%s", r.Method, r.URL.Path, resp.StatusCode, v.Pointer, v.Text, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[id] = true
	return resp, nil
}

// newSite returns a client of a server over a real store, and its transport.
func newSite(t *testing.T) (*api.ClientWithResponses, *strict) {
	t.Helper()
	s := newServer(t, nil)
	db, err := store.Open(filepath.Join(t.TempDir(), "site"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	if s.Admin.Gate, err = provision.OpenGate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	d := &declared{DB: db}
	if d.set, err = network.New(network.Declared{}); err != nil {
		t.Fatal(err)
	}
	s.Admin.Devices, s.Admin.Configs, s.Admin.Networks = db, db, d
	s.Admin.EndLease = func(context.Context, lease.Scope, lease.Client, netip.Addr) error { return nil }
	run(t, s)
	contract, err := api.ReadContract()
	if err != nil {
		t.Fatal(err)
	}
	x := &strict{t: t, contract: contract, seen: map[string]bool{}, base: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.Socket)
		},
	}}
	c, err := api.NewClientWithResponses("http://dialtone/api/v1", api.WithHTTPClient(&http.Client{Transport: x}))
	if err != nil {
		t.Fatal(err)
	}
	return c, x
}

func TestPhones(t *testing.T) {
	t.Parallel()
	c, _ := newSite(t)
	ctx := t.Context()
	const mac = "00:08:5d:11:22:33"

	dry, err := c.CreatePhoneWithResponse(ctx, &api.CreatePhoneParams{DryRun: true}, api.NewPhone{Mac: mac, Label: "Reception"})
	if err != nil || dry.JSON200 == nil || len(dry.JSON200.Changes) == 0 {
		t.Fatalf("a dry run: %s, %v", dry.Body, err)
	}
	if r, err := c.GetPhoneWithResponse(ctx, mac); err != nil || r.StatusCode() != http.StatusNotFound {
		t.Errorf("after a dry run: %d, %v; want nothing made", r.StatusCode(), err)
	}
	made, err := c.CreatePhoneWithResponse(ctx, nil, api.NewPhone{Mac: mac, Label: "Reception", Override: map[string]any{"vlan_id": 20, "admin_password": "planted"}})
	if err != nil || made.JSON201 == nil {
		t.Fatalf("create: %s, %v", made.Body, err)
	}
	if p := made.JSON201.Phone; p.Override["admin_password"] != "[secret]" || p.State != "enrolled" || strings.Contains(string(made.Body), "planted") {
		t.Errorf("the new phone is %s; want it enrolled, its secret masked", made.Body)
	}
	got, err := c.GetPhoneWithResponse(ctx, mac)
	if err != nil || got.JSON200 == nil || got.HTTPResponse.Header.Get("ETag") != `"1"` {
		t.Fatalf("get: %s, %v", got.Body, err)
	}

	patched, err := c.PatchPhoneWithResponse(ctx, mac, &api.PatchPhoneParams{IfMatch: `"1"`}, json.RawMessage(`{"label":null,"model":"6730i","override":{"vlan_id":null}}`))
	if err != nil || patched.JSON200 == nil {
		t.Fatalf("patch: %s, %v", patched.Body, err)
	}
	if p := patched.JSON200.Phone; p.Label != "" || p.Model != "6730i" || p.Override["vlan_id"] != nil || p.Override["admin_password"] == nil {
		t.Errorf("after the patch: %s; want its label and VLAN gone and all else kept", patched.Body)
	}
	put := api.PhoneFields{Mac: mac, Label: "Desk", Override: patched.JSON200.Phone.Override}
	for _, step := range []struct {
		match string
		want  int
	}{{`"1"`, http.StatusPreconditionFailed}, {"", http.StatusBadRequest}, {"2", http.StatusBadRequest}, {`"2"`, http.StatusOK}} {
		r, err := c.UpdatePhoneWithResponse(ctx, mac, &api.UpdatePhoneParams{IfMatch: step.match}, put)
		if err != nil || r.StatusCode() != step.want {
			t.Errorf("update with If-Match %s: %d %s, %v; want %d", step.match, r.StatusCode(), r.Body, err, step.want)
		}
	}

	bad, err := c.CreatePhoneWithResponse(ctx, nil, api.NewPhone{Mac: "00:08:5d", Config: "nowhere"})
	if err != nil || bad.StatusCode() != http.StatusUnprocessableEntity || len(bad.ApplicationProblemJSONDefault.Errors) != 2 {
		t.Errorf("a phone with two faults: %s, %v; want 422 with both", bad.Body, err)
	}
	taken, err := c.CreatePhoneWithResponse(ctx, nil, api.NewPhone{Mac: mac})
	if err != nil || taken.StatusCode() != http.StatusConflict || taken.ApplicationProblemJSONDefault.Errors[0].Pointer != "/mac" {
		t.Errorf("a MAC that is taken: %s, %v; want 409 of /mac", taken.Body, err)
	}
	unknown, err := c.PatchPhoneWithResponse(ctx, mac, nil, json.RawMessage(`{"colour":"red"}`))
	if err != nil || unknown.StatusCode() != http.StatusBadRequest || unknown.ApplicationProblemJSONDefault.Errors[0].Pointer != "/colour" {
		t.Errorf("an unknown field: %s, %v; want 400 of /colour", unknown.Body, err)
	}

	replaced, err := c.ReplacePhoneWithResponse(ctx, mac, nil, api.Replacement{Mac: "00:08:5d:11:22:44"})
	if err != nil || replaced.JSON200 == nil || replaced.JSON200.New.Label != "Desk" || replaced.JSON200.Old.State != "retired" {
		t.Fatalf("replace: %s, %v", replaced.Body, err)
	}
	verdicts, err := c.DeletePhonesWithResponse(ctx, nil, api.PhoneKeys{Phones: []string{mac, "nobody"}})
	if err != nil || verdicts.JSON200 == nil || verdicts.JSON200.Verdicts[0].Status != 200 || verdicts.JSON200.Verdicts[1].Status != 404 {
		t.Errorf("delete two, one of which there isn't: %s, %v", verdicts.Body, err)
	}
	if r, err := c.DeletePhoneWithResponse(ctx, "00:08:5d:11:22:44", nil); err != nil || r.JSON200 == nil {
		t.Errorf("delete: %s, %v", r.Body, err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	c, _ := newSite(t)
	ctx := t.Context()
	for _, mac := range []string{"00:08:5d:00:00:01", "00:08:5d:00:00:02", "00:08:5d:00:00:03", "00:15:65:00:00:04"} {
		if r, err := c.CreatePhoneWithResponse(ctx, nil, api.NewPhone{Mac: mac}); err != nil || r.JSON201 == nil {
			t.Fatalf("create: %s, %v", r.Body, err)
		}
	}
	var macs []string
	params := api.ListPhonesParams{Limit: 2, Sort: "-mac", Filter: "mac:00085d"}
	for {
		r, err := c.ListPhonesWithResponse(ctx, &params)
		if err != nil || r.JSON200 == nil || r.JSON200.Total != 3 {
			t.Fatalf("list: %s, %v", r.Body, err)
		}
		for _, p := range r.JSON200.Phones {
			macs = append(macs, p.Mac)
		}
		if params.Cursor = r.JSON200.Next; params.Cursor == "" {
			break
		}
	}
	if got, want := strings.Join(macs, " "), "00:08:5d:00:00:03 00:08:5d:00:00:02 00:08:5d:00:00:01"; got != want {
		t.Errorf("the pages have %s, want %s", got, want)
	}
	r, err := c.ListPhonesWithResponse(ctx, &api.ListPhonesParams{Sort: "colour"})
	if err != nil || r.StatusCode() != http.StatusBadRequest || r.ApplicationProblemJSONDefault.Errors[0].Pointer != "/sort" {
		t.Errorf("an unknown field to sort by: %s, %v; want 400 of /sort", r.Body, err)
	}
}
