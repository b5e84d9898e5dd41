package dhcp

import (
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Counters is what the server has done since it was made. Its maps are the caller's.
type Counters struct {
	Received map[string]uint64 // messages that were read, by type in lower case
	Sent     map[string]uint64 // replies, by type in lower case
	Dropped  map[string]uint64 // messages without a reply that should have one, by reason
	Refused  map[string]uint64 // NAKs, by reason

	Truncated     uint64 // messages with an option that ran past the end
	Violations    uint64 // messages that break RFC 2131 table 5, or whose message type was too long
	LeftOut       uint64 // options that didn't fit into their reply
	SendErrors    uint64 // replies that could not be sent
	Fallbacks     uint64 // replies that were broadcast because no frame could be sent
	Probes        uint64 // addresses that were to be asked for on the wire
	ProbesLeftOut uint64 // of them, those that were not because there were too many
	ProbeFails    uint64 // of them, those that could not be sent
	Conflicts     uint64 // of them, those that a stranger had
	Queries       uint64 // questions for leases that were answered
	BootFails     uint64 // times that the BootSource failed
	ListenerFails uint64 // times that a listener was lost
	InHand        uint64 // messages that are being worked on or wait
}

// types is one more than the highest message type that a client or we send; type 0 counts all others.
const types = int(dhcpv4.MessageTypeInform) + 1

type counters struct {
	received, sent   [types]atomic.Uint64
	dropped, refused [reasons]atomic.Uint64

	truncated, violations, leftOut, sendErrors, fallbacks, probes, probesLeftOut, probeFails, conflicts,
	queries, bootFails, listenerFails atomic.Uint64
}

// typeName is a message type's name in metrics and log lines.
func typeName(t dhcpv4.MessageType) string {
	names := [types]string{"other", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"}
	if int(t) >= types {
		return names[0]
	}
	return names[t]
}

func countType(a *[types]atomic.Uint64, t dhcpv4.MessageType) {
	if int(t) >= types {
		t = dhcpv4.MessageTypeNone
	}
	a[t].Add(1)
}

// Snapshot returns the counters. Maps have a key for every type and reason, so that a metric exists before it rises.
func (s *Server) Snapshot() Counters {
	c := &s.count
	out := Counters{
		Received:      make(map[string]uint64, types),
		Sent:          make(map[string]uint64, types),
		Dropped:       make(map[string]uint64, reasons),
		Refused:       make(map[string]uint64, reasons),
		Truncated:     c.truncated.Load(),
		Violations:    c.violations.Load(),
		LeftOut:       c.leftOut.Load(),
		SendErrors:    c.sendErrors.Load(),
		Fallbacks:     c.fallbacks.Load(),
		Probes:        c.probes.Load(),
		ProbesLeftOut: c.probesLeftOut.Load(),
		ProbeFails:    c.probeFails.Load(),
		Conflicts:     c.conflicts.Load(),
		Queries:       c.queries.Load(),
		BootFails:     c.bootFails.Load(),
		ListenerFails: c.listenerFails.Load(),
	}
	for t := range types {
		name := typeName(dhcpv4.MessageType(t))
		switch dhcpv4.MessageType(t) {
		case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak:
			out.Sent[name] = c.sent[t].Load()
		default:
			out.Received[name] = c.received[t].Load()
		}
	}
	for r := ReasonNone + 1; r < reasons; r++ {
		label, _ := r.text()
		out.Dropped[label] = c.dropped[r].Load()
		if n := c.refused[r].Load(); n > 0 {
			out.Refused[label] = n
		}
	}
	s.mu.Lock()
	out.InHand = uint64(s.inHand) //nolint:gosec // never negative
	s.mu.Unlock()
	return out
}
