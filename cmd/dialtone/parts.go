package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/dhcp/hook"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/neigh"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/golden"
	"github.com/dialtone-project/dialtone/provision/httpd"
	"github.com/dialtone-project/dialtone/provision/pki"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/provision/tftpd"
	"github.com/dialtone-project/dialtone/provision/trace"
	"github.com/dialtone-project/dialtone/web"
)

// parts are the daemon's parts, opened and wired but not yet running.
type parts struct {
	settings configs.Settings
	log      *slog.Logger // of what belongs to no part
	logs     partLogs
	begun    time.Time
	roster   roster
	networks atomic.Pointer[network.Set]
	declares sync.Mutex // held while other networks are stored and taken into force

	db       *store.DB
	table    *lease.Table
	near     *neigh.Table
	told     *dhcp.External // leases of other servers
	plugins  *plugin.Host
	pipeline *provision.Pipeline
	trace    *trace.Log // nil: nothing is kept on disk
	memory   *trace.Memory
	hooks    []*hook.Hook
	tftp     *tftpd.Server // nil: not served
	http     *httpd.Server // nil: not served
	keeper   *pki.Keeper   // nil: no HTTPS
	tokens   *provision.Tokens
	access   *access.Gate
	jobs     *admin.Jobs
	schedule *admin.Schedule
	backedUp atomic.Pointer[admin.BackupFile] // the last backup that was written, wherever it went; nil: none yet
	web      *web.Server
	dhcp     atomic.Pointer[dhcp.Server] // nil: not served
}

// Networks returns the networks in force.
func (p *parts) Networks() *network.Set { return p.networks.Load() }

// openParts opens everything in the order in which each needs the one before: store, leases, plugins, pipeline, front
// ends, and DHCP last, so that nothing is offered that can't be provisioned. After an error nothing is open.
func openParts(ctx context.Context, s configs.Settings, c content, log *slog.Logger) (p *parts, err error) {
	p = &parts{settings: s, jobs: admin.NewJobs(), logs: newPartLogs(log.Handler(), s.Log.Level), begun: time.Now()}
	p.schedule = &admin.Schedule{
		Every: s.Backup.Every, Keep: s.Backup.Keep, Jobs: p.jobs, Kept: keptBackups{p}, Log: p.logs.of(logStore),
	}
	p.log = p.logs.of(logMain)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	child, err := checker()
	if err != nil {
		return p, err
	}
	if p.db, err = (store.Opener{Dir: s.State, Child: child, Log: p.logs.of(logStore)}).Open(ctx); err != nil {
		return p, err
	}
	p.access = &access.Gate{Store: p.db}
	if err = p.importSite(ctx, c); err != nil {
		return p, err
	}
	if p.table, err = lease.Open(ctx, p.db, time.Now, p.logs.of(logLeases)); err != nil {
		return p, err
	}
	p.openNeighbours(ctx)
	if err = p.openTokens(); err != nil {
		return p, err
	}
	if err = p.openKeeper(); err != nil {
		return p, err
	}
	if err = p.openPlugins(ctx); err != nil {
		return p, err
	}
	p.pipeline = &provision.Pipeline{
		Leases: p.table, Neighbours: p.near, PolicyFor: p.policy, Devices: p.db, Configs: p.db, Plugins: p.plugins,
		Journal: provision.NewJournal(s.Journal.Size), Sightings: provision.NewSightings(0), Renders: provision.NewRenders(0), Flats: provision.NewFlats(0),
		HTTP: p.httpURL, HTTPS: p.httpsURL, Tokens: p.tokens, TokenFor: p.tokenFor, Log: p.logs.of(logProvision),
	}
	if err = p.openGate(ctx); err != nil {
		return p, err
	}
	if err = p.openTrace(ctx); err != nil {
		return p, err
	}
	if err = p.openHooks(); err != nil {
		return p, err
	}
	if err = p.openServers(ctx); err != nil {
		return p, err
	}
	p.db.Forget()
	debug.FreeOSMemory() // loading took more than serving needs
	return p, nil
}

