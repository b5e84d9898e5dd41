package store

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// populate sets each field of a struct that has none of its own kind of emptiness, so that one which is added and
// forgotten here is missed by the comparison after a round trip.
func populate(t *testing.T, p any) {
	t.Helper()
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch f.Interface().(type) {
		case hwaddr.Addr:
			f.Set(reflect.ValueOf(hwaddr.MustParse("00:15:65:01:02:03")))
			continue
		case netip.Addr:
			f.Set(reflect.ValueOf(netip.MustParseAddr("198.51.100.1")))
			continue
		case time.Time, provision.Params, map[string]any:
			continue // set by the caller
		case []uint8:
			f.SetBytes([]byte{1, 3, 66})
			continue
		case []provision.ConfigID:
			f.Set(reflect.ValueOf([]provision.ConfigID{"base", "site"}))
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString("the " + name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Uint64:
			f.SetUint(1)
		default:
			t.Fatalf("field %s: no value for %s", name, f.Type())
		}
	}
}

func manyParams() map[string]any {
	return map[string]any{
		"text": "<&>\u2028", "yes": true, "no": false, "none": nil, "int": int64(math.MinInt64), "float": 1e300, "even": 3.0, "zero": math.Copysign(0, -1),
		"secret": provision.Secret("s3cr3t"), "$secret": "not one", "$": map[string]any{"$$secret": provision.Secret("")},
		"list": []any{int64(1), 1.5, []any{}, map[string]any{"k": provision.Secret("s3cr3t")}},
	}
}

