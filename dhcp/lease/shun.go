package lease

import (
	"slices"
	"time"
)

// shun hides the addresses that a commit was to take from their clients for a quarantine: it wasn't written, but the
// stranger is there. It is written as soon as the store takes it, or when the client gets another address.
func (t *Table) shun(o *op) {
	for _, c := range o.changes {
		if e := t.at(c.Next.Addr); c.Next.State == Declined && c.Prev.State == Bound {
			e.hidden = true
			t.shunned[e] = c
		}
	}
}

// shuns returns the change by which a shunned address is to go into quarantine, from now on for as long as was meant.
func (t *Table) shuns(now time.Time, e *entry) (Change, bool) {
	c, ok := t.shunned[e]
	if !ok || e.state != Bound || e.rev != c.Prev.Rev {
		return Change{}, false // it went another way
	}
	c.Next.Start, c.Next.Expiry = now, now.Add(c.Next.Expiry.Sub(c.Next.Start))
	return c, true
}

// planShunned adds the quarantines that the store did not take. What is in a commit comes next time.
func (t *Table) planShunned(now time.Time, o *op) {
	for e := range t.shunned {
		c, ok := t.shuns(now, e)
		switch {
		case !ok:
			delete(t.shunned, e)
		case e.op != nil || e.suspect || len(o.entries) >= sweepSlice || slices.Contains(o.entries, e):
		default:
			o.entries = append(o.entries, e)
			o.add(now, c.Kind, e.lease(), c.Next)
		}
	}
}

// leave adds the end of a lease whose client gets another one.
func (t *Table) leave(now time.Time, o *op, e *entry) {
	if c, ok := t.shuns(now, e); ok {
		o.add(now, c.Kind, e.lease(), c.Next)
		return
	}
	o.clear(now, e)
}
