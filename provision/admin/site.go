package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Site is all that administrators decide: networks, configs and phones.
type Site struct {
	Networks network.Declared
	Configs  []provision.Config
	Phones   []provision.Device
}

// SiteChange is one difference between the site as it is and as it is to be.
type SiteChange struct {
	Action string   `json:"action"`           // add, change or remove
	Kind   string   `json:"kind"`             // config, phone, network, class, shared or all networks
	Name   string   `json:"name"`             // may be empty
	Fields []string `json:"fields,omitempty"` // of what changes, as the site's file names them
}

// ExportSite returns the whole site, secrets included. Configs come after their parents.
func (s *Service) ExportSite(ctx context.Context) (Site, error) {
	d, _, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return Site{}, fmt.Errorf("export: %w", err)
	}
	all, err := s.Configs.Configs(ctx)
	if err != nil {
		return Site{}, fmt.Errorf("export: %w", err)
	}
	phones, err := s.Devices.Devices(ctx)
	if err != nil {
		return Site{}, fmt.Errorf("export: %w", err)
	}
	slices.SortFunc(phones, func(a, b provision.Device) int { return cmp.Compare(a.ID, b.ID) })
	return Site{Networks: d, Configs: parentsFirst(all), Phones: phones}, nil
}

// parentsFirst sorts configs: by ID, but each after its parents.
func parentsFirst(list []provision.Config) []provision.Config {
	list = slices.SortedFunc(slices.Values(list), func(a, b provision.Config) int { return cmp.Compare(a.ID, b.ID) })
	byID := make(map[provision.ConfigID]provision.Config, len(list))
	for _, c := range list {
		byID[c.ID] = c
	}
	out := make([]provision.Config, 0, len(list))
	var visit func(provision.ConfigID)
	visit = func(id provision.ConfigID) {
		c, ok := byID[id]
		if !ok {
			return
		}
		delete(byID, id)
		for _, p := range c.Parents {
			visit(p)
		}
		out = append(out, c)
	}
	for _, c := range list {
		visit(c.ID)
	}
	return out
}

// ApplySite makes the site what a description says, and returns in what it differed. With prune, what the description lacks
// is removed; else it stays. A secret that is [MaskedSecret] stays as it is. Of a phone that is known, texts that are left
// out stay, but for its label.
//
// Nothing is written if anything is wrong. Faults have all of it, with pointers such as /configs/3, /networks/0/pools/1 and
// /devices/7/config. A config may be written before somebody else's change keeps a phone from being: then it is ErrConflict,
// and to apply the site once more takes it up where it ended.
func (s *Service) ApplySite(ctx context.Context, site Site, prune bool, w Write) ([]SiteChange, error) {
	if err := checkBy(w.By); err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	p := sitePlan{Service: s, site: site, prune: prune, by: w.By}
	err := p.read(ctx)
	if err == nil {
		err = p.plan(ctx)
	}
	if err == nil {
		err = p.faults.err()
	}
	if err == nil && !w.DryRun && len(p.changes) > 0 {
		err = p.write(ctx, "site")
	}
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return p.changes, nil
}

// sitePlan is a site on its way to be what a description says.
type sitePlan struct {
	*Service
	site  Site
	prune bool
	by    provision.Author

	faults  Faults
	changes []SiteChange
	now     Site
	rev     uint64 // of the networks

	configs     []provision.Config // to be written, parents first
	among       provision.ConfigReader
	networks    network.Declared
	redeclare   bool
	phones      []provision.Device // to be written
	goneConfigs []provision.Config
	gonePhones  []provision.Device
}

func (p *sitePlan) read(ctx context.Context) (err error) {
	if p.now, err = p.ExportSite(ctx); err != nil {
		return err
	}
	p.now.Networks, p.rev, err = p.Networks.LoadDeclared(ctx)
	return err
}

// plan finds what differs, and all that is wrong.
func (p *sitePlan) plan(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.planConfigs, p.planNetworks, p.planPhones} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// write does what was planned. The audit has it under the name of the object.
func (p *sitePlan) write(ctx context.Context, object string) error {
	if err := describe(ctx, object, nil, p.changes); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.writeConfigs, p.writeNetworks, p.writePhones, p.removeRest} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *sitePlan) change(action, kind, name string, fields ...string) {
	p.changes = append(p.changes, SiteChange{action, kind, name, fields})
}