func declared() network.Declared {
	addr := netip.MustParseAddr
	options := []network.Option{{Code: 66, Data: []byte("\xff192.0.2.1"), Force: true}, {Code: 42, Never: true}}
	times := network.Lifetime{Default: 2 * time.Hour, Min: time.Hour, Max: 3 * time.Hour, Renew: time.Hour, Rebind: 90 * time.Minute}
	phones, some := []network.ClassID{"phones"}, []string{"yealink*", `re:^a\x00`}
	return network.Declared{
		Options: options, Next: addr("192.0.2.1"), Sname: "pbx", File: "boot",
		Classes: []network.Class{
			{ID: "phones", Match: []network.Match{{Local: network.No}}}, // all defaults, and they stay unsaid
			{
				ID: "odd", Refuse: true, Options: options, NUL: true, Broadcast: true, Lease: times, Next: addr("192.0.2.1"), Sname: "pbx", File: "boot",
				Match: []network.Match{{
					VendorClass: some, UserClass: some, ClientID: some, Hostname: some, Circuit: some, Remote: some, Interface: some,
					Vendor: some, MAC: []string{"00:15:65"}, Relay: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
					Local: network.Yes, Known: network.No, Asks: []uint8{43, 66}, Options: []network.OptionMatch{{Code: 93, Pattern: "hex:0007"}},
					Enterprise: []network.EnterpriseMatch{{Number: 3561, Pattern: "*dslforum*"}}, In: phones, Not: phones,
				}},
			},
		},
		Shared: []network.Shared{{Name: "floor", Options: options}},
		Networks: []network.Network{
			{ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24")},
			{
				ID: "office", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: "eth0", Server: addr("198.51.100.1"),
				Relays: []netip.Addr{addr("203.0.113.1")},
				Pools: []network.Pool{{
					First: addr("198.51.100.10"), Last: addr("198.51.100.90"), Exclude: []netip.Addr{addr("198.51.100.66")},
					Only: phones, Not: phones, Options: options, Edges: true,
				}},
				Reservations: []network.Reservation{{
					HW: hwaddr.MustParse("00:15:65:01:02:03"), ClientID: "\x01\xff", Circuit: "\x00\x04", Remote: "\xfe",
					Addr: addr("198.51.100.99"), Hostname: "door", Options: options, Lease: times,
					Next: addr("198.51.100.1"), Sname: "pbx", File: "boot",
				}},
				Options: options, Lease: times, Authoritative: true,
				ShortenAt: 80, NoAutoconfigure: true, Rivals: network.RivalsAllow, Probe: true, AutoAdd: network.AddAny, Configure: true,
				Shared: "floor", Only: phones, Not: phones, Next: addr("198.51.100.1"), Sname: "pbx", File: "boot",
				Provisioning: network.Provisioning{
					Guard: network.GuardLegacy, KeepPlugins: true, Ignore: []string{"header"}, PluginsOff: some, PluginsFirst: []string{"other"},
					NeighbourTrusted: true, RelaysDistrusted: true, CleartextOK: true, SiteFiles: true, Tokens: true, HTTPS: true, EnrolByCert: true,
					AddPerMinute: 7, AddMax: -1,
				},
			},
		},
	}
}

// TestNoFieldForgotten sees that the samples of this file use every field that there is.
func TestNoFieldForgotten(t *testing.T) {
	t.Parallel()
	all := declared()
	k, n := all.Classes[1], all.Networks[1]
	c := goldenContent(t)
	for _, v := range []any{
		all, k, k.Match[0], all.Shared[0], n, n.Pools[0], n.Reservations[0], n.Lease, c.Devices[0], c.Configs[0], c.Leases[0], c.Leases[0].Client, c.Events[1],
		network.Option{Code: n.Options[0].Code, Data: n.Options[0].Data, Force: n.Options[0].Force, Never: n.Options[1].Never},
	} {
		rv := reflect.ValueOf(v)
		for i := range rv.NumField() {
			if rv.Field(i).IsZero() {
				t.Errorf("%T: field %s is not set", v, rv.Type().Field(i).Name)
			}
		}
	}
}

// TestDamage flips bits of records in the file. Each is reported by name and by ErrDamaged, not as missing and not as
// a conflict, and the others are served.
func TestDamage(t *testing.T) {
	t.Parallel()
	hw, ctx := hwaddr.MustParse("00:15:65:01:02:03"), t.Context()
	for _, c := range []struct {
		bucket string
		reads  map[string]func(*DB) error
	}{
		{bucketLeases, map[string]func(*DB) error{
			"load":   func(db *DB) error { return firstError(db.LoadLeases(ctx)) },
			"create": func(db *DB) error { _, err := db.CommitLeases(ctx, lease.Change{Next: benchLease(7)}); return err },
		}},
		{bucketEvents, map[string]func(*DB) error{"events": func(db *DB) error { return firstError(db.Events(ctx, 0)) }}},
		{bucketCursors, map[string]func(*DB) error{"load": func(db *DB) error { _, err := db.LoadCursor(ctx, "hook"); return err }}},
		{bucketDevices, map[string]func(*DB) error{
			"id":     func(db *DB) error { _, err := db.Device(ctx, "the ID"); return err },
			"mac":    func(db *DB) error { _, err := db.DeviceByHW(ctx, hw); return err },
			"serial": func(db *DB) error { _, err := db.DeviceBySerial(ctx, "the Serial"); return err },
			"uuid":   func(db *DB) error { _, err := db.DeviceByUUID(ctx, "the UUID"); return err },
			"create": func(db *DB) error { _, err := db.PutDevice(ctx, provision.Device{ID: "the ID"}); return err },
			"update": func(db *DB) error { _, err := db.PutDevice(ctx, provision.Device{ID: "the ID", Rev: 1}); return err },
		}},
		{bucketDeviceMAC, map[string]func(*DB) error{
			"mac": func(db *DB) error { _, err := db.DeviceByHW(ctx, hw); return err },
			"its twin": func(db *DB) error {
				_, err := db.AddDevice(ctx, provision.Device{ID: "x", HW: hw}, provision.Config{})
				return err
			},
		}},
		{bucketDeviceSerial, map[string]func(*DB) error{"serial": func(db *DB) error { _, err := db.DeviceBySerial(ctx, "the Serial"); return err }}},
		{bucketDeviceUUID, map[string]func(*DB) error{"uuid": func(db *DB) error { _, err := db.DeviceByUUID(ctx, "the UUID"); return err }}},
		{bucketConfigs, map[string]func(*DB) error{
			"id":   func(db *DB) error { _, err := db.Config(ctx, "the ID"); return err },
			"role": func(db *DB) error { _, err := db.ConfigByRole(ctx, "the Role"); return err },
		}},
		{bucketConfigRole, map[string]func(*DB) error{"role": func(db *DB) error { _, err := db.ConfigByRole(ctx, "the Role"); return err }}},
		{bucketNetworks, map[string]func(*DB) error{
			"load": func(db *DB) error { _, _, err := db.LoadNetworks(ctx); return err },
			"save": func(db *DB) error { _, err := db.SaveNetworks(ctx, nil, 0); return err },
		}},
	} {
		t.Run(c.bucket, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			db, err := Open(t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			saveContent(t, db, goldenContent(t))
			var key []byte
			err = db.bolt.Load().Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket([]byte(c.bucket))
				k, v := b.Cursor().First()
				key = bytes.Clone(k)
				v = bytes.Clone(v)
				v[len(v)-1] ^= 0x10
				return b.Put(key, v)
			})
			if err != nil {
				t.Fatal(err)
			}
			for name, read := range c.reads {
				err := read(db)
				if !errors.Is(err, ErrDamaged) || errors.Is(err, provision.ErrNotFound) || errors.Is(err, provision.ErrConflict) || errors.Is(err, lease.ErrConflict) {
					t.Errorf("%s: got error %v, want only %v", name, err, ErrDamaged)
				}
			}
			problems := db.Problems()
			if len(problems) != 1 || problems[0].Bucket != c.bucket || problems[0].Key != string(key) || !errors.Is(problems[0].Err, ErrDamaged) {
				t.Errorf("problems: got %v, want one, of %q in %s", problems, key, c.bucket)
			}
			if got := strings.Count(log.String(), "damaged record"); got != 1 {
				t.Errorf("log lines about it: got %d, want 1:\n%s", got, log.String())
			}
			if strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("the log has a secret:\n%s", log.String())
			}
		})
	}
}

