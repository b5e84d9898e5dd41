package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
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
		if d.State == provision.StateNew {
			d.State = provision.StateEnrolled
		}
		return approvable(d)
	})
	if err != nil {
		return Phone{}, fmt.Errorf("approve: %w", err)
	}
	s.Gate.Settle(p.ID)
	s.Gate.Quiet(string(p.ID))
	return p, nil
}

// ApproveAs approves a phone and gives it a config. Faults if there is no such config; then the phone isn't approved either.
func (s *Service) ApproveAs(ctx context.Context, key string, config provision.ConfigID, by provision.Author) (Phone, error) {
	d, err := s.find(ctx, key)
	if err == nil {
		err = approvable(&d)
	}
	if err == nil {
		_, err = s.PatchPhone(ctx, string(d.ID), 0, PhonePatch{Config: &config}, Write{By: by})
	}
	if err != nil {
		return Phone{}, fmt.Errorf("approve phone %q: %w", key, err)
	}
	return s.Approve(ctx, string(d.ID))
}

// approvable returns what keeps a phone from being approved.
func approvable(d *provision.Device) error {
	switch d.State {
	case provision.StateRetired:
		return fmt.Errorf("it is retired; end that first: %w", provision.ErrConflict)
	case provision.StateSuspicious:
		return fmt.Errorf("it is suspicious; clear that, if you know why: %w", provision.ErrConflict)
	case provision.StateNew, provision.StateEnrolled, provision.StateProvisioned:
	}
	return nil
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
		before := d
		if err := edit(&d); err != nil {
			return Phone{}, fmt.Errorf("phone %s: %w", d.ID, err)
		}
		if d.State == before.State && d.Port == before.Port {
			return s.phone(d), nil
		}
		if err := describe(ctx, "phone "+string(d.ID), auditRecord(&before, nil), auditRecord(&d, &before)); err != nil {
			return Phone{}, err
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

// OpenWindow opens an enrolment window from now on, for a span. ErrNotFound if there is no such phone or network.
func (s *Service) OpenWindow(ctx context.Context, w provision.Window, span time.Duration) (provision.Window, error) {
	w.Opened = time.Now()
	w.Closes = w.Opened.Add(span)
	if w.Network != "" && s.Networks != nil && s.Networks.Networks().Get(network.ID(w.Network)) == nil {
		return provision.Window{}, fmt.Errorf("open window: network %q: %w", provision.Printable(w.Network), provision.ErrNotFound)
	}
	if w.Device != "" {
		p, err := s.Phone(ctx, string(w.Device))
		if err != nil {
			return provision.Window{}, fmt.Errorf("open window: %w", err)
		}
		w.Device = p.ID
	}
	if err := describe(ctx, "window", nil, windowRecord(&w)); err != nil {
		return provision.Window{}, err
	}
	return s.Gate.OpenWindow(ctx, w)
}

// windowRecord is a window for the audit.
func windowRecord(w *provision.Window) any {
	return map[string]any{"phone": w.Device, "network": w.Network, "vendor": w.Vendor, "oui": w.OUI, "count": w.Count, "closes": w.Closes}
}

// CloseWindow closes one before its time.
func (s *Service) CloseWindow(ctx context.Context, id string) error {
	var before any
	for _, w := range s.ListWindows() {
		if w.ID == id {
			before = windowRecord(&w)
		}
	}
	if err := describe(ctx, "window "+provision.Printable(id), before, nil); err != nil {
		return err
	}
	return s.Gate.CloseWindow(ctx, id)
}

// ListWindows returns the enrolment windows that are open.
func (s *Service) ListWindows() []provision.Window { return s.Gate.Windows(time.Now()) }

// SetAside puts a device aside by its key, as sightings have it, "mac 00:15:65:aa:bb:cc", or by its MAC in any spelling. Its
// sighting, if there is one, goes.
func (s *Service) SetAside(ctx context.Context, key, why, by string) error {
	key, err := asideKey(key)
	if err != nil {
		return err
	}
	if err := describe(ctx, key, nil, map[string]any{"aside": why}); err != nil {
		return err
	}
	if err := s.Gate.SetAside(ctx, provision.Aside{Key: key, Why: why, By: by, When: time.Now()}); err != nil {
		return err
	}
	s.Sightings.Drop(key)
	return nil
}

// asideKey brings what a person has at hand into the form of a sighting's key.
func asideKey(text string) (string, error) {
	kind, value, ok := strings.Cut(text, " ")
	switch value = strings.TrimSpace(value); {
	case ok && value != "" && (kind == "serial" || kind == "uuid"):
		return kind + " " + value, nil
	case ok && kind == "mac":
		text = value
	}
	hw, err := hwaddr.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%q is neither a MAC nor a sighting's key, such as \"serial 4711\": %w", provision.Printable(text), provision.ErrInvalid)
	}
	return "mac " + hw.String(), nil
}

// TakeBack ends that a device is set aside, named as in SetAside. ErrNotFound if it isn't.
func (s *Service) TakeBack(ctx context.Context, key string) error {
	key, err := asideKey(key)
	if err != nil {
		return err
	}
	var before any
	for _, a := range s.Gate.Asides() {
		if a.Key == key {
			before = map[string]any{"aside": a.Why}
		}
	}
	if err := describe(ctx, key, before, nil); err != nil {
		return err
	}
	return s.Gate.TakeBack(ctx, key)
}

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
