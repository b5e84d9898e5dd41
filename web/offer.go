package web

import (
	"context"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// GetOffer tells what a phone would be told by DHCP.
func (o operations) GetOffer(ctx context.Context, r api.GetOfferRequestObject) (api.GetOfferResponseObject, error) {
	p := r.Params
	q := admin.OfferQuery{
		Network: network.ID(p.Network), Client: lease.Client{VendorClass: p.VendorClass, UserClass: p.UserClass, Circuit: p.Circuit},
	}
	if p.Relay != "" {
		relay, err := netip.ParseAddr(p.Relay)
		if err != nil || !relay.Is4() {
			return nil, fieldFault("relay", "want an IPv4 address, not %q", p.Relay)
		}
		q.Client.Relay = relay
	}
	for _, code := range p.Params {
		if code < 1 || code > 254 {
			return nil, fieldFault("params", "%d is no option's code, which is from 1 to 254", code)
		}
		q.Client.Params = append(q.Client.Params, uint8(code))
	}
	x, err := o.admin.DHCPOffer(ctx, r.Phone, q)
	if err != nil {
		return nil, err
	}
	out := api.GetOffer200JSONResponse{
		Mac: x.HW.String(), Answered: x.Answered, Why: provision.Printable(x.Why), Network: string(x.Network), Classes: []string{},
		Hold: api.OfferHold(x.Hold), Seconds: int64(x.Lifetime / time.Second), Fields: offeredValues(x.Fields), Options: offeredValues(x.Options),
		LeftOut: []int32{},
	}
	if x.Addr.IsValid() {
		out.Address = x.Addr.String()
	}
	for _, id := range x.Classes {
		out.Classes = append(out.Classes, string(id))
	}
	for _, code := range x.LeftOut {
		out.LeftOut = append(out.LeftOut, int32(code))
	}
	return out, nil
}

func offeredValues(list []admin.OfferedValue) []api.OfferedValue {
	out := make([]api.OfferedValue, len(list))
	for i, v := range list {
		out[i] = api.OfferedValue{Code: int32(v.Code), Name: v.Name, Value: provision.Printable(v.Value), Origin: v.Origin}
	}
	return out
}
