package admin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/port"
)

// Import adds what the files of another program say to the site, and returns what became of each thing. What the site has
// already stays as it is, so to import the same again changes nothing. What can't be is left out, with its verdict; all
// else is written as [Service.ApplySite] does it, or nothing is.
func (s *Service) Import(ctx context.Context, format port.Format, files []port.File, w Write) ([]port.Verdict, error) {
	if err := checkBy(w.By); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	var plugins []provision.PluginID
	for _, p := range s.Plugins.Plugins().All() {
		plugins = append(plugins, p.ID())
	}
	found, err := port.Read(format, files, plugins)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	x := &importing{Found: found, left: make(map[int]bool)}
	// Each round leaves something out, or is the last.
	for range len(found.Verdicts) + 1 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		p := sitePlan{Service: s, by: w.By}
		if err := p.read(ctx); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		x.merge(&p)
		if err := p.plan(ctx); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		if len(p.faults) > 0 {
			if !x.blame(p.faults) {
				return nil, fmt.Errorf("import: %w", p.faults)
			}
			continue
		}
		if !w.DryRun && len(p.changes) > 0 {
			if err := p.write(ctx, "import of "+string(format)); err != nil {
				return nil, fmt.Errorf("import: %w", err)
			}
		}
		return x.verdicts, nil
	}
	return nil, fmt.Errorf("import: its faults have no end: %w", provision.ErrInvalid)
}

// importing is what was found, on its way to be part of a site.
type importing struct {
	port.Found
	left map[int]bool // what can't be, by its verdict; it has its text already

	// Of the present round: verdicts as they are, if nothing else is wrong, and where the things of verdicts are in the site.
	verdicts []port.Verdict
	places   map[string]int
	site     Site
}

// set changes the verdict of this round.
func (x *importing) set(place int, a port.Action, format string, args ...any) {
	x.verdicts[place].Action, x.verdicts[place].Text = a, fmt.Sprintf(format, args...)
}

// merge makes the site that is to be of that which is.
func (x *importing) merge(p *sitePlan) {
	x.verdicts, x.places = slices.Clone(x.Verdicts), make(map[string]int)
	x.site = Site{Networks: clone(p.now.Networks)}
	x.mergeClasses()
	x.mergeNetworks()
	for _, part := range x.Parts {
		if !x.left[part.Verdict] {
			x.mergePart(part.Value, part.Verdict)
		}
	}
	names := x.mergeConfigs(p.now.Configs)
	x.mergePhones(p.now.Phones, names)
	p.site = x.site
}

// clone copies what is declared as deep as an import changes it.
func clone(d network.Declared) network.Declared {
	d.Options, d.Classes, d.Shared, d.Networks = slices.Clone(d.Options), slices.Clone(d.Classes), slices.Clone(d.Shared), slices.Clone(d.Networks)
	for i := range d.Networks {
		n := &d.Networks[i]
		n.Pools, n.Reservations, n.Options = slices.Clone(n.Pools), slices.Clone(n.Reservations), slices.Clone(n.Options)
	}
	return d
}

func (x *importing) mergeClasses() {
	d := &x.site.Networks
	for _, c := range x.Classes {
		i := slices.IndexFunc(d.Classes, func(k network.Class) bool { return k.ID == c.Value.ID })
		switch {
		case x.left[c.Verdict]:
		case i >= 0 && same(d.Classes[i], c.Value):
			x.set(c.Verdict, port.Known, "")
		case i >= 0:
			x.set(c.Verdict, port.Known, "there is another class of that name, which stays as it is")
		default:
			x.places[pointerTo("/classes", strconv.Itoa(len(d.Classes)))] = c.Verdict
			d.Classes = append(d.Classes, c.Value)
		}
	}
}

