package store

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ids(t *testing.T, db *DB) (devices, configs string) {
	t.Helper()
	var d, c []string
	for _, v := range must[[]provision.Device](t)(db.Devices(t.Context())) {
		d = append(d, string(v.ID))
	}
	for _, v := range must[[]provision.Config](t)(db.Configs(t.Context())) {
		c = append(c, string(v.ID))
	}
	return strings.Join(d, " "), strings.Join(c, " ")
}

func TestDeleteDevice(t *testing.T) {
	t.Parallel()
	transient := provision.Config{ID: "auto", Parents: []provision.ConfigID{"base"}, Transient: true}
	for _, c := range []struct {
		name    string
		config  provision.Config
		others  []provision.Device
		child   bool // another config has it as its parent
		devices string
		configs string
	}{
		{"its transient config goes", transient, nil, false, "", "base"},
		{"a lasting one stays", provision.Config{ID: "auto"}, nil, false, "", "auto base"},
		{"a locked one stays", provision.Config{ID: "auto", Transient: true, Locked: true}, nil, false, "", "auto base"},
		{"one in use stays", transient, []provision.Device{{ID: "e", Config: "auto"}}, false, "e", "auto base"},
		{"one with an earlier user stays", transient, []provision.Device{{ID: "a", Config: "auto"}, {ID: "b"}}, false, "a b", "auto base"},
		{"one with children stays", transient, nil, true, "", "auto base child"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, ctx := openDB(t, t.TempDir()), t.Context()
			must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: "base"}))
			d := provision.Device{ID: "d", Serial: "1", UUID: "2", HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, 1}, Config: "auto"}
			must[provision.Device](t)(db.AddDevice(ctx, d, c.config))
			for _, o := range c.others {
				must[provision.Device](t)(db.PutDevice(ctx, o))
			}
			if c.child {
				must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: "child", Parents: []provision.ConfigID{"auto"}}))
			}
			if err := db.DeleteDevice(ctx, "d", 0); err != nil {
				t.Fatal(err)
			}
			if devices, configs := ids(t, db); devices != c.devices || configs != c.configs {
				t.Errorf("left: got devices %q, configs %q; want %q, %q", devices, configs, c.devices, c.configs)
			}
			if err := db.DeleteDevice(ctx, "d", 0); !errors.Is(err, provision.ErrNotFound) {
				t.Errorf("delete it again: got error %v, want %v", err, provision.ErrNotFound)
			}
			d.ID = "heir"
			must[provision.Device](t)(db.PutDevice(ctx, d)) // its mac, serial and uuid are free
		})
	}
}

func TestDeleteConfig(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	for _, c := range []provision.Config{
		{ID: "base", Role: provision.RoleDefault},
		{ID: "child", Parents: []provision.ConfigID{"other", "base", "base"}},
		{ID: "site", Locked: true},
		{ID: "used"},
		{ID: "use"},
	} {
		must[provision.Config](t)(db.PutConfig(ctx, c))
	}
	must[provision.Device](t)(db.PutDevice(ctx, provision.Device{ID: "d", Config: "used"}))
	for _, c := range []struct {
		id   provision.ConfigID
		want error
		says string
	}{
		{"none", provision.ErrNotFound, "config none"},
		{"", provision.ErrNotFound, ""},
		{"site", provision.ErrForbidden, "locked"},
		{"used", provision.ErrConflict, "device d uses it"},
		{"base", provision.ErrConflict, "config child uses it"},
		{"use", nil, ""},
		{"child", nil, ""},
		{"base", nil, ""},
	} {
		err := db.DeleteConfig(ctx, c.id)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("delete %q: got error %v, want %v saying %q", c.id, err, c.want, c.says)
		}
	}
	if _, configs := ids(t, db); configs != "site used" {
		t.Errorf("left: got configs %q, want %q", configs, "site used")
	}
	must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: "next", Role: provision.RoleDefault}))
}

// TestDeleteDamaged: deletion is the remedy for a damaged record, and frees what led to it.
func TestDeleteDamaged(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	d := provision.Device{ID: "d", Serial: "1", UUID: "2", HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, 1}, Config: "c"}
	must[provision.Device](t)(db.AddDevice(ctx, d, provision.Config{ID: "c", Role: provision.RoleDefault, Transient: true}))
	must[provision.Device](t)(db.PutDevice(ctx, provision.Device{ID: "e", Serial: "3"}))
	spoil(t, db, bucketDevices, "d")
	spoil(t, db, bucketConfigs, "c")
	if devices, configs := ids(t, db); devices != "e" || configs != "" {
		t.Errorf("left: got devices %q, configs %q; want %q, %q", devices, configs, "e", "")
	}
	if got := len(db.Problems()); got != 2 {
		t.Errorf("problems: got %d, want 2", got)
	}
	if err := errors.Join(db.DeleteDevice(ctx, "d", 0), db.DeleteConfig(ctx, "c")); err != nil {
		t.Fatal(err)
	}
	if got := db.Problems(); len(got) != 0 {
		t.Errorf("problems after the deletion: got %v, want none", got)
	}
	must[provision.Device](t)(db.AddDevice(ctx, d, provision.Config{ID: "c", Role: provision.RoleDefault, Transient: true}))
	must[provision.Device](t)(db.DeviceBySerial(ctx, "3"))
}

