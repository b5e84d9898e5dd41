package web

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// author is who asks, and why.
func author(ctx context.Context, why string) provision.Author {
	return provision.Author{Who: visitOf(ctx).Name, Why: why}
}

// ListWaiting lists the phones that wait for approval.
func (o operations) ListWaiting(context.Context, api.ListWaitingRequestObject) (api.ListWaitingResponseObject, error) {
	list := api.ListWaiting200JSONResponse{Waiting: []api.Waiting{}}
	for _, w := range o.admin.ListWaiting() {
		id := w.Identity
		list.Waiting = append(list.Waiting, api.Waiting{
			Phone: string(w.Device), Mac: w.HW.String(), MacVendor: w.HW.Vendor(), Sn: id.Serial, Vendor: id.Vendor, Model: id.Model, Version: id.Version,
			Network: w.Network, From: w.Peer.String(), Path: provision.Printable(w.Path), Rule: w.Rule, Why: provision.Printable(w.Why),
			Served: w.Served, First: w.First, Last: w.Last, Count: int64(w.Count),
		})
	}
	return list, nil
}

// ApprovePhone confirms a phone.
func (o operations) ApprovePhone(ctx context.Context, r api.ApprovePhoneRequestObject) (api.ApprovePhoneResponseObject, error) {
	d, err := o.admin.Approve(ctx, r.Phone, provision.ConfigID(r.Body.Config), write(ctx, r.Params.DryRun, "approved"))
	if err != nil {
		return nil, err
	}
	return api.ApprovePhone200JSONResponse(toDecision(d)), nil
}

