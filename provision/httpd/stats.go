package httpd

import "sync/atomic"

// result is what a request came to.
type result uint8

const (
	resultSent       result = iota // whole, a range, or only its headers
	resultUnchanged                // the phone has it already, or another one than it takes for granted
	resultRange                    // no such range
	resultNotFound                 // or forbidden, or no path at all
	resultFailed                   // a failure of ours
	resultBroken                   // the connection broke, or was too slow
	resultMethod                   // neither GET nor HEAD
	resultUnreadable               // refused by net/http
	resultCount
)

// String names the result as [Stats] does.
func (r result) String() string {
	return [resultCount]string{
		"sent", "unchanged", "range", "not found", "failed", "broken", "method", "unreadable",
	}[r]
}

// Stats are counts since the server was opened.
type Stats struct {
	// Results counts requests by what they came to: sent, unchanged, range, not found, failed, broken, method,
	// unreadable. Every key is present.
	Results     map[string]uint64
	Bytes       uint64 // of bodies
	OverCap     uint64 // connections closed because their address had enough
	Handshakes  uint64 // of TLS that failed
	Panics      uint64
	InProgress  int // requests
	Connections int
}

// counters are the live counts. The zero value is ready.
type counters struct {
	results                            [resultCount]atomic.Uint64
	bytes, overCap, handshakes, panics atomic.Uint64
	inProgress                         atomic.Int64
}

func (c *counters) stats() Stats {
	s := Stats{
		Results:    make(map[string]uint64, resultCount),
		Bytes:      c.bytes.Load(),
		OverCap:    c.overCap.Load(),
		Handshakes: c.handshakes.Load(),
		Panics:     c.panics.Load(),
		InProgress: int(c.inProgress.Load()),
	}
	for r := range resultCount {
		s.Results[r.String()] = c.results[r].Load()
	}
	return s
}
