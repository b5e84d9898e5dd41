package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Host holds the plugins in force. Its exported fields are set once, before its first use; then it is safe for
// concurrent use. A Host that has not rescanned yet has no plugins.
type Host struct {
	Dir      string // has a directory for each plugin
	Overlays string // has the site's templates and files, a directory for each plugin; empty: none
	Firmware string // has installed firmware, a directory for each plugin; empty: none
	// Check is asked before a plugin comes into force; its error keeps the plugin out. It gets the plugin without the
	// site's overlay, which is there to make a difference from what the plugin's authors expect. Nil: none is asked.
	Check func(context.Context, *Plugin) error
	// HTTPPort is where our HTTP server listens; zero: there is none, and .HTTP is empty in dhcp rules.
	HTTPPort uint16
	// Link says how a client is to reach our HTTP server, if otherwise than by HTTPPort, and what its token is, which the
	// URL has already. Nil or empty: there is nothing else to say.
	Link func(c lease.Client, base netip.Addr) (url, token string)
	Log  *slog.Logger // nil: silent

	state atomic.Pointer[state]

	// scanning is held by the one rescan or installation that runs. It does I/O, so nobody who serves takes it.
	scanning sync.Mutex
	notes    map[provision.PluginID]string // of the installation
}

// state is what a rescan came to. It never changes.
type state struct {
	set     *provision.PluginSet
	all     []*Plugin // as in set
	entries map[provision.PluginID]*entry
	clashes map[provision.PluginID][]string
}

// entry is one plugin's directory.
type entry struct {
	plugin *Plugin // in force; may be nil
	tried  *parts  // what was last loaded, in force or not; nil: it couldn't be read
	err    error   // why that isn't in force
	note   string
	errors uint64 // how often what was there didn't load
}

// Status is how a plugin stands.
type Status struct {
	ID       provision.PluginID
	Version  string // of the plugin in force; empty if none is
	Vendor   string
	Models   []string
	Firmware []FirmwareFile // installed files, by name
	InForce  bool
	// Problem says what keeps the directory's present content out of force, a line for each fault; empty if nothing does.
	Problem string
	Faults  []Fault // the same, one by one
	Errors  uint64  // how often something other that was found there didn't load, since the start
	// Notes are for the administrator's information: clashes with other plugins, a newer bundled version.
	Notes []string
}

var _ provision.PluginSource = (*Host)(nil)

// Plugins implements [provision.PluginSource].
func (h *Host) Plugins() *provision.PluginSet {
	if s := h.state.Load(); s != nil {
		return s.set
	}
	return nil
}

// All returns the plugins in force in the set's order. The caller must not change the slice.
func (h *Host) All() []*Plugin {
	if s := h.state.Load(); s != nil {
		return s.all
	}
	return nil
}

// Statuses returns one entry for each plugin in force and each directory that holds a broken one, by ID.
func (h *Host) Statuses() []Status {
	s := h.state.Load()
	if s == nil {
		return nil
	}
	list := make([]Status, 0, len(s.entries))
	for _, id := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[id]
		st := Status{ID: id, InForce: e.plugin != nil, Faults: Faults(e.err), Errors: e.errors, Notes: slices.Clone(s.clashes[id])}
		if p := e.plugin; p != nil {
			st.Version, st.Vendor, st.Models, st.Firmware = p.manifest.Version, p.manifest.Vendor, p.Models(), p.firmwareFiles()
		}
		if e.err != nil {
			st.Problem = e.err.Error()
		}
		if e.note != "" {
			st.Notes = append(st.Notes, e.note)
		}
		list = append(list, st)
	}
	return list
}

func (h *Host) log() *slog.Logger {
	if h.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.Log
}

