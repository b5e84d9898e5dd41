package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// OfferQuery asks what a phone would be offered by DHCP. What is left out is as it is known of the phone's last lease.
type OfferQuery struct {
	Network network.ID
	Client  lease.Client
	Want    netip.Addr
	// Supposed are networks to answer by; nil: those in force.
	Supposed *network.Set
}

// Offer is what a phone that starts now would be told by DHCP.
type Offer struct {
	HW       hwaddr.Addr
	Answered bool
	Why      string // why it would not be answered, or gets no address
	Network  network.ID
	Classes  []network.ClassID
	Addr     netip.Addr
	Hold     string // how the address is to be had: reserved, leased, offered, former or free
	Lifetime time.Duration
	Fields   []OfferedValue // siaddr, sname and file
	Options  []OfferedValue // by code
	LeftOut  []uint8        // options that the reply has no room for
}

// OfferedValue is an option, or a field of the header, and where it comes from.
type OfferedValue struct {
	Code   uint8 // zero for a field
	Name   string
	Value  string
	Origin string // such as "network voice", "class phones", "reservation", "plugin" or "protocol"
}

// lines are what of an offer is compared: what the phone is told, but not how we came by it.
func (o Offer) lines() []string {
	if !o.Answered {
		return []string{"no answer: " + o.Why}
	}
	out := []string{"network " + string(o.Network)}
	for _, v := range slices.Concat(o.Fields, o.Options) {
		out = append(out, v.Name+" "+v.Value)
	}
	return out
}

// DHCPOffer tells what a phone would be offered if it started now. The key is what a person has at hand, as for [Service.Phone],
// or the MAC of a phone that nobody knows. Nothing is changed, and nobody is offered anything else for having asked.
// ErrInvalid: it isn't known where the phone is, so the query must name a network or a relay agent.
func (s *Service) DHCPOffer(ctx context.Context, key string, q OfferQuery) (Offer, error) {
	if s.AskDHCP == nil {
		return Offer{}, fmt.Errorf("what %s is offered: %w", provision.Printable(key), errNoDHCP)
	}
	d, err := s.find(ctx, key)
	hw := d.HW
	if isNotFound(err) {
		if hw, err = hwaddr.Parse(key); err != nil {
			err = fmt.Errorf("no phone of that name, and no MAC: %w", provision.ErrNotFound)
		}
	}
	if err == nil && hw.IsZero() {
		err = fmt.Errorf("its MAC isn't known: %w", provision.ErrInvalid)
	}
	if err != nil {
		return Offer{}, fmt.Errorf("what %s is offered: %w", provision.Printable(key), err)
	}
	q.Client.HW = hw
	s.recall(&q)
	if q.Network == "" && !q.Client.Relay.IsValid() {
		return Offer{}, fmt.Errorf("what %s is offered: %w", hw, invalidField("/network", "it never had a lease, so say in which network it would be"))
	}
	return s.AskDHCP(ctx, q), nil
}

var errNoDHCP = fmt.Errorf("DHCP isn't served by this program: %w", provision.ErrConflict)

// recall fills in what a query leaves out by the client's lease, or the last one that it had.
func (s *Service) recall(q *OfferQuery) {
	var last lease.Lease
	for _, l := range s.Leases.ByHW(q.Client.HW) {
		if l.Origin != lease.External && !l.Start.Before(last.Start) {
			last = l
		}
	}
	if !last.Addr.IsValid() {
		for _, l := range s.Leases.All() {
			if l.Client.HW == q.Client.HW && l.Origin != lease.External && l.Expiry.After(last.Expiry) {
				last = l
			}
		}
	}
	recallLease(q, last)
}

func recallLease(q *OfferQuery, last lease.Lease) {
	c, was := &q.Client, &last.Client
	if q.Network == "" && !c.Relay.IsValid() {
		q.Network, c.Relay = last.Network, was.Relay
		c.Circuit, c.Remote = cmp.Or(c.Circuit, was.Circuit), cmp.Or(c.Remote, was.Remote)
	}
	c.ID, c.VendorClass = cmp.Or(c.ID, was.ID), cmp.Or(c.VendorClass, was.VendorClass)
	c.UserClass, c.Hostname = cmp.Or(c.UserClass, was.UserClass), cmp.Or(c.Hostname, was.Hostname)
	if len(c.Params) == 0 {
		c.Params = was.Params
	}
}

// NetworkEffect is what a change of what is declared about DHCP would mean to a phone when it next starts.
type NetworkEffect struct {
	Device provision.DeviceID
	HW     hwaddr.Addr
	// Loses and Gains: it is answered now and wouldn't be, or the other way round. Why says why not.
	Loses, Gains bool
	Why          string
	// From and To are its address now and then; the same if it keeps it.
	From, To netip.Addr
	// Lost and Added are what it is told now and no more, and what it would be told, such as "router 192.0.2.1".
	Lost, Added []string
}

// networkEffects returns the phones that have, or had, a lease of ours and would be told something else by other networks,
// in order of their MACs.
func (s *Service) networkEffects(ctx context.Context, set *network.Set) ([]NetworkEffect, error) {
	if s.AskDHCP == nil {
		return nil, nil
	}
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("phones that are affected: %w", err)
	}
	known := make(map[hwaddr.Addr]provision.DeviceID, len(devices))
	for i := range devices {
		if !devices[i].HW.IsZero() {
			known[devices[i].HW] = devices[i].ID
		}
	}
	last := make(map[hwaddr.Addr]lease.Lease, len(known))
	for _, l := range s.Leases.All() {
		_, ours := known[l.Client.HW]
		if ours && l.Origin != lease.External && l.Expiry.After(last[l.Client.HW].Expiry) {
			last[l.Client.HW] = l
		}
	}
	inForce := s.Networks.Networks()
	var list []NetworkEffect
	for hw, l := range last {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("phones that are affected: %w", err)
		}
		q := OfferQuery{Client: lease.Client{HW: hw}, Supposed: inForce}
		recallLease(&q, l)
		before := s.AskDHCP(ctx, q)
		q.Supposed = set
		if e, differs := effectOf(before, s.AskDHCP(ctx, q)); differs {
			e.Device, e.HW = known[hw], hw
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b NetworkEffect) int { return strings.Compare(a.HW.String(), b.HW.String()) })
	return list, nil
}

// effectOf compares two offers.
func effectOf(before, after Offer) (NetworkEffect, bool) {
	e := NetworkEffect{
		Loses: before.Answered && !after.Answered, Gains: !before.Answered && after.Answered, From: before.Addr, To: after.Addr,
		Why: after.Why,
	}
	was, is := before.lines(), after.lines()
	e.Lost = slices.DeleteFunc(slices.Clone(was), func(s string) bool { return slices.Contains(is, s) })
	e.Added = slices.DeleteFunc(slices.Clone(is), func(s string) bool { return slices.Contains(was, s) })
	return e, e.From != e.To || len(e.Lost)+len(e.Added) > 0
}
