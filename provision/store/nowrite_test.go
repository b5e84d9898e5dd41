package store

import (
	"io/fs"
	"net/netip"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// A request that teaches nothing writes nothing: bbolt's own number of the last write transaction stands still.
func TestRequestThatTeachesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	dir, err := fs.Sub(plugins.Files(), "aastra-67xx-3.3.1")
	if err != nil {
		t.Fatal(err)
	}
	pl, err := plugin.Load("aastra-67xx-3.3.1", plugin.Dirs{Plugin: dir})
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, t.TempDir())
	if _, err := db.PutConfig(t.Context(), provision.Config{ID: "guest", Role: provision.RoleAutocreate}); err != nil {
		t.Fatal(err)
	}
	hw, addr := hwaddr.MustParse("00:08:5d:23:73:01"), netip.MustParseAddr("192.0.2.21")
	leases := &provisiontest.Leases{}
	held := leases.Hold(addr, lease.Client{HW: hw, VendorClass: "AastraIPPhone6730i"})
	p := &provision.Pipeline{
		Leases: leases, Devices: db, Configs: db, Plugins: provisiontest.PluginsOf(pl), Journal: provision.NewJournal(0),
		Sightings: provision.NewSightings(0), Renders: provision.NewRenders(0),
	}
	writes := func() (n int) {
		t.Helper()
		if err := db.view(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ask := func(path, version string) {
		t.Helper()
		a, out := p.Handle(t.Context(), &provision.Request{
			Proto: provision.HTTP, Peer: addr, Path: path,
			Fields: map[string]string{provision.FieldUserAgent: "Aastra6730i MAC:00-08-5D-23-73-01 V:" + version + "-SIP"},
		})
		if a != nil {
			p.Delivered(out.Request.ID, provision.Delivery{Bytes: a.Size, Err: a.Body.Close()})
		}
	}
	boot := func(version string) {
		t.Helper()
		p.Observe(t.Context(), lease.Event{Kind: lease.KindRenewed, Lease: held})
		for _, path := range []string{"6730i.st", "aastra.cfg", "6730i.cfg", "00085D237301.cfg", "nothing.here", "00085D237302.cfg"} {
			ask(path, version)
		}
	}
	boot("3.3.1.4365")
	known := writes()
	for range 3 {
		boot("3.3.1.4365")
	}
	if now := writes(); now != known {
		t.Errorf("boots that teach nothing: write transactions were %d, and are %d", known, now)
	}
	ask("aastra.cfg", "3.3.1.4400")
	if now := writes(); now != known+1 {
		t.Errorf("a new version: write transactions were %d, and are %d; want one more", known, now)
	}
}