func (x *importing) mergeNetworks() {
	d := &x.site.Networks
	for _, n := range x.Networks {
		if x.left[n.Verdict] {
			continue
		}
		if old := slices.IndexFunc(d.Networks, func(o network.Network) bool { return o.Prefix == n.Value.Prefix }); old >= 0 {
			x.set(n.Verdict, port.Known, "it is the network %s, whose own settings stay as they are", d.Networks[old].ID)
			continue
		}
		id := n.Value.ID
		for k := 2; networkOf(*d, n.Value.ID) != nil; k++ {
			n.Value.ID = network.ID(fmt.Sprintf("%s-%d", id, k))
			x.set(n.Verdict, port.Added, "as %s, for there is another of its name", n.Value.ID)
		}
		x.places[pointerTo("/networks", strconv.Itoa(len(d.Networks)))] = n.Verdict
		d.Networks = append(d.Networks, n.Value)
	}
}

// networkAt returns the place of a network, by its prefix or by an address in it.
func (x *importing) networkAt(prefix netip.Prefix, addr netip.Addr) (int, bool) {
	i := slices.IndexFunc(x.site.Networks.Networks, func(n network.Network) bool {
		return prefix.IsValid() && n.Prefix == prefix || addr.IsValid() && n.Prefix.Contains(addr)
	})
	return i, i >= 0
}

func (x *importing) mergePart(p port.Part, place int) {
	d := &x.site.Networks
	addr := netip.Addr{}
	switch {
	case p.Pool != nil:
		addr = p.Pool.First
	case p.Reservation != nil:
		addr = p.Reservation.Addr
	}
	i, there := x.networkAt(p.Prefix, addr)
	if !there && addr.IsValid() {
		x.set(place, port.Wrong, "there is no network that %s is of", addr)
		return
	}
	if !there && p.Prefix.IsValid() {
		x.set(place, port.Wrong, "there is no network %s", p.Prefix)
		return
	}
	all := !there
	var n *network.Network
	at := ""
	if there {
		n, at = &d.Networks[i], pointerTo("/networks", strconv.Itoa(i))
	}
	switch {
	case p.Pool != nil:
		if slices.ContainsFunc(n.Pools, func(o network.Pool) bool { return o.First == p.Pool.First && o.Last == p.Pool.Last }) {
			x.set(place, port.Known, "")
			return
		}
		x.places[at+pointerTo("/pools", strconv.Itoa(len(n.Pools)))] = place
		n.Pools = append(n.Pools, *p.Pool)
	case p.Reservation != nil:
		x.reserve(n, at, *p.Reservation, place)
	case p.Option != nil && all:
		x.addOption(&d.Options, *p.Option, "/options", place)
	case p.Option != nil:
		x.addOption(&n.Options, *p.Option, at+"/options", place)
	case p.Boot != nil && all:
		x.addBoot(&d.Next, &d.Sname, &d.File, *p.Boot, place)
	case p.Boot != nil:
		x.addBoot(&n.Next, &n.Sname, &n.File, *p.Boot, place)
	}
}

func (x *importing) reserve(n *network.Network, at string, r network.Reservation, place int) {
	for i := range n.Reservations {
		if o := &n.Reservations[i]; o.Addr == r.Addr && o.HW == r.HW && o.ClientID == r.ClientID && o.Circuit == r.Circuit && o.Remote == r.Remote {
			x.set(place, port.Known, "")
			return
		}
	}
	x.places[at+pointerTo("/reservations", strconv.Itoa(len(n.Reservations)))] = place
	n.Reservations = append(n.Reservations, r)
}

func (x *importing) addOption(list *[]network.Option, o network.Option, at string, place int) {
	i := slices.IndexFunc(*list, func(y network.Option) bool { return y.Code == o.Code })
	switch {
	case i >= 0 && same((*list)[i], o):
		x.set(place, port.Known, "")
	case i >= 0:
		x.set(place, port.Known, "there is another value for it, which stays as it is")
	default:
		x.places[pointerTo(at, strconv.Itoa(len(*list)))] = place
		*list = append(*list, o)
	}
}

func (x *importing) addBoot(next *netip.Addr, sname, file *string, b network.Boot, place int) {
	if b.Next == *next && b.Sname == *sname && b.File == *file {
		x.set(place, port.Known, "")
		return
	}
	if next.IsValid() && b.Next.IsValid() && *next != b.Next || *sname != "" && b.Sname != "" && *sname != b.Sname || *file != "" && b.File != "" && *file != b.File {
		x.set(place, port.Known, "there is another server or file, which stays as it is")
		return
	}
	if b.Next.IsValid() {
		*next = b.Next
	}
	if b.Sname != "" {
		*sname = b.Sname
	}
	if b.File != "" {
		*file = b.File
	}
}