func spoil(t *testing.T, db *DB, bucket, key string) {
	t.Helper()
	err := db.bolt.Load().Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		v := bytes.Clone(b.Get([]byte(key)))
		v[len(v)/2] ^= 1
		return b.Put([]byte(key), v)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLostTarget: an index entry whose record is gone is damage, not a missing device.
func TestLostTarget(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	must[provision.Device](t)(db.PutDevice(t.Context(), provision.Device{ID: "d", Serial: "1"}))
	err := db.bolt.Load().Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketDevices)).Delete([]byte("d")) })
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.DeviceBySerial(t.Context(), "1")
	if !errors.Is(err, ErrDamaged) || errors.Is(err, provision.ErrNotFound) {
		t.Errorf("DeviceBySerial: got error %v, want only %v", err, ErrDamaged)
	}
}

// TestNothingToWrite: what teaches nothing writes nothing, and what is refused doesn't either.
func TestNothingToWrite(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	saveContent(t, db, goldenContent(t))
	c := loadContent(t, db)
	before := db.Writes()
	d := must[provision.Device](t)(db.PutDevice(ctx, c.Devices[0]))
	cfg := must[provision.Config](t)(db.PutConfig(ctx, c.Configs[0]))
	rev := must[uint64](t)(db.SaveDeclared(ctx, c.Declared, c.Rev))
	if d.Rev != c.Devices[0].Rev || cfg.Rev != c.Configs[0].Rev || rev != c.Rev {
		t.Errorf("revisions: got %d, %d, %d; want %d, %d, %d", d.Rev, cfg.Rev, rev, c.Devices[0].Rev, c.Configs[0].Rev, c.Rev)
	}
	if err := db.SaveCursor(ctx, "hook", c.Cursor); err != nil {
		t.Error(err)
	}
	must[[]lease.Event](t)(db.CommitLeases(ctx))
	if _, err := db.PutDevice(ctx, provision.Device{ID: "other", HW: d.HW}); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("PutDevice: got error %v, want %v", err, provision.ErrConflict)
	}
	if got := db.Writes() - before; got != 0 {
		t.Errorf("write transactions: got %d, want none", got)
	}
	sameContent(t, loadContent(t, db), c)
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	long := strings.Repeat("x", maxKey+1)
	for name, d := range map[string]provision.Device{
		"long id": {ID: provision.DeviceID(long)}, "zero in id": {ID: "a\x00b"}, "no text in id": {ID: "\xff"},
		"no text in serial": {ID: "d", Serial: "\xff"}, "long serial": {ID: "d", Serial: long + long + "x"},
		"zero in config": {ID: "d", Config: "a\x00b"}, "no text in label": {ID: "d", Label: "\xff"},
		"too large": {ID: "d", Override: provision.Params{"x": strings.Repeat("x", maxBody)}}, "options": {ID: "d", Options: map[string]any{"x": t}},
	} {
		if _, err := db.PutDevice(ctx, d); !errors.Is(err, provision.ErrInvalid) {
			t.Errorf("device, %s: got error %v, want %v", name, err, provision.ErrInvalid)
		}
	}
	for name, c := range map[string]provision.Config{
		"no text in role": {ID: "c", Role: "\xff"}, "no text in label": {ID: "c", Label: "\xff"},
		"empty parent": {ID: "c", Parents: []provision.ConfigID{""}}, "params": {ID: "c", Params: provision.Params{"x": t}},
	} {
		_, err := db.AddDevice(ctx, provision.Device{ID: "d"}, c)
		if _, perr := db.PutConfig(ctx, c); !errors.Is(err, provision.ErrInvalid) || !errors.Is(perr, provision.ErrInvalid) {
			t.Errorf("config, %s: got errors %v and %v, want %v", name, err, perr, provision.ErrInvalid)
		}
	}
	v6, huge := benchLease(1), benchLease(1)
	v6.Addr = netip.MustParseAddr("2001:db8::1")
	huge.Client.Hostname = strings.Repeat("x", maxFields)
	moved := lease.Change{Prev: benchLease(2), Next: benchLease(1)}
	for _, c := range []lease.Change{{Next: v6}, {Next: huge}, {Kind: lease.KindBound, Next: huge}, {}, moved} {
		if _, err := db.CommitLeases(ctx, c); err == nil || errors.Is(err, lease.ErrConflict) {
			t.Errorf("lease of %s: got error %v, want one that is no conflict", c.Next.Addr, err)
		}
	}
	if err := db.SaveCursor(ctx, "", 1); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("cursor without a name: got error %v, want %v", err, provision.ErrInvalid)
	}
	if devices, configs := ids(t, db); devices+configs != "" {
		t.Errorf("stored: got %s %s, want nothing", devices, configs)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	db, ctx := openDB(t, t.TempDir()), t.Context()
	nets, rev, err := db.LoadNetworks(ctx)
	if len(nets) != 0 || rev != 0 || err != nil {
		t.Errorf("LoadNetworks of a new store: got %v, %d, error %v; want none", nets, rev, err)
	}
	rev = must[uint64](t)(db.SaveDeclared(ctx, declared(), 0))
	bad := declared().Networks
	bad[1].Prefix = bad[0].Prefix
	for _, c := range []struct {
		name string
		nets []network.Network
		rev  uint64
		want error
	}{
		{"invalid as a whole", bad, rev, provision.ErrInvalid},
		{"of an old revision", declared().Networks[:1], 0, provision.ErrConflict},
		{"of no revision yet", declared().Networks[:1], rev + 1, provision.ErrConflict},
	} {
		if _, err := db.SaveNetworks(ctx, c.nets, c.rev); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
	next := must[uint64](t)(db.SaveNetworks(ctx, nil, rev))
	if next != rev+1 {
		t.Errorf("revision: got %d, want %d", next, rev+1)
	}
	if d, _, err := db.LoadDeclared(ctx); len(d.Classes) != 2 || err != nil {
		t.Errorf("LoadDeclared after all networks were taken away: got %d classes, error %v; want 2", len(d.Classes), err)
	}
	if nets, got, err := db.LoadNetworks(ctx); len(nets) != 0 || got != next || err != nil {
		t.Errorf("LoadNetworks after all were taken away: got %v, %d, error %v; want none, %d", nets, got, err, next)
	}
}

// TestOutboxEnds: the newest events stay, and old ones go in small parts even if there are many too many.
func TestOutboxEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, ctx := openDB(t, dir), t.Context()
	const slice = 5000
	prev := make([]lease.Lease, slice)
	renew := func(n int) {
		changes := make([]lease.Change, n)
		for i := range changes {
			changes[i] = lease.Change{Kind: lease.KindRenewed, Prev: prev[i], Next: benchLease(uint32(i))}
		}
		for i, e := range must[[]lease.Event](t)(db.CommitLeases(ctx, changes...)) {
			prev[i] = e.Lease
		}
	}
	check := func(first, last uint64) {
		t.Helper()
		seq := first
		for e, err := range db.Events(ctx, 0) {
			if err != nil || e.Seq != seq {
				t.Fatalf("event: got %d, error %v; want %d", e.Seq, err, seq)
			}
			seq++
		}
		if seq != last+1 {
			t.Errorf("last event: got %d, want %d", seq-1, last)
		}
	}
	for range 14 {
		renew(slice)
	}
	check(14*slice-maxEvents+1, 14*slice)
	renew(1)
	check(14*slice-maxEvents+2, 14*slice+1)

	// As if an older program had kept more.
	err := db.bolt.Load().Update(func(tx *bbolt.Tx) error {
		for seq := uint64(14*slice - maxEvents + 1); seq > 14*slice-maxEvents-299; seq-- {
			if err := apply(tx, op{bucketEvents, seqKey(seq), seal(bucketEvents, seqKey(seq), nil)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for range db.Events(ctx, 0) {
			n++
		}
		return n
	}
	for before := count(); before > maxEvents; {
		renew(1)
		now := count()
		if now >= before || before-now > 3+pruneSlice {
			t.Fatalf("events: got from %d to %d in one commit, want fewer by %d at most", before, now, 3+pruneSlice)
		}
		before = now
	}
}

// TestNetworksAlone: a record of the time when networks were all that could be declared is an array of them.
func TestNetworksAlone(t *testing.T) {
	t.Parallel()
	got, err := decodeDeclared([]byte(`[{"id":"voice","prefix":"192.0.2.0/24"}]`))
	if err != nil || len(got.Networks) != 1 || got.Networks[0].ID != "voice" {
		t.Errorf("got %+v, error %v; want the network voice", got, err)
	}
}
