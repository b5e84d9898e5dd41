package lease

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// record is a [Lease] without its address, as the table keeps it. A large site has tens of thousands, which say much the
// same: a record takes a third of a Lease and has few pointers for the garbage collector to follow. The zero value is
// that of the zero Lease.
type record struct {
	traits *traits // nil: there is no lease
	// texts has what is each client's own, one after the other, each with its length (uvarint) before it; then, if they
	// are known, the numbers of its starts, four bytes each.
	texts         string
	start, expiry int64 // see instant
	rev           uint64
	hw            hwaddr.Addr
	state         State
	origin        Origin
}

// traits is what many leases have in common; one stands for all of them.
type traits struct {
	network     network.ID
	vendorClass string
	userClass   string
	params      []uint8
	relay       netip.Addr

	key  string
	uses int
}

// packer makes records. It knows the traits of all that it made and that weren't dropped.
type packer struct {
	known map[string]*traits
	buf   []byte
}

// pack returns the record of a lease, to be dropped when it is no longer kept.
func (p *packer) pack(l Lease) record {
	if l.State == 0 {
		return record{}
	}
	c := l.Client
	tr := p.traits(l)
	tr.uses++
	b := p.buf[:0]
	for _, s := range [...]string{c.ID, c.Hostname, c.Circuit, c.Remote} {
		b = appendText(b, s)
	}
	if l.Boot != 0 {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, l.Boot), l.LastBoot)
	}
	p.buf = b
	return record{
		traits: tr, texts: string(b), start: pressed(l.Start), expiry: pressed(l.Expiry), rev: l.Rev,
		hw: c.HW, state: l.State, origin: l.Origin,
	}
}

// drop says that a record is no longer kept.
func (p *packer) drop(r record) {
	if r.traits == nil {
		return
	}
	if r.traits.uses--; r.traits.uses == 0 {
		delete(p.known, r.traits.key)
	}
}

func (p *packer) traits(l Lease) *traits {
	c := l.Client
	b := appendText(p.buf[:0], string(l.Network))
	b = appendText(b, c.VendorClass)
	b = appendText(b, c.UserClass)
	b = binary.AppendUvarint(b, uint64(len(c.Params)))
	b = append(b, c.Params...)
	b = append(b, c.Relay.AsSlice()...)
	p.buf = b
	tr := p.known[string(b)]
	if tr == nil {
		key := string(b)
		rest := key
		tr = &traits{key: key, params: slices.Clone(c.Params), relay: c.Relay}
		tr.network = network.ID(cutText(&rest))
		tr.vendorClass, tr.userClass = cutText(&rest), cutText(&rest)
		p.known[key] = tr
	}
	return tr
}

// lease returns the record's lease; addr is its address. It doesn't allocate.
func (r *record) lease(addr netip.Addr) Lease {
	if r.traits == nil {
		return Lease{}
	}
	tr, rest := r.traits, r.texts
	c := Client{HW: r.hw, VendorClass: tr.vendorClass, UserClass: tr.userClass, Params: tr.params, Relay: tr.relay}
	c.ID, c.Hostname, c.Circuit, c.Remote = cutText(&rest), cutText(&rest), cutText(&rest), cutText(&rest)
	var boot, before uint32
	if len(rest) == 8 {
		boot, before = number32(rest[:4]), number32(rest[4:])
	}
	return Lease{
		Addr: addr, Network: tr.network, Client: c, State: r.state, Origin: r.origin,
		Start: instant(r.start), Expiry: instant(r.expiry), Boot: boot, LastBoot: before, Rev: r.rev,
	}
}

func number32(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// cutText takes the first text off those that appendText wrote. Texts that are cut off at the end are empty.
func cutText(rest *string) string {
	var size, shift uint64
	for i := range len(*rest) {
		b := uint64((*rest)[i])
		size |= b & 0x7f << shift
		if b < 0x80 {
			from, to := i+1, i+1+int(size) //nolint:gosec // a length that was one before
			s := (*rest)[from:to]
			*rest = (*rest)[to:]
			return s
		}
		shift += 7
	}
	return ""
}

// The nanoseconds that stand for times that are out of their range, which is that of the years 1678 to 2261. A lease that
// never ends may end then.
const (
	noTime    = math.MinInt64 // the zero time
	firstTime = math.MinInt64 + 1
	lastTime  = math.MaxInt64
)

// pressed returns a time as nanoseconds since 1970, and instant makes a time of these.
func pressed(t time.Time) int64 {
	switch sec := t.Unix(); {
	case t.IsZero():
		return noTime
	case sec >= lastTime/int64(time.Second):
		return lastTime
	case sec <= firstTime/int64(time.Second):
		return firstTime
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == noTime {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
