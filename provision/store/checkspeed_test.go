package store

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// BenchmarkCheck looks through a store of 100,000 devices, each with its lease and the event of that, as each start does.
func BenchmarkCheck(b *testing.B) {
	const n, together = 100_000, 100
	dir := b.TempDir()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range together {
		wg.Go(func() {
			for i := w; i < n; i += together {
				hw := hwaddr.Addr{0x00, 0x08, 0x5d, byte(i >> 16), byte(i >> 8), byte(i)}
				now := time.Now()
				_, err := db.PutDevice(b.Context(), provision.Device{
					ID: provision.DeviceID(hw.Join("")), HW: hw, Vendor: "Aastra", Model: "6730i", Version: "3.3.1.4365", Plugin: "aastra-67xx-3.3.1",
					Config: "autocreate", Auto: true, Created: now,
				})
				if err == nil {
					_, err = db.CommitLeases(b.Context(), lease.Change{At: now, Kind: lease.KindBound, Next: lease.Lease{
						Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Network: "voice", State: lease.Bound, Origin: lease.Pool,
						Start: now, Expiry: now.Add(time.Hour), Client: lease.Client{
							HW: hw, ID: "\x01" + string(hw[:]), VendorClass: "AastraIPPhone6730i", Params: []uint8{1, 3, 6, 42, 43, 66, 159, 160},
						},
					}})
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := Check(filepath.Join(dir, fileDB))
		if err != nil || !r.Whole() || r.Devices != n || r.Leases != n {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}
