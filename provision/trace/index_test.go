package trace

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// told is an outcome of a device.
func told(id uint64, device provision.DeviceID) *provision.Outcome {
	return &provision.Outcome{
		Request: provision.Request{
			ID: id, At: time.Date(2026, 3, 1, 0, 0, int(id), 0, time.UTC), Proto: provision.HTTP, Path: `x"device":{"id":"b"}`,
			Fields: map[string]string{provision.FieldUserAgent: "Aastra6757i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP"},
		},
		Device: provision.Device{ID: device},
	}
}

func idsOf(t testing.TB, l *Log, device provision.DeviceID, n int) []uint64 {
	t.Helper()
	list, err := l.ByDevice(t.Context(), device, n)
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	for _, o := range list {
		ids = append(ids, o.Request.ID)
	}
	return ids
}

// The index follows the files: whatever is written, dropped or torn between two questions.
func TestByDeviceFollows(t *testing.T) {
	t.Parallel()
	l := &Log{Dir: t.TempDir(), MaxBytes: 16 * 2000}
	write := func(list ...*provision.Outcome) {
		t.Helper()
		if err := l.write(list); err != nil {
			t.Fatal(err)
		}
	}
	want := func(device provision.DeviceID, n int, want ...uint64) {
		t.Helper()
		if diff := cmp.Diff(want, idsOf(t, l, device, n)); diff != "" {
			t.Errorf("%s, %d (-want +got):\n%s", device, n, diff)
		}
	}
	want("a", 0)
	write(told(1, "a"), told(2, "b"), told(3, ""))
	want("a", 0, 1)
	want("b", 0, 2)
	write(told(4, "a"), told(5, `q"\`), told(6, "a"), told(7, "b"))
	want("a", 0, 6, 4, 1)
	want("a", 2, 6, 4)
	want(`q"\`, 0, 5)
	want("c", 0)
	write(told(4, "a")) // again, with more to tell
	want("a", 0, 4, 6, 1)

	names, err := l.names()
	if err != nil || len(names) < 2 {
		t.Fatalf("got %d segments, %v, want several", len(names), err)
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := told(8, "a").MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range [][]byte{whole[:40], bytes.Join([][]byte{whole[40:], []byte("\n{\"id\":9,\"device\":{\"id\":\"a\"}, torn\n")}, nil)} {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		want("a", 1, []uint64{4, 8}[i])
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	want("a", 0, 8, 4, 6)
	if fresh := (&Log{Dir: l.Dir}); !cmp.Equal(idsOf(t, fresh, "a", 0), idsOf(t, l, "a", 0)) {
		t.Error("a log that is opened anew finds something else")
	}
}

// BenchmarkByDevice reads what 8 MB of history say of one of 250 phones.
func BenchmarkByDevice(b *testing.B) {
	l := &Log{Dir: b.TempDir()}
	size, phones := 0, 250
	for id := uint64(1); size < 8<<20; {
		var batch []*provision.Outcome
		for range phones {
			o := told(id, provision.DeviceID(fmt.Sprintf("00085d%06x", int(id)%phones)))
			for range 8 {
				o.Claims = append(o.Claims, provision.Claim{Attr: provision.AttrMAC, Value: "00:08:5d:23:73:01", Source: provision.SourceHeader, By: "aastra-67xx-3.3.1 extract[0]"})
			}
			batch, id = append(batch, o), id+1
		}
		if err := l.write(batch); err != nil {
			b.Fatal(err)
		}
		line, err := batch[0].MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		size += phones * len(line)
	}
	n := len(idsOf(b, l, "00085d000001", 200))
	for b.Loop() {
		if _, err := l.ByDevice(b.Context(), "00085d000001", 200); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "outcomes")
}
