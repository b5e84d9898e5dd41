package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// lookOutEvery is how soon an interface is served that has come, or has got an address in a network.
const lookOutEvery = 5 * time.Second

// listeners returns where DHCP is served: where the settings say, else on every interface that a network of the set is on,
// but for those that are only observed.
func (p *parts) listeners(set *network.Set) []dhcp.Listener {
	var list []dhcp.Listener
	for _, a := range p.settings.DHCP.Relay {
		list = append(list, dhcp.Listener{Addr: a})
	}
	names := p.settings.DHCP.Interfaces
	if p.listensByNetworks() {
		names = slices.DeleteFunc(p.interfaces(set), func(name string) bool { return slices.Contains(p.settings.DHCP.Observe, name) })
	}
	for _, name := range names {
		list = append(list, dhcp.Listener{Interface: name})
	}
	return list
}

// listensByNetworks reports whether it is the networks that say where DHCP is served, and not the settings.
func (p *parts) listensByNetworks() bool {
	return len(p.settings.DHCP.Interfaces)+len(p.settings.DHCP.Relay) == 0
}

// present leaves out what waits for its interface if it is a network that names it: what was declared once must not keep
// the program from starting, while a wrong name in the settings is said at once.
func (p *parts) present(list []dhcp.Listener) []dhcp.Listener {
	if !p.listensByNetworks() {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(l dhcp.Listener) bool {
		_, err := net.InterfaceByName(l.Interface)
		return err != nil
	})
}

// interfaces returns the interfaces that networks name, and those that have an address in one that names none.
func (p *parts) interfaces(set *network.Set) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	all, err := net.Interfaces()
	if err != nil {
		p.log.Warn("interfaces can't be listed", "err", err)
	}
	for _, n := range set.All() {
		if n.Interface != "" {
			add(n.Interface)
			continue
		}
		for _, ifi := range all {
			if ifi.Flags&net.FlagLoopback == 0 && hasAddrIn(ifi, n.Prefix) {
				add(ifi.Name)
			}
		}
	}
	return names
}

func hasAddrIn(ifi net.Interface, prefix netip.Prefix) bool {
	addrs, err := ifi.Addrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Contains(p.Addr())
	})
}

// relisten has DHCP served where the networks in force are; of what is served already, nothing is touched. The caller
// holds p.declares. What can't be served is tried again and a problem until then.
func (p *parts) relisten(ctx context.Context, list []dhcp.Listener) {
	srv := p.dhcp.Load()
	if srv == nil {
		return
	}
	if err := srv.Relisten(ctx, list); err != nil {
		p.log.WarnContext(ctx, "dhcp is not served on all interfaces of the networks yet", "err", err)
	}
}

// lookOut has DHCP served on interfaces that come, and on those that get an address in a network that names none. One that
// loses its address stays: it may be given back in a moment.
func (p *parts) lookOut(ctx context.Context) error {
	if !p.listensByNetworks() {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(lookOutEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.welcome(ctx)
		}
	}
}

// welcome adds the listeners that are wanted by now.
func (p *parts) welcome(ctx context.Context) {
	p.declares.Lock()
	defer p.declares.Unlock()
	srv := p.dhcp.Load()
	served := srv.Listeners()
	list := slices.Clone(served)
	for _, l := range p.listeners(p.Networks()) {
		if !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	if len(list) > len(served) {
		p.relisten(ctx, list)
	}
}
