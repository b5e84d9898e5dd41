package dhcp

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// censusEvery is how often all leases are counted. In between, what must not be exceeded is counted as it happens.
const censusEvery = 10 * time.Second

// count is what is known of a pool.
type count struct {
	size        int // addresses that may be leased
	held        int // leased, offered or in quarantine
	strangers   int // leased or offered to clients without a reservation that the Directory doesn't recognise
	quarantined int
}

// census counts the pools' addresses. Its zero value has counted none.
type census struct {
	mu    sync.Mutex // guards what follows
	last  map[poolKey]count
	since map[poolKey]count // what was added since that was begun
}

// poolKey names a pool.
type poolKey struct {
	network     network.ID
	first, last netip.Addr
}

func keyOf(id network.ID, p network.Pool) poolKey { return poolKey{id, p.First, p.Last} }

// String returns the pool's ends.
func (k poolKey) String() string { return k.first.String() + "-" + k.last.String() }

// sizeOf is how many addresses of a pool may be leased to whoever comes.
func sizeOf(p network.Pool, nets *network.Set) int {
	first, last := int(index(p.First)), int(index(p.Last))
	n := last - first + 1
	if !p.Edges {
		n -= upTo(last, 0) - upTo(first-1, 0) + upTo(last, 255) - upTo(first-1, 255)
	}
	for i, a := range p.Exclude {
		within := !a.Less(p.First) && !p.Last.Less(a) && !slices.Contains(p.Exclude[:i], a)
		if b := a.As4()[3]; within && (p.Edges || b != 0 && b != 255) {
			n--
		}
	}
	for _, net := range nets.All() {
		for i := range net.Reservations {
			if p.Fresh(net.Reservations[i].Addr) {
				n--
			}
		}
	}
	return n
}

func index(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// upTo counts the numbers from 0 to n that end in the byte b.
func upTo(n, b int) int { return (n - b + 256) >> 8 }

// of returns what is known of a pool.
func (c *census) of(k poolKey) count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[k].plus(c.since[k])
}

// PoolUse is how much of a pool is in use.
type PoolUse struct {
	Network     network.ID
	Pool        string // its ends, such as 192.0.2.100-192.0.2.199
	Size        int    // addresses that may be leased to whoever comes
	Held        int    // of them, those that are leased, offered or in quarantine
	Quarantined int    // of them, those in quarantine
}

// Pools returns how full the pools are, by network and pool; it is counted every ten seconds.
func (s *Server) Pools() []PoolUse {
	c := &s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]PoolUse, 0, len(c.last))
	for k, last := range c.last {
		n := last.plus(c.since[k])
		list = append(list, PoolUse{k.network, k.String(), n.size, n.held, n.quarantined})
	}
	slices.SortFunc(list, func(a, b PoolUse) int { return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Pool, b.Pool)) })
	return list
}

// add counts what is about to happen in a pool.
func (c *census) add(k poolKey, n count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since == nil {
		c.since = make(map[poolKey]count)
	}
	c.since[k] = c.since[k].plus(n)
}

// begin says that a new count begins.
func (c *census) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range c.since {
		if c.last == nil {
			c.last = make(map[poolKey]count)
		}
		c.last[k] = c.last[k].plus(n)
	}
	c.since = nil
}

// end says what was counted. What came meanwhile was counted or not; so it is rather counted twice, until the next time.
func (c *census) end(counts map[poolKey]count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = counts
}

func (c count) plus(o count) count {
	c.held += o.held
	c.strangers += o.strangers
	c.quarantined += o.quarantined
	return c
}

// mayQuarantine reports whether one more address may be put into quarantine.
func (c count) mayQuarantine() bool { return c.quarantined < max(minQuarantine, c.size/10) }

// survey counts all leases, now and again, and says which pools are full, until ctx ends.
func (s *Server) survey(ctx context.Context) {
	for {
		s.takeCensus(ctx)
		if !pause(ctx, censusEvery) {
			return
		}
	}
}

