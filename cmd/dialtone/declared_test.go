package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// TestNetworksAtRunTime: what an administrator declares is in force at once, clients are served meanwhile, and it is there
// after a restart.
func TestNetworksAtRunTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	w := admin.Write{By: provision.Author{Who: "desk"}}
	s := o.parts.admin()
	n := *o.parts.Networks().All()[0]
	all, err := s.Declared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Declare(t.Context(), all.Declared, all.Rev+1, w); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("by another revision: %v", err)
	}

	// Networks change all the time while clients get their leases: each of the 30 boots fails if a message is lost.
	stop, changed := make(chan struct{}), make(chan error)
	go func() {
		for i := byte(0); ; i++ {
			select {
			case <-stop:
				changed <- nil
				return
			default:
			}
			_, err := s.PutOptions(t.Context(), n.ID, append(slices.Clone(n.Options), network.Option{Code: 224, Data: []byte{i}}), 0, w)
			if err != nil {
				changed <- err
				return
			}
		}
	}()
	for i := range 30 {
		o.lease(fmt.Sprintf("00:15:65:00:01:%02x", i), "yealink")
	}
	close(stop)
	if err := <-changed; err != nil {
		t.Fatal(err)
	}

	held := o.lease("00:15:65:00:02:01", "yealink")
	if r, err := s.KeepAddress(t.Context(), held, w); err != nil || !slices.Equal(r.Changed, []network.ID{n.ID}) || r.Unserved != nil {
		t.Fatalf("keep %s: %+v, %v", held, r, err)
	}
	if _, err := s.ReleaseLease(t.Context(), held, w); err != nil {
		t.Fatal(err)
	}
	if l, ok := o.parts.table.ByAddr(held); ok {
		t.Errorf("released, but %+v", l)
	}
	var free netip.Addr
	for a := n.Pools[0].Last; !free.IsValid(); a = a.Prev() {
		if _, ok := o.parts.table.At(a); !ok {
			free = a
		}
	}
	if _, err := s.PutReservation(t.Context(), n.ID, netip.Addr{}, network.Reservation{HW: hwaddr.MustParse("00:15:65:00:02:02"), Addr: free}, 0, w); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "after a restart"} {
		if got := o.lease("00:15:65:00:02:01", "yealink"); got != held {
			t.Errorf("%s: leased %s, want %s, which was made permanent", when, got, held)
		}
		if got := o.lease("00:15:65:00:02:02", "yealink"); got != free {
			t.Errorf("%s: leased %s, want %s, which is reserved", when, got, free)
		}
		if when == "at once" {
			o.restart()
		}
	}
}
