package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

func TestGateSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	windows := []provision.Window{
		{ID: "a", Network: "voice", Opened: at, Closes: at.Add(time.Minute)},
		{
			ID: "b", Device: "d", Network: "voice", OUI: "001565", Vendor: "Yealink", Count: 3, Opened: at, Closes: at.Add(time.Minute),
			By: "kim", Used: []provision.DeviceID{"x"},
		},
	}
	asides := []provision.Aside{{Key: "mac 00:15:65:aa:bb:cc", Why: "a printer", By: "kim", When: at}, {Key: "serial 7", When: at}}
	for _, w := range windows {
		if err := db.PutWindow(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range asides {
		if err := db.PutAside(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PutAside(t.Context(), provision.Aside{Key: "x", Why: "\xff"}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("a reason that is no text: %v, want ErrInvalid", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir)
	gotWindows, err := db.Windows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gotAsides, err := db.Asides(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(windows, gotWindows) + cmp.Diff(asides, gotAsides); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for range 2 {
		err := errors.Join(db.DeleteWindow(t.Context(), "a"), db.DeleteAside(t.Context(), "serial 7"))
		if err != nil && !errors.Is(err, provision.ErrNotFound) {
			t.Error(err)
		}
	}
	gotWindows, _ = db.Windows(t.Context())
	gotAsides, _ = db.Asides(t.Context())
	if len(gotWindows) != 1 || len(gotAsides) != 1 {
		t.Errorf("left: %v, %v; want one of each", gotWindows, gotAsides)
	}
}