// firstError returns the first error of an iteration, which has to go on to its end.
func firstError[T any](seq func(func(T, error) bool)) (first error) {
	for _, err := range seq {
		if first == nil {
			first = err
		}
	}
	return first
}

// TestDamageAnyBit: a flip of any bit of a value is noticed, and so is a value under another key or in another bucket.
func TestDamageAnyBit(t *testing.T) {
	t.Parallel()
	value := seal(bucketLeases, []byte("key"), []byte("the payload"))
	if _, err := unseal(bucketLeases, []byte("key"), value); err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(value) {
		v := bytes.Clone(value)
		v[i/8] ^= 1 << (i % 8)
		if _, err := unseal(bucketLeases, []byte("key"), v); err == nil {
			t.Errorf("bit %d: the flip was not noticed", i)
		}
	}
	for n := range value {
		if _, err := unseal(bucketLeases, []byte("key"), value[:n]); err == nil {
			t.Errorf("cut to %d bytes: not noticed", n)
		}
	}
	if _, err := unseal(bucketLeases, []byte("kez"), value); err == nil {
		t.Error("another key: not noticed")
	}
	if _, err := unseal(bucketEvents, []byte("key"), value); err == nil {
		t.Error("another bucket: not noticed")
	}
}

// oneUndecodable: one damaged lease among many yields its address, and all others are there.
func oneUndecodable(t *testing.T) {
	const n = 3*readSlice + 5
	dir := t.TempDir()
	db := openDB(t, dir)
	changes := make([]lease.Change, n)
	for i := range changes {
		changes[i] = lease.Change{Kind: lease.KindBound, Next: benchLease(uint32(i))}
	}
	if _, err := db.CommitLeases(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	bad := changes[readSlice].Next.Addr
	err := db.bolt.Load().Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketLeases)).Put(bad.AsSlice(), []byte("nonsense"))
	})
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	for l, err := range db.LoadLeases(t.Context()) {
		switch {
		case err == nil:
			good++
		case l.Addr != bad || !errors.Is(err, ErrDamaged):
			t.Errorf("damaged lease: got %s, error %v; want %s", l.Addr, err, bad)
		}
	}
	if good != n-1 {
		t.Errorf("whole leases: got %d, want %d", good, n-1)
	}
}

