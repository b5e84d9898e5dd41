//go:build race

package network_test

// slower is what the race detector costs.
const slower = 15
