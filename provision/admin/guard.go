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

// Decision is what came of a decision about a phone, or would come of it.
type Decision struct {
	Phone   Phone // afterwards
	Changes []provision.Difference
	// Next is what would come of the phone's last request, if it asked again. Nil: it has asked for no file lately.
	Next *provision.Outcome
}

// Approve confirms a phone, named as in [Service.Phone]: from now on it gets what its evidence is good for. With a config, it
// is given that; Faults if there is none of that name, and then it isn't approved either. One that is already confirmed
// stays so; ErrConflict if it is retired or suspicious.
func (s *Service) Approve(ctx context.Context, key string, config provision.ConfigID, w Write) (Decision, error) {
	d, err := s.approve(ctx, key, config, w)
	if err != nil {
		return Decision{}, fmt.Errorf("approve phone %q: %w", key, err)
	}
	if !w.DryRun {
		s.Gate.Settle(d.Phone.ID)
		s.Gate.Quiet(string(d.Phone.ID))
	}
	return d, nil
}

func (s *Service) approve(ctx context.Context, key string, config provision.ConfigID, w Write) (Decision, error) {
	before, err := s.find(ctx, key)
	if err == nil {
		err = approvable(&before)
	}
	if err != nil {
		return Decision{}, err
	}
	if config != "" && config != before.Config { // who gives a phone a config has confirmed it
		r, err := s.PatchPhone(ctx, string(before.ID), 0, PhonePatch{Config: &config}, w)
		if err != nil {
			return Decision{}, err
		}
		return Decision{Phone: r.Phone, Changes: r.Changes, Next: s.next(ctx, &r.Phone.Device)}, nil
	}
	return s.change(ctx, string(before.ID), w, func(d *provision.Device) error {
		if d.State == provision.StateNew {
			d.State = provision.StateEnrolled
		}
		return approvable(d)
	})
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

// next tells what would come of a phone's last request, if its record were this.
func (s *Service) next(ctx context.Context, d *provision.Device) *provision.Outcome {
	for _, o := range s.Journal.ByDevice(d.ID, 0) {
		if o.Request.Path == "" {
			continue // a lease
		}
		asked := o.Request
		answer, next := s.Pipeline.ExplainAs(ctx, &asked, *d)
		if answer != nil && answer.Body != nil {
			_ = answer.Body.Close() // it was only read from
		}
		return next
	}
	return nil
}

// Deny sets a phone aside: it gets nothing but public files, and isn't listed as waiting any more.
func (s *Service) Deny(ctx context.Context, key, why string, w Write) (Decision, error) {
	p, err := s.Phone(ctx, key)
	if err != nil {
		return Decision{}, fmt.Errorf("deny: %w", err)
	}
	if !w.DryRun {
		if err := s.SetAside(ctx, deviceKey(&p.Device), why, w.By.Who); err != nil {
			return Decision{}, fmt.Errorf("deny: %w", err)
		}
		s.Gate.Settle(p.ID)
	}
	as := p.Device
	as.State = provision.StateRetired // which is what one set aside is treated as
	return Decision{Phone: p, Changes: []provision.Difference{{Path: "aside", New: cmp.Or(why, "yes")}}, Next: s.next(ctx, &as)}, nil
}

// Retire ends that a phone is ours: it gets nothing but public files.
func (s *Service) Retire(ctx context.Context, key string, w Write) (Decision, error) {
	d, err := s.change(ctx, key, w, func(d *provision.Device) error {
		d.State = provision.StateRetired
		return nil
	})
	if err != nil {
		return Decision{}, fmt.Errorf("retire: %w", err)
	}
	if !w.DryRun {
		s.Gate.Settle(d.Phone.ID)
	}
	return d, nil
}

// ClearSuspicion makes a phone that is suspicious or retired one that is confirmed, and forgets the alarms about it.
func (s *Service) ClearSuspicion(ctx context.Context, key string, w Write) (Decision, error) {
	d, err := s.change(ctx, key, w, func(d *provision.Device) error {
		if d.State == provision.StateSuspicious || d.State == provision.StateRetired {
			d.State = provision.StateEnrolled
		}
		return nil
	})
	if err != nil {
		return Decision{}, fmt.Errorf("clear suspicion: %w", err)
	}
	return s.quieted(d, w), nil
}

// MovePort makes the switch port at which a phone's lease is got now the one that it belongs to, and forgets the alarms
// about it; with unpin, it belongs to none. ErrNotFound if no relay agent told a port.
func (s *Service) MovePort(ctx context.Context, key string, unpin bool, w Write) (Decision, error) {
	d, err := s.change(ctx, key, w, func(d *provision.Device) error {
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
		return Decision{}, fmt.Errorf("move port: %w", err)
	}
	return s.quieted(d, w), nil
}

// quieted forgets the alarms about a phone, and tells of them.
func (s *Service) quieted(d Decision, w Write) Decision {
	alarms, _ := s.Gate.About(string(d.Phone.ID))
	for _, a := range alarms {
		d.Changes = append(d.Changes, provision.Difference{Path: "alarm", Old: a.Text})
	}
	if !w.DryRun {
		s.Gate.Quiet(string(d.Phone.ID))
	}
	return d
}

// change changes a phone's record, whatever else is written to it meanwhile.
func (s *Service) change(ctx context.Context, key string, w Write, edit func(*provision.Device) error) (Decision, error) {
	for range maxWriteTries {
		d, err := s.find(ctx, key)
		if err != nil {
			return Decision{}, fmt.Errorf("phone %q: %w", key, err)
		}
		before := d
		if err := edit(&d); err != nil {
			return Decision{}, fmt.Errorf("phone %s: %w", d.ID, err)
		}
		if d.State != before.State || d.Port != before.Port {
			switch d, err = s.put(ctx, &before, d, w); {
			case errors.Is(err, provision.ErrConflict):
				continue
			case err != nil:
				return Decision{}, fmt.Errorf("phone %s: %w", before.ID, err)
			}
		}
		return Decision{Phone: s.phone(d), Changes: diffDevices(&before, &d), Next: s.next(ctx, &d)}, nil
	}
	return Decision{}, fmt.Errorf("phone %q: it changes all the time: %w", key, provision.ErrConflict)
}

// put writes a phone's record, unless it is only tried.
func (s *Service) put(ctx context.Context, before *provision.Device, d provision.Device, w Write) (provision.Device, error) {
	if w.DryRun {
		return d, nil
	}
	if err := describe(ctx, "phone "+string(d.ID), auditRecord(before, nil), auditRecord(&d, before)); err != nil {
		return provision.Device{}, err
	}
	return s.Devices.PutDevice(ctx, d)
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
	if err := s.Gate.CheckWindow(w); err != nil {
		return provision.Window{}, err
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
	if before == nil {
		return fmt.Errorf("close window %q: %w", provision.Printable(id), provision.ErrNotFound)
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
		return "", invalidField("/key", "%q is neither a MAC nor a sighting's key, such as \"serial 4711\"", provision.Printable(text))
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
	if before == nil {
		return fmt.Errorf("take %s back: %w", key, provision.ErrNotFound)
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
func (s *Service) Quiet(ctx context.Context, subject string) error {
	alarms, source := s.Gate.About(subject)
	if len(alarms) == 0 && !source {
		return fmt.Errorf("alarms about %q: %w", provision.Printable(subject), provision.ErrNotFound)
	}
	texts := make([]string, len(alarms))
	for i, a := range alarms {
		texts[i] = a.Text
	}
	if err := describe(ctx, "alarms about "+provision.Printable(subject), map[string]any{"alarms": texts, "counted": source}, nil); err != nil {
		return err
	}
	s.Gate.Quiet(subject)
	return nil
}

// alarms returns the guard's alarms as problems.
func (s *Service) alarms() (list []Problem) {
	for _, a := range s.Gate.Alarms() {
		text := fmt.Sprintf("%s: %s", a.Subject, a.Text)
		if a.Count > 1 {
			text = fmt.Sprintf("%s (%d times, lastly at %s)", text, a.Count, a.Last.Format(time.DateTime))
		}
		list = append(list, Problem{Part: "guard", Kind: string(a.Kind), Network: a.Network, Subject: a.Subject, Text: text, Since: a.First})
	}
	return list
}
