package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// PhoneFields is all of a phone that an administrator sets. How far it is trusted isn't among it: [Service.Approve],
// [Service.Retire] and [Service.ClearSuspicion] change that.
type PhoneFields struct {
	Label, MAC, Serial, UUID string // the MAC in any usual spelling
	Vendor, Model, Version   string
	Plugin                   provision.PluginID
	Pinned                   bool
	Config                   provision.ConfigID
	Override                 provision.Params // a secret may be [MaskedSecret]: then it stays
	Options                  map[string]any
	Remote, Static           bool
}

// NewPhone is a phone to be made.
type NewPhone struct {
	PhoneFields
	ID    provision.DeviceID    // empty: made of the MAC
	State provision.DeviceState // empty: enrolled, for who makes a phone has confirmed it
}

// PhonePatch changes some fields of a phone; nil ones stay. Override and Options are merged as RFC 7396 says: what is nil
// in them goes, and a nil map empties them. A plugin without Pinned is pinned, and none isn't.
type PhonePatch struct {
	Label, MAC, Serial, UUID *string
	Vendor, Model, Version   *string
	Plugin                   *provision.PluginID
	Pinned                   *bool
	Config                   *provision.ConfigID
	Override                 *provision.Params
	Options                  *map[string]any
	Remote, Static           *bool
}

// patch returns the patch that sets all fields.
func (f *PhoneFields) patch() PhonePatch {
	return PhonePatch{
		Label: &f.Label, MAC: &f.MAC, Serial: &f.Serial, UUID: &f.UUID, Vendor: &f.Vendor, Model: &f.Model, Version: &f.Version,
		Plugin: &f.Plugin, Pinned: &f.Pinned, Config: &f.Config, Override: &f.Override, Options: &f.Options, Remote: &f.Remote, Static: &f.Static,
	}
}

// PhoneResult is what came of a change of a phone, or would come of it.
type PhoneResult struct {
	Phone   Phone // afterwards; of a deletion, before
	Changes []provision.Difference
	Effects provision.Blast // what it means to the files of the phones
}

// CreatePhone makes a phone known. Faults: all that is wrong; ErrConflict among their kinds if its MAC, serial, UUID or ID
// is another phone's.
func (s *Service) CreatePhone(ctx context.Context, n NewPhone, w Write) (PhoneResult, error) {
	e := phoneEdit{Service: s, whole: true, next: provision.Device{ID: n.ID, State: n.State, Created: time.Now()}}
	switch n.State {
	case provision.StateNew:
		e.next.State = provision.StateEnrolled
	case provision.StateEnrolled, provision.StateProvisioned, provision.StateSuspicious, provision.StateRetired:
	default:
		e.faults.invalid("/state", "want enrolled, provisioned, suspicious or retired, not %q", provision.Printable(string(n.State)))
	}
	if n.ID != "" && !configID.MatchString(string(n.ID)) {
		e.faults.invalid("/id", "want letters, digits and ._- only, at most 128, not %q", provision.Printable(string(n.ID)))
	}
	if err := e.apply(ctx, n.patch()); err != nil {
		return PhoneResult{}, fmt.Errorf("create phone: %w", err)
	}
	if err := e.name(ctx); err != nil {
		return PhoneResult{}, fmt.Errorf("create phone: %w", err)
	}
	return e.save(ctx, "create phone", w)
}

// UpdatePhone replaces all fields of a phone, named as in [Service.Phone]. Rev is that of the phone that was edited; a
// [StaleError] if it isn't the phone's any more.
func (s *Service) UpdatePhone(ctx context.Context, key string, rev uint64, f PhoneFields, w Write) (PhoneResult, error) {
	return s.editPhone(ctx, key, rev, f.patch(), true, w)
}

// PatchPhone changes some fields of a phone, named as in [Service.Phone]. Rev is as in UpdatePhone, but 0 is any: then it
// doesn't matter what else is written to the phone meanwhile.
func (s *Service) PatchPhone(ctx context.Context, key string, rev uint64, p PhonePatch, w Write) (PhoneResult, error) {
	if rev != 0 {
		return s.editPhone(ctx, key, rev, p, false, w)
	}
	for range maxWriteTries {
		d, err := s.find(ctx, key)
		if err != nil {
			return PhoneResult{}, fmt.Errorf("phone %q: %w", key, err)
		}
		var late *StaleError
		if r, err := s.editPhone(ctx, string(d.ID), d.Rev, p, false, w); !errors.As(err, &late) {
			return r, err
		}
	}
	return PhoneResult{}, fmt.Errorf("phone %q: it changes all the time: %w", key, provision.ErrConflict)
}

