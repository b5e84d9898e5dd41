package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// newNetwork declares a network of eight addresses with a pool and a reservation, and returns its ID and their first bytes.
func (s *apiSite) newNetwork() (id, base string, at int) {
	s.t.Helper()
	id = s.name()
	base, at = s.freshRange()
	prepared[api.NetworkResult](s)(s.root.CreateNetwork(s.t.Context(), nil, api.Network{
		ID: id, Prefix: fmt.Sprintf("%s%d/29", base, at), Pools: []api.Pool{{First: fmt.Sprint(base, at+2), Last: fmt.Sprint(base, at+4)}},
		Reservations: []api.Reservation{{IP: fmt.Sprint(base, at+6), Mac: s.mac()}},
	}))
	return id, base, at
}

// freshRange returns where eight addresses begin that no network has.
func (s *apiSite) freshRange() (base string, at int) {
	at = 8 * s.nets
	s.nets++
	if at < 256 {
		return "198.51.100.", at
	}
	return "203.0.113.", at - 256
}

func (s *apiSite) freshPrefix() string {
	base, at := s.freshRange()
	return fmt.Sprintf("%s%d/29", base, at)
}

func anyNetwork(s *apiSite) string { id, _, _ := s.newNetwork(); return id }

func anyReservation(s *apiSite) string {
	_, base, at := s.newNetwork()
	return fmt.Sprint(base, at+6)
}

func anyClass(s *apiSite) string {
	id := s.name()
	prepared[api.NetworkResult](s)(s.root.PutClass(s.t.Context(), id, nil, api.Class{ID: id, Match: []api.ClassMatch{{Mac: []string{"00:15:65"}}}, Nul: true}))
	return id
}

// pooled makes a case of an operation on a pool.
func pooled(f func(s *apiSite, c *api.Client, ctx context.Context, id, first, last string, edit ...api.RequestEditorFn) (*http.Response, error)) apiCase {
	return apiCase{http.StatusOK, access.NetworkWrite, func(s *apiSite, c *api.Client) attempt {
		id, base, at := s.newNetwork()
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return f(s, c, s.t.Context(), id, fmt.Sprint(base, at+2), fmt.Sprint(base, at+3), edit...)
		})
	}}
}

func networkCases() map[string]apiCase {
	const w = access.NetworkWrite
	options := always(api.OptionList{Options: []api.Option{{Option: "ntp-servers", Value: "198.51.100.1"}}})
	return map[string]apiCase{
		"listNetworks": plain(access.Read, (*api.Client).ListNetworks),
		"createNetwork": {http.StatusCreated, w, func(s *apiSite, c *api.Client) attempt {
			n := api.Network{ID: s.name(), Prefix: "203.0.113.0/24", Lease: api.LeaseTimes{Default: 600}, Options: []api.Option{{Option: "66", Value: "tftp.example"}}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.CreateNetwork(s.t.Context(), nil, n, edit...)
			})
		}},
		"getNetwork": keyed(http.StatusOK, access.Read, anyNetwork, (*api.Client).GetNetwork),
		"putNetwork": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			id, base, at := s.newNetwork()
			n := api.Network{ID: id, Prefix: fmt.Sprintf("%s%d/29", base, at), Provisioning: api.Provisioning{Guard: "strict"}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.PutNetwork(s.t.Context(), id, nil, n, edit...)
			})
		}},
		"patchNetwork":  edited(w, anyNetwork, (*api.Client).PatchNetwork, always(json.RawMessage(`{"probe":false,"lease":{"default":600}}`))),
		"deleteNetwork": about(w, anyNetwork, (*api.Client).DeleteNetwork),
		"addPool": {http.StatusCreated, w, func(s *apiSite, c *api.Client) attempt {
			id, base, at := s.newNetwork()
			p := api.Pool{First: fmt.Sprint(base, at+5), Last: fmt.Sprint(base, at+5), Options: []api.Option{{Option: "42", Value: "198.51.100.1"}}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.AddPool(s.t.Context(), id, nil, p, edit...)
			})
		}},
		"putPool": pooled(func(_ *apiSite, c *api.Client, ctx context.Context, id, first, last string, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.PutPool(ctx, id, first, nil, api.Pool{First: first, Last: last}, edit...)
		}),
		"deletePool": pooled(func(_ *apiSite, c *api.Client, ctx context.Context, id, first, _ string, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.DeletePool(ctx, id, first, nil, edit...)
		}),
		"getNetworkOptions": keyed(http.StatusOK, access.Read, anyNetwork, (*api.Client).GetNetworkOptions),
		"putNetworkOptions": edited(w, anyNetwork, (*api.Client).PutNetworkOptions, options),
		"getOptions":        plain(access.Read, (*api.Client).GetOptions),
		"putOptions": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.PutOptions(s.t.Context(), nil, options(s), edit...)
			})
		}},
		"listOptionTypes": plain(access.Read, (*api.Client).ListOptionTypes),
		"listPools":       plain(access.Read, (*api.Client).ListPools),
		"listReservations": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListReservations(ctx, &api.ListReservationsParams{Limit: 2, Filter: "status:unused"}, edit...)
		}),
		"createReservation": {http.StatusCreated, w, func(s *apiSite, c *api.Client) attempt {
			_, base, at := s.newNetwork()
			x := api.Reservation{IP: fmt.Sprint(base, at+5), Mac: s.mac(), Hostname: "desk"}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.CreateReservation(s.t.Context(), nil, x, edit...)
			})
		}},
		"patchReservation":  edited(w, anyReservation, (*api.Client).PatchReservation, always(json.RawMessage(`{"hostname":"desk"}`))),
		"deleteReservation": about(w, anyReservation, (*api.Client).DeleteReservation),
		"reserveLease":      about(w, func(s *apiSite) string { return s.leased(s.mac(), aastraClass).String() }, (*api.Client).ReserveLease),
		"listClasses":       plain(access.Read, (*api.Client).ListClasses),
		"putClass": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			k := api.Class{ID: s.name(), Match: []api.ClassMatch{{Options: []api.KeyPattern{{Key: "93"}}}}, Refuse: true}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.PutClass(s.t.Context(), k.ID, nil, k, edit...)
			})
		}},
		"deleteClass": about(w, anyClass, (*api.Client).DeleteClass),
	}
}

// What is read can be written back: it changes nothing.
func TestNetworksRoundTrip(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	id := anyNetwork(s)
	class := anyClass(s)
	for _, id := range []string{"sandbox", id} {
		n := prepared[api.Network](s)(s.root.GetNetwork(t.Context(), id))
		r := prepared[api.NetworkResult](s)(s.root.PutNetwork(t.Context(), id, &api.PutNetworkParams{DryRun: true}, n))
		if len(r.Changed)+len(r.Added)+len(r.Removed) > 0 {
			t.Errorf("network %s written back as it was read is another: %+v", id, r)
		}
	}
	for _, k := range prepared[api.ClassList](s)(s.root.ListClasses(t.Context())).Classes {
		if k.ID == class && (len(k.Match) != 1 || len(k.Match[0].Mac) != 1 || !k.Nul) {
			t.Errorf("class %+v is not as it was declared", k)
		}
	}
}