func (p *sitePlan) planConfigs(ctx context.Context) error {
	stored := make(map[provision.ConfigID]*provision.Config)
	for i := range p.now.Configs {
		stored[p.now.Configs[i].ID] = &p.now.Configs[i]
	}
	place, roles := make(map[provision.ConfigID]int), make(map[provision.Role]provision.ConfigID)
	put := slices.Clone(p.site.Configs)
	for i := range put {
		place[put[i].ID], roles[put[i].Role] = i, put[i].ID
		if old := stored[put[i].ID]; old != nil {
			put[i].Rev = old.Rev
		} else {
			put[i].Rev = 0
		}
	}
	var gone []provision.ConfigID
	for _, c := range p.now.Configs {
		if _, ok := place[c.ID]; ok {
			continue
		}
		at := "/configs"
		if id, ok := roles[c.Role]; ok && c.Role != provision.RoleNone && !p.prune {
			p.faults.conflict(pointerTo(at, strconv.Itoa(place[id])), "config %s has the role %s already; take it away from that one in this file", c.ID, c.Role)
		}
		if p.prune && c.Locked {
			p.faults.invalid(at, "config %s is locked, so it can't be removed; add it to the file", c.ID)
		} else if p.prune {
			gone, p.goneConfigs = append(gone, c.ID), append(p.goneConfigs, c)
		}
	}
	p.among = provision.Suppose(p.Configs, put, gone)
	for _, c := range parentsFirst(put) {
		ready, err := p.prepare(ctx, c, p.among)
		if err != nil {
			at := pointerTo("/configs", strconv.Itoa(place[c.ID]))
			faults, ok := errors.AsType[Faults](err)
			if !ok {
				return fmt.Errorf("config %s: %w", c.ID, err)
			}
			for _, f := range faults {
				p.faults.invalid(at+f.Pointer, "config %s: %s", c.ID, f.Text)
			}
			continue
		}
		old := stored[c.ID]
		if old == nil {
			p.change("add", "config", string(c.ID))
		} else if same(*old, ready) {
			continue
		} else {
			p.change("change", "config", string(c.ID), fields(provision.DiffConfigs(old, &ready))...)
		}
		p.configs = append(p.configs, ready)
	}
	for _, c := range p.goneConfigs {
		p.change("remove", "config", string(c.ID))
	}
	return nil
}

func fields(list []provision.Difference) (out []string) {
	for _, d := range list {
		out = append(out, d.Path)
	}
	return out
}

func (p *sitePlan) planNetworks(ctx context.Context) error {
	before, after := p.now.Networks, p.site.Networks
	if !p.prune {
		if len(after.Options) == 0 && !after.Next.IsValid() && after.Sname == "" && after.File == "" {
			after.Options, after.Next, after.Sname, after.File = before.Options, before.Next, before.Sname, before.File
		}
		after.Classes = withRest(after.Classes, before.Classes, func(c network.Class) string { return string(c.ID) })
		after.Shared = withRest(after.Shared, before.Shared, func(l network.Shared) string { return l.Name })
		after.Networks = withRest(after.Networks, before.Networks, func(n network.Network) string { return string(n.ID) })
	}
	if p.redeclare = !same(before, after); !p.redeclare {
		return nil
	}
	p.networks = after
	// What is the same but for its order, too, makes a difference.
	known := len(p.changes)
	changesOf(p, "class", before.Classes, after.Classes, func(c network.Class) string { return string(c.ID) })
	changesOf(p, "shared", before.Shared, after.Shared, func(l network.Shared) string { return l.Name })
	changesOf(p, "network", before.Networks, after.Networks, func(n network.Network) string { return string(n.ID) })
	all := func(d network.Declared) network.Declared { d.Classes, d.Shared, d.Networks = nil, nil, nil; return d }
	if list := differing(all(before), all(after)); len(list) > 0 {
		p.change("change", "all networks", "", list...)
	} else if len(p.changes) == known {
		p.change("change", "all networks", "", "order")
	}
	_, err := p.Declare(ctx, after, p.rev, Write{By: p.by, DryRun: true})
	if faults, ok := errors.AsType[Faults](err); ok {
		p.faults = append(p.faults, faults...)
		return nil
	}
	return err
}

// withRest appends what of others has a name of its own.
func withRest[T any](list, others []T, name func(T) string) []T {
	out := slices.Clone(list)
	for _, o := range others {
		if !slices.ContainsFunc(list, func(x T) bool { return name(x) == name(o) }) {
			out = append(out, o)
		}
	}
	return out
}

func changesOf[T any](p *sitePlan, kind string, before, after []T, name func(T) string) {
	index := func(list []T, x T) int { return slices.IndexFunc(list, func(y T) bool { return name(x) == name(y) }) }
	for _, x := range after {
		switch i := index(before, x); {
		case i < 0:
			p.change("add", kind, name(x))
		case !same(before[i], x):
			p.change("change", kind, name(x), differing(before[i], x)...)
		}
	}
	for _, x := range before {
		if index(after, x) < 0 {
			p.change("remove", kind, name(x))
		}
	}
}

// supposed is the store of configs as it will be, for reading.
type supposed struct {
	configStore
	reader provision.ConfigReader
}

// configStore is Configs by a name that isn't also a method's.
type configStore interface{ Configs }

