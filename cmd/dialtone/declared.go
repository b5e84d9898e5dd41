package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/dhcp/network"
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
	return rev, nil
}

// Unserved implements admin.Networks: listeners are opened at the start.
func (d declared) Unserved(set *network.Set) []string {
	s := d.settings.DHCP
	if !s.Enabled || len(s.Interfaces)+len(s.Relay) > 0 && d.dhcp.Load() != nil {
		return nil // it isn't served at all, or where the settings say
	}
	return slices.DeleteFunc(d.interfaces(set), func(name string) bool {
		if slices.Contains(s.Observe, name) {
			return true
		}
		srv := d.dhcp.Load()
		return srv != nil && slices.ContainsFunc(srv.Listen, func(l dhcp.Listener) bool { return l.Interface == name })
	})
}
