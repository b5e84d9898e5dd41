package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
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
				db.bolt.Load().NoSync = way.do == nil
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

// fillMany makes a closed store with so many leases.
func fillMany(b *testing.B, dir string, n uint32) {
	b.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]lease.Change, 0, 1000)
	for i := range n {
		l := benchLease(i)
		changes = append(changes, lease.Change{At: l.Start, Kind: lease.KindBound, Next: l})
		if len(changes) == cap(changes) {
			if _, err := db.CommitLeases(b.Context(), changes...); err != nil {
				b.Fatal(err)
			}
			changes = changes[:0]
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkLoadLeases(b *testing.B) {
	const n = 60_000
	dir := b.TempDir()
	fillMany(b, dir, n)
	db := openDB(b, dir)
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

// BenchmarkOpen verifies, in a child, and opens a store of 60 000 leases, as a start does; check is the child's part.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fillMany(b, dir, 60_000)
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if r, err := Check(filepath.Join(dir, fileDB)); err != nil || !r.Whole() {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			db, err := Opener{Dir: dir, Child: []string{exe, checkVerb}, Log: slog.New(slog.DiscardHandler)}.Open(b.Context())
			if err == nil {
				err = db.Close()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// slowDB is a store whose transactions take 5 ms longer, as on a disk that takes so long to sync.
type slowDB struct {
	*DB
	last atomic.Pointer[bbolt.Tx]
}

func (db *slowDB) CommitLeases(ctx context.Context, changes ...lease.Change) (events []lease.Event, err error) {
	ready := make([]change, len(changes))
	for i, c := range changes {
		if ready[i], err = prepare(c); err != nil {
			return nil, err
		}
	}
	err = db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		if db.last.Swap(tx) != tx {
			time.Sleep(5 * time.Millisecond) //nolint:forbidigo // a slow disk
		}
		ops, events, err = db.planLeases(tx, ready)
		return ops, err
	})
	return events, err
}

// BenchmarkSlowDisk binds, in a table, 50 new clients at a time.
func BenchmarkSlowDisk(b *testing.B) {
	nets := []network.Network{{
		ID: "voice", Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		Pools: []network.Pool{{First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.15.255.250")}},
	}}
	set, err := network.NewSet(nets)
	if err != nil {
		b.Fatal(err)
	}
	scope := lease.Scope{Network: &nets[0], Networks: set, Pools: nets[0].Pools, Lifetime: time.Hour}
	table, err := lease.Open(b.Context(), &slowDB{DB: openDB(b, b.TempDir())}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Uint32
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 50 {
		wg.Go(func() {
			for n := next.Add(1); int(n) <= b.N; n = next.Add(1) {
				l := benchLease(n)
				if _, err := table.Bind(b.Context(), scope, l.Client, benchLease(n+10).Addr); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "binds/s")
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