// importSite fills an empty state with the site's content, and takes the networks into force that the state has then.
func (p *parts) importSite(ctx context.Context, c content) error {
	declared, rev, err := p.db.LoadDeclared(ctx)
	if err != nil {
		return err
	}
	if rev == 0 {
		if err := c.fill(ctx, p.db); err != nil {
			return fmt.Errorf("import %s: %w", c.name, err)
		}
		p.log.InfoContext(ctx, "first content imported", "site", c.name,
			"networks", len(c.networks.All()), "configs", len(c.configs), "devices", len(c.devices))
		if declared, _, err = p.db.LoadDeclared(ctx); err != nil {
			return err
		}
	} else if p.settings.Site != "" {
		p.log.InfoContext(ctx, "site file left alone: the state has content already", "site", c.name)
	}
	set, err := network.New(declared)
	if err != nil {
		return fmt.Errorf("networks in %s: %w", p.settings.State, err)
	}
	p.networks.Store(set)
	return nil
}

// openNeighbours makes what is known of addresses that we didn't lease: the kernel's neighbours, and other servers'
// leases. Without the former, which a sandbox may forbid, less is proven; nothing else depends on it.
func (p *parts) openNeighbours(ctx context.Context) {
	p.near = &neigh.Table{Log: p.logs.of(logLeases)}
	if err := p.near.Open(); err != nil {
		p.log.WarnContext(ctx, "neighbour table can't be read; it is tried again", "err", err)
	}
	d := p.settings.DHCP
	p.told = &dhcp.External{Table: p.table, Networks: p, Foreign: d.Foreign, Interfaces: d.Observe}
}

func (p *parts) openPlugins(ctx context.Context) error {
	p.plugins = &plugin.Host{
		Dir: filepath.Join(p.settings.State, "plugins"), Overlays: filepath.Join(p.settings.State, "overlays"),
		Firmware: filepath.Join(p.settings.State, "firmware"),
		Check:    golden.Check, Log: p.logs.of(logPlugins), HTTPPort: p.settings.HTTP.Listen.Port(),
	}
	if !p.settings.HTTP.Enabled {
		p.plugins.HTTPPort = 0
	}
	p.plugins.Link = p.link
	if err := p.plugins.InstallBundled(ctx, plugins.Files()); err != nil {
		return err
	}
	return p.plugins.Rescan(ctx)
}

// openTrace fills the journal with what the disk knows of earlier runs.
func (p *parts) openTrace(ctx context.Context) error {
	s := p.settings.Journal
	if s.Disk == 0 {
		return nil
	}
	p.trace = &trace.Log{
		Dir: filepath.Join(p.settings.State, "trace"), MaxBytes: int64(s.Disk) << 20, MaxAge: time.Duration(s.Days) * 24 * time.Hour, Log: p.logs.of(logStore),
	}
	old, last, err := p.trace.Load(ctx, s.Size)
	if err != nil {
		return err
	}
	p.pipeline.Journal.Restore(old, last)
	return nil
}

// openHooks makes the external hooks that the settings name.
func (p *parts) openHooks() error {
	for _, h := range p.settings.Hooks {
		x := &hook.Hook{Name: h.Name, Exec: h.Exec, URL: h.URL, Timeout: h.Timeout, Log: p.logs.of(logHooks)}
		if h.KeyFile != "" {
			key, err := os.ReadFile(h.KeyFile)
			if err != nil {
				return fmt.Errorf("hook %s: key: %w", h.Name, err)
			}
			x.Key = key
		}
		p.hooks = append(p.hooks, x)
	}
	return nil
}

