package provision_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// TestFlatsBound: flattened configs take no more memory than they may, and most of that. It runs alone, as it looks at the
// whole heap.
func TestFlatsBound(t *testing.T) { //nolint:paralleltest // see above
	w := renderWorld(t)
	w.Log, w.Journal = nil, nil
	const limit = 4 << 20
	w.Flats = provision.NewFlats(limit)
	keys := map[string]any{}
	for i := range 24 {
		keys[strconv.Itoa(i+1)] = map[string]any{"type": "blf", "value": strconv.Itoa(1000 + i), "label": fmt.Sprintf("Colleague %d", i)}
	}
	var last *provision.Outcome
	for i := range 400 {
		hw := hwaddr.Addr{0x00, 0x08, 0x5d, 0x20, byte(i >> 8), byte(i)}
		id, addr := hw.Join(""), netip.AddrFrom4([4]byte{192, 0, 2, 9})
		line := map[string]any{"username": id, "password": provision.Secret("s3cret" + id), "display_name": "Phone " + id}
		w.config(t, provision.Config{
			ID: provision.ConfigID("own-" + id), Parents: []provision.ConfigID{"base"},
			Params: provision.Params{"sip_lines": map[string]any{"1": line, "2": line}, "funckeys": keys},
		})
		w.device(t, provision.Device{
			ID: provision.DeviceID(id), HW: hw, Plugin: "aastra-67xx-3.3.1", Config: provision.ConfigID("own-" + id), State: provision.StateEnrolled,
		})
		w.hold(addr, hw, "AastraIPPhone6730i")
		if _, last = w.ask(t, tftp(addr, "aastra.cfg")); last.Err != nil {
			t.Fatal(last.Err)
		}
	}
	with := heap()
	runtime.KeepAlive(w.Flats)
	w.Flats = nil
	if took := with - heap(); took > limit*5/4 || took < limit/4 {
		t.Errorf("flattened configs take %d bytes, want about %d", took, limit)
	}
	runtime.KeepAlive(w)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
