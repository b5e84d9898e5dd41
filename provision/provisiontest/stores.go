// Package provisiontest has the conformance suites that implementations of package provision's interfaces pass.
package provisiontest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// Stores is what [TestStores] tests: one place that keeps devices and the configs that they use.
type Stores interface {
	provision.DeviceStore
	provision.ConfigStore
}

// TestStores checks that stores keep the contracts of [provision.DeviceStore] and [provision.ConfigStore]. For each
// case it asks open for stores that are empty.
func TestStores(t *testing.T, open func(t *testing.T) Stores) {
	t.Helper()
	cases := []struct {
		name string
		run  func(*testing.T, Stores)
	}{
		{"device round trip", deviceRoundTrip},
		{"device not found", deviceNotFound},
		{"device without an id", deviceInvalid},
		{"device revisions", deviceRevisions},
		{"device is unique", deviceUnique},
		{"device is found by what it is now", deviceReindexed},
		{"device is copied", deviceCopied},
		{"add device with config", addWithConfig},
		{"add device without config", addWithoutConfig},
		{"add device all or nothing", addAtomic},
		{"first contacts at once", addConcurrent},
		{"updates at once", putConcurrent},
		{"config round trip", configRoundTrip},
		{"config not found", configNotFound},
		{"config without an id", configInvalid},
		{"config revisions", configRevisions},
		{"config roles", configRoles},
		{"config is copied", configCopied},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// device returns the n-th of a family of devices that share nothing.
func device(n byte) provision.Device {
	return provision.Device{
		ID:      provision.DeviceID(fmt.Sprintf("dev-%d", n)),
		HW:      hwaddr.Addr{0x00, 0x15, 0x65, 0xaa, 0xbb, n},
		Serial:  fmt.Sprintf("SN%04d", n),
		UUID:    fmt.Sprintf("00000000-0000-4000-8000-0000000000%02x", n),
		Vendor:  "Yealink",
		Model:   "T46U",
		Version: "108.86.0.20",
		Created: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
	}
}

// params holds each kind of value that Params may have.
func params() provision.Params {
	return provision.Params{
		"text":   "Grüße, \"<&>\" \u2028",
		"empty":  "",
		"yes":    true,
		"whole":  int64(1)<<62 + 1,
		"minus":  int64(-5060),
		"part":   0.1,
		"even":   2.0,
		"secret": provision.Secret("pa55"),
		"list":   []any{"a", int64(2), provision.Secret("b"), []any{}, nil},
		"lines": map[string]any{
			"1":       map[string]any{"password": provision.Secret(""), "port": int64(5060)},
			"$secret": "a key like any other",
		},
	}
}

func deviceRoundTrip(t *testing.T, s Stores) {
	want := device(1)
	want.Plugin, want.Pinned, want.Config, want.Label, want.Auto = "yealink-v86", true, "cfg-1", "Reception", true
	want.State, want.Remote, want.Static, want.Port = provision.StateEnrolled, true, true, "3/7"
	want.Override, want.Options = params(), map[string]any{"switchboard": true, "keys": int64(3)}
	got, err := s.PutDevice(t.Context(), want)
	if err != nil {
		t.Fatalf("PutDevice: %v", err)
	}
	want.Rev = 1
	same(t, "PutDevice", got, want)
	for name, find := range finders(s, want) {
		got, err := find(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		same(t, name, got, want)
	}
}

// finders are the ways to a device.
func finders(s Stores, d provision.Device) map[string]func(*testing.T) (provision.Device, error) {
	return map[string]func(*testing.T) (provision.Device, error){
		"Device":     func(t *testing.T) (provision.Device, error) { t.Helper(); return s.Device(t.Context(), d.ID) },
		"DeviceByHW": func(t *testing.T) (provision.Device, error) { t.Helper(); return s.DeviceByHW(t.Context(), d.HW) },
		"DeviceBySerial": func(t *testing.T) (provision.Device, error) {
			t.Helper()
			return s.DeviceBySerial(t.Context(), d.Serial)
		},
		"DeviceByUUID": func(t *testing.T) (provision.Device, error) { t.Helper(); return s.DeviceByUUID(t.Context(), d.UUID) },
	}
}

func deviceNotFound(t *testing.T, s Stores) {
	// One device that has nothing to be found by but its ID: the empty keys must not lead to it.
	put(t, s, provision.Device{ID: "bare"})
	put(t, s, provision.Device{ID: "bare too"}) // and having nothing isn't having the same
	for _, d := range []provision.Device{device(1), {}} {
		for name, find := range finders(s, d) {
			_, err := find(t)
			fails(t, fmt.Sprintf("%s of %q", name, d.ID), err, provision.ErrNotFound)
		}
	}
}

func deviceInvalid(t *testing.T, s Stores) {
	d := device(1)
	d.ID = ""
	_, err := s.PutDevice(t.Context(), d)
	fails(t, "PutDevice", err, provision.ErrInvalid)
	_, err = s.AddDevice(t.Context(), d, provision.Config{})
	fails(t, "AddDevice", err, provision.ErrInvalid)
}

func deviceRevisions(t *testing.T, s Stores) {
	first := put(t, s, device(1))
	_, err := s.PutDevice(t.Context(), device(1))
	fails(t, "a second creation", err, provision.ErrConflict)

	next := first
	next.Model = "T48U"
	second := put(t, s, next)
	if got, want := second.Rev, first.Rev+1; got != want {
		t.Errorf("Rev after an update: got %d, want %d", got, want)
	}
	stale := first
	stale.Model = "T42U"
	_, err = s.PutDevice(t.Context(), stale)
	fails(t, "an update of an old revision", err, provision.ErrConflict)

	unknown := device(2)
	unknown.Rev = 1
	_, err = s.PutDevice(t.Context(), unknown)
	fails(t, "an update of no device", err, provision.ErrConflict)

	again := put(t, s, second)
	if again.Rev < second.Rev {
		t.Errorf("Rev after a write that changes nothing: got %d, want %d or more", again.Rev, second.Rev)
	}
	got, err := s.Device(t.Context(), first.ID)
	if err != nil {
		t.Fatalf("Device: %v", err)
	}
	same(t, "Device", got, again)
}

func deviceUnique(t *testing.T, s Stores) {
	first := put(t, s, device(1))
	other := put(t, s, device(2))
	clashes := map[string]func(*provision.Device){
		"mac":    func(d *provision.Device) { d.HW = first.HW },
		"serial": func(d *provision.Device) { d.Serial = first.Serial },
		"uuid":   func(d *provision.Device) { d.UUID = first.UUID },
	}
	for name, clash := range clashes {
		created := device(3)
		clash(&created)
		_, err := s.PutDevice(t.Context(), created)
		fails(t, "create with another's "+name, err, provision.ErrConflict)
		_, err = s.AddDevice(t.Context(), created, provision.Config{})
		fails(t, "add with another's "+name, err, provision.ErrConflict)
		_, err = s.Device(t.Context(), created.ID)
		fails(t, "look for the refused one", err, provision.ErrNotFound)

		updated := other
		clash(&updated)
		_, err = s.PutDevice(t.Context(), updated)
		fails(t, "update to another's "+name, err, provision.ErrConflict)
	}
	for _, want := range []provision.Device{first, other} {
		for name, find := range finders(s, want) {
			got, err := find(t)
			if err != nil {
				t.Errorf("%s after refused writes: %v", name, err)
			}
			same(t, name+" after refused writes", got, want)
		}
	}
}

func deviceReindexed(t *testing.T, s Stores) {
	old := put(t, s, device(1))
	moved := device(2)
	moved.ID, moved.Rev = old.ID, old.Rev
	moved = put(t, s, moved)
	for name, find := range finders(s, old) {
		if name == "Device" {
			continue
		}
		_, err := find(t)
		fails(t, name+" by what it was", err, provision.ErrNotFound)
	}
	for name, find := range finders(s, moved) {
		got, err := find(t)
		if err != nil {
			t.Errorf("%s by what it is: %v", name, err)
		}
		same(t, name+" by what it is", got, moved)
	}
	heir := device(1)
	heir.ID = "heir"
	put(t, s, heir) // what a device gave up is free
}

func deviceCopied(t *testing.T, s Stores) {
	d := device(1)
	d.Override = provision.Params{"lines": map[string]any{"1": "before"}, "list": []any{"before"}}
	want := device(1)
	want.Override = provision.Params{"lines": map[string]any{"1": "before"}, "list": []any{"before"}}
	want.Rev = 1
	spoil := func(d provision.Device) {
		d.Override["lines"].(map[string]any)["1"] = "after" //nolint:forcetypeassert // a panic fails the test as well
		d.Override["list"].([]any)[0] = "after"             //nolint:forcetypeassert // as above
		d.Override["more"] = true
	}
	returned := put(t, s, d)
	spoil(d)
	spoil(returned)
	for range 2 {
		got, err := s.Device(t.Context(), d.ID)
		if err != nil {
			t.Fatalf("Device: %v", err)
		}
		same(t, "Device", got, want)
		spoil(got)
	}
}

func addWithConfig(t *testing.T, s Stores) {
	d, c := device(1), provision.Config{ID: "cfg-1", Parents: []provision.ConfigID{"base"}, Params: params(), Transient: true}
	d.Config = c.ID
	got, err := s.AddDevice(t.Context(), d, c)
	if err != nil {
		t.Fatalf("AddDevice: %v", err)
	}
	d.Rev, c.Rev = 1, 1
	same(t, "AddDevice", got, d)
	stored, err := s.Config(t.Context(), c.ID)
	if err != nil {
		t.Fatalf("Config: %v", err)
	}
	same(t, "Config", stored, c)

	// A config that exists already comes with its revision and is left alone.
	d2 := device(2)
	d2.Config = c.ID
	changed := stored
	changed.Label = "not written"
	if _, err := s.AddDevice(t.Context(), d2, changed); err != nil {
		t.Fatalf("AddDevice with a config that exists: %v", err)
	}
	if stored, err = s.Config(t.Context(), c.ID); err != nil {
		t.Fatalf("Config: %v", err)
	}
	same(t, "the config that exists", stored, c)
}

func addWithoutConfig(t *testing.T, s Stores) {
	got, err := s.AddDevice(t.Context(), device(1), provision.Config{})
	if err != nil {
		t.Fatalf("AddDevice: %v", err)
	}
	want := device(1)
	want.Rev = 1
	same(t, "AddDevice", got, want)
	_, err = s.Config(t.Context(), "")
	fails(t, "Config without an id", err, provision.ErrNotFound)

	stored := device(2)
	stored.Rev = 1
	_, err = s.AddDevice(t.Context(), stored, provision.Config{})
	fails(t, "add a device that has a revision", err, provision.ErrConflict)
}

func addAtomic(t *testing.T, s Stores) {
	put(t, s, device(1))
	if _, err := s.PutConfig(t.Context(), provision.Config{ID: "taken"}); err != nil {
		t.Fatalf("PutConfig: %v", err)
	}
	twin := device(1)
	twin.ID = "twin"
	_, err := s.AddDevice(t.Context(), twin, provision.Config{ID: "new"})
	fails(t, "add a device whose mac exists", err, provision.ErrConflict)
	_, err = s.Config(t.Context(), "new")
	fails(t, "the config of a refused device", err, provision.ErrNotFound)

	_, err = s.AddDevice(t.Context(), device(2), provision.Config{ID: "taken", Label: "mine"})
	fails(t, "add a device with a config whose id exists", err, provision.ErrConflict)
	for name, find := range finders(s, device(2)) {
		_, err = find(t)
		fails(t, name+" of a device whose config was refused", err, provision.ErrNotFound)
	}
}

func addConcurrent(t *testing.T, s Stores) {
	const n = 20
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			d := device(1) // the same phone each time, under a name of its own
			d.ID = provision.DeviceID(fmt.Sprintf("first-%d", i))
			d.Config = provision.ConfigID("auto-" + string(d.ID))
			_, errs[i] = s.AddDevice(t.Context(), d, provision.Config{ID: d.Config, Transient: true})
		})
	}
	wg.Wait()
	made := 0
	for i, err := range errs {
		id := provision.ConfigID(fmt.Sprintf("auto-first-%d", i))
		_, cerr := s.Config(t.Context(), id)
		if err != nil {
			fails(t, "add at once", err, provision.ErrConflict)
			fails(t, "config of a refused device", cerr, provision.ErrNotFound)
			continue
		}
		made++
		if cerr != nil {
			t.Errorf("Config %s of the device that was made: %v", id, cerr)
		}
	}
	if made != 1 {
		t.Errorf("devices made by %d first contacts: got %d, want 1", n, made)
	}
}