// openServers opens every socket.
func (p *parts) openServers(ctx context.Context) error {
	s := p.settings
	if s.TFTP.Enabled {
		if err := p.openTFTP(); err != nil {
			return err
		}
	}
	if s.HTTP.Enabled {
		if err := p.openHTTP(ctx); err != nil {
			return err
		}
	}
	service := p.admin()
	told, err := s.Tell()
	if err != nil {
		return err
	}
	srv := &web.Server{
		Admin: service, Keys: p.keys(service), Build: build(), Socket: filepath.Join(s.State, socketName), Names: s.Console.Names, Public: s.Console.Public,
		Access: p.access, Audit: p.db, Metrics: p.metrics, Ready: p.ready, Alive: p.alive, Leases: p.table.Subscribe,
		Settings: told, LogLevels: p.logs.levels, Log: p.logs.of(logWeb),
	}
	srv.Site = siteFile{srv.Admin}
	if s.Console.Enabled {
		srv.Console, srv.TLS = s.Console.Listen.String(), p.consoleTLS()
	}
	if err := srv.Open(ctx); err != nil {
		return err
	}
	p.web = srv
	if !s.DHCP.Enabled {
		return nil
	}
	wanted := p.listeners(p.Networks())
	d := &dhcp.Server{
		Table: p.table, Networks: p, Boot: p.plugins, Directory: directory{p.db, p.plugins}, Listen: p.present(wanted),
		Limits: dhcp.Limits(s.DHCP.Limits), Askers: s.DHCP.Leasequery, Log: p.logs.of(logDHCP),
	}
	if len(wanted) == 0 {
		p.log.WarnContext(ctx, "dhcp is enabled but no network is declared: no address will be leased")
	}
	if at := p.db.Restored(); !at.IsZero() {
		for _, n := range p.Networks().All() {
			d.Doubt = later(d.Doubt, at.Add(n.Lease.Max))
		}
	}
	if err := d.Open(ctx); err != nil {
		return err
	}
	p.dhcp.Store(d)
	p.declares.Lock()
	defer p.declares.Unlock()
	p.relisten(ctx, wanted)
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *parts) admin() *admin.Service {
	s := &admin.Service{
		Leases: p.table, Told: p.told, Devices: p.db, Pipeline: p.pipeline, Plugins: pluginHost{p.plugins},
		Journal: p.pipeline.Journal, Sightings: p.pipeline.Sightings, Gate: p.pipeline.Gate, Problems: p.problems, Local: p.local, Backup: p.backup,
		Backups: keptBackups{p}, Jobs: p.jobs,
	}
	if p.trace != nil {
		s.History = p.trace
	}
	s.Configs, s.HTTP, s.PolicyFor, s.PolicyBy = p.db, p.pipeline.HTTP, p.policy, p.policies
	s.Networks, s.EndLease, s.RotateKey = declared{p}, p.table.Release, p.rotateKey
	if p.settings.DHCP.Enabled {
		s.AskDHCP = p.askDHCP
	}
	return s
}

// problems returns what is wrong with the DHCP server and the store.
func (p *parts) problems() []admin.Problem {
	var list []admin.Problem
	if d := p.dhcp.Load(); d != nil {
		for _, x := range d.Problems() {
			list = append(list, admin.Problem{Part: "dhcp", Kind: string(x.Kind), Network: string(x.Network), Text: x.Text, Since: x.Since})
		}
	}
	list = append(list, p.lenient()...)
	list = append(list, p.tlsProblems()...)
	for _, x := range p.db.Problems() {
		kind := "record"
		if x.Bucket == "" {
			kind = x.Key
		}
		list = append(list, admin.Problem{Part: "store", Kind: kind, Text: x.Err.Error()})
	}
	return append(list, p.schedule.Problems()...)
}

// local is the address of ours that a phone at an address speaks to: its network's server address, else the one that
// the host would send from.
func (p *parts) local(peer netip.Addr) netip.Addr {
	if n := p.Networks().Containing(peer); n != nil && n.Server.IsValid() {
		return n.Server
	}
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 9))) // sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

