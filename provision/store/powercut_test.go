package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/lease"
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
// sectors, and looks for what was acknowledged. That it would be seen if it were missing is shown by a disk that takes
// no sync seriously.
func powerCuts(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	base := must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))
	calls := trace(t, dir)
	if bad, images := cut(t, base, calls, true); bad > 0 {
		t.Errorf("%d of %d images lost what was acknowledged", bad, images)
	} else {
		t.Logf("%d images", images)
	}
	if bad, images := cut(t, base, calls, false); bad < 10 {
		t.Errorf("without syncs, only %d of %d images lost what was acknowledged: the harness has no teeth", bad, images)
	}
}

func cut(t *testing.T, base []byte, calls []diskCall, honest bool) (bad, images int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 8))
	disk := append([]byte(nil), base...)
	var pending []diskCall
	acked := make(map[netip.Addr]uint64)
	path := filepath.Join(t.TempDir(), fileDB)
	for i, c := range calls {
		switch {
		case c.sync && honest:
			for _, p := range pending {
				disk = p.reach(disk, nil)
			}
			pending = nil
		case c.ack.rev > 0:
			acked[c.ack.addr] = c.ack.rev
		case !c.sync:
			pending = append(pending, c)
		}
		if !honest && i%7 != 0 {
			continue
		}
		for _, kept := range []func() bool{
			func() bool { return false },                        // nothing reached the disk
			func() bool { return rnd.IntN(2) == 0 },             // some pages did
			func() bool { return rnd.IntN(len(pending)+1) > 0 }, // most did
		} {
			for _, torn := range []*rand.Rand{nil, rnd} {
				image := append([]byte(nil), disk...)
				for _, p := range pending {
					if kept() {
						image = p.reach(image, torn)
					}
				}
				images++
				if err := look(path, image, acked); err != nil {
					if bad++; honest {
						t.Errorf("after call %d: %v", i, err)
					}
				}
			}
		}
	}
	return bad, images
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

// look checks an image and that it has what was acknowledged.
func look(path string, image []byte, acked map[netip.Addr]uint64) error {
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return err
	}
	r, err := inspect(path)
	if err != nil || !r.Whole() {
		return errors.Join(err, fmt.Errorf("got %+v", r))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := openImage(f, int64(len(image)))
	if err != nil {
		return err
	}
	have := make(map[netip.Addr]uint64)
	m.records(func(bucket string, key, value []byte) {
		if bucket == bucketLeases {
			var l lease.Lease
			if l, err = leaseAt(key, value[sumSize:]); err == nil {
				have[l.Addr] = l.Rev
			}
		}
	}, nil)
	for addr, rev := range acked {
		if have[addr] < rev {
			return fmt.Errorf("lease %s: got revision %d, %d was acknowledged", addr, have[addr], rev)
		}
	}
	return nil
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
		if _, err := mergeFiles(good, path); err != nil {
			t.Fatal(err)
		}
		if r, err := inspect(good); err != nil || !r.Sound() {
			t.Errorf("after a merge: got %+v, error %v", r, err)
		}
	})
}