// takeCensus counts all leases.
func (s *Server) takeCensus(ctx context.Context) {
	nets := s.Networks.Networks()
	pools := make(map[network.ID][]network.Pool)
	counts := make(map[poolKey]count)
	for _, n := range nets.All() {
		pools[n.ID] = nets.Pools(n.ID)
		for _, p := range pools[n.ID] {
			k := keyOf(n.ID, p)
			counts[k] = count{size: sizeOf(p, nets)}
		}
	}
	s.census.begin()
	kinds := make(map[string]bool)
	s.Table.Each(func(l lease.Lease) bool {
		for _, p := range pools[l.Network] {
			if p.Fresh(l.Addr) && nets.Reserved(l.Addr) == nil {
				k := keyOf(l.Network, p)
				counts[k] = counts[k].plus(s.classify(l, kinds))
				break
			}
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return
	}
	s.census.end(counts)
	s.judge(ctx, nets, counts)
}

// classify says as what a lease counts.
func (s *Server) classify(l lease.Lease, kinds map[string]bool) count {
	switch l.State {
	case lease.Bound, lease.Offered:
		if s.Limits.Share > 0 && s.strange(l.Client, kinds) { // else nobody asks, and it costs a look-up each
			return count{held: 1, strangers: 1}
		}
		return count{held: 1}
	case lease.Declined:
		return count{held: 1, quarantined: 1}
	case lease.Released, lease.Expired:
	}
	return count{}
}

// maxKinds bounds the vendor classes whose recognition is remembered during a count: clients make them up.
const maxKinds = 256

// strange reports whether the Directory doesn't recognise a client. Kinds remembers what it said of vendor classes.
func (s *Server) strange(c lease.Client, kinds map[string]bool) bool {
	if s.Directory == nil {
		return true
	}
	known, ok := kinds[c.VendorClass]
	if !ok {
		known = s.Directory.Vendor(c) != ""
		if len(kinds) < maxKinds {
			kinds[c.VendorClass] = known
		}
	}
	return !known && !s.Directory.Known(c.HW)
}

// judge posts the problems of the pools, and takes off those that are over.
func (s *Server) judge(ctx context.Context, nets *network.Set, counts map[poolKey]count) {
	there := make(map[string]bool)
	for k, c := range counts {
		name := string(k.network) + " " + k.String()
		there[name] = true
		s.judgePool(ctx, k, c, name)
	}
	s.judgeNames(ctx, nets)
	far := false
	for _, n := range nets.All() {
		far = far || n.Probe && len(n.Relays) > 0
	}
	if far && s.pings.Load() == nil {
		s.raise(ctx, "", Problem{
			Kind: ProblemNoPing,
			Text: "addresses behind relay agents are not probed before they are offered; pinging needs the capability CAP_NET_RAW",
		})
	} else {
		s.solved(ctx, ProblemNoPing, "")
	}
	s.board.sweep(func(kind ProblemKind, subject string) bool {
		switch kind {
		case ProblemExhausted, ProblemNearlyFull, ProblemQuarantine:
			return there[subject]
		case ProblemAddress:
			return nets.Get(network.ID(subject)) != nil
		default:
			return true
		}
	})
}

func (s *Server) judgePool(ctx context.Context, k poolKey, c count, name string) {
	full, nearly := c.held >= c.size && c.size > 0, c.held*10 > c.size*9
	if full {
		s.raise(ctx, name, Problem{
			Kind: ProblemExhausted, Network: k.network,
			Text: fmt.Sprintf("all %d addresses of pool %s are in use; make it larger, or its leases shorter", c.size, k),
		})
	} else {
		s.solved(ctx, ProblemExhausted, name)
	}
	if nearly && !full {
		s.raise(ctx, name, Problem{
			Kind: ProblemNearlyFull, Network: k.network,
			Text: fmt.Sprintf("more than nine in ten of the %d addresses of pool %s are in use; make it larger", c.size, k),
		})
	} else {
		s.solved(ctx, ProblemNearlyFull, name)
	}
	if c.mayQuarantine() {
		s.solved(ctx, ProblemQuarantine, name)
	}
}
