package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// MaxKept is how many backups a Folder holds that somebody asked for: an appliance's disk isn't large.
	MaxKept = 32

	kept      = "dialtone-20060102T150405.000Z.tar.gz" // names of backups, by their times
	scheduled = "dialtone-20060102T150405.000Z-scheduled.tar.gz"
	unkept    = ".backup-" // how the name of one begins that isn't whole yet
	foldedDir = 0o700
)

// ErrFull says that a Folder holds MaxKept backups that somebody asked for.
var ErrFull = errors.New("too many backups are kept")

// Folder is a folder of backups, only for who runs the program. It needs not exist yet.
type Folder struct{ Dir string }

// Kept is a backup in a Folder.
type Kept struct {
	Name    string
	Size    int64
	Created time.Time
	// Scheduled: nobody asked for it. Whoever makes those sees to it that there aren't too many.
	Scheduled bool
}

// List returns the backups, the newest first. Other files are passed over.
func (f Folder) List() ([]Kept, error) {
	entries, err := os.ReadDir(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var list []Kept
	for _, e := range entries {
		at, own, ok := named(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list backups: %w", err)
		}
		list = append(list, Kept{e.Name(), info.Size(), at, own})
	}
	slices.SortFunc(list, func(a, b Kept) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// named reads the name of a backup.
func named(name string) (at time.Time, own, ok bool) {
	at, err := time.Parse(kept, name)
	if err != nil {
		own = true
		at, err = time.Parse(scheduled, name)
	}
	return at, own, err == nil
}

// Create keeps what write writes. It is there only once all of it is on the disk. ErrFull, for one that somebody asks for.
func (f Folder) Create(ctx context.Context, now time.Time, own bool, write func(context.Context, io.Writer) error) (k Kept, err error) {
	list, err := f.List()
	if err != nil {
		return k, err
	}
	list = slices.DeleteFunc(list, func(k Kept) bool { return k.Scheduled })
	if n := len(list); !own && n >= MaxKept {
		oldest := list[n-1].Name
		return k, fmt.Errorf("%w: there are %d that somebody asked for, and none goes by itself; remove some first, such as the oldest: "+
			"dialtone backup rm %s", ErrFull, n, oldest)
	}
	if err := os.MkdirAll(f.Dir, foldedDir); err != nil {
		return k, fmt.Errorf("keep a backup: %w", err)
	}
	if err := f.sweep(); err != nil {
		return k, err
	}
	file, err := os.CreateTemp(f.Dir, unkept) // with mode 0600
	if err != nil {
		return k, fmt.Errorf("keep a backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := write(ctx, file); err != nil {
		return k, errors.Join(err, file.Close())
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return k, fmt.Errorf("keep a backup: %w", err)
	}
	layout := kept
	if own {
		layout = scheduled
	}
	k = Kept{now.UTC().Format(layout), info.Size(), now.UTC().Truncate(time.Millisecond), own}
	if err = os.Rename(file.Name(), filepath.Join(f.Dir, k.Name)); err != nil {
		return Kept{}, fmt.Errorf("keep a backup: %w", err)
	}
	return k, nil
}

// sweep removes what a program that was killed has left.
func (f Folder) sweep() error {
	left, err := filepath.Glob(filepath.Join(f.Dir, unkept+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("remove an unfinished backup: %w", err)
	}
	return nil
}

// Open opens a backup; fs.ErrNotExist if it isn't there.
func (f Folder) Open(name string) (*os.File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Remove removes a backup; fs.ErrNotExist if it isn't there.
func (f Folder) Remove(name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// path is where a backup is. No name leads elsewhere: it is a time.
func (f Folder) path(name string) (string, error) {
	if _, _, ok := named(name); !ok || strings.ContainsAny(name, `/\`) {
		return "", fs.ErrNotExist
	}
	return filepath.Join(f.Dir, name), nil
}
