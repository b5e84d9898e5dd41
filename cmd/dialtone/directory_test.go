package main

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/store"
)

func BenchmarkDirectoryKnown(b *testing.B) {
	db, err := store.Open(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	mac := func(last int, unit byte) hwaddr.Addr {
		return hwaddr.Addr{0, 0x15, 0x65, unit, byte(last >> 8), byte(last)}
	}
	const phones = 300
	for i := range phones {
		if _, err := db.PutDevice(b.Context(), provision.Device{ID: provision.DeviceID(fmt.Sprint("phone-", i)), HW: mac(i, 1)}); err != nil {
			b.Fatal(err)
		}
	}
	d := directory{devices: db}
	for name, unit := range map[string]byte{"known": 1, "unknown": 2} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if d.Known(mac(i%phones, unit)) != (unit == 1) {
					b.Fatal("wrong")
				}
			}
		})
	}
}
