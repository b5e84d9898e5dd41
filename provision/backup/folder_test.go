package backup_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision/backup"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	f := backup.Folder{Dir: filepath.Join(t.TempDir(), "backups")}
	now := time.Date(2026, 7, 1, 12, 0, 0, 5e6, time.UTC)
	some := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "state")
		return err
	}
	broken := errors.New("broken")
	if _, err := f.Create(t.Context(), now, false, func(context.Context, io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if left, err := os.ReadDir(f.Dir); err != nil || len(left) != 0 {
		t.Errorf("a failed one leaves %v, %v", left, err)
	}
	k, err := f.Create(t.Context(), now, false, some)
	if want := (backup.Kept{Name: "dialtone-20260701T120000.005Z.tar.gz", Size: 5, Created: now}); err != nil || k != want {
		t.Errorf("got %v, %v, want %v", k, err, want)
	}
	info, err := os.Stat(filepath.Join(f.Dir, k.Name))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), fs.FileMode(0o600); got != want {
		t.Errorf("mode: got %v, want %v", got, want)
	}
	outside := filepath.Join(filepath.Dir(f.Dir), k.Name)
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "../" + k.Name, "x/../" + k.Name, "dialtone-20260701T120000.006Z.tar.gz"} {
		if err := f.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("remove %q: got %v, want %v", name, err, fs.ErrNotExist)
		}
	}
	for i := 1; i < backup.MaxKept; i++ {
		if _, err := f.Create(t.Context(), now.Add(time.Duration(i)*time.Second), false, some); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Create(t.Context(), now.Add(time.Hour), false, some); !errors.Is(err, backup.ErrFull) || !strings.HasSuffix(err.Error(), "dialtone backup rm "+k.Name) {
		t.Errorf("one too many: got %v, want %v", err, backup.ErrFull)
	}
	own, err := f.Create(t.Context(), now.Add(2*time.Hour), true, some)
	if want := "dialtone-20260701T140000.005Z-scheduled.tar.gz"; err != nil || own.Name != want || !own.Scheduled {
		t.Errorf("a scheduled one besides: got %v, %v, want %s", own, err, want)
	}
	if list, err := f.List(); err != nil || len(list) != backup.MaxKept+1 || list[0] != own {
		t.Errorf("listed %v, %v", list, err)
	}
	if err := f.Remove(own.Name); err != nil {
		t.Error(err)
	}
	if err := f.Remove(k.Name); err != nil {
		t.Error(err)
	}
	list, err := f.List()
	if err != nil || len(list) != backup.MaxKept-1 || !list[0].Created.After(list[1].Created) {
		t.Errorf("got %v, %v", list, err)
	}
}
