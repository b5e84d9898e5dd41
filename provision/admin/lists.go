package admin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// ListPhones returns a page of the phones, by MAC if nothing else is said.
func (s *Service) ListPhones(ctx context.Context, p Page) (List[Phone], error) {
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return List[Phone]{}, fmt.Errorf("list phones: %w", err)
	}
	seen := make(map[provision.DeviceID]time.Time, len(devices))
	for _, o := range s.Journal.Recent(0) { // the newest first
		if _, ok := seen[o.Device.ID]; !ok {
			seen[o.Device.ID] = o.Request.At
		}
	}
	phones := make([]Phone, len(devices))
	for i := range devices {
		phones[i] = Phone{Device: devices[i], Addresses: s.addresses(&devices[i]), Seen: seen[devices[i].ID]}
	}
	return phoneTable().page(phones, p)
}

func phoneTable() *table[Phone] {
	return &table[Phone]{sort: "mac", id: func(p *Phone) string { return string(p.ID) }, fields: map[string]field[Phone]{
		"id":      {text: func(p *Phone) string { return string(p.ID) }, free: true},
		"mac":     {text: func(p *Phone) string { return p.HW.String() }, free: true, mac: true},
		"label":   {text: func(p *Phone) string { return p.Label }, free: true},
		"serial":  {text: func(p *Phone) string { return p.Serial }, free: true},
		"uuid":    {text: func(p *Phone) string { return p.UUID }},
		"vendor":  {text: func(p *Phone) string { return p.Vendor }, free: true},
		"model":   {text: func(p *Phone) string { return p.Model }, free: true},
		"version": {text: func(p *Phone) string { return p.Version }},
		"plugin":  {text: func(p *Phone) string { return string(p.Plugin) }, exact: true},
		"config":  {text: func(p *Phone) string { return string(p.Config) }, exact: true},
		"network": {text: func(p *Phone) string { return p.Network }, exact: true},
		"state":   {text: func(p *Phone) string { return stateName(p.Trust()) }, exact: true},
		"auto":    {text: func(p *Phone) string { return strconv.FormatBool(p.Auto) }, exact: true},
		"address": {text: func(p *Phone) string { return addrTexts(p.Addresses) }, key: func(p *Phone) string {
			if len(p.Addresses) == 0 {
				return ""
			}
			return addrKey(p.Addresses[0])
		}, free: true},
		"created": {text: func(p *Phone) string { return timeText(p.Created) }, key: func(p *Phone) string { return timeKey(p.Created) }},
		"seen":    {text: func(p *Phone) string { return timeText(p.Seen) }, key: func(p *Phone) string { return timeKey(p.Seen) }},
	}}
}

func stateName(s provision.DeviceState) string {
	if s == provision.StateNew {
		return "new"
	}
	return string(s)
}

