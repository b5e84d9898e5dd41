package web

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

const (
	apiBase = "/api/v1"
	maxBody = 4 << 20 // of a request to the API, in bytes: a site of some ten thousand phones
)

// apiHandler answers the operations of openapi.yaml to whom the rules let in; who says who asks.
func (s *Server) apiHandler(who func(*http.Request) (access.Actor, error)) (http.Handler, error) {
	if err := s.readContract(); err != nil {
		return nil, err
	}
	refuse := func(w http.ResponseWriter, r *http.Request, err error) { s.problem(w, r, unreadable(err)) }
	strict := api.NewStrictHandlerWithOptions(operations{admin: s.Admin, keys: s.Keys, build: s.Build, server: s}, nil, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: refuse, ResponseErrorHandlerFunc: s.problem,
	})
	mux := http.NewServeMux()
	api.HandlerWithOptions(strict, api.StdHTTPServerOptions{
		BaseURL: apiBase, BaseRouter: mux, ErrorHandlerFunc: refuse, Middlewares: []api.MiddlewareFunc{s.checkBody(s.contract)},
	})
	return s.counted(http.MaxBytesHandler(s.guarded(mux, who), maxBody)), nil
}

// readContract reads what the API promises, once.
func (s *Server) readContract() (err error) {
	if s.contract == nil {
		s.contract, err = api.ReadContract()
	}
	return err
}

// serveDocument serves what the API promises, to whoever reaches it: it is no secret. Few ever ask.
func serveDocument(e *echo.Echo) {
	read := sync.OnceValues(api.DocumentJSON)
	e.GET(apiBase+"/openapi.json", func(c echo.Context) error {
		document, err := read()
		if err != nil {
			return err
		}
		return c.JSONBlob(http.StatusOK, document)
	})
}

// socketHandler is the API for the unix socket, whose file permissions have let in who may do everything.
func (s *Server) socketHandler() (http.Handler, error) {
	who := func(*http.Request) (access.Actor, error) { return access.Socket(), nil }
	h, err := s.apiHandler(who)
	if err != nil {
		return nil, err
	}
	e := s.newEcho()
	serveDocument(e)
	e.Any(apiBase+"/*", echo.WrapHandler(numbered(h)))
	s.operational(e, s.serveMetrics(who))
	return e, nil
}

// operations turns the API's shapes into use cases and back.
type operations struct {
	admin  *admin.Service
	keys   *admin.Keys
	build  api.Version
	server *Server
}

var _ api.StrictServerInterface = operations{}

// GetVersion says what is running.
func (o operations) GetVersion(context.Context, api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	return api.GetVersion200JSONResponse(o.build), nil
}

// AdoptSighting makes a sighting a phone.
func (o operations) AdoptSighting(ctx context.Context, r api.AdoptSightingRequestObject) (api.AdoptSightingResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	p, err := o.admin.Adopt(ctx, r.Sighting)
	if err != nil {
		return nil, err
	}
	return api.AdoptSighting201JSONResponse(toPhone(p)), nil
}

// ListFirmware lists the files of firmware that phones can fetch.
func (o operations) ListFirmware(context.Context, api.ListFirmwareRequestObject) (api.ListFirmwareResponseObject, error) {
	list := api.ListFirmware200JSONResponse{Firmware: []api.FirmwareFile{}}
	for _, p := range o.admin.ListPlugins() {
		for _, f := range p.Firmware {
			list.Firmware = append(list.Firmware, api.FirmwareFile{Plugin: string(p.ID), Vendor: p.Vendor, Name: f.Name, Size: f.Size, Sha256: f.SHA256})
		}
	}
	return list, nil
}

// GetSettings returns the settings in force.
func (o operations) GetSettings(context.Context, api.GetSettingsRequestObject) (api.GetSettingsResponseObject, error) {
	return api.GetSettings200JSONResponse{Settings: o.server.Settings}, nil
}

