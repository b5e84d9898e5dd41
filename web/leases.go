package web

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// TellLease takes in what another DHCP server says of one of its leases.
func (o operations) TellLease(ctx context.Context, r api.TellLeaseRequestObject) (api.TellLeaseResponseObject, error) {
	e, err := fromLeaseEvent(r.Body)
	if err != nil {
		return nil, fmt.Errorf("lease event: %w", err)
	}
	l, err := o.admin.LeaseEvent(ctx, e)
	if err != nil {
		return nil, err
	}
	return api.TellLease200JSONResponse(toLease(l)), nil
}

// ReleaseLease ends the lease of an address.
func (o operations) ReleaseLease(ctx context.Context, r api.ReleaseLeaseRequestObject) (api.ReleaseLeaseResponseObject, error) {
	addr, err := netip.ParseAddr(r.Address)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address: %w", r.Address, provision.ErrInvalid)
	}
	l, err := o.admin.ReleaseLease(ctx, addr, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	if e, ok := access.NoteOf(ctx).Take(); ok && !r.Params.DryRun { // leases are written in turn, not as somebody's change
		o.server.write(ctx, e)
	}
	return api.ReleaseLease200JSONResponse(toLease(l)), nil
}

func fromLeaseEvent(b *api.LeaseEvent) (e admin.LeaseEvent, err error) {
	states := map[api.LeaseEventEvent]lease.State{
		api.LeaseEventEventBound: lease.Bound, api.LeaseEventEventReleased: lease.Released,
		api.LeaseEventEventExpired: lease.Expired, api.LeaseEventEventDeclined: lease.Declined,
	}
	var ok bool
	if e.State, ok = states[b.Event]; !ok {
		return e, fieldFault("event", "want bound, released, expired or declined, not %q", b.Event)
	}
	if e.Addr, err = netip.ParseAddr(b.IP); err != nil {
		return e, fieldFault("ip", "want an address, not %q", b.IP)
	}
	if b.Mac != "" {
		if e.Client.HW, err = hwaddr.Parse(pad(b.Mac)); err != nil {
			return e, fieldFault("mac", "%s", err)
		}
	}
	if b.Relay != "" {
		if e.Client.Relay, err = netip.ParseAddr(b.Relay); err != nil || !e.Client.Relay.Is4() {
			return e, fieldFault("relay", "want an IPv4 address, not %q", b.Relay)
		}
	}
	for _, f := range [...]struct {
		name, value string
		to          *string
		hex         bool
	}{
		{"hostname", b.Hostname, &e.Client.Hostname, false},
		{"vendor_class", b.VendorClass, &e.Client.VendorClass, false},
		{"user_class", b.UserClass, &e.Client.UserClass, false},
		{"client_id", b.ClientID, &e.Client.ID, true},
		{"circuit_id", b.CircuitID, &e.Client.Circuit, true},
		{"remote_id", b.RemoteID, &e.Client.Remote, true},
	} {
		*f.to = f.value
		if f.hex {
			raw, err := hex.DecodeString(strings.ReplaceAll(pad(f.value), ":", ""))
			if err != nil {
				return e, fieldFault(f.name, "want hexadecimal digits, not %q", f.value)
			}
			*f.to = string(raw)
		}
		if len(*f.to) > 255 {
			return e, fieldFault(f.name, "it has %d bytes; an option has 255 at most", len(*f.to))
		}
	}
	if b.Lifetime < 0 || b.Lifetime > 1<<32-1 {
		return e, fmt.Errorf("lifetime %d is none; it is in seconds", b.Lifetime)
	}
	e.Expires, e.Lifetime = b.Expires, time.Duration(b.Lifetime)*time.Second
	return e, nil
}

// pad writes bytes with two digits each: some servers print them as numbers, 0:1b:d4:0:0:1.
func pad(s string) string {
	groups := strings.Split(s, ":")
	if len(groups) == 1 {
		return s
	}
	for i, g := range groups {
		if len(g) == 1 {
			groups[i] = "0" + g
		}
	}
	return strings.Join(groups, ":")
}
