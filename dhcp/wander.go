package dhcp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

const (
	// Of so many moves to and fro between networks in that time one makes no sense: the phone is told one VLAN by DHCP
	// and another by its configuration, and obeys both in turn for ever.
	wanderMoves = 3
	wanderIn    = 5 * time.Minute
	wanderSlots = 1024
)

// wanderers remembers where clients came from lately, in memory that doesn't grow. Its zero value is ready for use.
type wanderers struct {
	mu    sync.Mutex // guards slots
	slots []wanderer
}

type wanderer struct {
	hw    hwaddr.Addr
	here  network.ID
	moves [wanderMoves]time.Time // the last ones, the newest first
}

// moved takes note that a client got a lease in a network, and returns the one that it came from if it has been going
// to and fro.
func (w *wanderers) moved(hw hwaddr.Addr, to network.ID) (from network.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == nil {
		w.slots = make([]wanderer, wanderSlots)
	}
	h := uint(0)
	for _, b := range hw {
		h = h*31 + uint(b)
	}
	s := &w.slots[h%wanderSlots]
	switch {
	case s.hw != hw:
		*s = wanderer{hw: hw, here: to}
		return ""
	case s.here == to:
		return ""
	}
	from, s.here = s.here, to
	copy(s.moves[1:], s.moves[:])
	s.moves[0] = time.Now()
	if last := s.moves[wanderMoves-1]; last.IsZero() || time.Since(last) > wanderIn {
		return ""
	}
	return from
}

// watchMoves warns of a client that goes to and fro between networks.
func (x *exchange) watchMoves(ctx context.Context, l lease.Lease) {
	from := x.srv.wanderers.moved(x.client.HW, l.Network)
	if from == "" {
		return
	}
	x.srv.passing(ctx, x.client.HW.String(), Problem{
		Kind: ProblemWanderer, Network: l.Network,
		Text: fmt.Sprintf("client %s goes to and fro between %s and %s: what DHCP and its configuration say of the VLAN "+
			"differs; give both the same", x.client.HW, from, l.Network),
	})
}
