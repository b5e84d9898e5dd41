package dhcp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// maxAliases bounds the server identifiers that are remembered: our own addresses, and what relay agents have us called.
const maxAliases = 64

// aliases has the server identifiers that clients know us by, each until the last lease that it was told with is over: when
// our address changes, those clients still mean us. It is in memory only. After a restart a client that renews is
// known by its lease instead; see meant. Its zero value is ready for use.
type aliases struct {
	mu   sync.Mutex // guards what follows
	told map[netip.Addr]time.Time
}

// tell notes that a client was told an identifier with a lease of that length.
func (a *aliases) tell(id netip.Addr, life time.Duration) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	until, ok := a.told[id]
	if !ok {
		a.makeRoom(now)
	}
	if end := now.Add(life); end.After(until) {
		a.told[id] = end
	}
}

// makeRoom makes room for one more, if need be in place of that which ends first.
func (a *aliases) makeRoom(now time.Time) {
	if a.told == nil {
		a.told = make(map[netip.Addr]time.Time)
	}
	if len(a.told) < maxAliases {
		return
	}
	var first netip.Addr
	for id, until := range a.told {
		if !now.Before(until) {
			delete(a.told, id)
		} else if !first.IsValid() || until.Before(a.told[first]) {
			first = id
		}
	}
	if len(a.told) >= maxAliases {
		delete(a.told, first)
	}
}

// known reports whether clients may still know us by an identifier.
func (a *aliases) known(id netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	until, ok := a.told[id]
	return ok && time.Now().Before(until)
}

// forget says that somebody else has that identifier now.
func (a *aliases) forget(id netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.told, id)
}

// ours reports whether a server identifier means us. Any of our addresses does, and for a while those that we had: a
// client may have got its lease by another interface, or before we had a relay agent tell our name.
func (x *exchange) ours(id netip.Addr) bool {
	if id == x.id || id == x.base || slices.Contains(x.ing.Ours, id) || slices.Contains(x.ing.Addrs, id) {
		return true
	}
	return slices.ContainsFunc(x.nets.All(), func(n *network.Network) bool { return n.Server == id }) || x.srv.aliases.known(id)
}

// meant reports whether a REQUEST is for us by the server that it names. A client that uses an address should name none
// (RFC 2131 §4.3.2). If it does and the address is leased to it by us, a name that we don't know is one that we had
// before we were started: provided that it wrote to us, or that there is nobody else on the link whom it could mean.
func (x *exchange) meant() bool {
	switch {
	case !x.server.IsValid() || x.ours(x.server):
		return true
	case !x.straight() && (x.giaddr.IsValid() || !x.ciaddr.IsValid() || x.ing.Iface == "" || x.ing.Standing != Alone):
		return false
	}
	l, ok := x.srv.Table.ByAddr(x.ciaddr)
	return ok && l.Client.HW == x.client.HW
}

// judgeNames posts the networks that we have no address for any more, such as after an interface was given another, and
// takes off those that we have one for again.
func (s *Server) judgeNames(ctx context.Context, nets *network.Set) {
	ports := s.ports()
	var ours []netip.Addr
	for _, p := range ports {
		if p == nil || p.spec.Interface == "" {
			return // what can't be seen now, or may be seen through somebody else's translation of addresses
		}
		ours = append(ours, p.ours()...)
	}
	if len(ports) == 0 {
		return
	}
	for _, n := range nets.All() {
		if fault := nameless(n, ports, ours); fault != "" {
			s.raise(ctx, string(n.ID), Problem{
				Kind: ProblemAddress, Network: n.ID,
				Text: fmt.Sprintf("network %s: %s; give the interface such an address, or correct the network", n.ID, fault),
			})
		} else {
			s.solved(ctx, ProblemAddress, string(n.ID))
		}
	}
}

// nameless says why the clients of a network can't reach us by its address, or nothing. Networks of relay agents' are
// not for us to judge.
func nameless(n *network.Network, ports []*port, ours []netip.Addr) string {
	served := slices.ContainsFunc(ports, func(p *port) bool { return p.spec.Interface == n.Interface })
	switch {
	case n.Interface != "" && !served, n.Interface == "" && len(n.Relays) > 0, n.Shared != "":
		return ""
	case n.Server.IsValid() && !slices.Contains(ours, n.Server):
		return "its clients are told that the server is " + n.Server.String() + ", which no interface has"
	case !n.Server.IsValid() && !slices.ContainsFunc(ours, n.Prefix.Contains):
		return "no interface has an address of " + n.Prefix.String()
	}
	return ""
}