// Rescan reads the plugins' directories, loads and checks what has changed, and puts the result in force at once. A
// plugin that can't be loaded stays at its former version; [Host.Statuses] says why, the error doesn't: it tells that
// the directory of plugins can't be read or that ctx has ended, and then nothing has changed.
func (h *Host) Rescan(ctx context.Context) error {
	h.scanning.Lock()
	defer h.scanning.Unlock()
	ids, err := h.list()
	if err != nil {
		return err
	}
	old := h.state.Load()
	if old == nil {
		old = &state{}
	}
	next := &state{entries: make(map[provision.PluginID]*entry, len(ids))}
	same := len(ids) == len(old.entries)
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		was := old.entries[id]
		e := h.refresh(ctx, id, was)
		next.entries[id] = e
		same = same && e == was
	}
	if err := ctx.Err(); err != nil { // a check that ended with it proves nothing
		return err
	}
	if same {
		return nil
	}
	for id := range old.entries {
		if next.entries[id] == nil {
			h.log().InfoContext(ctx, "plugin is gone", "plugin", id)
		}
	}
	var list []provision.Plugin
	for _, e := range next.entries {
		if e.plugin != nil {
			list = append(list, e.plugin)
		}
	}
	next.set = provision.NewPluginSet(list...)
	for _, p := range next.set.All() {
		next.all = append(next.all, next.entries[p.ID()].plugin)
	}
	next.clashes = clashes(next.all)
	for id, texts := range next.clashes {
		for _, t := range texts {
			if !slices.Contains(old.clashes[id], t) {
				h.log().WarnContext(ctx, "plugins clash", "plugin", id, "clash", t)
			}
		}
	}
	h.state.Store(next)
	return nil
}

// list returns the plugins' directories. Names that begin with a dot are ours or half unpacked.
func (h *Host) list() ([]provision.PluginID, error) {
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		return nil, fmt.Errorf("read plugins: %w", err)
	}
	var ids []provision.PluginID
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Type().IsRegular() {
			continue
		}
		ids = append(ids, provision.PluginID(e.Name()))
	}
	return ids, nil
}

// refresh returns the entry of a directory: was itself if nothing has changed.
func (h *Host) refresh(ctx context.Context, id provision.PluginID, was *entry) *entry {
	e := &entry{note: h.notes[id]}
	var known *parts
	if was != nil {
		e.plugin, known, e.errors = was.plugin, was.tried, was.errors
	}
	var roots []*os.Root
	e.tried, roots, e.err = h.read(id, known)
	defer func() { release(roots, e) }()
	if e.err == nil && known != nil && e.tried.same(known) && was.note == e.note {
		e.tried = nil // its files are closed
		return was
	}
	if e.err == nil {
		e.err = h.try(ctx, id, e)
	}
	switch {
	case was != nil && e.err != nil && was.err != nil && e.err.Error() == was.err.Error() && was.note == e.note && e.tried == nil:
		return was
	case e.err != nil:
		e.errors++
		h.log().WarnContext(ctx, "plugin doesn't load", "plugin", id, "in_force", e.plugin != nil, "err", e.err)
	default:
		h.log().InfoContext(ctx, "plugin is in force", "plugin", id, "version", e.plugin.manifest.Version)
	}
	return e
}

// try builds and checks what was read and puts it into the entry if it is good.
func (h *Host) try(ctx context.Context, id provision.PluginID, e *entry) error {
	p, err := build(id, e.tried) //nolint:contextcheck // its renders of made-up data are short and wait for nothing
	if err != nil {
		return err
	}
	if h.Check != nil {
		plain := p
		if len(e.tried.overlay) > 0 {
			//nolint:contextcheck // as above
			if plain, err = build(id, &parts{own: e.tried.own, firmware: e.tried.firmware}); err != nil {
				return err
			}
		}
		if err := h.Check(ctx, plain); err != nil {
			return err
		}
	}
	e.plugin = p
	return nil
}

