package admin_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/store"
)

// noLeases is a lease table without leases.
type noLeases struct{ admin.Leases }

func (noLeases) ByHW(hwaddr.Addr) []lease.Lease { return nil }

func TestGuardUseCases(t *testing.T) {
	t.Parallel()
	db, err := store.Opener{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	gate, err := provision.OpenGate(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	s := &admin.Service{Leases: noLeases{}, Devices: db, Gate: gate, Journal: provision.NewJournal(10), Sightings: provision.NewSightings(1)}
	const mac = "00:08:5d:11:22:33"
	if _, err := db.PutDevice(t.Context(), provision.Device{ID: "a", HW: hwaddr.MustParse(mac), Auto: true}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() (admin.Decision, error)
		want provision.DeviceState
		err  error
	}{
		{"clear nothing", func() (admin.Decision, error) { return s.ClearSuspicion(t.Context(), mac, admin.Write{}) }, provision.StateNew, nil},
		{"approve", func() (admin.Decision, error) { return s.Approve(t.Context(), mac, "", admin.Write{}) }, provision.StateEnrolled, nil},
		{"approve again", func() (admin.Decision, error) { return s.Approve(t.Context(), "a", "", admin.Write{}) }, provision.StateEnrolled, nil},
		{"retire", func() (admin.Decision, error) { return s.Retire(t.Context(), mac, admin.Write{}) }, provision.StateRetired, nil},
		{"approve a retired one", func() (admin.Decision, error) { return s.Approve(t.Context(), mac, "", admin.Write{}) }, provision.StateRetired, provision.ErrConflict},
		{"clear", func() (admin.Decision, error) { return s.ClearSuspicion(t.Context(), mac, admin.Write{}) }, provision.StateEnrolled, nil},
		{"no port", func() (admin.Decision, error) { return s.MovePort(t.Context(), mac, false, admin.Write{}) }, provision.StateEnrolled, provision.ErrNotFound},
		{"nobody", func() (admin.Decision, error) { return s.Approve(t.Context(), "x", "", admin.Write{}) }, provision.StateEnrolled, provision.ErrNotFound},
		{"deny", func() (admin.Decision, error) {
			return s.Deny(t.Context(), mac, "a printer", admin.Write{By: provision.Author{Who: "kim"}})
		}, provision.StateEnrolled, nil},
	} {
		_, err := step.do()
		d, getErr := db.Device(t.Context(), "a")
		if !errors.Is(err, step.err) || err != nil && step.err == nil || getErr != nil || d.State != step.want {
			t.Errorf("%s: %v, state %q; want %v, %q", step.name, err, d.State, step.err, step.want)
		}
	}
	if got := s.ListAside(); len(got) != 1 || got[0].Key != "mac "+mac || got[0].By != "kim" {
		t.Errorf("set aside: %+v", got)
	}
	w, err := s.OpenWindow(t.Context(), provision.Window{Device: mac}, admin.DefaultWindow)
	if err != nil || w.Device != "a" || w.Closes.Sub(w.Opened) != admin.DefaultWindow {
		t.Errorf("window %+v, %v", w, err)
	}
	again, err := provision.OpenGate(t.Context(), db)
	if err != nil || len(again.Windows(time.Now())) != 1 || len(again.Asides()) != 1 {
		t.Errorf("after a restart: %v, %v, %v; want the window and the device set aside", again.Windows(time.Now()), again.Asides(), err)
	}
	if err := s.Quiet(t.Context(), "nothing"); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("quiet: %v, want ErrNotFound", err)
	}
}

// A phone is found by what people call it, unless they call several so.
func TestPhoneByLabel(t *testing.T) {
	t.Parallel()
	db := provision.NewMemory()
	for id, label := range map[provision.DeviceID]string{"a": "Reception", "b": "Hall", "c": "hall", "d": ""} {
		if _, err := db.PutDevice(t.Context(), provision.Device{ID: id, Serial: "S" + string(id), Label: label}); err != nil {
			t.Fatal(err)
		}
	}
	s := &admin.Service{Leases: noLeases{}, Devices: db, Journal: provision.NewJournal(1)}
	if p, err := s.Phone(t.Context(), "reception"); err != nil || p.ID != "a" {
		t.Errorf("got %s, %v", p.ID, err)
	}
	if _, err := s.Phone(t.Context(), "HALL"); !errors.Is(err, provision.ErrAmbiguous) || !strings.Contains(err.Error(), "b") {
		t.Errorf("two of that label: %v", err)
	}
	for _, key := range []string{"", "Attic"} {
		if _, err := s.Phone(t.Context(), key); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("%q: %v", key, err)
		}
	}
}