// fieldsOfTomorrow: what a newer version added is skipped.
func fieldsOfTomorrow(t *testing.T) {
	want := goldenContent(t)
	b, err := encodeLease(want.Leases[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeLease(appendField(b, 900, "from the future"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Leases[0], got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
	if b, err = encodeDevice(place{}, want.Devices[0]); err != nil {
		t.Fatal(err)
	}
	d, err := decodeDevice(place{}, "the ID", 1, append([]byte(`{"future":{"a":1},`), b[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Devices[0], d); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
}

func TestParamsRoundTrip(t *testing.T) {
	t.Parallel()
	scalar := rapid.OneOf(
		rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Just[any](nil),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }).AsAny(),
		rapid.Custom(func(t *rapid.T) provision.Secret { return provision.Secret(rapid.String().Draw(t, "secret")) }).AsAny(),
	)
	key := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"$", "$$", "$secret", "$$secret", "a"}))
	value := rapid.Deferred(func() *rapid.Generator[any] { return scalar })
	for range 3 {
		inner := value
		value = rapid.OneOf(scalar, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(key, inner, 0, 4).AsAny())
	}
	params := rapid.MapOf(key, value)
	rapid.Check(t, func(t *rapid.T) {
		want := params.Draw(t, "params")
		b, err := (place{}).marshalParams("params", want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := (place{}).decodeMap("params", b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("params (-want +got):\n%s", diff)
		}
	})
}

func TestParamsRefused(t *testing.T) {
	t.Parallel()
	loop := map[string]any{}
	loop["loop"] = loop
	for name, v := range map[string]any{
		"a struct": struct{}{}, "a pointer": new(int), "not a number": math.NaN(), "infinite": math.Inf(1),
		"no text": "\xff", "no text in a secret": provision.Secret("s3cr3t\xff"), "no text in a key": map[string]any{"\xff": 1}, "a loop": loop,
		"within": []any{map[string]any{"x": []string{"a"}}},
	} {
		_, err := (place{}).marshalParams("params", map[string]any{"key": v})
		if !errors.Is(err, provision.ErrInvalid) || !strings.Contains(err.Error(), "params.key") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got error %v, want %v with the place and without a secret", name, err, provision.ErrInvalid)
		}
	}
}

func FuzzDecode(f *testing.F) {
	t := &testing.T{}
	c := goldenContent(t)
	l, _ := encodeLease(c.Leases[0])
	e, _ := encodeEvent(c.Events[1])
	d, _ := encodeDevice(place{}, c.Devices[0])
	cfg, _ := encodeConfig(place{}, c.Configs[0])
	n, _ := encodeDeclared(c.Declared)
	for _, seed := range [][]byte{l, e, d, cfg, n, nil, {1}, {1, 1, 255}, []byte(`{"params":{"$x":1}}`), []byte(`{"override":{"a":1e999}}`)} {
		f.Add(seed)
	}
	same := func(t *testing.T, a, b any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("what was decoded can't be encoded and decoded again: %v", err)
		}
		opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
		if diff := cmp.Diff(a, b, opts); diff != "" {
			t.Fatalf("decoded, encoded and decoded again (-first +second):\n%s", diff)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFields/4 {
			return
		}
		again(t, b, decodeLease, encodeLease, same)
		again(t, b, func(b []byte) (lease.Event, error) { return decodeEvent(5, b) }, encodeEvent, same)
		// JSON from outside may hold text that our encoders refuse; then only the decoders are tested.
		_, _ = decodeDevice(place{}, "id", 1, b)
		_, _ = decodeConfig(place{}, "id", 1, b)
		_, _ = decodeDeclared(b)
		if m, err := (place{}).decodeMap("params", b); err == nil && len(m) > 0 {
			again(t, b, func(b []byte) (map[string]any, error) { return (place{}).decodeMap("params", b) }, func(m map[string]any) ([]byte, error) { return (place{}).marshalParams("p", m) }, same)
		}
	})
}

func again[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error), same func(*testing.T, any, any, error)) {
	t.Helper()
	first, err := decode(b)
	if err != nil {
		return
	}
	b, err = encode(first)
	if err != nil {
		same(t, first, nil, err)
	}
	second, err := decode(b)
	same(t, first, second, err)
}