func addrTexts(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// PageLeases returns a page of the lease table, by address if nothing else is said.
func (s *Service) PageLeases(p Page) (List[lease.Lease], error) {
	return leaseTable(time.Now()).page(s.Leases.All(), p)
}

func leaseTable(now time.Time) *table[lease.Lease] {
	type l = lease.Lease
	return &table[l]{sort: "address", id: func(x *l) string { return addrKey(x.Addr) }, fields: map[string]field[l]{
		"address":  {text: func(x *l) string { return x.Addr.String() }, key: func(x *l) string { return addrKey(x.Addr) }, free: true},
		"mac":      {text: func(x *l) string { return x.Client.HW.String() }, free: true, mac: true},
		"network":  {text: func(x *l) string { return string(x.Network) }, exact: true},
		"hostname": {text: func(x *l) string { return provision.Printable(x.Client.Hostname) }, free: true},
		"vendor":   {text: func(x *l) string { return provision.Printable(x.Client.VendorClass) }, free: true},
		"state":    {text: func(x *l) string { return leaseState(x, now) }, exact: true},
		"origin":   {text: func(x *l) string { return x.Origin.String() }, exact: true},
		"active":   {text: func(x *l) string { return strconv.FormatBool(x.Active(now)) }, exact: true},
		"start":    {text: func(x *l) string { return timeText(x.Start) }, key: func(x *l) string { return timeKey(x.Start) }},
		"expires":  {text: func(x *l) string { return timeText(x.Expiry) }, key: func(x *l) string { return timeKey(x.Expiry) }},
	}}
}

// leaseState names a lease's state; one that has run out and wasn't swept yet is expired.
func leaseState(l *lease.Lease, now time.Time) string {
	if l.State == lease.Bound && !l.Active(now) {
		return lease.Expired.String()
	}
	return l.State.String()
}

// PageSightings returns a page of the devices that asked for something and were not added, the newest first if nothing
// else is said.
func (s *Service) PageSightings(p Page) (List[provision.Sighting], error) {
	return sightingTable().page(s.Sightings.List(), p)
}

func sightingTable() *table[provision.Sighting] {
	type x = provision.Sighting
	return &table[x]{sort: "-seen", id: func(s *x) string { return s.Key }, fields: map[string]field[x]{
		"key":     {text: func(s *x) string { return s.Key }, free: true},
		"mac":     {text: func(s *x) string { return s.Identity.HW.String() }, free: true, mac: true},
		"serial":  {text: func(s *x) string { return provision.Printable(s.Identity.Serial) }, free: true},
		"vendor":  {text: func(s *x) string { return provision.Printable(s.Identity.Vendor) }, free: true},
		"model":   {text: func(s *x) string { return provision.Printable(s.Identity.Model) }, free: true},
		"address": {text: func(s *x) string { return s.Last.Peer.String() }, key: func(s *x) string { return addrKey(s.Last.Peer) }, free: true},
		"why":     {text: func(s *x) string { return s.Why }},
		"count":   {text: func(s *x) string { return strconv.FormatUint(s.Count, 10) }, key: func(s *x) string { return numberKey(s.Count) }, exact: true},
		"first":   {text: func(s *x) string { return timeText(s.First) }, key: func(s *x) string { return timeKey(s.First) }},
		"seen":    {text: func(s *x) string { return timeText(s.Last.At) }, key: func(s *x) string { return timeKey(s.Last.At) }},
	}}
}

// PageRequests returns a page of the last requests, the newest first if nothing else is said.
func (s *Service) PageRequests(p Page) (List[*provision.Outcome], error) {
	return requestTable().page(slices.Clone(s.Journal.Recent(0)), p)
}

func requestTable() *table[*provision.Outcome] {
	type o = *provision.Outcome
	return &table[o]{sort: "-number", id: func(x *o) string { return numberKey((*x).Request.ID) }, fields: map[string]field[o]{
		"number": {text: func(x *o) string { return strconv.FormatUint((*x).Request.ID, 10) }, key: func(x *o) string { return numberKey((*x).Request.ID) }, exact: true},
		"proto":  {text: func(x *o) string { return string((*x).Request.Proto) }, exact: true},
		"path":   {text: func(x *o) string { return provision.Printable((*x).Request.Path) }, free: true},
		"address": {
			text: func(x *o) string { return (*x).Request.Peer.String() },
			key:  func(x *o) string { return addrKey((*x).Request.Peer) }, free: true,
		},
		"mac":    {text: func(x *o) string { return (*x).Identity.HW.String() }, free: true, mac: true},
		"phone":  {text: func(x *o) string { return string((*x).Device.ID) }, exact: true},
		"label":  {text: func(x *o) string { return (*x).Device.Label }, free: true},
		"vendor": {text: func(x *o) string { return provision.Printable((*x).Identity.Vendor) }, free: true},
		"model":  {text: func(x *o) string { return provision.Printable((*x).Identity.Model) }, free: true},
		"plugin": {text: func(x *o) string { return string((*x).Plugin) }, exact: true},
		"status": {text: func(x *o) string { return string((*x).Status()) }, exact: true},
		"at":     {text: func(x *o) string { return timeText((*x).Request.At) }, key: func(x *o) string { return timeKey((*x).Request.At) }},
	}}
}
