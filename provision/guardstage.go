package provision

import (
	"context"
	"errors"
	"fmt"
)

// guard turns the table's decision into a verdict on the route's file. The record completes what is known of a device,
// but it proves nothing about who asks.
func (r *passage) guard(context.Context) error {
	d, class := r.out.Decision, r.out.Route.Class
	why := r.why()
	v := Verdict{Allow: d.May[class], Secrets: class == ClassSecret && d.May[class], Rule: d.Row, Why: why}
	switch {
	case class == ClassSecret && v.Allow && r.moved():
		v.Secrets = false
		v.Why = fmt.Sprintf("it is at port %s, not at its own %s: its secrets are left out", r.tie.port, Printable(r.device.Port))
		r.alarm(AlarmPort, v.Why)
	case class == ClassSecret && !v.Allow && d.May[ClassDevice]:
		v.Allow = true
		v.Why += ", but that isn't enough for its secrets: they are left out"
	case !v.Allow:
		v.Held = d.Waits()
	}
	r.out.Verdict = v
	if d.Waits() {
		r.wait(v)
	}
	if !v.Allow {
		if v.Held {
			return fmt.Errorf("held for approval: %s: %w", v.Why, ErrForbidden)
		}
		return fmt.Errorf("%s: %w", v.Why, ErrForbidden)
	}
	r.tell(v.Why)
	return nil
}

// why explains the decision's row.
func (r *passage) why() string {
	switch row := r.out.Decision.Row; {
	case r.pretence != "" && row == guardSuspicious:
		return r.pretence
	case r.dispute != "" && row == guardContradiction:
		return r.dispute
	}
	for i := range guardTable {
		if row := &guardTable[i]; row.id == r.out.Decision.Row {
			if r.out.Decision.Row == guardLocked && r.out.Policy.Foreign {
				return "the request comes from none of our networks"
			}
			return row.why
		}
	}
	return "no row of the table fits"
}

// Rows that are spoken of elsewhere.
const (
	guardLocked        = "ID-01"
	guardRetired       = "ID-02"
	guardSuspicious    = "ID-03"
	guardContradiction = "ID-04"
)

// moved reports whether the device's lease was got at another switch port than the one it is pinned to.
func (r *passage) moved() bool {
	return r.device.Port != "" && r.tie.port != "" && r.device.Port != r.tie.port &&
		r.out.Evidence.Cert < CertFactory && r.out.Evidence.Token != TokenValid
}

// distrust makes a device suspicious where the evidence says that somebody plays its part, and raises the alarms, whatever
// file was asked for and found. It writes once: a device that is suspicious already stays as it is.
func (r *passage) distrust(ctx context.Context) error {
	row := r.out.Decision.Row
	if r.pretence != "" {
		r.alarm(AlarmPretence, r.pretence)
	}
	if r.suspicious {
		if err := r.suspect(ctx, r.device.ID, r.pretence); err != nil {
			return err
		}
	}
	if r.token.state == TokenReplayed && row != guardLocked && row != guardRetired {
		r.alarm(AlarmToken, fmt.Sprintf("the token of device %s is used from %s, too late or besides its own address", r.token.id, addrText(r.out.Request.Peer)))
		if err := r.suspect(ctx, r.token.id, "its token was replayed"); err != nil {
			return err
		}
	}
	switch {
	case row == guardRetired && r.device.ID != "":
		r.alarm(AlarmRetired, fmt.Sprintf("device %s is retired, but asks still", r.device.ID))
	case row == guardContradiction:
		r.alarm(AlarmContradiction, r.dispute)
		if r.forged() {
			return r.suspect(ctx, r.device.ID, r.dispute)
		}
	}
	return nil
}

// forged reports whether a certificate and the network name different devices.
func (r *passage) forged() bool {
	for _, x := range r.out.Identity.Conflicts {
		if x.Won.Source == SourceCert && x.Lost.Source >= SourceNeighbour && x.Lost.Attr == AttrMAC {
			return true
		}
	}
	return false
}

// suspect makes a device suspicious.
func (r *passage) suspect(ctx context.Context, id DeviceID, why string) error {
	return r.transition(ctx, id, StateSuspicious, why)
}

// transition gives a device another state, whatever else is written to it meanwhile.
func (r *passage) transition(ctx context.Context, id DeviceID, to DeviceState, why string) error {
	if id == "" {
		return nil
	}
	for range maxTries {
		d, err := r.devices.Device(ctx, id)
		if errors.Is(err, ErrNotFound) || err == nil && (d.State == to || d.State == StateRetired) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look up device %s: %w", id, err)
		}
		old := d.State
		d.State = to
		saved, err := r.devices.PutDevice(ctx, d)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("save device %s: %w", id, err)
		}
		r.out.Changes = append(r.out.Changes, Change{Field: "state", Old: string(old), New: string(to), Why: why})
		if id == r.device.ID {
			r.take(saved)
		}
		return nil
	}
	return fmt.Errorf("save device %s: gave up after %d tries: %w", id, maxTries, ErrConflict)
}

// fetched notes that secrets have left: against the device's budget, and once in its record. A record that can't be
// written is no reason to keep the file back, as the guard trusts an enrolled device like a provisioned one.
func (r *passage) fetched(ctx context.Context) {
	if !r.out.Verdict.Secrets || r.out.Request.Head {
		return
	}
	if !r.dry && r.out.Policy.Guard == GuardStrict { // nowhere else does the budget count
		r.gate.spend(r.device.ID, r.out.Request.At)
	}
	if r.device.State != StateEnrolled {
		return
	}
	if err := r.transition(ctx, r.device.ID, StateProvisioned, "it has fetched its secrets"); err != nil {
		r.remark("its state isn't saved: %s", err)
	}
}

// wait lists the device as one that an administrator should look at.
func (r *passage) wait(v Verdict) {
	if r.dry || r.device.ID == "" {
		return
	}
	r.gate.wait(Waiting{
		Device: r.device.ID, HW: r.known.HW, Identity: r.out.Identity, Network: r.out.Policy.Network, Peer: r.out.Request.Peer,
		Path: r.out.Request.Path, Rule: v.Rule, Why: v.Why, Served: v.Allow, First: r.out.Request.At, Last: r.out.Request.At,
	})
}

// alarm tells administrators of something.
func (r *passage) alarm(kind AlarmKind, text string) {
	if r.dry {
		return
	}
	subject := string(r.device.ID)
	if subject == "" || kind == AlarmLocked {
		subject = addrText(r.out.Request.Peer)
	}
	if kind == AlarmToken {
		subject = string(r.token.id)
	}
	r.gate.raise(Alarm{Kind: kind, Subject: subject, Network: r.out.Policy.Network, Text: text, First: r.out.Request.At, Last: r.out.Request.At})
}
