// Package leasetest has what tests of leases share: [TestStore], which every [lease.Store] must pass, and [Memory], a
// store that forgets with the process and fails on demand.
package leasetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"sync"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// Memory is a [lease.Store] with [lease.Cursors] in memory. The zero value is an empty store. It is safe for
// concurrent use, and outlives the tables that are opened over it: opening another one is a restart.
type Memory struct {
	// OnCommit, if set before the store is used, decides the fate of each commit. It may block; other commits go on.
	OnCommit func(changes []lease.Change) Fault
	// OnRead, if set before the store is used, may fail LoadLeases and Events as a whole.
	OnRead func() error

	mu      sync.Mutex // guards what follows
	leases  map[netip.Addr]lease.Lease
	events  []lease.Event
	seq     uint64
	cursors map[string]uint64
	saves   int
}

// Fault is how a commit fails. The zero value lets it succeed.
type Fault struct {
	Err     error
	Written bool // the changes are stored in spite of Err, as when the disk fails after the write
}

var (
	_ lease.Store   = (*Memory)(nil)
	_ lease.Cursors = (*Memory)(nil)
)

// LoadLeases yields the leases as they are when the iteration begins.
func (m *Memory) LoadLeases(context.Context) iter.Seq2[lease.Lease, error] {
	return func(yield func(lease.Lease, error) bool) {
		if m.OnRead != nil {
			if err := m.OnRead(); err != nil {
				yield(lease.Lease{}, err)
				return
			}
		}
		m.mu.Lock()
		all := slices.SortedFunc(maps.Values(m.leases), func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
		m.mu.Unlock()
		for _, l := range all {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// CommitLeases stores the changes as [lease.Store] says, unless OnCommit has other plans.
func (m *Memory) CommitLeases(_ context.Context, changes ...lease.Change) ([]lease.Event, error) {
	var fault Fault
	if m.OnCommit != nil {
		fault = m.OnCommit(changes)
	}
	if fault.Err != nil && !fault.Written {
		return nil, fault.Err
	}
	events, err := m.commit(changes)
	if err == nil && fault.Err != nil {
		return nil, fault.Err
	}
	return events, err
}

func (m *Memory) commit(changes []lease.Change) ([]lease.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	staged := make(map[netip.Addr]lease.Lease, len(changes))
	var events []lease.Event
	for _, c := range changes {
		prev, ok := staged[c.Next.Addr]
		if !ok {
			prev = m.leases[c.Next.Addr]
		}
		if prev.Rev != c.Prev.Rev {
			return nil, fmt.Errorf("store lease of %s: %w", c.Next.Addr, lease.ErrConflict)
		}
		next := c.Next
		next.Rev = prev.Rev + 1
		staged[next.Addr] = next
		if c.Kind != lease.KindNone {
			seq := m.seq + uint64(len(events)) + 1
			events = append(events, lease.Event{Seq: seq, At: c.At, Kind: c.Kind, Lease: next, Prev: prev})
		}
	}
	if m.leases == nil {
		m.leases = make(map[netip.Addr]lease.Lease)
	}
	maps.Copy(m.leases, staged)
	m.events = append(m.events, events...)
	m.seq += uint64(len(events))
	return slices.Clone(events), nil
}

// Events yields the events as they are when the iteration begins.
func (m *Memory) Events(_ context.Context, after uint64) iter.Seq2[lease.Event, error] {
	return func(yield func(lease.Event, error) bool) {
		if m.OnRead != nil {
			if err := m.OnRead(); err != nil {
				yield(lease.Event{}, err)
				return
			}
		}
		m.mu.Lock()
		i := sort.Search(len(m.events), func(i int) bool { return m.events[i].Seq > after })
		events := slices.Clone(m.events[i:])
		m.mu.Unlock()
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Trim drops the events up to a number, as a store does in time.
func (m *Memory) Trim(upTo uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = slices.DeleteFunc(m.events, func(e lease.Event) bool { return e.Seq <= upTo })
}

// LoadCursor returns the number that was saved under the name, or zero.
func (m *Memory) LoadCursor(_ context.Context, name string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursors[name], nil
}

// SaveCursor keeps the number under the name.
func (m *Memory) SaveCursor(_ context.Context, name string, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cursors == nil {
		m.cursors = make(map[string]uint64)
	}
	m.cursors[name] = seq
	m.saves++
	return nil
}

// Saves returns how often a cursor was saved.
func (m *Memory) Saves() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}
