package dhcp

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
)

// TestCase runs the cases of the conformance list by their ids. Each has a server and a clock of its own.
func TestCase(t *testing.T) {
	t.Parallel()
	for _, group := range []map[string]func(*testing.T){
		packetCases(), discoverCases(), selectingCases(), rebootCases(), renewCases(), releaseCases(), declineCases(),
		informCases(), optionCases(), timeCases(), networkCases(), addressingCases(), concurrencyCases(), phoneCases(),
	} {
		for _, id := range slices.Sorted(maps.Keys(group)) {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, group[id])
			})
		}
	}
}
