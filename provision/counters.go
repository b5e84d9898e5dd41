package provision

import (
	"errors"
	"slices"
	"sync/atomic"
)

// StatusOf returns what an error makes of a request; nil is StatusOK.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.Is(err, ErrNotFound):
		return StatusMissing
	case errors.Is(err, ErrForbidden):
		return StatusForbidden
	case errors.Is(err, ErrInvalid):
		return StatusInvalid
	}
	return StatusFailed
}

// Counters count outcomes since the start. The zero value is ready; they are safe for concurrent use.
type Counters struct {
	outcomes [len(countedProtos)][len(countedStatuses)]atomic.Uint64
	created  atomic.Uint64
	sighted  atomic.Uint64
}

//nolint:gochecknoglobals // constants
var (
	countedProtos   = [...]Proto{DHCP, TFTP, HTTP, SIP}
	countedStatuses = [...]Status{StatusOK, StatusMissing, StatusForbidden, StatusInvalid, StatusFailed}
)

// Count is how many requests of a protocol came to a status.
type Count struct {
	Proto  Proto
	Status Status
	N      uint64
}

func (c *Counters) add(o *Outcome) {
	p, s := slices.Index(countedProtos[:], o.Request.Proto), slices.Index(countedStatuses[:], o.Status())
	if p >= 0 && s >= 0 {
		c.outcomes[p][s].Add(1)
	}
	if o.Created {
		c.created.Add(1)
	}
	if o.Sighted {
		c.sighted.Add(1)
	}
}

// Outcomes returns a count for every protocol and status, zeros included, always in the same order.
func (c *Counters) Outcomes() []Count {
	out := make([]Count, 0, len(countedProtos)*len(countedStatuses))
	for p, proto := range countedProtos {
		for s, status := range countedStatuses {
			out = append(out, Count{proto, status, c.outcomes[p][s].Load()})
		}
	}
	return out
}

// Created returns how many devices were added by their own requests.
func (c *Counters) Created() uint64 { return c.created.Load() }

// Sighted returns how many requests came from devices that weren't added.
func (c *Counters) Sighted() uint64 { return c.sighted.Load() }