func (s *Service) editPhone(ctx context.Context, key string, rev uint64, p PhonePatch, whole bool, w Write) (PhoneResult, error) {
	d, err := s.find(ctx, key)
	if err == nil {
		err = stale(d.Rev, rev)
	}
	if err != nil {
		return PhoneResult{}, fmt.Errorf("phone %q: %w", key, err)
	}
	e := phoneEdit{Service: s, whole: whole, stored: d, next: d}
	if err := e.apply(ctx, p); err != nil {
		return PhoneResult{}, fmt.Errorf("phone %s: %w", d.ID, err)
	}
	return e.save(ctx, "phone "+string(d.ID), w)
}

// phoneEdit is a phone being changed.
type phoneEdit struct {
	*Service
	faults       Faults
	whole        bool
	stored, next provision.Device // stored is zero for a new one
}

// apply puts the patch into the phone, and collects what is wrong with it. Its error is a failure of ours.
func (e *phoneEdit) apply(ctx context.Context, p PhonePatch) error {
	d := &e.next
	e.text("/label", &d.Label, p.Label, maxLabel)
	e.text("/serial", &d.Serial, p.Serial, maxFact)
	e.text("/uuid", &d.UUID, p.UUID, maxFact)
	e.text("/vendor", &d.Vendor, p.Vendor, maxFact)
	e.text("/model", &d.Model, p.Model, maxFact)
	e.text("/version", &d.Version, p.Version, maxFact)
	if p.MAC != nil {
		d.HW = e.faults.mac("/mac", *p.MAC)
	}
	set(&d.Remote, p.Remote)
	set(&d.Static, p.Static)
	e.options(p.Options)
	if d.HW.IsZero() && d.Serial == "" && d.UUID == "" && (p.MAC == nil || *p.MAC == "") {
		e.faults.invalid("/mac", "a phone needs a MAC, a serial number or a UUID")
	}
	e.plugin(p)
	e.override(p.Override)
	if err := e.config(ctx, p.Config); err != nil {
		return err
	}
	if !e.stored.HW.IsZero() && d.HW != e.stored.HW {
		d.Port = ""
		if d.State == provision.StateProvisioned {
			d.State = provision.StateEnrolled // the one with that MAC has fetched nothing yet
		}
	}
	return e.unique(ctx)
}

const (
	maxLabel = 256 // bytes
	maxFact  = 128
)

func set[T any](to, v *T) {
	if v != nil {
		*to = *v
	}
}

// text sets a text that is fit to be shown. One that stays as it is may be what a phone once said.
func (e *phoneEdit) text(pointer string, to, v *string, limit int) {
	switch {
	case v == nil || *v == *to:
		return
	case len(*v) > limit:
		e.faults.invalid(pointer, "want at most %d bytes, not %d", limit, len(*v))
	case provision.Printable(*v) != *v:
		e.faults.invalid(pointer, "want a text without control characters")
	case strings.TrimSpace(*v) != *v:
		e.faults.invalid(pointer, "want no blanks around it")
	}
	*to = *v
}

func (f *Faults) mac(pointer, text string) hwaddr.Addr {
	if text == "" {
		return hwaddr.Addr{}
	}
	hw, err := hwaddr.Parse(text)
	switch {
	case err != nil:
		f.invalid(pointer, "%s", provision.Printable(err.Error()))
	case hw.IsGroup():
		f.invalid(pointer, "%s is the address of a group, not of a phone", hw)
	}
	return hw
}

func (e *phoneEdit) plugin(p PhonePatch) {
	d := &e.next
	if p.Plugin != nil {
		d.Plugin, d.Pinned = *p.Plugin, *p.Plugin != ""
	}
	set(&d.Pinned, p.Pinned)
	set := e.Plugins.Plugins()
	if _, ok := set.Get(d.Plugin); !ok && d.Plugin != "" && d.Plugin != e.stored.Plugin {
		var names []provision.PluginID
		for _, x := range set.All() {
			names = append(names, x.ID())
		}
		e.faults.invalid("/plugin", "there is no plugin %q in force%s", provision.Printable(string(d.Plugin)), hint(string(d.Plugin), names))
	}
	if d.Pinned && d.Plugin == "" {
		e.faults.invalid("/pinned", "there is no plugin that could be pinned")
	}
}

