package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// maxTries bounds how often a write is tried again because another request of the same device was faster.
const maxTries = 10

// update teaches the device what the request says, associates a plugin and gives a config, and saves the device if that
// changed anything. The device's first request creates it here, with its config, in one write.
func (r *passage) update(ctx context.Context) error {
	if r.device.ID == "" {
		r.say("no device")
		return nil
	}
	for range maxTries {
		r.unsay()
		next, cfg, changes, err := r.improve(ctx)
		if err != nil {
			return err
		}
		isNew := next.Rev == 0
		if !isNew && len(changes) == 0 {
			r.say("nothing new")
			return nil
		}
		saved, err := r.save(ctx, next, cfg)
		if err == nil {
			r.take(saved)
			r.out.Changes, r.out.Created = changes, isNew
			if isNew {
				r.sightings.forget(r.out)
				r.say("device %s added", saved.ID)
			}
			r.say("%d changes", len(changes))
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("save device %s: %w", next.ID, err)
		}
		if err := r.reread(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("save device %s: gave up after %d tries: %w", r.device.ID, maxTries, ErrConflict)
}

// reread gets the device as the request that was faster has left it.
func (r *passage) reread(ctx context.Context) error {
	if r.device.Rev != 0 {
		d, err := r.devices.Device(ctx, r.device.ID)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("device %s was removed meanwhile: %w", r.device.ID, ErrConflict)
		}
		if err == nil {
			r.take(d)
		}
		return err
	}
	found, err := r.lookup(ctx)
	if err != nil || found {
		return err
	}
	r.device.ID = randomID() // the ID is a device's that had this MAC once
	return nil
}

// improve returns the device as it should be, the config to be created with it, and what has changed.
func (r *passage) improve(ctx context.Context) (Device, Config, []Change, error) {
	u := improvement{passage: r, Device: r.device}
	contradicted := len(r.out.Identity.Conflicts) > 0
	if contradicted && u.Rev != 0 {
		r.say("a contradicted request teaches nothing")
	} else if err := u.facts(ctx); err != nil {
		return Device{}, Config{}, nil, err
	}
	r.known = complete(r.out.Identity, &u.Device)
	r.out.Scores = r.plugins.Scores(r.known)
	if contradicted && u.Rev != 0 {
		r.out.Plugin = u.Plugin
		return u.Device, Config{}, nil, nil
	}
	if err := u.confirm(ctx); err != nil {
		return Device{}, Config{}, nil, err
	}
	u.associate()
	r.out.Plugin = u.Plugin
	cfg, err := u.configure(ctx)
	return u.Device, cfg, u.changes, err
}

// improvement is a device being changed.
type improvement struct {
	*passage
	Device
	changes []Change
}

func (u *improvement) set(field string, old *string, value, why string) {
	if *old != value {
		u.changes = append(u.changes, Change{Field: field, Old: *old, New: value, Why: why})
		*old = value
	}
}

// facts fills in what the record lacks and brings up to date what may change: the firmware's version with any request
// that tells it, vendor and model only on better evidence than the name of a file. A guess is no fact.
func (u *improvement) facts(ctx context.Context) error {
	id := &u.out.Identity
	if u.HW.IsZero() && !id.HW.IsZero() {
		if free, err := u.free(AttrMAC, func() (Device, error) { return u.devices.DeviceByHW(ctx, id.HW) }); err != nil {
			return err
		} else if free {
			u.changes = append(u.changes, Change{Field: AttrMAC, New: id.HW.String(), Why: "by " + id.Assurance.String()})
			u.HW = id.HW
		}
	}
	if u.Serial == "" && u.usable(AttrSerial, id.Serial) {
		if free, err := u.free(AttrSerial, func() (Device, error) { return u.devices.DeviceBySerial(ctx, id.Serial) }); err != nil {
			return err
		} else if free {
			u.set(AttrSerial, &u.Serial, id.Serial, "was unknown")
		}
	}
	if u.UUID == "" && u.usable(AttrUUID, id.UUID) {
		if free, err := u.free(AttrUUID, func() (Device, error) { return u.devices.DeviceByUUID(ctx, id.UUID) }); err != nil {
			return err
		} else if free {
			u.set(AttrUUID, &u.UUID, id.UUID, "was unknown")
		}
	}
	u.product(id)
	return nil
}

// product learns vendor, model and version. What belonged to a former vendor or model doesn't outlive it.
func (u *improvement) product(id *Identity) {
	if u.State == StateProvisioned && (u.Vendor != "" && id.Vendor != "" && id.Vendor != u.Vendor || u.unlike(&u.Device) != "") {
		u.say("it stays a %s: a provisioned device doesn't become another product by its own word", Printable(u.Vendor+" "+u.Model))
		return
	}
	hearsay := u.hearsay()
	learns := func(stored, asked string, by Source) bool {
		return asked != "" && asked != stored && (stored == "" && by >= SourcePath || by > SourcePath && !hearsay)
	}
	if learns(u.Vendor, id.Vendor, id.VendorBy) {
		if u.Vendor != "" {
			u.set(AttrModel, &u.Model, "", "was of another vendor")
			u.set(AttrVersion, &u.Version, "", "was of another vendor")
		}
		u.set(AttrVendor, &u.Vendor, id.Vendor, "by "+id.VendorBy.String())
	}
	if id.Vendor != "" && id.Vendor != u.Vendor {
		return // a weak word for another vendor's product
	}
	if learns(u.Model, id.Model, id.ModelBy) {
		if u.Model != "" {
			u.set(AttrVersion, &u.Version, "", "was of another model")
		}
		u.set(AttrModel, &u.Model, id.Model, "by "+id.ModelBy.String())
	}
	if id.Model != "" && id.Model != u.Model {
		return
	}
	if learns(u.Version, id.Version, id.VersionBy) {
		u.set(AttrVersion, &u.Version, id.Version, "by "+id.VersionBy.String())
	}
}

// hearsay reports whether nothing but the request's own word says that it is of the device: that completes a record, but
// changes nothing in it, or anybody could rewrite it as often as he likes. In a legacy network a word is all there is.
func (r *passage) hearsay() bool {
	return r.device.Rev != 0 && r.out.Identity.Assurance <= SourceHeader && r.out.Policy.Guard != GuardLegacy
}

// free reports whether no other device has a key that this one is about to get.
func (u *improvement) free(attr string, get func() (Device, error)) (bool, error) {
	d, err := get()
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && d.ID == u.ID:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look up %s: %w", attr, err)
	}
	u.say("the %s is device %s's", attr, d.ID)
	return false, nil
}

