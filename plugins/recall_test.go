package plugins_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// TestRecalledIsFound: who asks is concluded from a request as if its like had never come before, whoever holds the
// address now and whatever its network doesn't listen to now.
func TestRecalledIsFound(t *testing.T) {
	t.Parallel()
	ps := many(t, 12)
	warm := provision.NewPluginSet(ps...)
	agents := []string{"", "Aastra6730i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP", "Aastra6730i MAC:FF-FF-FF-FF-FF-FF V:3.3.1.4365-SIP", "curl/8"}
	paths := []string{"00085D237301.cfg", "00085D237302.cfg", "aastra.cfg", "SEP001122AABBCC.cnf.xml", "x"}
	holders := []string{"00:08:5d:23:73:01", "00:08:5d:23:73:02", "00:11:22:aa:bb:cc"}
	rapid.Check(t, func(t *rapid.T) {
		peer := netip.MustParseAddr("192.0.2.10")
		for range 20 {
			leases := &provisiontest.Leases{}
			if rapid.Bool().Draw(t, "leased") {
				leases.Hold(peer, lease.Client{
					HW:          hwaddr.MustParse(rapid.SampledFrom(holders).Draw(t, "holder")),
					VendorClass: rapid.SampledFrom([]string{"", "AastraIPPhone6730i"}).Draw(t, "class"),
				})
			}
			ignore := rapid.SampledFrom([][]provision.Source{nil, {provision.SourceHeader}, {provision.SourcePath}, {provision.SourceLease}}).Draw(t, "ignore")
			req := provision.Request{
				ID: 1, Proto: provision.HTTP, Peer: peer, Path: rapid.SampledFrom(paths).Draw(t, "path"),
				Fields: map[string]string{provision.FieldUserAgent: rapid.SampledFrom(agents).Draw(t, "agent")},
			}
			var told [2]*provision.Outcome
			for i, set := range []*provision.PluginSet{warm, provision.NewPluginSet(ps...)} {
				memory := provision.NewMemory()
				p := provision.Pipeline{
					Leases: leases, Devices: memory, Configs: memory, Plugins: setOf{set},
					PolicyFor: func(netip.Addr) provision.Policy { return provision.Policy{Ignore: ignore} },
				}
				_, told[i] = p.Explain(t.Context(), &req)
			}
			diff := cmp.Diff(told[1].Claims, told[0].Claims, cmpopts.EquateEmpty())
			diff += cmp.Diff(told[1].Identity, told[0].Identity, cmpopts.EquateEmpty())
			diff += cmp.Diff(told[1].Steps[0].Note, told[0].Steps[0].Note)
			if diff != "" {
				t.Fatalf("%s %q, ignoring %v (-want +got):\n%s", req.Path, req.Fields, ignore, diff)
			}
		}
	})
}

// setOf is one set of plugins.
type setOf struct{ set *provision.PluginSet }

// Plugins implements [provision.PluginSource].
func (s setOf) Plugins() *provision.PluginSet { return s.set }
