package plugin

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet    = 250 * time.Millisecond // without an event before a rescan: a copy has many files
	patience = 5 * time.Second        // after which a storm of events doesn't put it off any more
	interval = time.Minute            // between rescans that nothing asked for: some file systems tell nothing
)

// Run watches the directories and rescans when something in them has changed. It makes those that don't exist yet, and
// returns nil when ctx ends.
func (h *Host) Run(ctx context.Context) error {
	for _, dir := range h.dirs() {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("watch plugins: %w", err)
		}
	}
	w := &watcher{host: h}
	var err error
	if w.Watcher, err = fsnotify.NewWatcher(); err != nil {
		h.log().WarnContext(ctx, "plugins aren't watched; they are read every minute", "err", err)
		w.Watcher = &fsnotify.Watcher{}
	} else {
		defer w.Close()
	}
	w.run(ctx)
	return nil
}

func (h *Host) dirs() []string {
	dirs := []string{h.Dir}
	for _, d := range []string{h.Overlays, h.Firmware} {
		if d != "" {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// watcher is the state of one Run.
type watcher struct {
	*fsnotify.Watcher
	host  *Host
	fault string // of the last attempt to watch, so that it is logged once
}

func (w *watcher) run(ctx context.Context) {
	w.rescan(ctx) // what changed before the watches were there
	tick := time.NewTicker(interval)
	defer tick.Stop()
	calm := time.NewTimer(0)
	calm.Stop()
	var first time.Time // of the events that wait; zero: none
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-w.Events:
			if !w.matters(ev) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			calm.Reset(max(0, min(quiet, patience-time.Since(first))))
			continue
		case err := <-w.Errors: // an overflow: events are lost
			w.host.log().WarnContext(ctx, "plugins' watch lost events", "err", err)
			calm.Reset(quiet)
			continue
		case <-calm.C:
		case <-tick.C:
		}
		calm.Stop()
		first = time.Time{}
		w.rescan(ctx)
	}
}

// matters reports whether an event is about something that a rescan would look at.
func (w *watcher) matters(ev fsnotify.Event) bool {
	for _, dir := range w.host.dirs() {
		rel, err := filepath.Rel(dir, ev.Name)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		return rel == "." || !strings.HasPrefix(rel, ".") && !strings.Contains(rel, "/.")
	}
	return true
}

// rescan watches what is new, then reads: whatever changes later makes an event.
func (w *watcher) rescan(ctx context.Context) {
	fault := ""
	for _, dir := range w.host.dirs() {
		if err := w.watch(dir); err != nil {
			fault = err.Error()
		}
	}
	if fault != "" && fault != w.fault {
		w.host.log().WarnContext(ctx, "plugins aren't watched wholly; they are read every minute", "err", fault)
	}
	w.fault = fault
	if err := w.host.Rescan(ctx); err != nil && ctx.Err() == nil {
		w.host.log().ErrorContext(ctx, "rescan of plugins", "err", err)
	}
}

// watch adds a directory and each one beneath: inotify isn't recursive. Adding one again is harmless.
func (w *watcher) watch(root string) error {
	if w.Events == nil {
		return nil
	}
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // it goes while we look; the rescan tells of the rest
		case !e.IsDir():
			return nil
		case p != root && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		}
		if err := w.Add(p); err != nil {
			return fmt.Errorf("watch %s: %w", p, err)
		}
		return nil
	})
}
