package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// How long the memory rests between two writes, at least, and in terms of how long the last one took.
const (
	keepAfter = 250 * time.Millisecond
	keepShare = 10
)

// Memory keeps in a file what a gate must still know after a restart. What is new is written at once, by nobody who answers a
// phone, and what comes then a moment later, all together. Fill it in, call Load, then Run.
type Memory struct {
	Path string
	Gate *provision.Gate
	Log  *slog.Logger
}

// Load gives the gate what the file has. Without a file there is nothing to know. One that can't be read is said in the log
// and set aside: it is no reason not to serve.
func (m *Memory) Load(ctx context.Context) error {
	data, err := os.ReadFile(m.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if err = m.Gate.Recall(bytes.NewReader(data), time.Now()); err == nil {
			return nil
		}
		m.Log.ErrorContext(ctx, "what the guard knew before the start is lost; the file is set aside", "path", m.Path+".bad", "err", err)
		err = os.Rename(m.Path, m.Path+".bad")
	}
	if err != nil {
		return fmt.Errorf("what the guard remembered: %w", err)
	}
	return nil
}

// Run writes what changes until ctx ends, and then once more. A disk that is full or fails costs no answer: it is logged
// once, and tried again with the next change.
func (m *Memory) Run(ctx context.Context) error {
	failing := false
	for news := m.Gate.Changed(); ; {
		select {
		case <-ctx.Done():
			if err := m.write(); err != nil {
				m.Log.ErrorContext(ctx, "locks and alarms aren't kept for after the restart", "err", err)
			}
			return nil
		case <-news:
		}
		begun := time.Now()
		err := m.write()
		if err != nil && !failing {
			m.Log.ErrorContext(ctx, "locks and alarms can't be kept for after a restart; it is tried again with the next change", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(max(keepAfter, keepShare*time.Since(begun))):
		}
	}
}

// write puts the whole file in place of the old one: after a power cut there is the one or the other.
func (m *Memory) write() (err error) {
	temp := m.Path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = m.Gate.Keep(f, time.Now())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, m.Path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(m.Path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
