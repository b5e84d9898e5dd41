package provision

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	maxStrikes = 3                // devices that a source may claim to be without proof
	strikeSpan = 10 * time.Minute // within which they count
	lockSpan   = time.Hour
)

// strike is a device that a source claimed to be without proof of it.
type strike struct {
	who string
	at  time.Time
}

// strike counts the devices that a source claims to be, and reports whether it is locked. The alarm is raised once, when
// the source is locked.
func (g *Gate) strike(o *Outcome, claimed []string) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	peer, at := o.Request.Peer, o.Request.At
	if g.lockedAt(peer, at) {
		return true
	}
	if len(claimed) == 0 {
		return false
	}
	old, _ := g.strikes.get(peer)
	strikes := slices.DeleteFunc(slices.Clone(old), func(x strike) bool { return !within(x.at, at, strikeSpan) })
	for _, who := range claimed {
		if !slices.ContainsFunc(strikes, func(x strike) bool { return x.who == who }) {
			strikes = append(strikes, strike{who, at})
		}
	}
	if !slices.Equal(old, strikes) {
		g.changed()
	}
	if len(strikes) < maxStrikes {
		g.strikes.put(peer, strikes)
		return false
	}
	g.strikes.drop(peer)
	g.locks.put(peer, at)
	subject := addrText(peer)
	g.raiseLocked(Alarm{
		Kind: AlarmLocked, Subject: subject, Network: o.Policy.Network, First: at, Last: at,
		Text: fmt.Sprintf("%s asked for the files of %d devices within %s without proof of being any of them; it gets nothing until %s",
			subject, maxStrikes, strikeSpan, at.Add(lockSpan).Format(time.DateTime)),
	})
	return true
}

// lockedNow reports whether a source is locked, and counts nothing.
func (g *Gate) lockedNow(o *Outcome) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lockedAt(o.Request.Peer, o.Request.At)
}

func (g *Gate) lockedAt(peer netip.Addr, at time.Time) bool {
	since, ok := g.locks.get(peer)
	return ok && within(since, at, lockSpan)
}

// within reports whether two times are less than a span apart. What the clock has left behind by a jump, either way, is over.
func within(then, at time.Time, span time.Duration) bool { return at.Sub(then).Abs() < span }

// unproven returns the devices that the request claims to be of without proof: those named by its path or its headers that
// are others than what the network, a token or a certificate proves.
func (r *passage) unproven() []string {
	if r.out.Identity.Assurance >= SourceToken && len(r.out.Identity.Conflicts) == 0 {
		return nil
	}
	var macs, others []string
	proven := r.tie.hw.String()
	for i := range r.out.Claims {
		c := &r.out.Claims[i]
		if c.Source != SourcePath && c.Source != SourceHeader {
			continue
		}
		switch {
		case c.Attr == AttrMAC && c.Value == proven:
		case c.Attr == AttrMAC && !slices.Contains(macs, c.Value):
			macs = append(macs, c.Value)
		case (c.Attr == AttrSerial || c.Attr == AttrUUID) && len(others) == 0:
			others = append(others, c.Value)
		}
	}
	if len(macs) > 0 || !r.tie.hw.IsZero() {
		return macs
	}
	return others
}

// lock counts what the request claims to be, and decides whether its source is locked. Somebody who is what the network
// says isn't locked by what others say in its name, as addresses can be forged.
func (r *passage) lock() {
	if r.out.Policy.NAT || r.out.Policy.Foreign || r.out.Request.Proto == DHCP {
		return
	}
	claimed := r.unproven()
	if r.dry {
		r.locked = r.gate.lockedNow(r.out)
	} else {
		r.locked = r.gate.strike(r.out, claimed)
	}
	if r.locked && len(claimed) == 0 && r.out.Identity.Assurance >= SourceLease {
		r.locked = false
	}
	if r.locked {
		r.say("the source is locked: it claimed to be too many devices")
	}
}

// adding is how fast and how far a network's devices add themselves.
type adding struct {
	since       time.Time // of the present minute
	who         []string  // those within it
	unconfirmed int       // devices that were added so and that nobody has confirmed
}

// admit counts that a device is about to add itself, or says why it may not. The first requests of one device, which may
// come at once, are one.
func (g *Gate) admit(ctx context.Context, p *Policy, who string, at time.Time) string {
	if g == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(ctx, at, false)
	a := g.network(p.Network)
	if at.Sub(a.since) >= time.Minute || at.Before(a.since) {
		a.since, a.who = at, nil
	}
	if slices.Contains(a.who, who) {
		return ""
	}
	why := ""
	switch {
	case p.AddPerMinute > 0 && len(a.who) >= p.AddPerMinute:
		why = fmt.Sprintf("not added: %d devices were added to the network within a minute, and no more may", len(a.who))
	case g.full(a, p):
		g.count(ctx, at, true)
		if a = g.network(p.Network); g.full(a, p) {
			why = fmt.Sprintf("not added: %d devices of the network wait for approval, %d of all; approve or delete some", a.unconfirmed, g.unconfirmed())
		}
	}
	if why != "" {
		g.raiseLocked(Alarm{Kind: AlarmFull, Subject: p.Network, Network: p.Network, Text: why, First: at, Last: at})
		return why
	}
	if p.AddPerMinute > 0 {
		a.who = append(a.who, who)
	}
	a.unconfirmed++
	return ""
}

func (g *Gate) network(name string) *adding {
	a, ok := g.adding[name]
	if !ok {
		a = &adding{}
		g.adding[name] = a
	}
	return a
}

func (g *Gate) full(a *adding, p *Policy) bool {
	return p.AddMax > 0 && a.unconfirmed >= p.AddMax || g.Total > 0 && g.unconfirmed() >= g.Total
}

func (g *Gate) unconfirmed() (n int) {
	for _, a := range g.adding {
		n += a.unconfirmed
	}
	return n
}

// count takes over from the store how many devices nobody has confirmed: at first, and when the bound seems to be
// reached, but then once a minute at most. A store that can't say leaves the count as it is.
func (g *Gate) count(ctx context.Context, at time.Time, again bool) {
	if g.store == nil || !again && !g.counted.IsZero() || again && at.Sub(g.counted) < time.Minute {
		return
	}
	devices, err := g.store.Devices(ctx)
	if err != nil {
		return
	}
	g.counted = at
	for _, a := range g.adding {
		a.unconfirmed = 0
	}
	for i := range devices {
		if d := &devices[i]; d.Auto && d.State == StateNew {
			g.network(d.Network).unconfirmed++
		}
	}
}
