package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// declared is what is declared about DHCP, as administrators change it.
type declared struct{ *parts }

// LoadDeclared implements admin.Networks.
func (d declared) LoadDeclared(ctx context.Context) (network.Declared, uint64, error) {
	return d.db.LoadDeclared(ctx)
}

// Declare implements admin.Networks. Whoever has the former networks goes on with them: a message that is being answered is
// answered by those that were in force when it came.
func (d declared) Declare(ctx context.Context, to network.Declared, rev uint64) (uint64, error) {
	filled := to
	filled.Networks = slices.Clone(to.Networks) // New fills in defaults
	set, err := network.New(filled)
	if err != nil {
		return 0, fmt.Errorf("declare networks: %w", err)
	}
	d.declares.Lock()
	defer d.declares.Unlock()
	if rev, err = d.db.SaveDeclared(ctx, to, rev); err != nil {
		return 0, err
	}
	d.networks.Store(set)
	d.relisten(context.WithoutCancel(ctx), d.listeners(set))
	return rev, nil
}

// Unserved implements admin.Networks.
func (d declared) Unserved(set *network.Set) []admin.Unserved {
	srv := d.dhcp.Load()
	if srv == nil {
		return nil // it isn't served at all
	}
	deaf := srv.Deaf()
	var list []admin.Unserved
	for _, l := range d.listeners(set) {
		why := deaf[l]
		if _, err := net.InterfaceByName(l.Interface); why == nil && l.Interface != "" && err != nil {
			why = errors.New("there is no such interface") // of a change that is only tried
		}
		if why != nil {
			list = append(list, admin.Unserved{Interface: l.String(), Why: why.Error()})
		}
	}
	return list
}