func (p *parts) consoleAddr() string {
	if a := p.web.ConsoleAddr(); a != nil {
		return a.String()
	}
	return ""
}

// tasks returns what runs, in the order of starting; stopping goes the other way.
func (p *parts) tasks() []Task {
	tasks := []Task{
		{Name: "memory", Run: tuneCollector},
		{Name: "store", Run: p.db.Run},
		{Name: "leases", Run: p.table.Run},
		{Name: "neighbours", Run: p.near.Run},
		{Name: "guard", Run: p.memory.Run},
		{Name: "observer", Run: func(ctx context.Context) error {
			return lease.Follow(ctx, p.table, p.db, "observer", p.observe, p.logs.of(logLeases))
		}},
	}
	for _, h := range p.hooks {
		tasks = append(tasks, Task{Name: "hook " + h.Name, Run: func(ctx context.Context) error {
			return lease.Follow(ctx, p.table, p.db, "hook "+h.Name, h.Deliver, p.logs.of(logHooks))
		}})
	}
	if p.trace != nil {
		tasks = append(tasks, Task{Name: "trace", Run: func(ctx context.Context) error { return p.trace.Run(ctx, p.pipeline.Journal) }})
	}
	if p.settings.Plugins.Watch {
		tasks = append(tasks, Task{Name: "plugins", Run: p.plugins.Run})
	}
	if names := p.settings.DHCP.Observe; len(names) > 0 {
		o := &dhcp.Observer{External: p.told, Interfaces: names, Log: p.logs.of(logDHCP)}
		tasks = append(tasks, Task{Name: "dhcp observer", Run: o.Run})
	}
	if p.keeper != nil {
		tasks = append(tasks, Task{Name: "certificates", Run: p.keeper.Run})
	}
	tasks = append(tasks, Task{Name: "jobs", Run: p.jobs.Run}, Task{Name: "backups", Run: p.schedule.Run}, Task{Name: "web", Run: p.web.Run})
	if p.tftp != nil {
		tasks = append(tasks, Task{Name: "tftp", Run: p.tftp.Run})
	}
	if p.http != nil {
		tasks = append(tasks, Task{Name: "http", Run: p.http.Run})
	}
	if d := p.dhcp.Load(); d != nil {
		tasks = append(tasks, Task{Name: "dhcp", Run: d.Run}, Task{Name: "dhcp interfaces", Run: p.lookOut})
	}
	for i := range tasks {
		tasks[i] = p.roster.entered(tasks[i])
	}
	return tasks
}

// observe makes a device known by its lease before it asks for anything.
func (p *parts) observe(ctx context.Context, e lease.Event) error {
	outcome := p.pipeline.Observe(ctx, e)
	if outcome == nil {
		return nil
	}
	return outcome.Err
}

// close closes the store. What is open beside it is closed by its task; before the tasks run, by the end of the
// program.
func (p *parts) close() error {
	if p.db == nil {
		return nil
	}
	return p.db.Close()
}

// pluginHost shows the plugin host as the use cases see it.
type pluginHost struct{ *plugin.Host }

// Statuses implements admin.PluginHost.
func (h pluginHost) Statuses() []admin.PluginStatus {
	var list []admin.PluginStatus
	for _, s := range h.Host.Statuses() {
		firmware := make([]admin.FirmwareFile, len(s.Firmware))
		for i, f := range s.Firmware {
			firmware[i] = admin.FirmwareFile{Name: f.Name, Size: f.Size, SHA256: hex.EncodeToString(f.Hash[:])}
		}
		list = append(list, admin.PluginStatus{
			ID: s.ID, Version: s.Version, Vendor: s.Vendor, Models: s.Models, Firmware: firmware, InForce: s.InForce, Problem: s.Problem,
			Notes: s.Notes,
		})
	}
	return list
}
