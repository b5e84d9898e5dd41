package main

import (
	"context"
	"sync"

	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/web"
)

// roster knows which tasks run. Its zero value is ready for use.
type roster struct {
	mu      sync.Mutex
	running map[string]bool // guarded by mu
}

func (r *roster) set(name string, runs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = make(map[string]bool)
	}
	r.running[name] = runs
}

func (r *roster) runs(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[name]
}

// entered returns a task that is on the roster while it runs.
func (r *roster) entered(t Task) Task {
	return Task{Name: t.Name, Run: func(ctx context.Context) error {
		r.set(t.Name, true)
		stop := context.AfterFunc(ctx, func() { r.set(t.Name, false) }) // who is told to stop takes nothing new
		defer stop()
		defer r.set(t.Name, false)
		return t.Run(ctx)
	}}
}

// ready returns what phones need, and whether it is there.
func (p *parts) ready() []web.Part {
	list := []web.Part{
		{Name: "store", Ready: p.roster.runs("store") && p.writable()},
		{Name: "leases", Ready: p.roster.runs("leases")},
		{Name: "plugins", Ready: len(p.plugins.Plugins().All()) > 0},
	}
	if p.settings.TFTP.Enabled {
		list = append(list, web.Part{Name: "tftp", Ready: p.roster.runs("tftp")})
	}
	if p.settings.HTTP.Enabled {
		list = append(list, web.Part{Name: "http", Ready: p.roster.runs("http")})
	}
	if d := p.dhcp.Load(); d != nil {
		list = append(list, web.Part{Name: "dhcp", Ready: p.roster.runs("dhcp") && len(d.Deaf()) == 0})
	}
	return list
}

// writable reports whether the store takes what is to be kept.
func (p *parts) writable() bool {
	for _, x := range p.db.Problems() {
		if x.Bucket == "" && (x.Key == store.ProblemFull || x.Key == store.ProblemBroken) {
			return false
		}
	}
	return true
}
