package store

import (
	"log/slog"
	"os"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

func TestConformance(t *testing.T) {
	t.Run("leases", func(t *testing.T) {
		leasetest.TestStore(t, func(t *testing.T) lease.Store { t.Helper(); return openDB(t, t.TempDir()) })
	})
	t.Run("revisions", func(t *testing.T) {
		provisiontest.TestRevisions(t, func(t *testing.T) provisiontest.RevisionStores { t.Helper(); return openDB(t, t.TempDir()) })
	})
	t.Run("devices and configs", func(t *testing.T) {
		provisiontest.TestStores(t, func(t *testing.T) provisiontest.Stores { t.Helper(); return openDB(t, t.TempDir()) })
	})
}

// openDB opens the store in a folder and closes it at the test's end; closing it before is fine.
func openDB(tb testing.TB, dir string) *DB {
	tb.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return db
}

func size(tb testing.TB, path string) int64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
