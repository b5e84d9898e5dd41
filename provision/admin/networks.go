package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Networks is what the use cases need of what is declared about DHCP.
type Networks interface {
	network.Source
	// LoadDeclared returns what is declared, as it was declared, and its revision. What it returns is the caller's.
	LoadDeclared(context.Context) (network.Declared, uint64, error)
	// Declare stores all that is declared in the place of that with a revision, takes it into force at once and returns its
	// revision. ErrConflict if another has been stored meanwhile. The slices stay the caller's.
	Declare(ctx context.Context, d network.Declared, rev uint64) (uint64, error)
	// Unserved returns the interfaces that networks of a set are on but DHCP can't be served on now.
	Unserved(*network.Set) []Unserved
}

// Unserved is an interface on which DHCP isn't served, although networks are on it.
type Unserved struct {
	Interface string
	Why       string
}

// DeclaredNetworks is all that is declared about DHCP. It is valid as a whole, so it has one revision.
type DeclaredNetworks struct {
	network.Declared
	Rev uint64
	// Warnings are what is allowed and yet probably not meant. Their pointers are into all that is declared.
	Warnings []Fault
}

// NetworkResult is what came of a change of what is declared, or would come of it.
type NetworkResult struct {
	DeclaredNetworks // afterwards; the revision of a dry run is that of what is stored
	// Added, Changed and Removed are the networks with a difference of their own.
	Added, Changed, Removed []network.ID
	// Clashes are reservations that can't be kept yet: another client holds the address.
	Clashes []Clash
	// Outside are active leases that were of a pool or reservation and are of none any more: they end when they run out,
	// and aren't renewed.
	Outside []lease.Lease
	// Phones are the known phones that would be told something else when they next start; of a dry run only.
	Phones []NetworkEffect
	// Files are the known phones whose last request for a file with secrets would come to something else; of a dry run only.
	Files []FileEffect
	// Unserved are the interfaces of networks on which DHCP can't be served now. It is as soon as it can be.
	Unserved []Unserved
	// Settled is when the last lease of those whose networks change has been renewed or is over: until then, who holds it may
	// go by what was declared before. Zero: nobody holds one.
	Settled time.Time
}

// Clash is a reservation whose address another client holds.
type Clash struct {
	Network network.ID
	Addr    netip.Addr
	For     string // whom it is reserved for
	Held    lease.Lease
}

// Declared returns all that is declared about DHCP.
func (s *Service) Declared(ctx context.Context) (DeclaredNetworks, error) {
	d, rev, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return DeclaredNetworks{}, err
	}
	return DeclaredNetworks{d, rev, toFaults(s.Networks.Networks().Warnings(), "")}, nil
}

// Declare replaces all that is declared about DHCP. Rev is that of what was edited; 0 is any, but for the very first.
// Faults: all that is wrong, with pointers such as /networks/0/pools/1. The networks are in force when it returns, and no
// message is lost meanwhile: one that is being answered is answered by the former ones.
func (s *Service) Declare(ctx context.Context, d network.Declared, rev uint64, w Write) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: "networks", rev: rev, edit: func(now *network.Declared) (string, error) {
		*now = d
		return "", nil
	}}, w)
}

// declaring is a change of what is declared.
type declaring struct {
	object string // what is changed, for people
	rev    uint64 // that was edited; 0: any
	// edit changes what is declared, and returns the pointer to what the caller has given: faults are relative to it.
	edit func(*network.Declared) (pointer string, err error)
}

func (s *Service) declare(ctx context.Context, c declaring, w Write) (NetworkResult, error) {
	err := checkBy(w.By)
	for range maxWriteTries {
		if err != nil {
			break
		}
		var r NetworkResult
		if r, err = s.tryDeclare(ctx, c, w); err == nil {
			return r, nil
		}
		var late *StaleError
		if c.rev == 0 && errors.As(err, &late) {
			err = nil // somebody was faster
		}
	}
	if err == nil {
		err = fmt.Errorf("they change all the time: %w", provision.ErrConflict)
	}
	return NetworkResult{}, fmt.Errorf("%s: %w", c.object, err)
}

