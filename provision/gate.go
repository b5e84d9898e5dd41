package provision

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// GateStore keeps what a [Gate] must still know after a restart.
type GateStore interface {
	Windows(context.Context) ([]Window, error)
	PutWindow(context.Context, Window) error
	DeleteWindow(ctx context.Context, id string) error
	Asides(context.Context) ([]Aside, error)
	PutAside(context.Context, Aside) error
	DeleteAside(ctx context.Context, key string) error
	Devices(context.Context) ([]Device, error)
}

// Gate remembers between requests what the guard decides by beyond a request itself: enrolment windows and devices set
// aside, which are stored; and, in memory and bounded, sources that ask for too much, devices that have just booted
// or wait for approval, and alarms. What of that must outlive a restart, [Gate.Keep] writes and [Gate.Recall] reads. [OpenGate] makes one; nil remembers nothing. It is safe for concurrent use.
type Gate struct {
	store GateStore // nil: nothing outlives the process
	// Total bounds how many devices that nobody has confirmed may have added themselves in all networks together; 0: no
	// bound. It is set before the first use.
	Total int

	mu      sync.Mutex // guards what follows
	windows []Window
	asides  map[string]Aside
	strikes *recent[netip.Addr, []strike]  // of sources that claim to be devices without proof
	locks   *recent[netip.Addr, time.Time] // since when sources are locked: they have no room in common, so none pushes out a lock
	waiting *recent[DeviceID, Waiting]
	alarms  *recent[alarmKey, Alarm]
	boots   *recent[hwaddr.Addr, boot]
	fetches *recent[DeviceID, budget]
	// pretenders said of themselves that they are others.
	pretenders *recent[DeviceID, pretences]
	adding     map[string]*adding // by network
	news       chan struct{}      // holds one word that there is something to keep
	counted    time.Time          // when adding was last counted by what the store has
}

// How much is remembered at most.
const (
	maxSources = 8192
	maxWaiting = 1000
	maxAlarms  = 500
	maxBoots   = 100_000
	maxFetches = 100_000
	maxAsides  = 10_000
	maxWindows = 100
)

// OpenGate returns a gate that has what the store has. Without a store nothing is kept.
func OpenGate(ctx context.Context, store GateStore) (*Gate, error) {
	g := &Gate{
		store: store, asides: make(map[string]Aside), news: make(chan struct{}, 1),
		strikes: newRecent[netip.Addr, []strike](maxSources), locks: newRecent[netip.Addr, time.Time](maxSources), waiting: newRecent[DeviceID, Waiting](maxWaiting),
		alarms: newRecent[alarmKey, Alarm](maxAlarms), boots: newRecent[hwaddr.Addr, boot](maxBoots),
		fetches: newRecent[DeviceID, budget](maxFetches), adding: make(map[string]*adding),
		pretenders: newRecent[DeviceID, pretences](maxPretenders),
	}
	if store == nil {
		return g, nil
	}
	var err error
	if g.windows, err = store.Windows(ctx); err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	asides, err := store.Asides(ctx)
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	for _, a := range asides {
		g.asides[a.Key] = a
	}
	return g, nil
}

// Aside is a device that an administrator doesn't want to hear of again: none is made of its requests, it isn't listed,
// and one that exists is treated as retired.
type Aside struct {
	Key  string // what it is known by, as in [Sighting.Key]: "mac 00:15:65:aa:bb:cc", "serial …", "uuid …"
	Why  string
	By   string // who said so
	When time.Time
}

