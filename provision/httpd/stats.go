package httpd

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

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

// The listeners, methods and codes that are counted; the last one has all others.
//
//nolint:gochecknoglobals // constants
var (
	countedListeners = [...]string{"http", "https"}
	countedMethods   = [...]string{http.MethodGet, http.MethodHead, "other"}
	countedCodes     = [...]int{
		http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable, http.StatusServiceUnavailable, 0,
	}
)

// Count is how many requests of a kind there were.
type Count struct {
	Listener string // http https
	Method   string // GET HEAD other
	Code     int    // of the answer; 0: another one, or none
	Result   string // as in Stats.Results
	N        uint64
}

// Took is how long requests of a kind took, from their headers to the last byte that was sent.
type Took struct {
	Listener, Result string
	Took             *provision.Histogram
}

// Stats are counts since the server was opened.
type Stats struct {
	// Results counts requests by what they came to: sent, unchanged, range, not found, failed, broken, method,
	// unreadable. Every key is present.
	Results     map[string]uint64
	Requests    []Count // the same by listener, method and code, but for unreadable ones and kinds of which there were none (files that were sent whole are always there)
	Took        []Took  // for each listener and result that there was
	Bytes       uint64  // of bodies
	OverCap     uint64  // connections closed because their address had enough
	Handshakes  uint64  // of TLS that failed
	Panics      uint64
	InProgress  int // requests
	Connections int
}

// counters are the live counts. The zero value is ready.
type counters struct {
	results                            [resultCount]atomic.Uint64
	requests                           [len(countedListeners)][len(countedMethods)][len(countedCodes)][resultCount]atomic.Uint64
	took                               [len(countedListeners)][resultCount]provision.Histogram
	bytes, overCap, handshakes, panics atomic.Uint64
	inProgress                         atomic.Int64
}

// add counts a request that was dealt with.
func (c *counters) add(r *http.Request, status int, came result, took time.Duration) {
	listener := 0
	if r.TLS != nil {
		listener = 1
	}
	method, code := slices.Index(countedMethods[:], r.Method), slices.Index(countedCodes[:], status)
	if method < 0 {
		method = len(countedMethods) - 1
	}
	if code < 0 {
		code = len(countedCodes) - 1
	}
	c.results[came].Add(1)
	c.requests[listener][method][code][came].Add(1)
	c.took[listener][came].Observe(took)
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
	s.Requests, s.Took = c.kinds()
	return s
}

// kinds returns the kinds of requests that there were.
func (c *counters) kinds() (requests []Count, took []Took) {
	for l, listener := range countedListeners {
		for r := range resultCount {
			seen := false
			for m, method := range countedMethods {
				for k, code := range countedCodes {
					if n := c.requests[l][m][k][r].Load(); n > 0 || m+k+int(r) == 0 { // the first one is there before it rises
						requests = append(requests, Count{listener, method, code, r.String(), n})
						seen = true
					}
				}
			}
			if seen {
				took = append(took, Took{listener, r.String(), &c.took[l][r]})
			}
		}
	}
	return requests, took
}
