package store

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// TestDeviceIsReadAsWritten: a device that is read after a write was acknowledged is as it was written, however many read
// it meanwhile; and one that was deleted, or has another MAC now, isn't found any more.
func TestDeviceIsReadAsWritten(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	macs := [2]hwaddr.Addr{hwaddr.MustParse("00:15:65:00:00:01"), hwaddr.MustParse("00:15:65:00:00:02")}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				for _, hw := range macs {
					_, _ = db.DeviceByHW(t.Context(), hw)
					_, _ = db.Devices(t.Context())
				}
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	d := provision.Device{ID: "d", HW: macs[0], Override: provision.Params{"X_n": map[string]any{}}}
	for n := range 100 {
		if n%10 == 9 {
			if err := db.DeleteDevice(t.Context(), d.ID, 0); err != nil {
				t.Fatal(err)
			}
			if got, err := db.DeviceByHW(t.Context(), d.HW); err == nil {
				t.Fatalf("write %d: a deleted device is found: %+v", n, got)
			}
			d.Rev = 0
		}
		d.Label, d.HW = strconv.Itoa(n), macs[n/3%2]
		var err error
		if d, err = db.PutDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if list, err := db.Devices(t.Context()); err != nil || len(list) != 1 || list[0].Rev != d.Rev || list[0].HW != d.HW {
			t.Fatalf("write %d: listed %+v (%v), want revision %d", n, list, err, d.Rev)
		}
		for range 2 {
			got, err := db.DeviceByHW(t.Context(), d.HW)
			if err != nil || got.Rev != d.Rev || got.Label != d.Label {
				t.Fatalf("write %d: got revision %d %q (%v), want %d %q", n, got.Rev, got.Label, err, d.Rev, d.Label)
			}
			got.Override["X_n"].(map[string]any)["spoiled"] = true //nolint:forcetypeassert // a panic fails the test as well
		}
		if got, _ := db.DeviceByHW(t.Context(), d.HW); len(got.Override["X_n"].(map[string]any)) > 0 { //nolint:forcetypeassert // as above
			t.Fatal("a reader's change is another reader's")
		}
		if got, err := db.DeviceByHW(t.Context(), macs[(n/3+1)%2]); err == nil {
			t.Fatalf("write %d: found by the MAC that it had: %+v", n, got)
		}
	}
}

// TestStrangersAreBounded: whoever makes up MACs fills no memory, and what is said of a MAC that no device has stays the
// same.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	for n := range maxAbsent + 10 {
		db.devices.keepNone(hwaddr.Addr{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}, 0)
	}
	if got := len(db.devices.none); got > maxAbsent {
		t.Errorf("got %d MACs, want at most %d", got, maxAbsent)
	}
	hw := hwaddr.MustParse("00:15:65:00:00:09")
	_, first := db.DeviceByHW(t.Context(), hw)
	_, again := db.DeviceByHW(t.Context(), hw)
	if _, ok := db.devices.none[hw]; !ok || !errors.Is(again, provision.ErrNotFound) || first.Error() != again.Error() {
		t.Errorf("kept: %t; got %v, then %v", ok, first, again)
	}
}
