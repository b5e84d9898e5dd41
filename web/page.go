package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// toPage reads what part of a list is wanted.
func toPage(limit int32, cursor, sort, filter string) admin.Page {
	return admin.Page{Limit: int(limit), Cursor: cursor, Sort: sort, Filter: filter}
}

// pageFault makes of what is wrong with a page what is wrong with a request: it is of its parameters, not of its body.
func pageFault(err error) error {
	faults, ok := errors.AsType[admin.Faults](err)
	if !ok {
		return err
	}
	var found bodyError
	for _, f := range faults {
		found = append(found, api.FieldError{Pointer: f.Pointer, Detail: f.Text})
	}
	return found
}

// toWrite says who changes something.
func toWrite(ctx context.Context, dryRun bool) admin.Write {
	return admin.Write{By: provision.Author{Who: visitOf(ctx).Name}, DryRun: dryRun}
}

// etag is a revision as HTTP has it.
func etag(rev uint64) string { return strconv.Quote(strconv.FormatUint(rev, 10)) }

// fromMatch reads If-Match: the revision that was edited; 0 is any.
func fromMatch(match string) (uint64, error) {
	if match = strings.TrimSpace(match); cmp.Or(match, "*") == "*" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(match, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	rev, err := strconv.ParseUint(text, 10, 64)
	if !ok || !closed || err != nil || rev == 0 {
		return 0, fmt.Errorf("If-Match: %s is no ETag of ours: %w", provision.Printable(match), provision.ErrInvalid)
	}
	return rev, nil
}

// ListLeases lists a page of the leases.
func (o operations) ListLeases(_ context.Context, r api.ListLeasesRequestObject) (api.ListLeasesResponseObject, error) {
	p := toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter)
	if r.Params.Active {
		p.Filter += " active:true"
	}
	leases, err := o.admin.PageLeases(p)
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ListLeases200JSONResponse{Leases: []api.Lease{}, Next: leases.Next, Total: int64(leases.Total)}
	for _, l := range leases.Items {
		list.Leases = append(list.Leases, toLease(l))
	}
	return list, nil
}

// ListPhones lists a page of the phones.
func (o operations) ListPhones(ctx context.Context, r api.ListPhonesRequestObject) (api.ListPhonesResponseObject, error) {
	phones, err := o.admin.ListPhones(ctx, toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ListPhones200JSONResponse{Phones: []api.Phone{}, Next: phones.Next, Total: int64(phones.Total)}
	for i := range phones.Items {
		list.Phones = append(list.Phones, toPhone(phones.Items[i]))
	}
	return list, nil
}

// ListLines lists a page of the phones' lines.
func (o operations) ListLines(ctx context.Context, r api.ListLinesRequestObject) (api.ListLinesResponseObject, error) {
	lines, err := o.admin.ListLines(ctx, toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ListLines200JSONResponse{Lines: []api.Line{}, Next: lines.Next, Total: int64(lines.Total)}
	for _, l := range lines.Items {
		list.Lines = append(list.Lines, api.Line{
			Phone: string(l.Phone), Mac: l.HW.String(), PhoneLabel: l.PhoneLabel, Config: string(l.Config), Position: int32(l.Position), //nolint:gosec // at most 999
			Enabled: l.Enabled, Number: l.Number, Name: l.Name, Label: l.Label, Username: l.Username, Registrar: l.Registrar,
		})
	}
	return list, nil
}

// ListSightings lists a page of who was seen but not added.
func (o operations) ListSightings(_ context.Context, r api.ListSightingsRequestObject) (api.ListSightingsResponseObject, error) {
	sightings, err := o.admin.PageSightings(toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ListSightings200JSONResponse{Sightings: []api.Sighting{}, Next: sightings.Next, Total: int64(sightings.Total)}
	for _, x := range sightings.Items {
		list.Sightings = append(list.Sightings, toSighting(x))
	}
	return list, nil
}

// defaultRequests is how many requests a page has if it isn't said: they are longer than other items.
const defaultRequests = 50

// ListRequests lists a page of the last outcomes, or the last of one phone.
func (o operations) ListRequests(ctx context.Context, r api.ListRequestsRequestObject) (api.ListRequestsResponseObject, error) {
	limit := cmp.Or(r.Params.Limit, defaultRequests)
	page, err := o.admin.PageRequests(toPage(limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	if r.Params.Phone != "" {
		if r.Params.Cursor+r.Params.Sort+r.Params.Filter != "" {
			return nil, fmt.Errorf("the requests of one phone are a page of their own; leave out cursor, sort and filter, "+
				"or phone and say phone:ID in filter: %w", provision.ErrInvalid)
		}
		page.Items, err = o.admin.RequestsOf(ctx, r.Params.Phone, int(limit))
		if err != nil {
			return nil, err
		}
		page.Next, page.Total = "", len(page.Items)
	}
	list := api.ListRequests200JSONResponse{Requests: []api.Outcome{}, Next: page.Next, Total: int64(page.Total)}
	for _, outcome := range page.Items {
		x, err := toOutcome(outcome)
		if err != nil {
			return nil, err
		}
		list.Requests = append(list.Requests, x)
	}
	return list, nil
}
