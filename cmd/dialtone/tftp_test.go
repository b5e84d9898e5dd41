package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
	"github.com/dialtone-project/dialtone/provision/tftpd"
)

// TestThreat/S24: who is sent more than ten times what it asked with, before it has proven that it is there. S34: what is
// refused looks like what there isn't.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S34", sameRefusals)
	t.Run("S24", func(t *testing.T) {
		t.Parallel()
		hw := hwaddr.MustParse("00:08:5d:11:22:33")
		leases := &provisiontest.Leases{}
		leases.Hold(netip.MustParseAddr("192.0.2.21"), lease.Client{HW: hw})
		near := provisiontest.Neighbours{netip.MustParseAddr("192.0.2.23"): hw}
		trust := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		for addr, want := range map[string]bool{
			"127.0.0.1": true, "198.51.100.9": true, "192.0.2.21": true, "192.0.2.23": true, "192.0.2.22": false, "203.0.113.5": false,
		} {
			if got := located(netip.MustParseAddr(addr), leases, near, trust); got != want {
				t.Errorf("%s: got %t, want %t", addr, got, want)
			}
		}
	})
}

func TestTFTPSettings(t *testing.T) {
	t.Parallel()
	if got, want := portRange([]int{50000, 50999}), (tftpd.PortRange{First: 50000, Last: 50999}); got != want {
		t.Errorf("ports: got %v, want %v", got, want)
	}
	if got := portRange(nil); got != (tftpd.PortRange{}) {
		t.Errorf("no ports: got %v", got)
	}
	want := map[provision.PluginID]tftpd.Quirks{"a": {NoBlockSize: true}, "b": {RollToOne: true}}
	if diff := cmp.Diff(want, quirks([]configs.TFTPQuirk{{Plugin: "a", NoBlksize: true}, {Plugin: "b", RollToOne: true}})); diff != "" {
		t.Errorf("quirks (-want +got):\n%s", diff)
	}
}