// read reads a plugin's three directories. The caller releases the roots.
func (h *Host) read(id provision.PluginID, known *parts) (*parts, []*os.Root, error) {
	if err := checkID(id); err != nil {
		return nil, nil, err
	}
	var roots []*os.Root
	open := func(dir, name string) (fs.FS, error) {
		if dir == "" {
			return nil, nil
		}
		at := filepath.Join(dir, string(id)) // checkID: one plain name
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil && !info.IsDir() {
			return nil, &Fault{File: name, Text: "it is no directory (a symbolic link isn't taken); put the directory itself in its place"}
		}
		r, err := os.OpenRoot(at)
		if err != nil {
			return nil, &Fault{File: name, Text: "it can't be opened: " + reason(err)}
		}
		roots = append(roots, r)
		return r.FS(), nil
	}
	var dirs Dirs
	var errs [3]error
	dirs.Plugin, errs[0] = open(h.Dir, "")
	dirs.Overlay, errs[1] = open(h.Overlays, "overlays")
	dirs.Firmware, errs[2] = open(h.Firmware, "firmware")
	if dirs.Plugin == nil && errs[0] == nil {
		errs[0] = &Fault{Text: "the directory has just gone"}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, roots, err
	}
	p, err := readParts(dirs, known)
	return p, roots, err
}

// release closes what nothing will be read from. Where a large file's content is left to be read, the root stays open
// for as long as a plugin, or an answer, refers to it.
func release(roots []*os.Root, e *entry) {
	if e.err == nil && e.tried != nil {
		for _, t := range []tree{e.tried.own, e.tried.overlay, e.tried.firmware} {
			for _, b := range t {
				if b.from != nil {
					return
				}
			}
		}
	}
	for _, r := range roots {
		r.Close()
	}
}

// Boot returns what the plugins tell a DHCP client to provision from. Where two plugins differ the newer one's counts.
// base is our address as the client reaches it. What can't be made for this client is left out and logged.
func (h *Host) Boot(c lease.Client, base netip.Addr) network.Boot {
	var b network.Boot
	data := bootData{Base: base.String(), TFTP: "tftp://" + base.String()}
	switch h.HTTPPort {
	case 0:
	case 80:
		data.HTTP = "http://" + base.String()
	default:
		data.HTTP = "http://" + net.JoinHostPort(base.String(), strconv.Itoa(int(h.HTTPPort)))
	}
	if h.Link != nil {
		var url string
		url, data.Token = h.Link(c, base)
		data.HTTP = cmp.Or(url, data.HTTP)
	}
	for _, p := range h.All() {
		p.boot(context.Background(), c, data, &b, func(name string, err error) {
			text := err.Error()
			if data.Token != "" {
				text = strings.ReplaceAll(text, data.Token, provision.Secret(data.Token).String())
			}
			h.log().Warn("dhcp option left out", "plugin", p.id, "mac", c.HW.String(), "option", name, "err", text)
		})
	}
	return b
}

// clashes finds options that two plugins give the same clients with other values. The newer one's count.
func clashes(all []*Plugin) map[provision.PluginID][]string {
	found := make(map[provision.PluginID][]string)
	for i, older := range all {
		for _, newer := range all[i+1:] {
			for _, a := range older.manifest.DHCP {
				for _, b := range newer.manifest.DHCP {
					if !overlap(a.VendorClass, b.VendorClass) {
						continue
					}
					for _, what := range differences(&a, &b) {
						text := fmt.Sprintf("%s differs from %s for the vendor class %s; that of %s counts", what, newer.id, b.VendorClass[0], newer.id)
						if !slices.Contains(found[older.id], text) {
							found[older.id] = append(found[older.id], text)
						}
					}
				}
			}
		}
	}
	return found
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return glob(x, y) || glob(y, x) })
	})
}

// differences names what two rules both give, with other values.
func differences(a, b *DHCPRule) []string {
	var found []string
	for _, f := range []struct{ name, a, b string }{{"next", a.Next, b.Next}, {"file", a.File, b.File}, {"sname", a.Sname, b.Sname}} {
		if f.a != "" && f.b != "" && f.a != f.b {
			found = append(found, f.name)
		}
	}
	for _, x := range a.Options {
		for _, y := range b.Options {
			sub := slices.EqualFunc(x.Sub, y.Sub, func(s, t SubOption) bool { return s.Code == t.Code && s.Text == t.Text })
			if x.Key == y.Key && (x.Text != y.Text || !sub) {
				found = append(found, "option "+x.Key)
			}
		}
	}
	return found
}
