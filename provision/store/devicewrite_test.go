package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

func TestPutDevicesAllOrNone(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: "base"}))
	old := must[provision.Device](t)(db.AddDevice(ctx,
		provision.Device{ID: "old", HW: hwaddr.MustParse("00:15:65:00:00:01"), Config: "auto-old"}, provision.Config{ID: "auto-old", Transient: true}))
	heir := must[provision.Device](t)(db.AddDevice(ctx,
		provision.Device{ID: "heir", HW: hwaddr.MustParse("00:15:65:00:00:02"), Config: "auto-heir"}, provision.Config{ID: "auto-heir", Transient: true}))

	stale, next := old, heir
	stale.Rev, next.Label = 9, "new"
	if _, err := db.PutDevices(ctx, next, stale); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("one of them stale: got error %v, want %v", err, provision.ErrConflict)
	}
	twin := provision.Device{ID: "twin", HW: hwaddr.MustParse("00:15:65:00:00:03")}
	other := twin
	other.ID = "other"
	if _, err := db.PutDevices(ctx, twin, other); !errors.Is(err, provision.ErrConflict) || !strings.Contains(err.Error(), "belongs to twin") {
		t.Errorf("two with one mac: got error %v", err)
	}
	if devices, configs := ids(t, db); devices != "heir old" || configs != "auto-heir auto-old base" {
		t.Errorf("after refusals: devices %q, configs %q", devices, configs)
	}

	// One takes over the config of the other: its own goes, the other's stays.
	old.Config, heir.Config, heir.Label = "", "auto-old", "lobby"
	list, err := db.PutDevices(ctx, heir, old)
	if err != nil || list[0].Rev != 2 || list[1].Rev != 2 {
		t.Fatalf("got %+v, %v; want revision 2 of both", list, err)
	}
	if _, configs := ids(t, db); configs != "auto-old base" {
		t.Errorf("configs %q, want auto-old and base", configs)
	}
	// Both leave a transient config at once.
	list[1].Config = "auto-old"
	list = must[[]provision.Device](t)(db.PutDevices(ctx, list...))
	list[0].Config, list[1].Config = "", "base"
	must[[]provision.Device](t)(db.PutDevices(ctx, list...))
	if _, configs := ids(t, db); configs != "base" {
		t.Errorf("configs %q, want base alone", configs)
	}
}

func TestDeleteDeviceByRevision(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	d := must[provision.Device](t)(db.PutDevice(ctx, provision.Device{ID: "d"}))
	d.Label = "x"
	must[provision.Device](t)(db.PutDevice(ctx, d))
	if err := db.DeleteDevice(ctx, "d", d.Rev); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("a former revision: got error %v, want %v", err, provision.ErrConflict)
	}
	if err := db.DeleteDevice(ctx, "d", d.Rev+1); err != nil {
		t.Error(err)
	}
}