func (s *Service) tryDeclare(ctx context.Context, c declaring, w Write) (NetworkResult, error) {
	before, rev, err := s.Networks.LoadDeclared(ctx)
	if err == nil && c.rev != 0 {
		err = stale(rev, c.rev)
	}
	if err != nil {
		return NetworkResult{}, err
	}
	after := before
	after.Networks, after.Classes, after.Shared = slices.Clone(before.Networks), slices.Clone(before.Classes), slices.Clone(before.Shared)
	pointer, err := c.edit(&after)
	if err != nil {
		return NetworkResult{}, err
	}
	filled := after
	filled.Networks = slices.Clone(after.Networks) // New fills in defaults
	set, err := network.New(filled)
	if err != nil {
		if faults, ok := errors.AsType[network.Faults](err); ok {
			return NetworkResult{}, Faults(toFaults(faults, pointer))
		}
		return NetworkResult{}, err
	}
	r := s.consequences(before, after, set)
	r.Rev = rev
	if w.DryRun {
		if r.Phones, err = s.networkEffects(ctx, set); err == nil {
			r.Files, err = s.fileEffects(ctx, set)
		}
		return r, err
	}
	if err := describe(ctx, c.object, declaredRecord(before, after), declaredRecord(after, before)); err != nil {
		return NetworkResult{}, err
	}
	r.Rev, err = s.Networks.Declare(ctx, after, rev)
	r.Unserved = s.Networks.Unserved(set) // now that it was tried
	return r, asStale(err, rev, func() (uint64, error) {
		_, now, err := s.Networks.LoadDeclared(ctx)
		return now, err
	})
}

// toFaults makes the pointers of faults relative to what was given. Those elsewhere keep their text alone, which names
// the place.
func toFaults(list []network.Fault, pointer string) []Fault {
	relative := func(path string) string {
		if path == "" {
			return ""
		}
		at, ok := strings.CutPrefix(declaredPointer(path), pointer)
		if !ok || at != "" && at[0] != '/' {
			return ""
		}
		return at
	}
	var out []Fault
	for _, f := range list {
		at, other := relative(f.Path), relative(f.Other)
		if at == "" {
			at, other = other, ""
		}
		out = append(out, Fault{Pointer: at, Other: other, Text: f.Text, Kind: provision.ErrInvalid})
	}
	return out
}

// declaredRecord is what of a declaration differs from another, for the audit.
func declaredRecord(d, other network.Declared) any {
	r := map[string]any{}
	d.Networks = slices.DeleteFunc(slices.Clone(d.Networks), func(n network.Network) bool {
		o := networkOf(other, n.ID)
		return o != nil && reflect.DeepEqual(n, *o)
	})
	if len(d.Networks) > 0 {
		r["networks"] = d.Networks
	}
	if !reflect.DeepEqual(d.Classes, other.Classes) {
		r["classes"] = d.Classes
	}
	if !reflect.DeepEqual(d.Shared, other.Shared) {
		r["shared"] = d.Shared
	}
	if !reflect.DeepEqual(d.Options, other.Options) || d.Next != other.Next || d.Sname != other.Sname || d.File != other.File {
		r["all"] = map[string]any{"options": d.Options, "next": d.Next, "sname": d.Sname, "file": d.File}
	}
	return r
}

func networkOf(d network.Declared, id network.ID) *network.Network {
	if i := slices.IndexFunc(d.Networks, func(n network.Network) bool { return n.ID == id }); i >= 0 {
		return &d.Networks[i]
	}
	return nil
}

