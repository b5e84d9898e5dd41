package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Replacement is the phone that takes the place of a broken one.
type Replacement struct {
	MAC          string // in any usual spelling
	Serial, UUID string // may be empty
}

// Replaced is what came of a replacement, or would come of it.
type Replaced struct {
	Old, New PhoneResult // without effects of their own
	Effects  provision.Blast
	// Networks is what became of the old phone's reservations, which are the new one's now; nil: it had none.
	Networks *NetworkResult
}

// ReplacePhone puts another phone in a phone's place: it gets the old one's label, config, override, options and
// reservations, and is confirmed by that. It may be known already, if nobody has given it a label. The old one is
// retired without any of these, so that it gets nothing if it comes back. Rev is as in [Service.PatchPhone].
func (s *Service) ReplacePhone(ctx context.Context, key string, rev uint64, by Replacement, w Write) (Replaced, error) {
	old, err := s.find(ctx, key)
	if err == nil && rev != 0 {
		err = stale(old.Rev, rev)
	}
	if err == nil {
		err = checkBy(w.By)
	}
	if err != nil {
		return Replaced{}, fmt.Errorf("replace phone %q: %w", key, err)
	}
	r, err := s.replace(ctx, old, by, w)
	if err != nil {
		return Replaced{}, fmt.Errorf("replace phone %s: %w", old.ID, err)
	}
	return r, nil
}

func (s *Service) replace(ctx context.Context, old provision.Device, by Replacement, w Write) (Replaced, error) {
	heir, was, err := s.heir(ctx, &old, by)
	if err != nil {
		return Replaced{}, err
	}
	gone := old
	gone.Config, gone.Override, gone.Options, gone.State = "", nil, nil, provision.StateRetired
	var before []provision.Device
	if was.Rev != 0 {
		before = append(before, was)
	}
	effects, err := s.effects(ctx, append(before, old), []provision.Device{heir, gone})
	if err != nil {
		return Replaced{}, err
	}
	r := Replaced{Effects: effects.Effects}
	moves := s.moves(&old, &heir)
	if moves != nil { // what would be wrong is known before the phones are written
		n, err := s.declare(ctx, *moves, Write{By: w.By, DryRun: true})
		if err != nil {
			return Replaced{}, err
		}
		r.Networks = &n
	}
	r.New.Changes, r.Old.Changes = diffDevices(&was, &heir), diffDevices(&old, &gone)
	if !w.DryRun {
		was, is := []any{auditRecord(&old, nil), auditRecord(&was, nil)}, []any{auditRecord(&gone, &old), auditRecord(&heir, &was)}
		if r.Networks != nil {
			is = append(is, map[string]any{"reservations moved in": r.Networks.Changed})
		}
		if err := describe(ctx, "phone "+string(old.ID), was, is); err != nil {
			return Replaced{}, err
		}
		saved, err := s.Devices.PutDevices(ctx, heir, gone)
		if err != nil {
			return Replaced{}, asStale(err, old.Rev, func() (uint64, error) {
				d, err := s.Devices.Device(ctx, old.ID)
				return d.Rev, err
			})
		}
		heir, gone = saved[0], saved[1]
		for _, d := range saved {
			s.Gate.Settle(d.ID)
		}
		s.Sightings.Drop(deviceKey(&heir))
		if moves != nil {
			n, err := s.declare(ctx, *moves, w)
			if err != nil {
				return Replaced{}, fmt.Errorf("phone %s is in its place, but its reservations are the old one's still: %w", heir.ID, err)
			}
			r.Networks = &n
		}
	}
	r.New.Phone, r.Old.Phone = s.phone(heir), s.phone(gone)
	return r, nil
}

// heir returns the new phone as it will be, and as it is if it is known.
func (s *Service) heir(ctx context.Context, old *provision.Device, by Replacement) (heir, was provision.Device, err error) {
	e := phoneEdit{Service: s, next: provision.Device{Created: time.Now()}}
	hw := e.faults.mac("/mac", by.MAC)
	switch {
	case by.MAC == "":
		e.faults.invalid("/mac", "it is needed to know the new phone by")
	case hw == old.HW && !hw.IsZero():
		e.faults.invalid("/mac", "it is the old phone's")
	}
	if err := e.faults.err(); err != nil {
		return heir, was, err
	}
	if was, err = s.Devices.DeviceByHW(ctx, hw); err == nil {
		e.stored, e.next = was, was
		if was.Label != "" {
			e.faults.conflict("/mac", "it is that of phone %s%s; delete that first, or take its label away", was.ID, labelled(&was))
		}
	} else if !isNotFound(err) {
		return heir, was, err
	}
	p := PhonePatch{MAC: &by.MAC}
	if by.Serial != "" {
		p.Serial = &by.Serial
	}
	if by.UUID != "" {
		p.UUID = &by.UUID
	}
	if err := errors.Join(e.apply(ctx, p), e.faults.err()); err != nil {
		return heir, was, err
	}
	d := &e.next
	if d.Rev == 0 {
		if err := e.name(ctx); err != nil {
			return heir, was, err
		}
	}
	d.Label, d.Config, d.Override, d.Options = old.Label, old.Config, old.Override, old.Options
	d.Remote, d.Static = old.Remote, old.Static
	d.State = provision.StateEnrolled
	if d.Vendor == "" && d.HW.OUI() == old.HW.OUI() { // of the same maker, so of the same kind until it says otherwise
		d.Vendor, d.Model = old.Vendor, old.Model
		if d.Plugin == "" {
			d.Plugin, d.Pinned = old.Plugin, old.Pinned
		}
	}
	return *d, was, nil
}

// moves makes the old phone's reservations the new one's; nil: it has none.
func (s *Service) moves(old, heir *provision.Device) *declaring {
	if s.Networks == nil || old.HW.IsZero() {
		return nil
	}
	has := false
	for _, n := range s.Networks.Networks().All() {
		has = has || s.Networks.Networks().ReservedFor(n.ID, old.HW) != nil
	}
	if !has {
		return nil
	}
	return &declaring{object: "reservations of phone " + string(old.ID), edit: func(d *network.Declared) (string, error) {
		for i := range d.Networks {
			n := &d.Networks[i]
			list := make([]network.Reservation, len(n.Reservations))
			for j, r := range n.Reservations {
				if r.HW == old.HW {
					r.HW = heir.HW
				}
				list[j] = r
			}
			if len(list) > 0 {
				n.Reservations = list
			}
		}
		return "", nil
	}}
}
