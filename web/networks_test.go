package web_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// TestNetworks: what is wrong has its pointer into what was sent, a former revision is refused, a dry run does nothing.
func TestNetworks(t *testing.T) {
	t.Parallel()
	c, _ := newSite(t)
	ctx := t.Context()
	voice := api.Network{
		ID: "voice", Prefix: "192.0.2.0/24", Pools: []api.Pool{{First: "192.0.2.100", Last: "192.0.2.109"}},
		Options: []api.Option{{Option: "ntp-servers", Value: "192.0.2.1"}},
	}
	if r, err := c.CreateNetworkWithResponse(ctx, &api.CreateNetworkParams{DryRun: true}, voice); err != nil || r.JSON200 == nil || len(r.JSON200.Added) != 1 {
		t.Fatalf("create dry: %s, %v", r.Body, err)
	}
	if r, err := c.CreateNetworkWithResponse(ctx, nil, voice); err != nil || r.JSON201 == nil || len(r.JSON201.Added) != 1 || r.HTTPResponse.Header.Get("ETag") != `"1"` {
		t.Fatalf("create: %s, %v", r.Body, err)
	}
	got, err := c.GetNetworkWithResponse(ctx, "voice")
	if err != nil || got.JSON200 == nil || got.HTTPResponse.Header.Get("ETag") != `"1"` || !*got.JSON200.Probe {
		t.Fatalf("get: %s, %v; want revision 1, as it was made once, and what was left out as it usually is", got.Body, err)
	}
	patched, err := c.PatchNetworkWithResponse(ctx, "voice", &api.PatchNetworkParams{IfMatch: `"1"`}, json.RawMessage(`{"probe":false,"options":null,"lease":{"max":86400}}`))
	if err != nil || patched.JSON200 == nil || len(patched.JSON200.Changed) != 1 {
		t.Fatalf("patch: %s, %v", patched.Body, err)
	}
	if got, err = c.GetNetworkWithResponse(ctx, "voice"); err != nil || *got.JSON200.Probe || len(got.JSON200.Options) != 0 || got.JSON200.Lease.Max != 86400 || len(got.JSON200.Pools) != 1 {
		t.Errorf("after the patch: %s, %v; want the options gone and the pool kept", got.Body, err)
	}
	if r, err := c.CreateReservationWithResponse(ctx, nil, api.Reservation{IP: "192.0.2.20", Mac: "00:15:65:00:00:01"}); err != nil || r.JSON201 == nil {
		t.Fatalf("reserve: %s, %v", r.Body, err)
	}
	const nowhere = "nowhere" // in what was sent
	for _, step := range []struct {
		name    string
		do      func() (int, *api.Problem, error)
		status  int
		pointer string
	}{
		{"a former revision", func() (int, *api.Problem, error) {
			r, err := c.PatchNetworkWithResponse(ctx, "voice", &api.PatchNetworkParams{IfMatch: `"1"`}, json.RawMessage(`{}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusPreconditionFailed, ""},
		{"a network again", func() (int, *api.Problem, error) {
			r, err := c.CreateNetworkWithResponse(ctx, nil, voice)
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusConflict, "/id"},
		{"no prefix", func() (int, *api.Problem, error) {
			r, err := c.PatchNetworkWithResponse(ctx, "voice", nil, json.RawMessage(`{"prefix":"x"}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/prefix"},
		{"a pool beyond", func() (int, *api.Problem, error) {
			r, err := c.PatchNetworkWithResponse(ctx, "voice", nil, json.RawMessage(`{"pools":[{"first":"192.0.2.9","last":"198.51.100.1"}]}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/pools/0"},
		{"a prefix without its pool", func() (int, *api.Problem, error) {
			r, err := c.PatchNetworkWithResponse(ctx, "voice", nil, json.RawMessage(`{"prefix":"198.51.100.0/24"}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, nowhere},
		{"an unknown field", func() (int, *api.Problem, error) {
			r, err := c.PatchNetworkWithResponse(ctx, "voice", nil, json.RawMessage(`{"provisioning":{"colour":1}}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusBadRequest, "/provisioning/colour"},
		{"an option that isn't", func() (int, *api.Problem, error) {
			r, err := c.PutOptionsWithResponse(ctx, nil, api.OptionList{Options: []api.Option{{Option: "66", Value: "x"}, {Option: "router", Value: "nowhere"}}})
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/options/1"},
		{"no MAC", func() (int, *api.Problem, error) {
			r, err := c.PatchReservationWithResponse(ctx, "192.0.2.20", nil, json.RawMessage(`{"mac":"x"}`))
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/mac"},
		{"an address of nowhere", func() (int, *api.Problem, error) {
			r, err := c.CreateReservationWithResponse(ctx, nil, api.Reservation{IP: "203.0.113.1", Mac: "00:15:65:00:00:02"})
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/ip"},
		{"another class", func() (int, *api.Problem, error) {
			r, err := c.PutClassWithResponse(ctx, "a", nil, api.Class{ID: "b"})
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusUnprocessableEntity, "/id"},
		{"no such network", func() (int, *api.Problem, error) {
			r, err := c.PutNetworkOptionsWithResponse(ctx, "voices", nil, api.OptionList{Options: []api.Option{}})
			return r.StatusCode(), r.ApplicationProblemJSONDefault, err
		}, http.StatusNotFound, ""},
	} {
		status, p, err := step.do()
		if step.pointer == nowhere && p != nil && slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Pointer == "" }) {
			step.pointer = ""
		}
		if err != nil || status != step.status || p == nil || step.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != step.pointer) {
			t.Errorf("%s: %d %+v, %v; want %d of %q", step.name, status, p, err, step.status, step.pointer)
		}
	}
	list, err := c.ListReservationsWithResponse(ctx, &api.ListReservationsParams{Filter: "mac:001565"})
	if err != nil || list.JSON200 == nil || list.JSON200.Total != 1 || list.JSON200.Reservations[0].Status != "unused" {
		t.Errorf("reservations: %s, %v", list.Body, err)
	}
	pools, err := c.ListPoolsWithResponse(ctx)
	if err != nil || pools.JSON200 == nil || len(pools.JSON200.Pools) != 1 || pools.JSON200.Pools[0].Size != 10 || pools.JSON200.Pools[0].Free != 10 {
		t.Errorf("pools: %s, %v", pools.Body, err)
	}
	if r, err := c.PutOptionsWithResponse(ctx, nil, api.OptionList{Options: []api.Option{{Option: "66", Value: "tftp.example", Always: true}}}); err != nil || r.JSON200 == nil {
		t.Fatalf("options of all: %s, %v", r.Body, err)
	}
	options, err := c.GetNetworkOptionsWithResponse(ctx, "voice")
	if err != nil || options.JSON200 == nil || len(options.JSON200.Options) != 1 {
		t.Fatalf("options in effect: %s, %v", options.Body, err)
	}
	if o := options.JSON200.Options[0]; o.From != "all" || o.Hex != "746674702e6578616d706c65" || o.Value != "tftp.example" || !o.Always {
		t.Errorf("option in effect: %+v", o)
	}
}
