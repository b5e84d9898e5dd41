package neigh

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	all, err := Addresses()
	if err != nil {
		t.Fatal(err)
	}
	want := Own{Addr: netip.MustParseAddr("127.0.0.1"), Iface: "lo"}
	if !slices.Contains(all, want) {
		t.Errorf("addresses %+v, want %+v among them", all, want)
	}
}