// config gives the phone a config. Who gives a new phone one has confirmed it.
func (e *phoneEdit) config(ctx context.Context, id *provision.ConfigID) error {
	d := &e.next
	if id == nil || *id == d.Config {
		return nil
	}
	d.Config = *id
	if *id == "" {
		return nil
	}
	if d.State == provision.StateNew {
		d.State = provision.StateEnrolled
	}
	if _, err := e.Configs.Config(ctx, *id); err == nil || !isNotFound(err) {
		return err
	}
	all, err := e.Configs.Configs(ctx)
	if err != nil {
		return err
	}
	var names []provision.ConfigID
	for i := range all {
		names = append(names, all[i].ID)
	}
	e.faults.invalid("/config", "there is no config %q%s", provision.Printable(string(*id)), hint(string(*id), names))
	return nil
}

func (e *phoneEdit) override(p *provision.Params) {
	if p == nil {
		return
	}
	d := &e.next
	asked := map[string]any(*p)
	if !e.whole && asked != nil {
		asked = merged(d.Override, asked)
	}
	if len(asked) == 0 {
		d.Override = nil
		return
	}
	var masked []string
	d.Override, _ = unmask(provision.Wrap(asked), e.stored.Override, "", &masked).(map[string]any)
	for _, path := range masked {
		e.faults.invalid(paramPointer("/override", map[string]any(d.Override), path), "there is no secret yet that could be kept")
	}
	e.faults.params("/override", d.Override, provision.CheckLayer(d.Override))
}

func (e *phoneEdit) options(p *map[string]any) {
	if p == nil {
		return
	}
	d := &e.next
	if e.whole || *p == nil {
		d.Options = *p
	} else {
		d.Options = merged(d.Options, *p)
	}
	for _, k := range slices.Sorted(keys(d.Options)) {
		if k == "" || provision.Printable(k) != k {
			e.faults.invalid(pointerTo("/options", k), "want a name without control characters")
		}
	}
}

// unique finds whose the phone's keys are already.
func (e *phoneEdit) unique(ctx context.Context) error {
	d := &e.next
	for _, k := range [...]struct {
		pointer string
		there   bool
		find    func() (provision.Device, error)
	}{
		{"/mac", !d.HW.IsZero() && d.HW != e.stored.HW, func() (provision.Device, error) { return e.Devices.DeviceByHW(ctx, d.HW) }},
		{"/serial", d.Serial != "" && d.Serial != e.stored.Serial, func() (provision.Device, error) { return e.Devices.DeviceBySerial(ctx, d.Serial) }},
		{"/uuid", d.UUID != "" && d.UUID != e.stored.UUID, func() (provision.Device, error) { return e.Devices.DeviceByUUID(ctx, d.UUID) }},
	} {
		if !k.there {
			continue
		}
		switch other, err := k.find(); {
		case isNotFound(err):
		case err != nil:
			return err
		case other.ID != d.ID || d.Rev == 0:
			e.faults.conflict(k.pointer, "it is that of phone %s%s", other.ID, labelled(&other))
		}
	}
	if e.stored.Rev == 0 && len(e.faults) == 0 {
		key := deviceKey(d)
		if i := slices.IndexFunc(e.Gate.Asides(), func(a provision.Aside) bool { return a.Key == key }); i >= 0 {
			e.faults.conflict("", "%s is set aside; take it back first", key)
		}
	}
	return nil
}

func labelled(d *provision.Device) string {
	if d.Label == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", provision.Printable(d.Label))
}

// name gives a new phone its ID: its MAC's digits, unless a phone is called so that had this MAC once.
func (e *phoneEdit) name(ctx context.Context) error {
	asked := e.next.ID
	if asked == "" {
		asked = provision.DeviceID(e.next.HW.Join(""))
	}
	if asked != "" && !e.next.HW.IsZero() || e.next.ID != "" {
		switch _, err := e.Devices.Device(ctx, asked); {
		case isNotFound(err):
			e.next.ID = asked
			return nil
		case err != nil:
			return err
		case e.next.ID != "":
			e.faults.conflict("/id", "there is a phone %s already", asked)
			return nil
		}
	}
	e.next.ID = provision.DeviceID(strings.ToLower(rand.Text()))
	return nil
}

