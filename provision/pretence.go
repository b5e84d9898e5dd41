package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Rule C1 bears with a device that says it is another one, but not often.
const (
	maxPretences  = 3
	pretenceSpan  = 10 * time.Minute
	maxPretenders = 8192
)

// pretences are when requests from a device's own address last said that they are another device's: maxPretences at most.
type pretences struct {
	all  []time.Time
	sure []time.Time // those over TCP: nobody can have sent them in the device's name
}

// pretend counts that a request of a device says it is another's, unless dry. It reports whether such requests are too
// many by now, and whether that is so even without the datagrams, whose sender may be forged.
func (g *Gate) pretend(id DeviceID, at time.Time, over Transport, dry bool) (often, surely bool) {
	if g == nil {
		return false, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p, _ := g.pretenders.get(id)
	old := func(t time.Time) bool { return !within(t, at, pretenceSpan) }
	p.all, p.sure = slices.DeleteFunc(slices.Clone(p.all), old), slices.DeleteFunc(slices.Clone(p.sure), old)
	if !dry {
		p.all = latest(append(p.all, at))
		if over != OverTFTP {
			p.sure = latest(append(p.sure, at))
		}
		g.pretenders.put(id, p)
		g.changed()
	}
	return len(p.all) >= maxPretences, len(p.sure) >= maxPretences
}

// latest returns the last maxPretences of times.
func latest(times []time.Time) []time.Time { return times[max(0, len(times)-maxPretences):] }

// pretends applies the end of rule C1: a device whose address the network proves, but which says again and again that it
// is another one that we know, is suspicious, and what it asks so is answered like that.
func (r *passage) pretends(ctx context.Context, ev *Evidence) {
	other := r.pretended(ctx)
	if other == "" {
		return
	}
	var often bool
	if often, r.suspicious = r.gate.pretend(r.device.ID, r.out.Request.At, ev.Over, r.dry); !often {
		return
	}
	r.pretence = fmt.Sprintf("C1: %s at %s says that it is device %s; it said so of others %d times within %s",
		r.tie.hw, addrText(r.out.Request.Peer), other, maxPretences, pretenceSpan)
	if !r.suspicious {
		r.pretence += ", but in datagrams, which anybody may have sent in its name"
	}
	if ev.State != StandingRetired {
		ev.State = StandingSuspicious
	}
}

// pretended returns the device that a mere claim of the request names, while the network proves that it comes from another
// one; empty: there is none.
func (r *passage) pretended(ctx context.Context) DeviceID {
	if r.stored.Rev == 0 || r.tie.hw.IsZero() || r.device.HW != r.tie.hw || !r.tie.rival.IsZero() {
		return ""
	}
	for _, x := range r.out.Identity.Conflicts {
		if x.Lost.Attr != AttrMAC || x.Lost.Source > SourceHeader || x.Won.Source != SourceLease && x.Won.Source != SourceNeighbour {
			continue
		}
		hw, err := hwaddr.Parse(x.Lost.Value)
		if err != nil {
			continue
		}
		if d, err := r.devices.DeviceByHW(ctx, hw); err == nil && d.ID != r.device.ID {
			return d.ID
		}
	}
	return ""
}