// consequences tells what a change means to networks and leases.
func (s *Service) consequences(before, after network.Declared, set *network.Set) NetworkResult {
	r := NetworkResult{DeclaredNetworks: DeclaredNetworks{Declared: after, Warnings: toFaults(set.Warnings(), "")}}
	for _, n := range after.Networks {
		switch old := networkOf(before, n.ID); {
		case old == nil:
			r.Added = append(r.Added, n.ID)
		case !reflect.DeepEqual(*old, n):
			r.Changed = append(r.Changed, n.ID)
		}
	}
	for _, n := range before.Networks {
		if networkOf(after, n.ID) == nil {
			r.Removed = append(r.Removed, n.ID)
		}
	}
	now, inForce := time.Now(), s.Networks.Networks()
	for _, l := range s.Leases.All() {
		if !l.Active(now) {
			continue
		}
		if x := set.Reserved(l.Addr); x != nil && !isFor(x, l.Client) && l.State != lease.Declined {
			r.Clashes = append(r.Clashes, Clash{Network: set.Containing(l.Addr).ID, Addr: l.Addr, For: x.Owner(), Held: l})
		}
		if l.Origin != lease.External && l.Expiry.After(r.Settled) && concerns(&r, before, l.Network) {
			r.Settled = l.Expiry
		}
		if l.Origin != lease.External && hasPlace(inForce, l) && !hasPlace(set, l) {
			r.Outside = append(r.Outside, l)
		}
	}
	slices.SortFunc(r.Clashes, func(a, b Clash) int { return a.Addr.Compare(b.Addr) })
	slices.SortFunc(r.Outside, func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
	r.Unserved = s.Networks.Unserved(set)
	return r
}

// concerns reports whether a change makes a difference to the clients of a network.
func concerns(r *NetworkResult, before network.Declared, id network.ID) bool {
	return slices.Contains(r.Changed, id) || slices.Contains(r.Removed, id) ||
		!reflect.DeepEqual(r.Options, before.Options) || !reflect.DeepEqual(r.Classes, before.Classes) ||
		!reflect.DeepEqual(r.Shared, before.Shared) || r.Next != before.Next || r.Sname != before.Sname || r.File != before.File
}

func isFor(r *network.Reservation, c lease.Client) bool {
	return !r.HW.IsZero() && r.HW == c.HW || r.ClientID != "" && r.ClientID == c.ID ||
		r.Circuit != "" && r.Circuit == c.Circuit || r.Remote != "" && r.Remote == c.Remote
}

// hasPlace reports whether a lease is of a reservation, or of a pool and nobody else's reservation.
func hasPlace(set *network.Set, l lease.Lease) bool {
	n := set.Containing(l.Addr)
	if n == nil || n.ID != l.Network {
		return false
	}
	if r := set.Reserved(l.Addr); r != nil {
		return isFor(r, l.Client)
	}
	return slices.ContainsFunc(set.Pools(n.ID), func(p network.Pool) bool { return p.Contains(l.Addr) })
}

// Network returns a network and the revision of what is declared.
func (s *Service) Network(ctx context.Context, id network.ID) (network.Network, uint64, error) {
	d, rev, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return network.Network{}, 0, err
	}
	i, err := place(d, id)
	if err != nil {
		return network.Network{}, 0, err
	}
	return d.Networks[i], rev, nil
}

// place returns where a network is.
func place(d network.Declared, id network.ID) (int, error) {
	var names []network.ID
	for i := range d.Networks {
		if d.Networks[i].ID == id {
			return i, nil
		}
		names = append(names, d.Networks[i].ID)
	}
	return 0, fmt.Errorf("there is no network %q%s: %w", provision.Printable(string(id)), hint(string(id), names), provision.ErrNotFound)
}

// CreateNetwork adds a network, behind the others. Faults have pointers into n. Rev is as in Declare.
func (s *Service) CreateNetwork(ctx context.Context, n network.Network, rev uint64, w Write) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: "network " + provision.Printable(string(n.ID)), rev: rev, edit: func(d *network.Declared) (string, error) {
		if networkOf(*d, n.ID) != nil {
			return "", Faults{{Pointer: "/id", Text: fmt.Sprintf("there is a network %s already", n.ID), Kind: provision.ErrConflict}}
		}
		d.Networks = append(d.Networks, n)
		return pointerTo("/networks", strconv.Itoa(len(d.Networks)-1)), nil
	}}, w)
}

// UpdateNetwork replaces a network with its pools and reservations. It can't be renamed, for leases know it by its name.
// Faults have pointers into n. Rev is as in Declare.
func (s *Service) UpdateNetwork(ctx context.Context, id network.ID, n network.Network, rev uint64, w Write) (NetworkResult, error) {
	return s.editNetwork(ctx, "network "+provision.Printable(string(id)), id, rev, w, func(to *network.Network) (string, error) {
		if n.ID != id {
			return "", Faults{{Pointer: "/id", Text: "a network can't be renamed; make a new one", Kind: provision.ErrInvalid}}
		}
		*to = n
		return "", nil
	})
}

// editNetwork changes one network. The pointer of its edit is into the network.
func (s *Service) editNetwork(
	ctx context.Context, object string, id network.ID, rev uint64, w Write, edit func(*network.Network) (string, error),
) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: object, rev: rev, edit: func(d *network.Declared) (string, error) {
		i, err := place(*d, id)
		if err != nil {
			return "", err
		}
		n := d.Networks[i]
		n.Pools, n.Reservations, n.Options = slices.Clone(n.Pools), slices.Clone(n.Reservations), slices.Clone(n.Options)
		pointer, err := edit(&n)
		d.Networks[i] = n
		return pointerTo("/networks", strconv.Itoa(i)) + pointer, err
	}}, w)
}

// DeleteNetwork ends that a network is declared. Its leases run out. Rev is as in Declare.
func (s *Service) DeleteNetwork(ctx context.Context, id network.ID, rev uint64, w Write) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: "network " + provision.Printable(string(id)), rev: rev, edit: func(d *network.Declared) (string, error) {
		i, err := place(*d, id)
		if err == nil {
			d.Networks = slices.Delete(d.Networks, i, i+1)
		}
		return "", err
	}}, w)
}
