package tftpd

import "sync/atomic"

// result is what a request came to.
type result uint8

const (
	resultSent        result = iota // the last block was acknowledged
	resultUnconfirmed               // all was sent and all but the last block acknowledged
	resultNotFound                  // or forbidden, or no name at all
	resultFailed                    // a failure of ours
	resultRefused                   // by the client, with an ERROR
	resultTimeout                   // the client fell silent
	resultUnproven                  // nobody vouched for the client, and the file was too much for a guess
	resultStopped                   // took too long, or the server is stopping
	resultWrite                     // a write request
	resultIllegal                   // a malformed one
	resultCount
)

// String names the result as [Stats] does.
func (r result) String() string {
	return [resultCount]string{
		"sent", "unconfirmed", "not found", "failed", "refused", "timeout", "unproven", "stopped", "write", "illegal",
	}[r]
}

// drop is why a datagram got no answer.
type drop uint8

const (
	dropNone      drop = iota
	dropOpcode         // no request
	dropSource         // from a TFTP server's port, or from ourselves
	dropBroadcast      // sent to everybody
	dropRepeated       // the request is being answered
	dropBusy           // too many transfers
	dropPeerBusy       // too many of one peer
	dropOutside        // from a network that isn't served
	dropFlood          // it would have been refused, like too many before it
	dropCount
)

// String names the reason as [Stats] does.
func (d drop) String() string {
	return [dropCount]string{"", "opcode", "source", "broadcast", "repeated", "busy", "peer busy", "outside", "flood"}[d]
}

// Stats are counts since the server was opened.
type Stats struct {
	// Results counts the requests that were answered, by what they came to: sent, unconfirmed, not found, failed,
	// refused, timeout, unproven, stopped, write, illegal. Every key is present.
	Results map[string]uint64
	// Dropped counts the datagrams to the listening port that got no answer, by reason: opcode, source, broadcast,
	// repeated, busy, peer busy, outside, flood. Every key is present.
	Dropped    map[string]uint64
	Bytes      uint64 // of files, acknowledged
	Resent     uint64 // datagrams that had to be sent again
	Strangers  uint64 // datagrams to a transfer's port from another port than its client's
	Panics     uint64
	InProgress int
}

// counters are the live counts. The zero value is ready.
type counters struct {
	results                          [resultCount]atomic.Uint64
	dropped                          [dropCount]atomic.Uint64
	bytes, resent, strangers, panics atomic.Uint64
}

func (c *counters) stats() Stats {
	s := Stats{
		Results:   make(map[string]uint64, resultCount),
		Dropped:   make(map[string]uint64, dropCount),
		Bytes:     c.bytes.Load(),
		Resent:    c.resent.Load(),
		Strangers: c.strangers.Load(),
		Panics:    c.panics.Load(),
	}
	for r := range resultCount {
		s.Results[r.String()] = c.results[r].Load()
	}
	for d := dropNone + 1; d < dropCount; d++ {
		s.Dropped[d.String()] = c.dropped[d].Load()
	}
	return s
}