// ListPlugins lists the plugins.
func (o operations) ListPlugins(context.Context, api.ListPluginsRequestObject) (api.ListPluginsResponseObject, error) {
	return api.ListPlugins200JSONResponse{Plugins: toPlugins(o.admin.ListPlugins())}, nil
}

// RescanPlugins reads the plugin folder again.
func (o operations) RescanPlugins(ctx context.Context, _ api.RescanPluginsRequestObject) (api.RescanPluginsResponseObject, error) {
	list, err := o.admin.RescanPlugins(ctx)
	if err != nil {
		return nil, err
	}
	o.server.did(ctx, "plugins")
	return api.RescanPlugins200JSONResponse{Plugins: toPlugins(list)}, nil
}

// ListProblems lists what an administrator should look into.
func (o operations) ListProblems(context.Context, api.ListProblemsRequestObject) (api.ListProblemsResponseObject, error) {
	list := api.ListProblems200JSONResponse{Problems: []api.Trouble{}}
	for _, p := range o.admin.ListProblems() {
		list.Problems = append(list.Problems, api.Trouble{
			Part: api.TroublePart(p.Part), Kind: p.Kind, Network: p.Network, Subject: provision.Printable(p.Subject), Text: provision.Printable(p.Text), Since: p.Since,
		})
	}
	return list, nil
}

// Explain tells what a request would come to.
func (o operations) Explain(ctx context.Context, r api.ExplainRequestObject) (api.ExplainResponseObject, error) {
	from, err := netip.ParseAddr(r.Body.From)
	if err != nil {
		return nil, fieldFault("from", "want an address, not %q", r.Body.From)
	}
	outcome, err := o.admin.Explain(ctx, admin.Question{
		Proto: provision.Proto(r.Body.Proto), Path: r.Body.Path, From: from, Headers: r.Body.Headers, Head: r.Body.Head,
	})
	if err != nil {
		return nil, err
	}
	x, err := explained(outcome)
	if err != nil {
		return nil, err
	}
	return api.Explain200JSONResponse(x), nil
}

func toLease(l lease.Lease) api.Lease {
	now := time.Now()
	return api.Lease{
		IP: l.Addr.String(), Mac: l.Client.HW.String(), MacVendor: l.Client.HW.Vendor(), Network: string(l.Network), Active: l.Active(now),
		State: api.LeaseState(l.State.String()), Origin: api.LeaseOrigin(l.Origin.String()),
		Hostname: provision.Printable(l.Client.Hostname), VendorClass: provision.Printable(l.Client.VendorClass),
		Start: l.Start, Expiry: l.Expiry,
	}
}

func toSighting(x provision.Sighting) api.Sighting {
	id := x.Identity
	return api.Sighting{
		Key: x.Key, Mac: id.HW.String(), MacVendor: id.HW.Vendor(), Sn: id.Serial, UUID: id.UUID, Vendor: id.Vendor, Model: id.Model, Version: id.Version,
		IP: x.Last.Peer.String(), Proto: string(x.Last.Proto), Path: provision.Printable(x.Last.Raw),
		Count: int64(min(x.Count, math.MaxInt64)), First: x.First, Last: x.Last.At, Why: x.Why,
	}
}

func toPlugins(list []admin.PluginStatus) []api.Plugin {
	plugins := make([]api.Plugin, len(list))
	for i, p := range list {
		plugins[i] = api.Plugin{
			ID: string(p.ID), Version: p.Version, Vendor: p.Vendor, Models: slices.Clone(p.Models), Firmware: names(p.Firmware),
			InForce: p.InForce, Problem: p.Problem, Notes: slices.Clone(p.Notes),
		}
	}
	return plugins
}

func names(files []admin.FirmwareFile) (names []string) {
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// toOutcome brings an outcome into the form that the document leaves open: what the Outcome itself marshals to.
func toOutcome(outcome *provision.Outcome) (api.Outcome, error) {
	data, err := json.Marshal(outcome)
	if err != nil {
		return nil, fmt.Errorf("write outcome: %w", err)
	}
	var x api.Outcome
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, fmt.Errorf("write outcome: %w", err)
	}
	return x, nil
}
