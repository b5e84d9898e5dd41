package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// retrieve looks the device up, by mac, then serial, then uuid. An unknown one is drafted, for the update stage to add,
// if the network's policy says so; else it is remembered as a sighting.
func (r *passage) retrieve(ctx context.Context) error {
	found, err := r.lookup(ctx)
	if err != nil {
		return err
	}
	if found {
		r.sightings.forget(r.out)
		return nil
	}
	if r.gate.aside(&r.out.Identity) && !r.adopt {
		r.say("not added: an administrator has set it aside")
		return nil
	}
	why := r.refusal()
	if why == "" && !r.adopt && !r.dry {
		why = r.gate.admit(ctx, &r.out.Policy, r.out.Identity.who(), r.out.Request.At)
	}
	if why != "" {
		r.say("%s", why)
		r.sight(why)
		return nil
	}
	r.draft()
	return nil
}

// lookup tries the keys in order and reports whether one named a device, which is then the passage's.
func (r *passage) lookup(ctx context.Context) (bool, error) {
	id := &r.out.Identity
	for _, k := range [...]struct{ attr, value string }{{AttrMAC, id.HW.String()}, {AttrSerial, id.Serial}, {AttrUUID, id.UUID}} {
		if k.value == "" {
			continue
		}
		key := k.attr + " " + Printable(k.value)
		d, err := r.deviceBy(ctx, k.attr)
		switch {
		case errors.Is(err, ErrNotFound):
			r.out.Lookups = append(r.out.Lookups, key+": none")
			continue
		case err != nil:
			r.out.Lookups = append(r.out.Lookups, key+": failed")
			return false, fmt.Errorf("look up %s: %w", key, err)
		}
		if other := r.mismatch(k.attr, &d); other != "" {
			r.foreign = append(r.foreign, k.attr)
			r.out.Lookups = append(r.out.Lookups, fmt.Sprintf("%s: is device %s's, whose %s: not taken", key, d.ID, other))
			continue
		}
		r.out.Lookups = append(r.out.Lookups, key+": found")
		r.take(d)
		r.stored = d
		r.compare(k.attr)
		r.tell("device ", string(d.ID), " by ", k.attr)
		return true, nil
	}
	return false, nil
}

// deviceBy looks the device up by one of the identity's keys.
func (r *passage) deviceBy(ctx context.Context, attr string) (Device, error) {
	id := &r.out.Identity
	switch attr {
	case AttrMAC:
		return r.devices.DeviceByHW(ctx, id.HW)
	case AttrSerial:
		return r.devices.DeviceBySerial(ctx, id.Serial)
	}
	return r.devices.DeviceByUUID(ctx, id.UUID)
}

// take makes a stored device the passage's.
func (r *passage) take(d Device) {
	r.device = d
	r.out.Device = d
	r.out.Device.Override = nil
}

// mismatch says which better key of the device that a key found is another than the identity's: the key alone doesn't
// make it the same device. A request whose strongest evidence is a claim has contradicted itself with that.
func (r *passage) mismatch(by string, d *Device) string {
	id := &r.out.Identity
	if by == AttrMAC {
		return "" // there is no better key
	}
	for _, k := range [...]struct{ attr, stored, asked string }{
		{AttrMAC, d.HW.String(), id.HW.String()},
		{AttrSerial, d.Serial, id.Serial},
	} {
		if k.stored == "" || k.asked == "" || k.stored == k.asked {
			continue
		}
		r.contradictByRecord(d, k.attr, k.stored, k.asked)
		return k.attr + " is " + Printable(k.stored)
	}
	return ""
}

// compare adds the conflicts between the identity and the record of the device that was found.
func (r *passage) compare(by string) {
	id, d := &r.out.Identity, &r.device
	if by == AttrMAC && d.Serial != "" && id.Serial != "" && d.Serial != id.Serial {
		r.contradictByRecord(d, AttrSerial, d.Serial, id.Serial)
	}
	if id.HW.IsZero() {
		value := id.Serial
		if by == AttrUUID {
			value = id.UUID
		}
		r.contradictByLease(id, d.HW, Claim{Attr: by, Value: value, Source: id.Assurance, By: "request"})
	}
}

// contradictByRecord adds a conflict if the record is stronger evidence than the request. Where the address proves who
// asks, a serial that disagrees is no more than a remark.
func (r *passage) contradictByRecord(d *Device, attr, stored, asked string) {
	id := &r.out.Identity
	if id.Assurance >= SourceStored {
		return
	}
	id.contradict(Conflict{
		Won:  Claim{attr, stored, SourceStored, "device " + string(d.ID)},
		Lost: Claim{attr, asked, id.Assurance, "request"},
	})
}

// refusal says why an unknown device isn't added; empty: it is.
func (r *passage) refusal() string {
	id, policy := &r.out.Identity, r.out.Policy
	switch {
	case id.HW.IsZero() && id.Serial == "" && id.UUID == "":
		return "no mac, serial or uuid to know the device by"
	case id.contested(AttrMAC) || id.HW.IsZero() && len(id.Conflicts) > 0:
		return "not added: who asks is in doubt"
	case r.adopt:
		return ""
	case r.locked || policy.Foreign:
		return "not added: its source gets nothing"
	case policy.AutoAdd == AddAny:
		return ""
	case policy.AutoAdd == AddOff:
		return "not added: the network adds no devices by itself"
	}
	best := Score{Why: "there are no plugins"}
	if r.out.Scores = r.plugins.Scores(*id); len(r.out.Scores) > 0 {
		best = r.out.Scores[0]
	}
	if best.Support < SupportProbable {
		return fmt.Sprintf("not added: no plugin recognises it (best: %s)", best)
	}
	return ""
}

// String tells the score in a few words.
func (s Score) String() string {
	switch {
	case s.Plugin == "":
		return s.Why
	case s.Why == "":
		return fmt.Sprintf("%s %s", s.Plugin, s.Support)
	}
	return fmt.Sprintf("%s %s, %s", s.Plugin, s.Support, s.Why)
}

// sight remembers a device that isn't added.
func (r *passage) sight(why string) {
	r.out.Sighted = r.sightings.add(r.out, why)
}

// draft makes the device that is to be added. Its facts are filled in by the update stage, like any device's.
func (r *passage) draft() {
	id := &r.out.Identity
	d := Device{HW: id.HW, Created: r.out.Request.At, Auto: !r.adopt, Network: r.out.Policy.Network}
	if r.adopt {
		d.State = StateEnrolled
	}
	if r.usable(AttrSerial, id.Serial) {
		d.Serial = id.Serial
	}
	if r.usable(AttrUUID, id.UUID) {
		d.UUID = id.UUID
	}
	d.ID = draftID(id.HW)
	r.device = d
	r.say("%s is new", id.who())
}

// usable reports whether a serial or uuid may go into the record: nothing contradicts it, and lookup didn't find it to
// be another device's.
func (r *passage) usable(attr, value string) bool {
	if value == "" || slices.Contains(r.foreign, attr) {
		return false
	}
	for _, x := range r.out.Identity.Conflicts {
		if x.Lost.Attr == attr {
			return false
		}
	}
	return true
}

// draftID returns the ID of a new device: its MAC's digits, which people can type, or something random.
func draftID(hw hwaddr.Addr) DeviceID {
	if hw.IsZero() {
		return randomID()
	}
	return DeviceID(hw.Join(""))
}

func randomID() DeviceID { return DeviceID(strings.ToLower(rand.Text())) }
