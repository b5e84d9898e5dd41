package trace

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

func newMemory(t *testing.T, path string, log *strings.Builder) *Memory {
	t.Helper()
	gate, err := provision.OpenGate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &Memory{Path: path, Gate: gate, Log: slog.New(slog.NewTextHandler(log, nil))}
	if err := m.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// knock has somebody ask for the files of phones that aren't his, until he is locked.
func knock(t *testing.T, m *Memory) {
	t.Helper()
	s := newSource(t, nil, 0)
	s.Gate = m.Gate
	for _, path := range []string{"00085d000001.cfg", "00085d000002.cfg", "00085d000003.cfg"} {
		s.Handle(t.Context(), &provision.Request{Proto: provision.TFTP, Peer: netip.MustParseAddr("192.0.2.9"), Path: path})
	}
}

// What the gate learns is in the file at once, and in another gate after a start.
func TestMemory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "guard.json")
	var log strings.Builder
	m := newMemory(t, path, &log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	knock(t, m)
	for deadline := time.Now().Add(10 * time.Second); ; { // it isn't stopped: a crash comes without a warning
		if data, _ := os.ReadFile(path); strings.Contains(string(data), string(provision.AlarmLocked)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the lock isn't written")
		}
		<-time.After(time.Millisecond)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v; want 0600", err, info.Mode())
	}
	if _, locked := newMemory(t, path, &log).Gate.About("192.0.2.9"); !locked {
		t.Error("after the crash it isn't locked")
	}
	m.Gate.Quiet("192.0.2.9")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if alarms, locked := newMemory(t, path, &log).Gate.About("192.0.2.9"); locked || len(alarms) > 0 {
		t.Errorf("what was taken back before the stop is there after the start: %+v", alarms)
	}
	if log.Len() > 0 {
		t.Errorf("the log says: %s", &log)
	}
}

// A file that can't be read costs what is in it, not the start; one that can't be written, what comes after it.
func TestFaultMemory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "guard.json")
	if err := os.WriteFile(path, []byte(`{"locks":[{"source":`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	m := newMemory(t, path, &log)
	if _, err := os.Stat(path + ".bad"); err != nil || !strings.Contains(log.String(), "set aside") {
		t.Errorf("%v; the log says: %s", err, &log)
	}
	m.Path = filepath.Join(path, "nowhere")
	knock(t, m)
	log.Reset()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := m.Run(ctx); err != nil || !strings.Contains(log.String(), "aren't kept") {
		t.Errorf("%v; the log says: %s", err, &log)
	}
}
