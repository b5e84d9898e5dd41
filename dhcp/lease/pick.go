package lease

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// span names a pool by its bounds.
type span struct{ first, last netip.Addr }

// maxPools bounds the pools that are indexed. Networks are edited while we run, and bounds that are no longer in use are
// forgotten when too many have come together.
const maxPools = 256

// pool is the index of a range of addresses: which were never leased, and which of the others ended longest ago. A
// bitmap is enough for the former: to search that of a /16 is to read a thousand words.
type pool struct {
	span
	size    uint32
	used    []uint64 // by number in the pool: there is an entry
	barred  []uint64 // excluded by the administrator
	exclude []netip.Addr
	idle    idleHeap
}

// pick chooses an address as Offer says. The pools' indices are asked for only when nothing else has helped.
func (t *Table) pick(now time.Time, s Scope, hw hwaddr.Addr, want netip.Addr, index func(network.Pool) *pool) (netip.Addr, bool) {
	var wishes [5]netip.Addr
	if r := s.reserved(hw); r != nil {
		wishes[0] = r.Addr
	}
	var offered *entry
	if tn := t.lookup(s.Network.ID, hw); tn != nil {
		offered = tn.offered
	}
	for i, e := range [...]*entry{t.current(s.Network.ID, hw), offered, t.last(s.Network.ID, hw)} {
		if e != nil {
			wishes[i+1] = e.ip()
		}
	}
	wishes[4] = want
	for _, addr := range wishes {
		if addr.IsValid() && s.allows(hw, addr) == nil && t.free(now, hw, addr) {
			return addr, true
		}
	}
	pools := make([]*pool, len(s.Pools))
	for i, p := range s.Pools {
		pools[i] = index(p)
	}
	if addr, ok := pickNew(pools, s, hw); ok {
		return addr, true
	}
	return pickOldest(pools, s, hw)
}

// free reports whether nothing about an address itself keeps the client from getting it.
func (t *Table) free(now time.Time, hw hwaddr.Addr, addr netip.Addr) bool {
	e := t.at(addr)
	switch {
	case e == nil:
		return true
	case e.op != nil, e.suspect, e.hidden, e.state == Declined,
		e.active(now) && e.hw != hw,
		e.hold.live() && e.hold.tenant.hw != hw:
		return false
	}
	return true
}

// pickNew finds an address that was never leased, from the client's place in the pools onwards.
func pickNew(pools []*pool, s Scope, hw hwaddr.Addr) (netip.Addr, bool) {
	var total uint64
	for _, p := range pools {
		total += uint64(p.size)
	}
	if total == 0 {
		return netip.Addr{}, false
	}
	start, at := 0, hash(hw)%total
	for at >= uint64(pools[start].size) {
		at -= uint64(pools[start].size)
		start++
	}
	// Once around, and the first pool's beginning at the end.
	for i := range len(pools) + 1 {
		p := pools[(start+i)%len(pools)]
		from, to := uint32(0), p.size
		switch i {
		case 0:
			from = uint32(at) //nolint:gosec // less than a pool's size
		case len(pools):
			to = uint32(at) //nolint:gosec // less than a pool's size
		}
		for n, ok := p.next(from, to); ok; n, ok = p.next(n+1, to) {
			addr := p.addr(n)
			if s.Pools[(start+i)%len(pools)].Fresh(addr) && s.allows(hw, addr) == nil {
				return addr, true
			}
		}
	}
	return netip.Addr{}, false
}

// pickOldest finds the address whose lease ended longest ago.
func pickOldest(pools []*pool, s Scope, hw hwaddr.Addr) (netip.Addr, bool) {
	var best *entry
	for _, p := range pools {
		var passed []*entry
		for p.idle.Len() > 0 {
			e := p.idle.list[0]
			if best != nil && sooner(best, e) {
				break
			}
			if s.allows(hw, e.ip()) == nil {
				best = e
				break
			}
			passed = append(passed, e)
			heap.Pop(&p.idle)
		}
		for _, e := range passed {
			heap.Push(&p.idle, e)
		}
	}
	if best == nil {
		return netip.Addr{}, false
	}
	return best.ip(), true
}

