package dhcp

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
)

// caseT is what a case reports to.
type caseT struct{ *testing.T }

// TestCase runs the cases of the conformance list by their ids. Each has a server and a clock of its own, but those that
// need sockets or a link.
func TestCase(t *testing.T) {
	t.Parallel()
	for _, group := range []map[string]func(*caseT){
		packetCases(), discoverCases(), selectingCases(), rebootCases(), renewCases(), releaseCases(), declineCases(),
		informCases(), optionCases(), timeCases(), networkCases(), addressingCases(), concurrencyCases(), phoneCases(),
		safetyCases(), allocationCases(), reservationCases(), eventCases(), expiryCases(),
		classCases(), moreStateCases(), degradedCases(), linkCases(),
	} {
		for _, id := range slices.Sorted(maps.Keys(group)) {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { group[id](&caseT{t}) })
			})
		}
	}
	for id, body := range liveCases() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			body(t)
		})
	}
	for id, body := range wireCases() {
		t.Run(id, func(t *testing.T) { namespaced(t, "^TestCase$/^"+id+"$", body) })
	}
}