// DenyPhone sets a phone aside.
func (o operations) DenyPhone(ctx context.Context, r api.DenyPhoneRequestObject) (api.DenyPhoneResponseObject, error) {
	d, err := o.admin.Deny(ctx, r.Phone, r.Body.Why, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DenyPhone200JSONResponse(toDecision(d)), nil
}

// RetirePhone ends that a phone is ours.
func (o operations) RetirePhone(ctx context.Context, r api.RetirePhoneRequestObject) (api.RetirePhoneResponseObject, error) {
	d, err := o.admin.Retire(ctx, r.Phone, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.RetirePhone200JSONResponse(toDecision(d)), nil
}

// ClearPhone ends that a phone is suspicious or retired.
func (o operations) ClearPhone(ctx context.Context, r api.ClearPhoneRequestObject) (api.ClearPhoneResponseObject, error) {
	d, err := o.admin.ClearSuspicion(ctx, r.Phone, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.ClearPhone200JSONResponse(toDecision(d)), nil
}

// MovePort makes the port at which a phone is now its own.
func (o operations) MovePort(ctx context.Context, r api.MovePortRequestObject) (api.MovePortResponseObject, error) {
	d, err := o.admin.MovePort(ctx, r.Phone, r.Body.Unpin, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.MovePort200JSONResponse(toDecision(d)), nil
}

func toDecision(d admin.Decision) api.Decision {
	x := api.Decision{Phone: toPhone(d.Phone), Changes: toChanges(d.Changes)}
	if n := d.Next; n != nil {
		x.Next = api.NextFile{
			Proto: string(n.Request.Proto), Path: provision.Printable(n.Request.Path), Status: string(n.Status()),
			Secrets: n.Verdict.Allow && n.Verdict.Secrets && n.Route.Class == provision.ClassSecret, Rule: n.Verdict.Rule,
			Why: provision.Printable(n.Verdict.Why),
		}
	}
	return x
}

// QuietAlarms forgets the alarms about something.
func (o operations) QuietAlarms(ctx context.Context, r api.QuietAlarmsRequestObject) (api.QuietAlarmsResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.admin.Quiet(ctx, r.Subject); err != nil {
		return nil, err
	}
	o.server.done(ctx)
	return api.QuietAlarms204Response{}, nil
}

// IssuePhoneToken issues a token for a phone.
func (o operations) IssuePhoneToken(ctx context.Context, r api.IssuePhoneTokenRequestObject) (api.IssuePhoneTokenResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if o.keys == nil {
		return nil, fmt.Errorf("tokens: %w", provision.ErrNotFound)
	}
	var from netip.Addr
	if text := r.Body.From; text != "" {
		var err error
		if from, err = netip.ParseAddr(text); err != nil || !from.Is4() {
			return nil, fieldFault("from", "want an IPv4 address, not %q", text)
		}
	}
	p, err := o.admin.Phone(ctx, r.Phone)
	if err == nil {
		err = about(ctx, "phone "+string(p.ID))
	}
	if err != nil {
		return nil, err
	}
	t, err := o.keys.IssueToken(ctx, r.Phone, time.Duration(r.Body.Hours)*time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	if r.Body.Remote {
		remote := true
		if _, err := o.admin.PatchPhone(ctx, string(t.Device), 0, admin.PhonePatch{Remote: &remote}, admin.Write{By: author(ctx, "token issued")}); err != nil {
			return nil, err
		}
	}
	o.server.did(ctx, "phone "+string(t.Device))
	return api.IssuePhoneToken201JSONResponse{
		Phone: string(t.Device), Path: t.Path.Reveal(), URL: o.keys.URL(from, t.Path).Reveal(), Ends: t.Ends,
	}, nil
}

// ListWindows lists the enrolment windows.
func (o operations) ListWindows(context.Context, api.ListWindowsRequestObject) (api.ListWindowsResponseObject, error) {
	list := api.ListWindows200JSONResponse{Windows: []api.Window{}}
	for _, w := range o.admin.ListWindows() {
		list.Windows = append(list.Windows, toWindow(w))
	}
	return list, nil
}

// OpenWindow opens an enrolment window.
func (o operations) OpenWindow(ctx context.Context, r api.OpenWindowRequestObject) (api.OpenWindowResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	minutes := cmp.Or(r.Body.Minutes, int32(admin.DefaultWindow/time.Minute))
	w, err := o.admin.OpenWindow(ctx, provision.Window{
		Device: provision.DeviceID(r.Body.Phone), Network: r.Body.Network, Vendor: r.Body.Vendor, OUI: r.Body.Oui, Count: int(r.Body.Count),
		By: author(ctx, "").Who,
	}, time.Duration(minutes)*time.Minute)
	if err != nil {
		return nil, err
	}
	return api.OpenWindow201JSONResponse(toWindow(w)), nil
}

// CloseWindow closes one.
func (o operations) CloseWindow(ctx context.Context, r api.CloseWindowRequestObject) (api.CloseWindowResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.admin.CloseWindow(ctx, r.Window); err != nil {
		return nil, err
	}
	return api.CloseWindow204Response{}, nil
}

func toWindow(w provision.Window) api.Window {
	x := api.Window{
		ID: w.ID, Phone: string(w.Device), Network: w.Network, Vendor: w.Vendor, Oui: w.OUI, Count: int32(min(w.Count, math.MaxInt32)), //nolint:gosec // bounded
		Opened: w.Opened, Closes: w.Closes, By: w.By, Used: []string{},
	}
	for _, id := range w.Used {
		x.Used = append(x.Used, string(id))
	}
	return x
}

// ListAsides lists the devices that are set aside.
func (o operations) ListAsides(context.Context, api.ListAsidesRequestObject) (api.ListAsidesResponseObject, error) {
	list := api.ListAsides200JSONResponse{Asides: []api.Aside{}}
	for _, a := range o.admin.ListAside() {
		list.Asides = append(list.Asides, api.Aside{Key: a.Key, Why: provision.Printable(a.Why), By: a.By, At: a.When})
	}
	return list, nil
}

// SetAside sets a device aside.
func (o operations) SetAside(ctx context.Context, r api.SetAsideRequestObject) (api.SetAsideResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.admin.SetAside(ctx, r.Body.Key, r.Body.Why, author(ctx, "").Who); err != nil {
		return nil, err
	}
	return api.SetAside204Response{}, nil
}

// TakeBack ends that a device is set aside.
func (o operations) TakeBack(ctx context.Context, r api.TakeBackRequestObject) (api.TakeBackResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.admin.TakeBack(ctx, r.Aside); err != nil {
		return nil, err
	}
	return api.TakeBack204Response{}, nil
}

// toState names a state; that of a phone which nobody has confirmed has no name inside.
func toState(s provision.DeviceState) api.PhoneState {
	if s == provision.StateNew {
		return api.PhoneStateNew
	}
	return api.PhoneState(s)
}
