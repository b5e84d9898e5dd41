package dhcp

import (
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Counters is what the server has done since it was made. Its maps are the caller's.
type Counters struct {
	Received  map[string]uint64  // messages that were read, by type in lower case
	Sent      map[string]uint64  // replies, by type in lower case
	Dropped   map[string]uint64  // messages without a reply that should have one, by reason
	Refused   map[string]uint64  // NAKs, by reason
	Listeners map[string]Traffic // by the listener: its interface, or its address
	Handled   map[string]Took    // how long messages were worked on, by type in lower case; what waited for the disk or the wire with it

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

// Traffic is what one listener has read and sent.
type Traffic struct{ Received, Sent map[string]uint64 }

// types is one more than the highest message type that a client or we send; type 0 counts all others.
const types = int(dhcpv4.MessageTypeInform) + 1

type counters struct {
	received, sent   [types]atomic.Uint64
	dropped, refused [reasons]atomic.Uint64
	handled          [types]histogram

	truncated, violations, leftOut, sendErrors, fallbacks, probes, probesLeftOut, probeFails, conflicts,
	queries, bootFails, listenerFails atomic.Uint64
}

//nolint:gochecknoglobals // a constant
var tookBounds = [...]time.Duration{
	250 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 16 * time.Millisecond, 64 * time.Millisecond,
	250 * time.Millisecond, time.Second, 4 * time.Second,
}

// Took is how long something took, and how often.
type Took struct {
	Buckets []TookBucket // the last one has no bound
	Sum     time.Duration
}

// TookBucket counts what took at most so long, and longer than what the bucket before it has.
type TookBucket struct {
	Max time.Duration
	N   uint64
}

type histogram struct {
	n   [len(tookBounds) + 1]atomic.Uint64
	sum atomic.Int64 // nanoseconds
}

func (h *histogram) observe(took time.Duration) {
	i := 0
	for i < len(tookBounds) && took > tookBounds[i] {
		i++
	}
	h.n[i].Add(1)
	h.sum.Add(int64(took))
}

func (h *histogram) took() Took {
	out := Took{Buckets: make([]TookBucket, len(h.n)), Sum: time.Duration(h.sum.Load())}
	for i := range h.n {
		out.Buckets[i].N = h.n[i].Load()
		if i < len(tookBounds) {
			out.Buckets[i].Max = tookBounds[i]
		}
	}
	return out
}

// flow is what one listener has read and sent. It stays when the listener is lost and opened again.
type flow struct{ received, sent [types]atomic.Uint64 }

// flowOf returns the flow of a listener.
func (s *Server) flowOf(listener string) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flows == nil {
		s.flows = make(map[string]*flow)
	}
	if s.flows[listener] == nil {
		s.flows[listener] = new(flow) // the keys are declared: few
	}
	return s.flows[listener]
}

// heard counts a message that was read.
func (s *Server) heard(p *port, t dhcpv4.MessageType) {
	countType(&s.count.received, t)
	if p.flow != nil {
		countType(&p.flow.received, t)
	}
}

// said counts a reply that was sent.
func (s *Server) said(p *port, t dhcpv4.MessageType) {
	countType(&s.count.sent, t)
	if p.flow != nil {
		countType(&p.flow.sent, t)
	}
}

// typeName is a message type's name in metrics and log lines.
func typeName(t dhcpv4.MessageType) string {
	names := [types]string{"other", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"}
	if int(t) >= types {
		return names[0]
	}
	return names[t]
}

// counted is the place of a message type among the counters.
func counted(t dhcpv4.MessageType) int {
	if int(t) >= types {
		return int(dhcpv4.MessageTypeNone)
	}
	return int(t)
}

func countType(a *[types]atomic.Uint64, t dhcpv4.MessageType) { a[counted(t)].Add(1) }

// Snapshot returns the counters. Maps have a key for every type and reason, so that a metric exists before it rises.
func (s *Server) Snapshot() Counters {
	c := &s.count
	out := Counters{
		Listeners:     make(map[string]Traffic),
		Dropped:       make(map[string]uint64, reasons),
		Refused:       make(map[string]uint64, reasons),
		Handled:       make(map[string]Took, types),
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
	all := traffic(&c.received, &c.sent)
	out.Received, out.Sent = all.Received, all.Sent
	for t := range types {
		if name := typeName(dhcpv4.MessageType(t)); !ofServer(dhcpv4.MessageType(t)) {
			out.Handled[name] = c.handled[t].took()
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
	for name, f := range s.flows {
		out.Listeners[name] = traffic(&f.received, &f.sent)
	}
	s.mu.Unlock()
	return out
}

// ofServer reports whether only servers send messages of a type.
func ofServer(t dhcpv4.MessageType) bool {
	return t == dhcpv4.MessageTypeOffer || t == dhcpv4.MessageTypeAck || t == dhcpv4.MessageTypeNak
}

func traffic(received, sent *[types]atomic.Uint64) Traffic {
	out := Traffic{Received: make(map[string]uint64, types), Sent: make(map[string]uint64, types)}
	for i := range types {
		t := dhcpv4.MessageType(i)
		if ofServer(t) {
			out.Sent[typeName(t)] = sent[i].Load()
			continue
		}
		out.Received[typeName(t)] = received[i].Load()
	}
	return out
}
