package tftpd

import "time"

// timing has the times of a transfer; tests shorten them.
type timing struct {
	first    time.Duration // resend timer while no round trip has been seen: RFC 1123 §4.2.3.2 asks for adaptive ones
	floor    time.Duration // least resend timer
	ceiling  time.Duration // greatest
	patience time.Duration // how long a client may be silent
	drain    time.Duration // how long running transfers may go on when the server stops
	retry    time.Duration // between two reads of a listening socket that fails
}

func defaultTiming() timing {
	return timing{
		first:    time.Second,
		floor:    200 * time.Millisecond,
		ceiling:  6 * time.Second,
		patience: 25 * time.Second,
		drain:    5 * time.Second,
		retry:    100 * time.Millisecond,
	}
}

// roundTrip estimates the time to an acknowledgement as RFC 6298 §2 does. Its zero value has seen none.
type roundTrip struct {
	fixed        time.Duration // what the client asked for (RFC 2349); then nothing is estimated
	mean, spread time.Duration
	backedOff    time.Duration // the timer since the last resend, or zero
}

// add takes a measurement into account and ends backing off.
func (r *roundTrip) add(d time.Duration) {
	d = max(d, 1)
	r.backedOff = 0
	if r.mean == 0 {
		r.mean, r.spread = d, d/2
		return
	}
	r.spread = (3*r.spread + (r.mean - d).Abs()) / 4
	r.mean = (7*r.mean + d) / 8
}

// timeout returns how long to wait before sending again.
func (r *roundTrip) timeout(t *timing) time.Duration {
	switch {
	case r.fixed > 0:
		return r.fixed
	case r.backedOff > 0:
		return r.backedOff
	case r.mean == 0:
		return t.first
	}
	return min(max(r.mean+4*r.spread, t.floor), t.ceiling)
}

// backOff doubles the timer.
func (r *roundTrip) backOff(t *timing) { r.backedOff = min(2*r.timeout(t), t.ceiling) }
