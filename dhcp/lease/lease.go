// Package lease has the authoritative answer to "who holds this address": the [Table], its durable [Store] and the
// events that both publish.
//
// It knows no packets and no sockets (package dhcp has them) and declares no networks (package network does): for each
// operation it is told the [Scope] that the server chose.
package lease

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Client is what a DHCP client said of itself. It is kept with the lease, because it is evidence of who asks later.
// Strings hold the raw bytes of the options; who prints one escapes it.
type Client struct {
	HW          hwaddr.Addr // chaddr
	ID          string      // option 61
	VendorClass string      // option 60
	UserClass   string      // option 77, RFC 3004 lengths removed
	Hostname    string      // option 12
	Params      []uint8     // option 55, in the client's order; never changed once set
	Circuit     string      // option 82 sub-option 1
	Remote      string      // option 82 sub-option 2
	// Relay is giaddr of the message by which the server last heard of the client's link; zero: it is on ours.
	Relay netip.Addr
}

// State is where a lease stands in its life.
type State uint8

// The states. The zero value is no lease.
const (
	Offered  State = iota + 1 // in memory only
	Bound                     // acknowledged
	Released                  // given back by its holder; remembered, so that the holder gets the address again
	Declined                  // in use by a stranger: nobody's until it expires
	Expired                   // run out; remembered like Released
)

// Origin says how we know of a lease.
type Origin uint8

// The origins.
const (
	Pool     Origin = iota + 1 // leased by us from a pool
	Reserved                   // leased by us by reservation
	External                   // another server's, overheard or told
)

// Lease is one address and who holds it. Rev counts its commits; zero means that it was never stored.
type Lease struct {
	Addr    netip.Addr
	Network network.ID
	Client  Client
	State   State
	Origin  Origin
	Start   time.Time // of this holder's present tenure
	Expiry  time.Time // of the lease, or of the quarantine of a declined address
	// Boot numbers the last start of its client, and LastBoot the one before: zero where none is known. A number is that
	// of the second since 1970 in which we first heard of the start, or more; a client's numbers rise.
	Boot, LastBoot uint32
	Rev            uint64
}

// Booted returns when the lease's client last started; zero if that isn't known.
func (l Lease) Booted() time.Time {
	if l.Boot == 0 {
		return time.Time{}
	}
	return time.Unix(int64(l.Boot), 0)
}

// Active reports whether the lease's client holds the address at that time. It is the only place that compares a
// lease with the clock.
func (l Lease) Active(now time.Time) bool { return l.State == Bound && !l.over(now) }

// over reports whether the lease's time, or that of its quarantine, has passed.
func (l Lease) over(now time.Time) bool { return !now.Before(l.Expiry) }

// Kind is what happened to a lease.
type Kind uint8

// The kinds of events.
const (
	KindNone     Kind = iota // a change that nobody needs to hear of
	KindBound                // a client got the address
	KindRenewed              // the same client keeps it
	KindMoved                // the same client was seen at another circuit or with other evidence of who it is
	KindReleased             // given back, or taken away for a newer lease of the same client in the network
	KindDeclined             // in use by a stranger
	KindExpired              // run out
)

// Event is one change of a lease. Seq numbers rise without gaps; the number is given in the change's own transaction,
// so whoever has seen Seq knows that the change is durable.
type Event struct {
	Seq  uint64
	At   time.Time
	Kind Kind
	// Lease is the lease after the change; Prev before it, zero if the address had never been leased.
	Lease, Prev Lease
}

// Change asks a [Store] to put Next in Prev's place. A zero Prev means that the address has no record yet. The store
// sets Next's Rev to Prev's plus one. Kind is the event's; KindNone stores without an event.
type Change struct {
	At         time.Time
	Kind       Kind
	Prev, Next Lease
}

// Errors of a [Store] that say for certain that nothing was written. ErrConflict: a record is no longer what Prev said.
// ErrReadOnly: the store takes no writes at present, as when the disk is full; it may take the same one later.
var (
	ErrConflict = errors.New("lease record has changed meanwhile")
	ErrReadOnly = errors.New("store takes no writes at present")
)

// Store keeps leases and the outbox of their events. Implementations are safe for concurrent use and pass
// leasetest.TestStore.
type Store interface {
	// LoadLeases yields every stored lease, in order of address. A record that can't be read yields an error and the
	// iteration goes on; the lease beside it then has its Addr, if that much could be read.
	LoadLeases(ctx context.Context) iter.Seq2[Lease, error]
	// CommitLeases writes all changes or none, durably, before it returns the events of those that have a Kind, in
	// order. ErrConflict and ErrReadOnly mean that nothing was written; after any other error the disk may hold either,
	// and until it is known which, LoadLeases and Events yield nothing but an error. A commit that has begun to wait is
	// not cancelled by its context. When CommitLeases has returned, nothing of the commit is still on its way to the
	// disk.
	// The revision alone decides whether the record is what Prev says, and a change sees the earlier ones of its commit.
	CommitLeases(ctx context.Context, changes ...Change) ([]Event, error)
	// Events yields the stored events after a number. Old ones are dropped in time: a first event whose number is not
	// after+1 tells the reader that it missed some.
	Events(ctx context.Context, after uint64) iter.Seq2[Event, error]
}

// Cursors remember how far each named reader of the outbox has come. Unknown names stand at zero.
type Cursors interface {
	LoadCursor(ctx context.Context, name string) (uint64, error)
	SaveCursor(ctx context.Context, name string, seq uint64) error
}

// Scope is where an operation may look for an address: the network that the server chose for the client, the pools of
// it that are the client's, and for how long to lease.
type Scope struct {
	Network  *network.Network
	Networks *network.Set // for reservations; may be nil
	// Reservation is the client's own in the network. Nil: that of its hardware address, if there is one in Networks.
	Reservation *network.Reservation
	Pools       []network.Pool
	Lifetime    time.Duration
	// Boot: the client has just started, for it asks in SELECTING or INIT-REBOOT and not to renew.
	Boot bool
}

// Errors of the table. ErrTaken: somebody else holds, was offered or reserved the address. ErrWrongNet: the address is
// none that the scope may lease to the client. ErrNone: no address is free, or there is no such lease. ErrDegraded: the
// lease could not be extended, but the client holds it still; see [Table.Bind].
var (
	ErrTaken    = errors.New("address is taken")
	ErrWrongNet = errors.New("address is not for this client in this network")
	ErrNone     = errors.New("no address")
	ErrDegraded = errors.New("lease goes on but can't be extended")
)