func (s supposed) Config(ctx context.Context, id provision.ConfigID) (provision.Config, error) {
	return s.reader.Config(ctx, id)
}

func (s supposed) ConfigByRole(ctx context.Context, role provision.Role) (provision.Config, error) {
	return s.reader.ConfigByRole(ctx, role)
}

func (p *sitePlan) planPhones(ctx context.Context) error {
	view := *p.Service
	view.Configs = supposed{p.Configs, p.among}
	stored, keys := make(map[string]*provision.Device), make(map[string]int)
	for i := range p.now.Phones {
		d := &p.now.Phones[i]
		for _, k := range phoneKeys(d)[1:] {
			stored[k] = d
		}
	}
	for i := range p.now.Phones { // an ID comes before what else a phone is known by
		stored[phoneKeys(&p.now.Phones[i])[0]] = &p.now.Phones[i]
	}
	kept := make(map[provision.DeviceID]bool)
	for i, d := range p.site.Phones {
		at := pointerTo("/devices", strconv.Itoa(i))
		e := phoneEdit{Service: &view, whole: true}
		for _, k := range phoneKeys(&d) {
			if other, ok := keys[k]; ok {
				p.faults = append(p.faults, Fault{Pointer: at, Other: pointerTo("/devices", strconv.Itoa(other)), Text: "there is another phone with the same " + strings.Replace(k, " ", ": ", 1), Kind: provision.ErrConflict})
			}
			keys[k] = i
			if e.stored.Rev == 0 && stored[k] != nil && !kept[stored[k].ID] {
				e.stored = *stored[k]
			}
		}
		kept[e.stored.ID] = true
		if err := e.fit(ctx, d); err != nil {
			return err
		}
		for _, f := range e.faults {
			f.Pointer = at + f.Pointer
			p.faults = append(p.faults, f)
		}
		switch {
		case e.stored.Rev == 0:
			p.change("add", "phone", string(e.next.ID))
		case same(e.stored, e.next):
			continue
		default:
			p.change("change", "phone", string(e.next.ID), fields(diffDevices(&e.stored, &e.next))...)
		}
		p.phones = append(p.phones, e.next)
	}
	for _, d := range p.now.Phones {
		if p.prune && !kept[d.ID] {
			p.gonePhones = append(p.gonePhones, d)
			p.change("remove", "phone", string(d.ID))
		}
	}
	return nil
}

// phoneKeys are what a phone is known by.
func phoneKeys(d *provision.Device) []string {
	keys := []string{"id " + string(d.ID)}
	if !d.HW.IsZero() {
		keys = append(keys, "mac "+d.HW.String())
	}
	if d.Serial != "" {
		keys = append(keys, "sn "+d.Serial)
	}
	if d.UUID != "" {
		keys = append(keys, "uuid "+d.UUID)
	}
	return keys
}

// fit makes the phone what a description says.
func (e *phoneEdit) fit(ctx context.Context, d provision.Device) error {
	old := &e.stored
	mac := cmp.Or(d.HW, old.HW).String()
	if d.HW.IsZero() && old.HW.IsZero() {
		mac = ""
	}
	e.next = *old
	if old.Rev == 0 {
		e.next = provision.Device{ID: d.ID, Created: cmp.Or(d.Created, time.Now())}
		if !configID.MatchString(string(d.ID)) {
			e.faults.invalid("/id", "want letters, digits and ._- only, at most 128, not %q", provision.Printable(string(d.ID)))
		}
	} else if !d.Created.IsZero() && !d.Created.Equal(old.Created) {
		e.next.Created = d.Created
	}
	f := PhoneFields{
		Label: d.Label, MAC: mac, Serial: cmp.Or(d.Serial, old.Serial), UUID: cmp.Or(d.UUID, old.UUID),
		Vendor: cmp.Or(d.Vendor, old.Vendor), Model: cmp.Or(d.Model, old.Model), Version: cmp.Or(d.Version, old.Version),
		Plugin: cmp.Or(d.Plugin, old.Plugin), Pinned: d.Pinned, Config: cmp.Or(d.Config, old.Config),
		Override: d.Override, Options: d.Options, Remote: d.Remote, Static: d.Static,
	}
	if err := e.apply(ctx, f.patch()); err != nil {
		return err
	}
	switch d.State {
	case provision.StateNew, provision.StateEnrolled, provision.StateProvisioned, provision.StateSuspicious, provision.StateRetired:
		e.next.State = cmp.Or(d.State, old.State)
	default:
		e.faults.invalid("/state", "want enrolled, provisioned, suspicious or retired, not %q", provision.Printable(string(d.State)))
	}
	e.next.Port = cmp.Or(d.Port, old.Port)
	e.next.Auto, e.next.Network = d.Auto || old.Rev != 0 && old.Auto, cmp.Or(d.Network, old.Network)
	return nil
}