// SetAside puts a device aside.
func (g *Gate) SetAside(ctx context.Context, a Aside) error {
	if a.Key == "" {
		return fmt.Errorf("set aside: no key of a device: %w", ErrInvalid)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.asides[a.Key]; !ok && len(g.asides) >= maxAsides {
		return fmt.Errorf("set %s aside: there are %d already; take some back: %w", a.Key, maxAsides, ErrConflict)
	}
	if g.store != nil {
		if err := g.store.PutAside(ctx, a); err != nil {
			return fmt.Errorf("set %s aside: %w", a.Key, err)
		}
	}
	g.asides[a.Key] = a
	return nil
}

// TakeBack ends that a device is set aside. ErrNotFound if it isn't.
func (g *Gate) TakeBack(ctx context.Context, key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.asides[key]; !ok {
		return fmt.Errorf("take %s back: %w", key, ErrNotFound)
	}
	if g.store != nil {
		if err := g.store.DeleteAside(ctx, key); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("take %s back: %w", key, err)
		}
	}
	delete(g.asides, key)
	return nil
}

// Asides returns the devices that are set aside, by key.
func (g *Gate) Asides() []Aside {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Aside, 0, len(g.asides))
	for _, a := range g.asides {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Aside) int { return CompareVersions(a.Key, b.Key) })
	return out
}

// aside reports whether a device is set aside by any of its keys.
func (g *Gate) aside(id *Identity) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asides) == 0 {
		return false
	}
	for _, key := range id.keys() {
		if _, ok := g.asides[key]; ok {
			return true
		}
	}
	return false
}

// keys returns what the device may be set aside by.
func (id *Identity) keys() []string {
	var keys []string
	for _, k := range [...]Identity{{HW: id.HW}, {Serial: id.Serial}, {UUID: id.UUID}} {
		if key := k.who(); key != nobody {
			keys = append(keys, key)
		}
	}
	return keys
}

// boot is what a device's leases have shown of it.
type boot struct {
	at      time.Time
	network string
	port    string
	portAt  time.Time // when it was last seen there
}

// leased takes in that a device got or extended a lease. It says which other port of the same network the device was at
// less than a minute before (rule C5); empty: none.
func (g *Gate) leased(ev lease.Event) string {
	if g == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	hw, port := ev.Lease.Client.HW, PortOf(ev.Lease.Client)
	b, _ := g.boots.get(hw)
	other := ""
	// Another network is no contradiction: a phone that is told its voice VLAN by DHCP hops from one to the other.
	if port != "" && b.port != "" && b.port != port && b.network == string(ev.Lease.Network) && ev.At.Sub(b.portAt) < hopSpan {
		other = b.port
	}
	if ev.Kind == lease.KindBound {
		b.at = ev.At
	}
	if port != "" {
		b.port, b.portAt, b.network = port, ev.At, string(ev.Lease.Network)
	}
	if port != "" {
		g.changed()
	}
	g.boots.put(hw, b)
	return other
}

// hopSpan is how fast a device can't have been carried to another port.
const hopSpan = time.Minute

func (g *Gate) booted(hw hwaddr.Addr, at time.Time) bool {
	if g == nil || hw.IsZero() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.boots.get(hw)
	return ok && lately(b.at, at)
}

// budget is how often a device has fetched its secrets since it booted, or within a day.
type budget struct {
	n    int
	from time.Time
}

const (
	maxSpent   = 3
	budgetSpan = 24 * time.Hour
)

// budgetLeft reports whether a device may fetch its secrets once more.
func (g *Gate) budgetLeft(id DeviceID, at time.Time) bool {
	if g == nil || id == "" {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.fetches.get(id)
	return !ok || b.n < maxSpent || at.Sub(b.from) >= budgetSpan
}

// spend counts that a device has fetched its secrets.
func (g *Gate) spend(id DeviceID, at time.Time) {
	if g == nil || id == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.fetches.get(id)
	if !ok || at.Sub(b.from) >= budgetSpan {
		b = budget{from: at}
	}
	b.n++
	g.fetches.put(id, b)
	g.changed()
}

// refill gives a device its budget back, as it has booted.
func (g *Gate) refill(id DeviceID) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.fetches.get(id); ok {
		g.fetches.drop(id)
		g.changed()
	}
}
