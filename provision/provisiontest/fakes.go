package provisiontest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

var (
	_ provision.Plugin        = (*Plugin)(nil)
	_ provision.LeaseView     = (*Leases)(nil)
	_ provision.NeighbourView = Neighbours(nil)
	_ provision.PluginSource  = (*Plugins)(nil)
	_ provision.Handler       = (*Handler)(nil)
)

// Leases is a lease table for tests. The zero value is empty; it is safe for concurrent use.
type Leases struct {
	mu   sync.RWMutex // guards what follows
	held map[netip.Addr]lease.Lease
}

// Hold makes a client the active holder of an address, and takes the address from whoever had it.
func (l *Leases) Hold(addr netip.Addr, c lease.Client) lease.Lease {
	now := time.Now()
	x := lease.Lease{
		Addr: addr, Network: "voice", Client: c, State: lease.Bound, Origin: lease.Pool, Start: now, Expiry: now.Add(time.Hour), Rev: 1,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[netip.Addr]lease.Lease{}
	}
	l.held[addr] = x
	return x
}

// Set puts a lease in place, as it is.
func (l *Leases) Set(x lease.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[netip.Addr]lease.Lease{}
	}
	l.held[x.Addr] = x
}

// Drop ends the lease of an address.
func (l *Leases) Drop(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, addr)
}

// ByAddr implements [provision.LeaseView].
func (l *Leases) ByAddr(addr netip.Addr) (lease.Lease, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	x, ok := l.held[addr]
	return x, ok
}

// ByHW implements [provision.LeaseView].
func (l *Leases) ByHW(hw hwaddr.Addr) []lease.Lease {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []lease.Lease
	for _, addr := range slices.SortedFunc(maps.Keys(l.held), netip.Addr.Compare) {
		if x := l.held[addr]; x.Client.HW == hw {
			out = append(out, x)
		}
	}
	return out
}

// Neighbours is a neighbour table for tests.
type Neighbours map[netip.Addr]hwaddr.Addr

// Neighbour implements [provision.NeighbourView].
func (n Neighbours) Neighbour(addr netip.Addr) (hwaddr.Addr, bool) {
	hw, ok := n[addr]
	return hw, ok
}

// Plugins is a source whose set tests may swap. The zero value has no plugins; it is safe for concurrent use.
type Plugins struct {
	mu  sync.RWMutex // guards set
	set *provision.PluginSet
}

// PluginsOf returns a source of these plugins.
func PluginsOf(plugins ...provision.Plugin) *Plugins {
	p := &Plugins{}
	p.Set(plugins...)
	return p
}

// Set puts other plugins in force.
func (p *Plugins) Set(plugins ...provision.Plugin) {
	set := provision.NewPluginSet(plugins...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = set
}

// Plugins implements [provision.PluginSource].
func (p *Plugins) Plugins() *provision.PluginSet {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.set
}

// Plugin is a plugin made of functions. Those for extracting and scoring say nothing when unset; to route or answer
// without the function fails the test.
type Plugin struct {
	T         testing.TB
	Name      provision.PluginID
	OnExtract func(*provision.Request) []provision.Claim
	OnSupport func(provision.Identity) (provision.Support, string)
	OnRoute   func(*provision.Request, provision.Identity) (provision.Route, bool)
	OnAnswer  func(context.Context, provision.Route, *provision.View) (*provision.Answer, error)
	Models    map[string]map[string]any
	Installed []string // names of firmware files
	Boot      []provision.BootStep
}

// ID implements [provision.Plugin].
func (p *Plugin) ID() provision.PluginID { return p.Name }

// Extract implements [provision.Plugin].
func (p *Plugin) Extract(r *provision.Request) []provision.Claim {
	if p.OnExtract == nil {
		return nil
	}
	return p.OnExtract(r)
}

// Support implements [provision.Plugin].
func (p *Plugin) Support(id provision.Identity) (provision.Support, string) {
	if p.OnSupport == nil {
		return provision.SupportUnknown, "nothing is known"
	}
	return p.OnSupport(id)
}

// Route implements [provision.Plugin].
func (p *Plugin) Route(r *provision.Request, id provision.Identity) (provision.Route, bool) {
	if p.OnRoute == nil {
		p.T.Errorf("plugin %s was asked to route %s", p.Name, r.Path)
		return provision.Route{}, false
	}
	return p.OnRoute(r, id)
}

// Answer implements [provision.Plugin].
func (p *Plugin) Answer(ctx context.Context, r provision.Route, v *provision.View) (*provision.Answer, error) {
	if p.OnAnswer == nil {
		p.T.Errorf("plugin %s was asked to answer %s", p.Name, r.Rule)
		return nil, provision.ErrNotFound
	}
	return p.OnAnswer(ctx, r, v)
}

// Model implements [provision.Plugin].
func (p *Plugin) Model(name string) (map[string]any, bool) {
	m, ok := p.Models[name]
	return m, ok
}

// Firmware implements [provision.Plugin].
func (p *Plugin) Firmware() []string { return p.Installed }

// BootOrder implements [provision.Booter]: the same for all devices.
func (p *Plugin) BootOrder(provision.Device) []provision.BootStep { return p.Boot }

// Resync implements [provision.Plugin].
func (p *Plugin) Resync() provision.ResyncMethod { return provision.ResyncMethod{} }

// Handler is a pipeline for tests of front ends. To call one of its functions that is unset fails the test.
type Handler struct {
	T           testing.TB
	OnHandle    func(context.Context, *provision.Request) (*provision.Answer, *provision.Outcome)
	OnDelivered func(uint64, provision.Delivery)
}

// Handle implements [provision.Handler].
func (h *Handler) Handle(ctx context.Context, r *provision.Request) (*provision.Answer, *provision.Outcome) {
	if h.OnHandle == nil {
		h.T.Errorf("unexpected request for %q", r.Path)
		return nil, &provision.Outcome{Request: *r, Err: provision.ErrNotFound}
	}
	return h.OnHandle(ctx, r)
}

// Delivered implements [provision.Handler].
func (h *Handler) Delivered(id uint64, d provision.Delivery) {
	if h.OnDelivered == nil {
		h.T.Errorf("unexpected delivery of request %d: %+v", id, d)
		return
	}
	h.OnDelivered(id, d)
}

// TextAnswer returns an answer that holds a text.
func TextAnswer(text string) *provision.Answer {
	return &provision.Answer{
		Type: "text/plain; charset=utf-8", Size: int64(len(text)), Hash: sha256.Sum256([]byte(text)), Body: body{bytes.NewReader([]byte(text))},
	}
}

type body struct{ *bytes.Reader }

// Close does nothing.
func (body) Close() error { return nil }

var _ io.ReadSeekCloser = body{}
