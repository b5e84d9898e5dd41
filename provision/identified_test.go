package provision

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each request is counted once by what it was found to be of; what it contradicts, once for each attribute; what the guard
// kept, by the row.
func TestIdentified(t *testing.T) {
	t.Parallel()
	var c Counters
	strange := errors.New("x")
	other := func(attr string) Conflict { return Conflict{Won: Claim{Attr: attr}, Lost: Claim{Attr: attr}} }
	for _, o := range []*Outcome{
		{Device: Device{ID: "a"}, Created: true, Identity: Identity{Assurance: SourceLease}},
		{Device: Device{ID: "a"}, Identity: Identity{Assurance: SourceLease, Conflicts: []Conflict{other(AttrMAC), other(AttrMAC), other(AttrSerial)}}},
		{Sighted: true, Identity: Identity{Assurance: SourceHeader}},
		{Err: strange},
		{Route: Route{Class: ClassSecret}, Verdict: Verdict{Rule: guardSuspicious}, Err: ErrForbidden},
		{Route: Route{Class: ClassSecret}, Verdict: Verdict{Rule: guardSuspicious, Allow: true}},
		{Route: Route{Class: ClassSecret}, Verdict: Verdict{Rule: guardTable[len(guardTable)-1].id, Secrets: true}},
		{Route: Route{Class: ClassDevice}, Verdict: Verdict{Rule: guardRetired}, Err: ErrForbidden},
		{Route: Route{Class: ClassSecret}, Decision: Decision{May: [4]bool{true, true, true, true}}, Verdict: Verdict{Rule: guardTable[len(guardTable)-1].id, Allow: true}},
	} {
		c.add(o)
	}
	identified := make(map[string]uint64)
	for _, x := range c.Identified() {
		if x.N > 0 {
			identified[fmt.Sprintf("%s %s", x.Source, x.End)] = x.N
		}
	}
	if diff := cmp.Diff(map[string]uint64{"lease created": 1, "lease known": 1, "header sighted": 1, "nothing none": 6}, identified); diff != "" {
		t.Errorf("identified: want (-), got (+):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{AttrMAC: 1, AttrSerial: 1, AttrUUID: 0}, c.Mismatched()); diff != "" {
		t.Errorf("mismatched: want (-), got (+):\n%s", diff)
	}
	withheld := c.Withheld()
	if len(withheld) != len(guardTable)+1 {
		t.Errorf("withheld for %d reasons, want the %d rows and the port", len(withheld), len(guardTable))
	}
	maps.DeleteFunc(withheld, func(_ string, n uint64) bool { return n == 0 })
	if diff := cmp.Diff(map[string]uint64{guardSuspicious: 2, "port": 1}, withheld); diff != "" {
		t.Errorf("withheld: want (-), got (+):\n%s", diff)
	}
}

// Plugins that come and go for ever don't fill the memory.
func TestCountedPluginsAreBounded(t *testing.T) {
	t.Parallel()
	var c Counters
	for i := range maxCountedPlugins + 10 {
		c.add(&Outcome{Request: Request{Proto: HTTP}, Plugin: PluginID(fmt.Sprintf("p-%d", i))})
	}
	rest := uint64(0)
	for _, x := range c.Outcomes() {
		if x.Plugin == "" {
			rest += x.N
		}
	}
	if got := len(c.Renderings()); got != maxCountedPlugins || rest != 10 {
		t.Errorf("got %d plugins and %d of none, want %d and 10", got, rest, maxCountedPlugins)
	}
}
