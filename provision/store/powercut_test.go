package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// diskCall is a system call of a traced process that matters to the disk, or the acknowledgement of a lease.
type diskCall struct {
	sync bool
	size int64 // of a truncation; negative: none
	off  int64
	data []byte
	ack  leaseVersion
}

// trace runs the child "commit-some" in dir and returns what it asked of the store's file.
func trace(t *testing.T, dir string) (calls []diskCall) {
	t.Helper()
	strace := needStrace(t)
	log := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "commit-some", dir)
	traced := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-y", "-xx", "-s", "1000000", "-o", log,
		"-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write", cmd.Path)
	traced.Dir, traced.Env = cmd.Dir, append(cmd.Env, "GOMAXPROCS=1")
	if out, err := traced.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw := string(must[[]byte](t)(os.ReadFile(log)))
	db := "<" + hexed(filepath.Join(dir, fileDB)) + ">"
	syncing := make(map[string]bool) // threads within a sync
	writes := 0
	for line := range strings.Lines(raw) {
		thread, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		name, args, _ := strings.Cut(call, "(")
		parts := strings.Split(strings.TrimRight(strings.SplitN(args, ") =", 2)[0], " "), ", ")
		switch {
		case strings.HasPrefix(call, "<... fdatasync resumed") || strings.HasPrefix(call, "<... fsync resumed"):
			if syncing[thread] {
				calls = append(calls, diskCall{sync: true, size: -1})
			}
			delete(syncing, thread)
		case name == "write" && strings.HasPrefix(args, "1<"):
			var addr string
			var v leaseVersion
			if _, err := fmt.Sscanf(unhexed(t, parts[1]), "%s %d", &addr, &v.rev); err != nil {
				t.Fatal(err)
			}
			v.addr = netip.MustParseAddr(addr)
			calls = append(calls, diskCall{size: -1, ack: v})
		case !strings.Contains(parts[0], db):
		case name == "pwrite64":
			writes++
			off := must[int64](t)(strconv.ParseInt(strings.Fields(parts[3])[0], 10, 64))
			calls = append(calls, diskCall{size: -1, off: off, data: []byte(unhexed(t, parts[1]))})
		case name == "ftruncate":
			calls = append(calls, diskCall{size: must[int64](t)(strconv.ParseInt(strings.Fields(parts[1])[0], 10, 64))})
		case (name == "fdatasync" || name == "fsync") && strings.Contains(call, "unfinished"):
			syncing[thread] = true
		case name == "fdatasync" || name == "fsync":
			calls = append(calls, diskCall{sync: true, size: -1})
		}
	}
	// A harness that doesn't see the writes passes everything.
	if want := strings.Count(raw, "pwrite64("); writes == 0 || writes != want {
		t.Fatalf("got %d writes of %d in the trace", writes, want)
	}
	return calls
}

func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func unhexed(t *testing.T, s string) string {
	t.Helper()
	return must[string](t)(strconv.Unquote(s))
}

// powerCuts takes the disk's image at each moment of a run, with the writes that weren't synced gone, there, or torn in
// sectors, opens it and looks for what was acknowledged. That it would be seen if it were missing is shown by a disk that
// takes no sync seriously, and by a store that begins a transaction before the last one is on the disk.
func powerCuts(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, string){"new": func(t *testing.T, dir string) {
		t.Helper()
		if err := errors.Join(create(dir), mark(dir)); err != nil {
			t.Fatal(err)
		}
	}, "in use": fill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			prepare(t, dir)
			cutIn(t, dir)
		})
	}
}

func cutIn(t *testing.T, dir string) {
	t.Helper()
	base := must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))
	calls := trace(t, dir)
	h := cutter{t: t, dir: memDir(t), honest: true}
	h.run(base, calls)
	if len(h.faults) > 0 || h.undone < 20 {
		t.Errorf("of %d images, %d last transactions were undone, and %d lost what was acknowledged: %q", h.images, h.undone, len(h.faults), h.faults)
	} else {
		t.Logf("%d images, %d last transactions undone", h.images, h.undone)
	}
	h = cutter{t: t, dir: h.dir, some: true}
	h.run(base, calls)
	if len(h.faults) < 10 {
		t.Errorf("without syncs, only %d of %d images lost what was acknowledged: the harness has no teeth", len(h.faults), h.images)
	}
	h = cutter{t: t, dir: h.dir, some: true, honest: true}
	h.run(base, hasty(calls))
	if len(h.faults) < 10 {
		t.Errorf("with two transactions in one sync, only %d of %d images lost what was acknowledged: the harness has no teeth", len(h.faults), h.images)
	}
}

