package store

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// benchLease returns the n-th of many leases, as a phone's is.
func benchLease(n uint32) lease.Lease {
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], 10<<24+n)
	hw := hwaddr.Addr{0x00, 0x15, 0x65, byte(n >> 16), byte(n >> 8), byte(n)}
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	return lease.Lease{
		Addr: netip.AddrFrom4(addr), Network: "voice", State: lease.Bound, Origin: lease.Pool, Start: start, Expiry: start.Add(8 * time.Hour),
		Client: lease.Client{
			HW: hw, ID: "\x01" + string(hw[:]), VendorClass: "yealink", Hostname: "SIP-T46U",
			Params: []uint8{1, 3, 6, 15, 42, 66, 67, 120, 125, 150}, Circuit: "\x00\x04\x00\x65\x00\x07",
		},
	}
}

// BenchmarkCommit binds new addresses, as many at once as the name says: by CommitLeases, and the same transactions
// by bbolt's own Batch and by an Update for each.
func BenchmarkCommit(b *testing.B) {
	update := func(db *DB, r *request) error {
		return db.bolt.Load().Update(func(tx *bbolt.Tx) error { return runAlone(tx, r) })
	}
	batch := func(db *DB, r *request) error {
		return db.bolt.Load().Batch(func(tx *bbolt.Tx) error { return runAlone(tx, r) })
	}
	for _, way := range []struct {
		name string
		do   func(*DB, *request) error
	}{{"group", nil}, {"batch", batch}, {"update", update}} {
		for _, clients := range []int{1, 50, 500} {
			b.Run(fmt.Sprintf("%s/%d", way.name, clients), func(b *testing.B) {
				db := openDB(b, b.TempDir())
				var next atomic.Uint32
				var spent atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range clients {
					wg.Go(func() {
						for {
							n := next.Add(1)
							if int(n) > b.N {
								return
							}
							began := time.Now()
							if err := bind(b, db, benchLease(n), way.do); err != nil {
								b.Error(err)
								return
							}
							spent.Add(int64(time.Since(began)))
						}
					})
				}
				wg.Wait()
				if way.do == nil {
					b.ReportMetric(float64(b.N)/float64(db.Writes()), "binds/commit")
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "binds/s")
				b.ReportMetric(float64(spent.Load())/float64(b.N)/1e6, "ms/bind")
			})
		}
	}
}

func bind(b *testing.B, db *DB, l lease.Lease, do func(*DB, *request) error) error {
	b.Helper()
	c := lease.Change{At: l.Start, Kind: lease.KindBound, Next: l}
	if do == nil {
		_, err := db.CommitLeases(b.Context(), c)
		return err
	}
	ready, err := prepare(c)
	if err != nil {
		return err
	}
	return do(db, &request{plan: func(tx *bbolt.Tx) ([]op, error) {
		ops, _, err := db.planLeases(tx, []change{ready})
		return ops, err
	}})
}

func runAlone(tx *bbolt.Tx, r *request) error {
	ops, err := r.plan(tx)
	if err != nil {
		return err
	}
	for _, o := range ops {
		if err := apply(tx, o); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkLoadLeases(b *testing.B) {
	const n = 60_000
	dir := b.TempDir()
	db := openDB(b, dir)
	changes := make([]lease.Change, 0, 1000)
	for i := range uint32(n) {
		l := benchLease(i)
		changes = append(changes, lease.Change{At: l.Start, Kind: lease.KindBound, Next: l})
		if len(changes) == cap(changes) {
			if _, err := db.CommitLeases(b.Context(), changes...); err != nil {
				b.Fatal(err)
			}
			changes = changes[:0]
		}
	}
	for b.Loop() {
		got := 0
		for _, err := range db.LoadLeases(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		if got != n {
			b.Fatalf("leases: got %d, want %d", got, n)
		}
	}
	b.ReportMetric(float64(size(b, filepath.Join(dir, fileDB)))/(1<<20), "MiB")
}

func BenchmarkDeviceByHW(b *testing.B) {
	db := openDB(b, b.TempDir())
	const n = 5000
	var wg sync.WaitGroup
	for i := range uint32(n) {
		wg.Go(func() {
			hw := benchLease(i).Client.HW
			d := provision.Device{
				ID: provision.DeviceID(hw.Join("")), HW: hw, Vendor: "Yealink", Model: "T46U", Version: "108.86.0.20", Plugin: "yealink-v86",
				Config: provision.ConfigID("auto-" + hw.Join("")), Created: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), Auto: true,
			}
			if _, err := db.AddDevice(b.Context(), d, provision.Config{ID: d.Config, Parents: []provision.ConfigID{"base"}, Transient: true}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		if _, err := db.DeviceByHW(b.Context(), benchLease(i%n).Client.HW); err != nil {
			b.Fatal(err)
		}
		i += 7
	}
}
