package web

import (
	"context"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// ListReservations lists a page of the reservations.
func (o operations) ListReservations(ctx context.Context, r api.ListReservationsRequestObject) (api.ListReservationsResponseObject, error) {
	page, rev, err := o.admin.PageReservations(ctx, toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ReservationList{Reservations: []api.ReservationStatus{}, Next: page.Next, Total: int64(page.Total)}
	for i := range page.Items {
		list.Reservations = append(list.Reservations, toReserved(&page.Items[i]))
	}
	return api.ListReservations200JSONResponse{Body: list, Headers: api.ListReservations200ResponseHeaders{ETag: etag(rev)}}, nil
}

// CreateReservation keeps an address for a client.
func (o operations) CreateReservation(ctx context.Context, r api.CreateReservationRequestObject) (api.CreateReservationResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	var read reader
	x := read.reservation("", r.Body)
	if err := read.err(); err != nil {
		return nil, err
	}
	got, err := o.admin.AddReservation(ctx, x, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	if r.Params.DryRun {
		return api.CreateReservation200JSONResponse{Body: toNetworkResult(got), Headers: api.CreateReservation200ResponseHeaders{ETag: etag(got.Rev)}}, nil
	}
	return api.CreateReservation201JSONResponse{Body: toNetworkResult(got), Headers: api.CreateReservation201ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// PatchReservation changes some fields of a reservation.
func (o operations) PatchReservation(ctx context.Context, r api.PatchReservationRequestObject) (api.PatchReservationResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	at, err := pathAddr(r.Address)
	if err != nil {
		return nil, err
	}
	edit := func(now network.Reservation) (network.Reservation, error) {
		x, err := merged(toReservation(&now), *r.Body)
		if err != nil {
			return now, err
		}
		var read reader
		return read.reservation("", &x), read.err()
	}
	got, err := o.admin.EditReservation(ctx, at, rev, toWrite(ctx, r.Params.DryRun), edit)
	if err != nil {
		return nil, within(*r.Body, err)
	}
	return api.PatchReservation200JSONResponse{Body: toNetworkResult(got), Headers: api.PatchReservation200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// DeleteReservation ends that an address is kept.
func (o operations) DeleteReservation(ctx context.Context, r api.DeleteReservationRequestObject) (api.DeleteReservationResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	at, err := pathAddr(r.Address)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.RemoveReservation(ctx, at, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DeleteReservation200JSONResponse{Body: toNetworkResult(got), Headers: api.DeleteReservation200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// ReserveLease keeps an address for who holds it.
func (o operations) ReserveLease(ctx context.Context, r api.ReserveLeaseRequestObject) (api.ReserveLeaseResponseObject, error) {
	at, err := pathAddr(r.Address)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.KeepAddress(ctx, at, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.ReserveLease200JSONResponse{Body: toNetworkResult(got), Headers: api.ReserveLease200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// GetOptions returns the options of all networks.
func (o operations) GetOptions(ctx context.Context, _ api.GetOptionsRequestObject) (api.GetOptionsResponseObject, error) {
	d, err := o.admin.Declared(ctx)
	if err != nil {
		return nil, err
	}
	return api.GetOptions200JSONResponse{
		Body: api.OptionList{Options: toOptions(d.Options)}, Headers: api.GetOptions200ResponseHeaders{ETag: etag(d.Rev)},
	}, nil
}

// PutOptions replaces the options of all networks.
func (o operations) PutOptions(ctx context.Context, r api.PutOptionsRequestObject) (api.PutOptionsResponseObject, error) {
	got, err := o.putOptions(ctx, "", r.Body, r.Params.IfMatch, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	return api.PutOptions200JSONResponse{Body: toNetworkResult(got), Headers: api.PutOptions200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// GetNetworkOptions returns the options in effect in a network.
func (o operations) GetNetworkOptions(ctx context.Context, r api.GetNetworkOptionsRequestObject) (api.GetNetworkOptionsResponseObject, error) {
	list, rev, err := o.admin.EffectiveOptions(ctx, network.ID(r.Network))
	if err != nil {
		return nil, err
	}
	return api.GetNetworkOptions200JSONResponse{
		Body: api.EffectiveOptionList{Options: toEffective(list)}, Headers: api.GetNetworkOptions200ResponseHeaders{ETag: etag(rev)},
	}, nil
}

// PutNetworkOptions replaces a network's own options.
func (o operations) PutNetworkOptions(ctx context.Context, r api.PutNetworkOptionsRequestObject) (api.PutNetworkOptionsResponseObject, error) {
	id := network.ID(r.Network)
	if _, _, err := o.admin.Network(ctx, id); err != nil {
		return nil, err
	}
	got, err := o.putOptions(ctx, id, r.Body, r.Params.IfMatch, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	return api.PutNetworkOptions200JSONResponse{Body: toNetworkResult(got), Headers: api.PutNetworkOptions200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// putOptions replaces options. The list that the use case is given is the body's field, so its faults' pointers are below.
func (o operations) putOptions(ctx context.Context, id network.ID, b *api.OptionList, match string, dry bool) (admin.NetworkResult, error) {
	rev, err := fromMatch(match)
	if err != nil {
		return admin.NetworkResult{}, err
	}
	var read reader
	list := read.options("/options", b.Options)
	if err := read.err(); err != nil {
		return admin.NetworkResult{}, err
	}
	got, err := o.admin.PutOptions(ctx, id, list, rev, toWrite(ctx, dry))
	return got, below("/options", err)
}

// ListOptionTypes lists the options that are known by name.
func (operations) ListOptionTypes(context.Context, api.ListOptionTypesRequestObject) (api.ListOptionTypesResponseObject, error) {
	list := api.ListOptionTypes200JSONResponse{Types: []api.OptionType{}}
	for _, d := range network.Defs() {
		if _, err := network.Lookup(d.Name); err != nil {
			continue
		}
		kind, hint := optionHint(d.Kind)
		list.Types = append(list.Types, api.OptionType{Code: int32(d.Code), Name: d.Name, Kind: kind, Hint: hint})
	}
	return list, nil
}

// ListClasses lists the classes.
func (o operations) ListClasses(ctx context.Context, _ api.ListClassesRequestObject) (api.ListClassesResponseObject, error) {
	d, err := o.admin.Declared(ctx)
	if err != nil {
		return nil, err
	}
	list := api.ClassList{Classes: []api.Class{}}
	for i := range d.Classes {
		list.Classes = append(list.Classes, ToClass(&d.Classes[i]))
	}
	return api.ListClasses200JSONResponse{Body: list, Headers: api.ListClasses200ResponseHeaders{ETag: etag(d.Rev)}}, nil
}

// PutClass declares a class.
func (o operations) PutClass(ctx context.Context, r api.PutClassRequestObject) (api.PutClassResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	var read reader
	k := read.class(r.Body)
	if r.Body.ID != r.Class {
		read.faults = append(read.faults, admin.Fault{Pointer: "/id", Text: "it isn't the class of the path", Kind: provision.ErrInvalid})
	}
	if err := read.err(); err != nil {
		return nil, err
	}
	got, err := o.admin.PutClass(ctx, k, network.ClassID(r.Params.Before), rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.PutClass200JSONResponse{Body: toNetworkResult(got), Headers: api.PutClass200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// DeleteClass removes a class.
func (o operations) DeleteClass(ctx context.Context, r api.DeleteClassRequestObject) (api.DeleteClassResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.DeleteClass(ctx, network.ClassID(r.Class), rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DeleteClass200JSONResponse{Body: toNetworkResult(got), Headers: api.DeleteClass200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}
