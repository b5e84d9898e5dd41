package lease

import (
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func anyLease() *rapid.Generator[Lease] {
	text := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, rapid.SampledFrom([]int{1, 8, 300, 20000}).Draw(t, "most")).Draw(t, "bytes"))
	})
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.Unix(0, rapid.Int64Range(math.MinInt64+1, math.MaxInt64).Draw(t, "ns")).UTC()
	})
	relay := rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("198.51.100.1")})
	return rapid.Custom(func(t *rapid.T) Lease {
		boot := rapid.SampledFrom([]uint32{0, 1, 1772352000, math.MaxUint32}).Draw(t, "boot")
		return Lease{
			Boot: boot, LastBoot: boot / 2,
			Addr: address(rapid.Uint32().Draw(t, "addr")), Network: network.ID(text.Draw(t, "network")),
			Client: Client{
				HW: hwaddr.Addr(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "hw")), ID: text.Draw(t, "id"),
				VendorClass: text.Draw(t, "vendor class"), UserClass: text.Draw(t, "user class"), Hostname: text.Draw(t, "hostname"),
				Params:  rapid.SliceOf(rapid.Byte()).Draw(t, "params"),
				Circuit: text.Draw(t, "circuit"), Remote: text.Draw(t, "remote"), Relay: relay.Draw(t, "relay"),
			},
			State: State(rapid.IntRange(1, 5).Draw(t, "state")), Origin: Origin(rapid.IntRange(1, 3).Draw(t, "origin")),
			Start: when.Draw(t, "start"), Expiry: when.Draw(t, "expiry"), Rev: rapid.Uint64().Draw(t, "rev"),
		}
	})
}

func TestPackKeepsAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := packer{known: make(map[string]*traits)}
		leases := rapid.SliceOfN(anyLease(), 1, 4).Draw(t, "leases")
		records := make([]record, len(leases))
		for i, l := range leases {
			records[i] = p.pack(l)
		}
		for i, want := range leases {
			got := records[i].lease(want.Addr)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Fatalf("lease (-want +got):\n%s", diff)
			}
			p.drop(records[i])
		}
		if len(p.known) != 0 {
			t.Fatalf("%d traits are kept for no record", len(p.known))
		}
	})
}

func TestPackSharesTraits(t *testing.T) { //nolint:paralleltest // it counts allocations
	p := packer{known: make(map[string]*traits)}
	a := Lease{
		Addr: address(1), Network: "voice", State: Bound,
		Client: Client{HW: hwaddr.Addr{1}, ID: "\x01a", VendorClass: "yealink", Params: []uint8{1, 3, 66}},
	}
	b := a
	b.Client.HW, b.Client.ID, b.Client.Hostname, b.Client.Params = hwaddr.Addr{2}, "\x01b", "desk", []uint8{1, 3, 66}
	ra, rb := p.pack(a), p.pack(b)
	if ra.traits != rb.traits {
		t.Error("got traits of their own, want the same")
	}
	b.Client.VendorClass = "yealin"
	b.Client.UserClass = "k"
	if rb := p.pack(b); ra.traits == rb.traits {
		t.Error("got the same traits for another vendor class")
	}
	if n := testing.AllocsPerRun(100, func() { _ = ra.lease(a.Addr) }); n != 0 {
		t.Errorf("got %v allocations to read a lease, want none", n)
	}
	var none record
	if got := none.lease(a.Addr); got.Addr.IsValid() || got.State != 0 {
		t.Errorf("got %+v of no lease, want none", got)
	}
}

// TestTimesBeyondRange sees that times which a record can't hold keep their place among the others.
func TestTimesBeyondRange(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for year, later := range map[int]bool{-4000: false, 1: false, 1600: false, 2300: true, 9999: true} {
		if got := instant(pressed(now.AddDate(year-now.Year(), 0, 0))).After(now); got != later {
			t.Errorf("year %d: got later %t, want %t", year, got, later)
		}
	}
}

// TestEntrySize holds the memory that a large table takes: 96 bytes are a size class of the allocator, and the next is a
// sixth more.
func TestEntrySize(t *testing.T) {
	t.Parallel()
	if got := reflect.TypeFor[entry]().Size(); got > 96 {
		t.Errorf("got %d bytes, want at most 96", got)
	}
}