// mergeConfigs adds configs, and returns under which names. One whose name a config with a role has is added under
// another: the other program meant something else by "base".
func (x *importing) mergeConfigs(now []provision.Config) map[provision.ConfigID]provision.ConfigID {
	stored, roles := make(map[provision.ConfigID]*provision.Config), make(map[provision.Role]bool)
	for i := range now {
		stored[now[i].ID], roles[now[i].Role] = &now[i], true
	}
	names := make(map[provision.ConfigID]provision.ConfigID)
	for _, c := range x.Configs {
		id := c.Value.ID
		if old := stored[id]; old != nil && old.Role != provision.RoleNone && old.Role != c.Value.Role {
			id = "imported-" + id
		}
		names[c.Value.ID] = id
	}
	for _, c := range x.Configs {
		v := c.Value
		v.ID, v.Parents = names[v.ID], slices.Clone(v.Parents)
		for i, p := range v.Parents {
			v.Parents[i] = names[p]
		}
		switch {
		case x.left[c.Verdict]:
			continue
		case stored[v.ID] != nil:
			x.set(c.Verdict, port.Known, "config %s stays as it is", v.ID)
			continue
		case v.ID != c.Value.ID:
			x.set(c.Verdict, port.Added, "as %s, for there is a config %s with a role", v.ID, c.Value.ID)
		}
		if v.Role != provision.RoleNone && roles[v.Role] {
			v.Role = provision.RoleNone
			x.verdicts[c.Verdict].Text = strings.TrimPrefix(x.verdicts[c.Verdict].Text+fmt.Sprintf("; without its role %s, which another config has", c.Value.Role), "; ")
		}
		x.places[pointerTo("/configs", strconv.Itoa(len(x.site.Configs)))] = c.Verdict
		x.site.Configs = append(x.site.Configs, v)
	}
	return names
}

func (x *importing) mergePhones(now []provision.Device, names map[provision.ConfigID]provision.ConfigID) {
	stored := make(map[string]provision.DeviceID)
	for i := range now {
		for _, k := range phoneKeys(&now[i]) {
			stored[k] = now[i].ID
		}
	}
	for _, d := range x.Phones {
		if x.left[d.Verdict] {
			continue
		}
		if c, ok := names[d.Value.Config]; ok {
			d.Value.Config = c
		}
		known := false
		for _, k := range slices.Backward(phoneKeys(&d.Value)) {
			id, ok := stored[k]
			switch {
			case !ok:
			case strings.HasPrefix(k, "sn ") && !d.Value.HW.IsZero() && stored["mac "+d.Value.HW.String()] != id:
				x.set(d.Verdict, port.Wrong, "its serial number is that of phone %s", id)
			default:
				x.set(d.Verdict, port.Known, "it is known already, as %s", id)
			}
			known = known || ok
		}
		if known {
			continue
		}
		x.places[pointerTo("/devices", strconv.Itoa(len(x.site.Phones)))] = d.Verdict
		x.site.Phones = append(x.site.Phones, d.Value)
	}
}

// blame leaves out what the faults are about, and reports whether there was anything. Of two things that clash, the one
// that was imported goes, and of two such the second.
func (x *importing) blame(faults Faults) bool {
	found := false
	for _, f := range faults {
		place, ok := x.placeOf(f.Pointer)
		if !ok {
			place, ok = x.placeOf(f.Other)
		}
		if !ok || x.left[place] {
			continue
		}
		found, x.left[place] = true, true
		v := &x.Verdicts[place]
		v.Action, v.Text = port.Wrong, provision.Printable(f.Text)
	}
	return found
}

// placeOf returns the verdict of the thing that a pointer leads into.
func (x *importing) placeOf(pointer string) (int, bool) {
	for pointer != "" {
		if place, ok := x.places[pointer]; ok {
			return place, true
		}
		pointer = pointer[:max(strings.LastIndexByte(pointer, '/'), 0)]
	}
	return 0, false
}