// hash is FNV-1a: the same in all versions of this program and on all machines.
func hash(hw hwaddr.Addr) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range hw {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// pool returns the index of a pool, made if need be.
func (t *Table) pool(np network.Pool) *pool {
	p, there := t.index(np)
	if there {
		return p
	}
	if len(t.pools) >= maxPools {
		clear(t.pools)
	}
	t.pools[p.span] = p
	return p
}

// view is pool, but keeps nothing: who only asks may ask about pools that are not declared.
func (t *Table) view(np network.Pool) *pool {
	p, _ := t.index(np)
	return p
}

// index returns the index of a pool, and whether it was there.
func (t *Table) index(np network.Pool) (p *pool, there bool) {
	k := span{np.First, np.Last}
	if p := t.pools[k]; p != nil && slices.Equal(p.exclude, np.Exclude) {
		return p, true
	}
	p = &pool{span: k, size: number(k.last) - number(k.first) + 1, exclude: np.Exclude}
	words := (int(p.size) + 63) / 64
	p.used, p.barred = make([]uint64, words), make([]uint64, words)
	p.idle.place = make(map[*entry]int)
	for _, x := range np.Exclude {
		if n, ok := p.number(x); ok {
			p.barred[n/64] |= 1 << (n % 64)
		}
	}
	for _, e := range t.entries {
		p.update(e, true)
	}
	return p, false
}

// update takes note of an entry that changed; used: it's in the table.
func (p *pool) update(e *entry, used bool) {
	n, ok := p.number(e.ip())
	if !ok {
		return
	}
	if used {
		p.used[n/64] |= 1 << (n % 64)
	} else {
		p.used[n/64] &^= 1 << (n % 64)
	}
	at, listed := p.idle.place[e]
	switch idle := used && e.idle(); {
	case idle && listed:
		heap.Fix(&p.idle, at)
	case idle:
		heap.Push(&p.idle, e)
	case listed:
		heap.Remove(&p.idle, at)
	}
}

// next finds the first number in [from, to) that is neither used nor barred.
func (p *pool) next(from, to uint32) (uint32, bool) {
	for from < to {
		w := from / 64
		if taken := (p.used[w] | p.barred[w]) >> (from % 64); taken != ^uint64(0)>>(from%64) {
			n := from + uint32(bits.TrailingZeros64(^taken)) //nolint:gosec // at most 64
			return n, n < to
		}
		from = (w + 1) * 64
	}
	return 0, false
}

func (p *pool) addr(n uint32) netip.Addr { return address(number(p.first) + n) }

func (p *pool) number(addr netip.Addr) (uint32, bool) {
	if addr.Less(p.first) || p.last.Less(addr) {
		return 0, false
	}
	return number(addr) - number(p.first), true
}

// number returns an IPv4 address as a number, and address makes an address of it.
func number(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// sooner orders entries by the end of their leases.
func sooner(a, b *entry) bool {
	return cmp.Or(cmp.Compare(a.expiry, b.expiry), cmp.Compare(a.addr, b.addr)) < 0
}

// idleHeap has a pool's idle entries, the oldest first.
type idleHeap struct {
	list  []*entry
	place map[*entry]int
}

func (h *idleHeap) Len() int           { return len(h.list) }
func (h *idleHeap) Less(i, j int) bool { return sooner(h.list[i], h.list[j]) }

func (h *idleHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.place[h.list[i]], h.place[h.list[j]] = i, j
}

// Push implements [heap.Interface].
func (h *idleHeap) Push(x any) {
	e := x.(*entry)
	h.place[e] = len(h.list)
	h.list = append(h.list, e)
}

// Pop implements [heap.Interface].
func (h *idleHeap) Pop() any {
	e := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = nil
	h.list = h.list[:len(h.list)-1]
	delete(h.place, e)
	return e
}