// complete returns the identity with what it lacks taken from the device's record. It doesn't mix a product of two.
func complete(id Identity, d *Device) Identity {
	if id.HW.IsZero() {
		id.HW = d.HW
	}
	id.Serial, id.UUID = cmp.Or(id.Serial, d.Serial), cmp.Or(id.UUID, d.UUID)
	same := true // so far, the record and the request speak of one product
	for _, f := range [...]struct {
		value  *string
		by     *Source
		stored string
	}{{&id.Vendor, &id.VendorBy, d.Vendor}, {&id.Model, &id.ModelBy, d.Model}, {&id.Version, &id.VersionBy, d.Version}} {
		switch {
		case f.stored == "" && !same:
			*f.value, *f.by = "", SourceNone
		case f.stored == *f.value && f.stored != "":
			*f.by = max(*f.by, SourceStored)
		case f.stored != "":
			same = same && *f.value == ""
			*f.value, *f.by = f.stored, SourceStored
		}
	}
	return id
}

// preferred returns the best score; of those that are as good, that of the plugin that comes first in a list.
func preferred(scores []Score, order []PluginID) Score {
	for _, id := range order {
		for _, s := range scores {
			if s.Plugin == id && s.Support == scores[0].Support {
				return s
			}
		}
	}
	return scores[0]
}

// confirm makes a new device an enrolled one if an administrator has opened a window for it, and something backs what it
// says of itself.
func (u *improvement) confirm(ctx context.Context) error {
	doubted := u.locked || len(u.out.Identity.Conflicts) > 0
	if u.State != StateNew || u.Trust() != StateNew || doubted || u.tie.level == NetNone && u.token.state != TokenValid && u.out.Request.Cert == nil {
		return nil
	}
	ok, err := u.gate.pass(ctx, &u.Device, u.out.Policy.Network, u.out.Request.At, u.dry)
	if ok && err == nil {
		u.changes = append(u.changes, Change{Field: "state", New: string(StateEnrolled), Why: "an enrolment window is open for it"})
		u.State = StateEnrolled
		if u.Port == "" && u.tie.port != "" && u.out.Policy.Guard == GuardStrict {
			u.set("port", &u.Port, u.tie.port, "it was enrolled there")
		}
	}
	return err
}