func putConcurrent(t *testing.T, s Stores) {
	const n = 20
	base := put(t, s, device(1))
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			d := base
			d.Label = fmt.Sprintf("writer %d", i)
			_, errs[i] = s.PutDevice(t.Context(), d)
		})
	}
	wg.Wait()
	got, err := s.Device(t.Context(), base.ID)
	if err != nil {
		t.Fatalf("Device: %v", err)
	}
	won := 0
	for i, err := range errs {
		if err != nil {
			fails(t, "update at once", err, provision.ErrConflict)
			continue
		}
		won++
		if want := fmt.Sprintf("writer %d", i); got.Label != want {
			t.Errorf("label: got %q, want the winner's %q", got.Label, want)
		}
	}
	if won != 1 {
		t.Errorf("updates of one revision that succeeded: got %d, want 1", won)
	}
}

func put(t *testing.T, s Stores, d provision.Device) provision.Device {
	t.Helper()
	got, err := s.PutDevice(t.Context(), d)
	if err != nil {
		t.Fatalf("PutDevice %s: %v", d.ID, err)
	}
	return got
}

func putConfig(t *testing.T, s Stores, c provision.Config) provision.Config {
	t.Helper()
	got, err := s.PutConfig(t.Context(), c)
	if err != nil {
		t.Fatalf("PutConfig %s: %v", c.ID, err)
	}
	return got
}

func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// same compares two records. Whether nothing is nil or an empty map or list is the store's choice.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