// hasty has every other transaction begin before the last one is on the disk: one sync is for both, and they are
// acknowledged after it.
func hasty(calls []diskCall) (out []diskCall) {
	var acks []diskCall
	odd := false
	for i, c := range calls {
		switch {
		case c.sync && i > 0 && calls[i-1].size < 0: // not that of a file that becomes longer
			if odd = !odd; !odd {
				out = append(append(out, c), acks...)
				acks = nil
			}
		case c.ack.rev > 0:
			acks = append(acks, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// cutter makes images of what was traced.
type cutter struct {
	t              *testing.T
	dir            string
	honest         bool // syncs bring to the disk what was written before
	some           bool // not an image of each moment
	images, undone int
	faults         []string
}

func (h *cutter) run(base []byte, calls []diskCall) {
	h.t.Helper()
	rnd := rand.New(rand.NewPCG(7, 8))
	disk := append([]byte(nil), base...)
	var pending []diskCall
	acked := make(map[netip.Addr]uint64)
	known := h.epoch(disk)
	for i, c := range calls {
		switch {
		case c.sync && h.honest:
			for _, p := range pending {
				disk = p.reach(disk, nil)
			}
			pending, known = nil, h.epoch(disk)
		case c.ack.rev > 0:
			acked[c.ack.addr] = c.ack.rev
		case !c.sync:
			pending = append(pending, c)
		}
		if h.some && i%7 != 0 {
			continue
		}
		lost := rnd.IntN(len(pending) + 1)
		for _, kept := range []func(int) bool{
			func(int) bool { return false },                        // nothing reached the disk
			func(int) bool { return rnd.IntN(2) == 0 },             // some pages did
			func(int) bool { return rnd.IntN(len(pending)+1) > 0 }, // most did
			func(n int) bool { return n != lost },                  // all but one
			func(n int) bool { return n == len(pending)-1 },        // the last one alone: the meta page, for one
		} {
			for _, torn := range []*rand.Rand{nil, rnd} {
				image := append([]byte(nil), disk...)
				for n, p := range pending {
					if kept(n) {
						image = p.reach(image, torn)
					}
				}
				h.images++
				if err := h.look(image, known, acked, torn != nil); err != nil {
					h.faults = append(h.faults, fmt.Sprintf("after call %d: %v", i, err))
				}
			}
		}
	}
}

// epoch is what the file of the epoch may say at the latest when the disk holds this and another run of the kernel begins.
func (h *cutter) epoch(disk []byte) string {
	h.t.Helper()
	path := filepath.Join(h.dir, fileDB)
	write(h.t, path, string(disk))
	r := must[Report](h.t)(inspect(path))
	return fmt.Sprintf(`{"generation":%d,"id":%q,"txid":%d,"boot":"another"}`, r.Epoch.Generation, r.Epoch.ID, r.Txid)
}

// look opens an image and sees that it has what was acknowledged, and transactions as a whole or not at all. Only where
// pages are torn, so that it can't be told from other damage, may it be taken for restored.
func (h *cutter) look(image []byte, epoch string, acked map[netip.Addr]uint64, torn bool) (err error) {
	for name, content := range map[string]string{fileDB: string(image), fileEpoch: epoch, fileMarker: markerText} {
		write(h.t, filepath.Join(h.dir, name), content)
	}
	defer func() { // without a child, bbolt is not asked before
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var log strings.Builder
	db, err := Open(h.dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if strings.Contains(log.String(), "undone") {
		h.undone++
	}
	if !db.Restored().IsZero() && !torn {
		return fmt.Errorf("taken for restored: %s", log.String())
	}
	have := make(map[netip.Addr]uint64)
	for l, err := range db.LoadLeases(context.Background()) {
		if err != nil {
			return err
		}
		have[l.Addr] = l.Rev
	}
	for addr, rev := range acked {
		if have[addr] < rev {
			return fmt.Errorf("lease %s: got revision %d, %d was acknowledged", addr, have[addr], rev)
		}
	}
	heard := make(map[netip.Addr]uint64)
	for e, err := range db.Events(context.Background(), 0) {
		if err != nil {
			return err
		}
		heard[e.Lease.Addr] = e.Lease.Rev
	}
	if db.Restored().IsZero() && !maps.Equal(have, heard) {
		return fmt.Errorf("half a transaction: leases are %v, events %v", have, heard)
	}
	return nil
}

// reach does a call to an image; torn says that sectors may be missing.
func (c diskCall) reach(image []byte, torn *rand.Rand) []byte {
	end := max(c.size, c.off+int64(len(c.data)))
	if grow := end - int64(len(image)); grow > 0 {
		image = append(image, make([]byte, grow)...)
	}
	const sector = 512
	for at := 0; at < len(c.data); at += sector {
		if torn == nil || torn.IntN(2) == 0 {
			copy(image[c.off+int64(at):], c.data[at:min(at+sector, len(c.data))])
		}
	}
	return image
}

// FuzzImage reads files that are no stores, or nearly. Nothing may panic, and what is found sound has to be so to
// whoever reads it again.
func FuzzImage(f *testing.F) {
	small := func(edit func([]byte)) []byte {
		dir := f.TempDir()
		if err := create(dir); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, fileDB))
		if err != nil {
			f.Fatal(err)
		}
		edit(b)
		return b
	}
	f.Add(small(func([]byte) {}))
	f.Add(small(func(b []byte) { clear(b[:4096]) }))
	f.Add(small(func(b []byte) { clear(b[:8192]) }))
	f.Add(small(func(b []byte) { clear(b[3*4096 : 3*4096+64]) }))
	f.Add([]byte("no store"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), fileDB)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := inspect(path); err != nil {
			t.Fatal(err)
		}
		good := filepath.Join(t.TempDir(), "good")
		if err := os.Mkdir(good, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := create(good); err != nil {
			t.Fatal(err)
		}
		good = filepath.Join(good, fileDB)
		if _, err := mergeFiles(good, path, false); err != nil {
			t.Fatal(err)
		}
		if r, err := inspect(good); err != nil || !r.Sound() {
			t.Errorf("after a merge: got %+v, error %v", r, err)
		}
	})
}