// associate chooses the plugin. One that the device has already stays unless another supports it better, or it has gone
// and another is at least probable.
func (u *improvement) associate() {
	_, installed := u.plugins.Get(u.Plugin)
	var best, current Score
	if len(u.out.Scores) > 0 {
		best = preferred(u.out.Scores, u.out.Policy.PluginsFirst)
	}
	if i := slices.IndexFunc(u.out.Scores, func(s Score) bool { return s.Plugin == u.Plugin }); i >= 0 {
		current = u.out.Scores[i]
	}
	switch {
	case u.out.Policy.NoAssociate:
		u.say("the network's policy gives no plugin by itself")
	case u.Pinned && !installed:
		u.say("the pinned plugin %s isn't installed", Printable(string(u.Plugin)))
	case u.Pinned:
		u.say("plugin %s is pinned", u.Plugin)
	case best.Plugin == "":
		u.say("there are no plugins, so nothing can be configured")
	case best.Support < SupportProbable && u.Plugin == "":
		u.say("no plugin supports it (best: %s)", best)
	case best.Support < SupportProbable && !installed:
		u.say("its plugin %s isn't installed and no other supports it (best: %s)", u.Plugin, best)
	case best.Support < SupportProbable:
		u.say("keeps plugin %s, though it is no more than %s", u.Plugin, current)
	case installed && best.Support <= current.Support:
		u.tell("plugin ", string(u.Plugin), ": ", current.Support.String())
	default:
		plugin := string(u.Plugin)
		u.set("plugin", &plugin, string(best.Plugin), best.String())
		u.Plugin = best.Plugin
	}
}

// configure gives a device with a plugin and without a config one: of its own, if some config has the role autocreate,
// else the one with the role default. The config that it returns is to be created with the device.
func (u *improvement) configure(ctx context.Context) (Config, error) {
	switch {
	case u.Config != "":
		return Config{}, nil
	case u.Plugin == "":
		u.say("no config without a plugin")
		return Config{}, nil
	case !u.out.Policy.Configure:
		u.say("no config: the network's policy gives none")
		return Config{}, nil
	}
	parent, err := u.configs.ConfigByRole(ctx, RoleAutocreate)
	if errors.Is(err, ErrNotFound) {
		return Config{}, u.defaultConfig(ctx)
	}
	if err != nil {
		return Config{}, fmt.Errorf("look up the config of role %s: %w", RoleAutocreate, err)
	}
	own := Config{ID: "auto-" + ConfigID(u.ID), Parents: []ConfigID{parent.ID}, Transient: true}
	why := "made for it from " + string(parent.ID)
	switch _, err := u.configs.Config(ctx, own.ID); {
	case err == nil: // it was this device's before
		own, why = Config{ID: own.ID, Rev: 1}, "was its own before"
	case !errors.Is(err, ErrNotFound):
		return Config{}, fmt.Errorf("look up config %s: %w", own.ID, err)
	}
	id := ""
	u.set("config", &id, string(own.ID), why)
	u.Config = own.ID
	return own, nil
}

func (u *improvement) defaultConfig(ctx context.Context) error {
	c, err := u.configs.ConfigByRole(ctx, RoleDefault)
	if errors.Is(err, ErrNotFound) {
		u.say("no config has the role %s or %s", RoleAutocreate, RoleDefault)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the config of role %s: %w", RoleDefault, err)
	}
	id := ""
	u.set("config", &id, string(c.ID), "has the role default")
	u.Config = c.ID
	return nil
}

// save writes the device, and the config that is new with it.
func (r *passage) save(ctx context.Context, d Device, c Config) (Device, error) {
	if d.Rev == 0 {
		return r.devices.AddDevice(ctx, d, c)
	}
	if c.ID != "" && c.Rev == 0 {
		// A conflict means that another request of this device has just made it.
		if _, err := r.configs.PutConfig(ctx, c); err != nil && !errors.Is(err, ErrConflict) {
			return Device{}, err
		}
	}
	return r.devices.PutDevice(ctx, d)
}
