package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// maxWriteTries bounds how often a change of state is tried again because a request of the phone came in between.
const maxWriteTries = 10

// DefaultWindow is how long an enrolment window is open if nothing else is said.
const DefaultWindow = 15 * time.Minute

// ListWaiting returns the phones that wait for approval, the latest first.
func (s *Service) ListWaiting() []provision.Waiting { return s.Gate.Waiting() }

// Approve confirms a phone, named as in [Service.Phone]: from now on it gets what its evidence is good for. One that is
// retired, or already confirmed, stays as it is; ErrConflict tells of the former.
func (s *Service) Approve(ctx context.Context, key string) (Phone, error) {
	p, err := s.change(ctx, key, func(d *provision.Device) error {
		switch d.State {
		case provision.StateRetired:
			return fmt.Errorf("it is retired; end that first: %w", provision.ErrConflict)
		case provision.StateSuspicious:
			return fmt.Errorf("it is suspicious; clear that, if you know why: %w", provision.ErrConflict)
		case provision.StateNew:
			d.State = provision.StateEnrolled
		case provision.StateEnrolled, provision.StateProvisioned:
		}
		return nil
	})
	if err != nil {
		return Phone{}, fmt.Errorf("approve: %w", err)
	}
	s.Gate.Settle(p.ID)
	s.Gate.Quiet(string(p.ID))
	return p, nil
}

// Deny sets a phone aside: it gets nothing but public files, and isn't listed as waiting any more.
func (s *Service) Deny(ctx context.Context, key, why, by string) (Phone, error) {
	p, err := s.Phone(ctx, key)
	if err != nil {
		return Phone{}, fmt.Errorf("deny: %w", err)
	}
	if err := s.SetAside(ctx, deviceKey(&p.Device), why, by); err != nil {
		return Phone{}, fmt.Errorf("deny: %w", err)
	}
	s.Gate.Settle(p.ID)
	return p, nil
}

// Retire ends that a phone is ours: it gets nothing but public files.
func (s *Service) Retire(ctx context.Context, key string) (Phone, error) {
	p, err := s.change(ctx, key, func(d *provision.Device) error {
		d.State = provision.StateRetired
		return nil
	})
	if err != nil {
		return Phone{}, fmt.Errorf("retire: %w", err)
	}
	s.Gate.Settle(p.ID)
	return p, nil
}

// ClearSuspicion makes a phone that is suspicious or retired one that is confirmed, and forgets the alarms about it.
func (s *Service) ClearSuspicion(ctx context.Context, key string) (Phone, error) {
	p, err := s.change(ctx, key, func(d *provision.Device) error {
		if d.State == provision.StateSuspicious || d.State == provision.StateRetired {
			d.State = provision.StateEnrolled
		}
		return nil
	})
	if err != nil {
		return Phone{}, fmt.Errorf("clear suspicion: %w", err)
	}
	s.Gate.Quiet(string(p.ID))
	return p, nil
}

// MovePort makes the switch port at which a phone's lease is got now the one that it belongs to; with unpin, none is.
func (s *Service) MovePort(ctx context.Context, key string, unpin bool) (Phone, error) {
	p, err := s.change(ctx, key, func(d *provision.Device) error {
		d.Port = ""
		if unpin {
			return nil
		}
		for _, l := range s.Leases.ByHW(d.HW) {
			d.Port = cmp.Or(d.Port, provision.PortOf(l.Client))
		}
		if d.Port == "" {
			return fmt.Errorf("no relay agent told at which port it is: %w", provision.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return Phone{}, fmt.Errorf("move port: %w", err)
	}
	s.Gate.Quiet(string(p.ID))
	return p, nil
}

// change changes a phone's record, whatever else is written to it meanwhile.
func (s *Service) change(ctx context.Context, key string, edit func(*provision.Device) error) (Phone, error) {
	for range maxWriteTries {
		d, err := s.find(ctx, key)
		if err != nil {
			return Phone{}, fmt.Errorf("phone %q: %w", key, err)
		}
		before := d.State
		port := d.Port
		if err := edit(&d); err != nil {
			return Phone{}, fmt.Errorf("phone %s: %w", d.ID, err)
		}
		if d.State == before && d.Port == port {
			return s.phone(d), nil
		}
		saved, err := s.Devices.PutDevice(ctx, d)
		if errors.Is(err, provision.ErrConflict) {
			continue
		}
		if err != nil {
			return Phone{}, fmt.Errorf("phone %s: %w", d.ID, err)
		}
		return s.phone(saved), nil
	}
	return Phone{}, fmt.Errorf("phone %q: it changes all the time: %w", key, provision.ErrConflict)
}

// deviceKey is what a device is set aside by.
func deviceKey(d *provision.Device) string {
	switch {
	case !d.HW.IsZero():
		return "mac " + d.HW.String()
	case d.Serial != "":
		return "serial " + provision.Printable(d.Serial)
	}
	return "uuid " + provision.Printable(d.UUID)
}

// OpenWindow opens an enrolment window from now on; without a time to close it is open for DefaultWindow.
func (s *Service) OpenWindow(ctx context.Context, w provision.Window) (provision.Window, error) {
	w.Opened = time.Now()
	if w.Closes.IsZero() {
		w.Closes = w.Opened.Add(DefaultWindow)
	}
	if w.Device != "" {
		p, err := s.Phone(ctx, string(w.Device))
		if err != nil {
			return provision.Window{}, fmt.Errorf("open window: %w", err)
		}
		w.Device = p.ID
	}
	return s.Gate.OpenWindow(ctx, w)
}

// CloseWindow closes one before its time.
func (s *Service) CloseWindow(ctx context.Context, id string) error {
	return s.Gate.CloseWindow(ctx, id)
}

// ListWindows returns the enrolment windows that are open.
func (s *Service) ListWindows() []provision.Window { return s.Gate.Windows(time.Now()) }

// SetAside puts a device aside by its key, as sightings have it: "mac 00:15:65:aa:bb:cc". Its sighting, if there is one,
// goes.
func (s *Service) SetAside(ctx context.Context, key, why, by string) error {
	if err := s.Gate.SetAside(ctx, provision.Aside{Key: key, Why: why, By: by, When: time.Now()}); err != nil {
		return err
	}
	s.Sightings.Drop(key)
	return nil
}

// TakeBack ends that a device is set aside.
func (s *Service) TakeBack(ctx context.Context, key string) error { return s.Gate.TakeBack(ctx, key) }

// ListAside returns the devices that are set aside.
func (s *Service) ListAside() []provision.Aside { return s.Gate.Asides() }

// Quiet forgets the alarms about a subject (a phone's ID, an address, a network), and unlocks an address. ErrNotFound if
// there are none.
func (s *Service) Quiet(subject string) error {
	if !s.Gate.Quiet(subject) {
		return fmt.Errorf("alarms about %q: %w", subject, provision.ErrNotFound)
	}
	return nil
}

// alarms returns the guard's alarms as problems.
func (s *Service) alarms() (list []Problem) {
	for _, a := range s.Gate.Alarms() {
		text := fmt.Sprintf("%s: %s", a.Subject, a.Text)
		if a.Count > 1 {
			text = fmt.Sprintf("%s (%d times, lastly at %s)", text, a.Count, a.Last.Format(time.DateTime))
		}
		list = append(list, Problem{Part: "guard", Kind: string(a.Kind), Network: a.Network, Text: text, Since: a.First})
	}
	return list
}
