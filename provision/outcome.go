package provision

import (
	"context"
	"time"
)

// Step is one stage of the pipeline as it went: its name, what it concluded in a sentence, and how long it took.
type Step struct {
	Stage string // extract retrieve update route guard answer
	Note  string
	Took  time.Duration
}

// Score is one plugin's support for the identity.
type Score struct {
	Plugin  PluginID
	Support Support
	Why     string
}

// Change is one field of the device that a request changed.
type Change struct{ Field, Old, New, Why string }

// Outcome is all that a request came to, filled by the stages and by nothing else. It has keys and where their values
// came from, never a config value or a body.
type Outcome struct {
	Request  Request
	Policy   Policy
	Claims   []Claim
	Identity Identity
	Evidence Evidence
	Decision Decision // no row: nothing was to be decided
	// Remarks are what disagrees and was settled, each with the rule that did so.
	Remarks  []string
	Lookups  []string // the keys that retrieve tried, in order: "mac 00:15:65:aa:bb:cc: found"
	Device   Device   // zero: none; its Override is left out
	Created  bool
	Sighted  bool // not added, but remembered as a sighting
	Changes  []Change
	Scores   []Score // best first
	Plugin   PluginID
	Route    Route
	Verdict  Verdict
	Layers   map[string]ConfigID // by parameter: the config that it came from
	Type     string
	Size     int64
	Hash     [32]byte
	Steps    []Step
	Delivery *Delivery // nil until the front end has reported
	Err      error     // why there is no answer; its kind decides what the phone is told
}

// Delivery is how an answer left, told by the front end after the last byte.
type Delivery struct {
	Bytes int64
	Took  time.Duration
	Err   error
}

// Handler is the pipeline as front ends see it.
type Handler interface {
	// Handle answers a request. Exactly one of the answer and the outcome's Err is nil. The caller closes the
	// answer's body, then reports with Delivered.
	Handle(context.Context, *Request) (*Answer, *Outcome)
	// Delivered completes the outcome of an answered request.
	Delivered(id uint64, d Delivery)
}