// save writes the phone if nothing is wrong with it, or tells what would come of that.
func (e *phoneEdit) save(ctx context.Context, what string, w Write) (PhoneResult, error) {
	err := e.faults.err()
	if err == nil {
		err = checkBy(w.By)
	}
	if err != nil {
		return PhoneResult{}, fmt.Errorf("%s: %w", what, err)
	}
	var before []provision.Device
	if e.stored.Rev != 0 {
		before = append(before, e.stored)
	}
	r, err := e.effects(ctx, before, []provision.Device{e.next})
	if err != nil {
		return PhoneResult{}, fmt.Errorf("%s: %w", what, err)
	}
	r.Changes = diffDevices(&e.stored, &e.next)
	if !w.DryRun && len(r.Changes) > 0 {
		if err := describe(ctx, "phone "+string(e.next.ID), auditRecord(&e.stored, nil), auditRecord(&e.next, &e.stored)); err != nil {
			return PhoneResult{}, fmt.Errorf("%s: %w", what, err)
		}
		saved, err := e.Devices.PutDevice(ctx, e.next)
		if err != nil {
			return PhoneResult{}, fmt.Errorf("%s: %w", what, e.lost(ctx, err))
		}
		e.next = saved
		if e.next.State != provision.StateNew {
			e.Gate.Settle(e.next.ID)
		}
		e.Sightings.Drop(deviceKey(&e.next))
	}
	r.Phone = e.phone(e.next)
	return r, nil
}

// lost says why the store refused what was right a moment ago.
func (e *phoneEdit) lost(ctx context.Context, err error) error {
	if !errors.Is(err, provision.ErrConflict) {
		return err
	}
	err = asStale(err, e.stored.Rev, func() (uint64, error) {
		d, err := e.Devices.Device(ctx, e.next.ID)
		return d.Rev, err
	})
	if uerr := e.unique(ctx); uerr == nil && len(e.faults) > 0 {
		return e.faults
	}
	return err
}

// DeletePhone forgets a phone, named as in [Service.Phone], and its config with it if that is transient and nobody else's.
// Rev is as in PatchPhone. A phone that asks again is a new one.
func (s *Service) DeletePhone(ctx context.Context, key string, rev uint64, w Write) (PhoneResult, error) {
	return s.deletePhone(ctx, key, rev, w, func(d *provision.Device) error {
		return describe(ctx, "phone "+string(d.ID), auditRecord(d, nil), nil)
	})
}

func (s *Service) deletePhone(ctx context.Context, key string, rev uint64, w Write, describe func(*provision.Device) error) (PhoneResult, error) {
	d, err := s.find(ctx, key)
	if err == nil && rev != 0 {
		err = stale(d.Rev, rev)
	}
	if err == nil {
		err = checkBy(w.By)
	}
	if err != nil {
		return PhoneResult{}, fmt.Errorf("delete phone %q: %w", key, err)
	}
	r, err := s.effects(ctx, []provision.Device{d}, nil)
	if err == nil && !w.DryRun {
		if err = describe(&d); err == nil {
			err = s.Devices.DeleteDevice(ctx, d.ID, rev)
		}
	}
	if err != nil {
		return PhoneResult{}, fmt.Errorf("delete phone %q: %w", key, err)
	}
	r.Phone, r.Changes = s.phone(d), diffDevices(&d, &provision.Device{})
	if !w.DryRun {
		s.Gate.Settle(d.ID)
		s.Gate.Quiet(string(d.ID))
	}
	return r, nil
}

// PhoneVerdict is what came of one of several phones.
type PhoneVerdict struct {
	Key string // as it was given
	PhoneResult
	Err error
}

// DeletePhones forgets several phones, each by itself: what fails with one doesn't keep the others. In the audit they are one
// entry, of all that were there.
func (s *Service) DeletePhones(ctx context.Context, phones []string, w Write) []PhoneVerdict {
	list := make([]PhoneVerdict, len(phones))
	var records []any
	for i, key := range phones {
		list[i].Key = key
		if d, err := s.find(ctx, key); err == nil {
			records = append(records, auditRecord(&d, nil))
		}
	}
	for i, key := range phones {
		list[i].PhoneResult, list[i].Err = s.deletePhone(ctx, key, 0, w, func(*provision.Device) error {
			return describe(ctx, "phones", records, nil)
		})
	}
	return list
}
