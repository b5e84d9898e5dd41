package admin_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
	"github.com/dialtone-project/dialtone/provision/store"
)

// newList is a site with a few phones.
func newList(t *testing.T) *site {
	t.Helper()
	x := newSite(t)
	for _, d := range []provision.Device{
		{ID: "a", HW: hwaddr.MustParse("00:15:65:aa:bb:01"), Label: "Lobby phone", Vendor: "Yealink", Model: "T46U", Config: "lobby"},
		{ID: "b", HW: hwaddr.MustParse("00:15:65:aa:bb:02"), Label: "office", Vendor: "Yealink", Model: "T54W", Auto: true, Created: time.Unix(100, 0)},
		{ID: "c", HW: hwaddr.MustParse("00:08:5d:aa:bb:03"), Label: "Office 2", Vendor: "Aastra", Model: "6730i", State: provision.StateRetired, Created: time.Unix(50, 0)},
		{ID: "d", Serial: "S:1 x", Label: "office", State: provision.StateSuspicious},
	} {
		if _, err := x.memory.PutDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	x.table.hold("192.0.2.9", "00:15:65:aa:bb:01", "voice")
	x.table.hold("192.0.2.100", "00:15:65:aa:bb:02", "voice")
	return x
}

func TestListPhones(t *testing.T) {
	t.Parallel()
	x := newList(t)
	for _, c := range []struct{ sort, filter, want string }{
		{"", "", "d c a b"},
		{"-mac", "", "b a c d"},
		{"label", "", "a b d c"}, // ties are told apart by the ID
		{"-label", "", "c d b a"},
		{"created", "", "a d c b"},
		{"address", "", "c d a b"},
		{"", "vendor:yealink", "a b"},
		{"", "vendor:yealink model:t5", "b"},
		{"", "OFFICE", "d c b"},
		{"", "office auto:true", "b"},
		{"", `label:"lobby phone"`, "a"},
		{"", `"lobby phone"`, "a"},
		{"", `"s:1"`, "d"},
		{"", "00:15:65", "a b"},
		{"", "00-15-65-AA-BB-02", "b"},
		{"", "0015.65aa", "a b"},
		{"", "mac:085d", "c"},
		{"", "mac:zz", ""},
		{"", "mac:", "d"},
		{"", "config:", "d c b"},
		{"", "config:lob", ""},
		{"", "config:lobby", "a"},
		{"", "state:new", "b"},
		{"", "state:enrolled", "a"},
		{"", "state:retired", "c"},
		{"", "192.0.2.1", "b"},
		{"", "t46 yealink", "a"},
		{"", "nobody", ""},
	} {
		l, err := x.ListPhones(t.Context(), admin.Page{Sort: c.sort, Filter: c.filter})
		var got []string
		for _, p := range l.Items {
			got = append(got, string(p.ID))
		}
		if err != nil || strings.Join(got, " ") != c.want || l.Next != "" || l.Total != len(got) {
			t.Errorf("sort %q filter %q: got %v of %d (%v), want %q", c.sort, c.filter, got, l.Total, err, c.want)
		}
	}
}

func TestPageFaults(t *testing.T) {
	t.Parallel()
	x := newList(t)
	first, err := x.ListPhones(t.Context(), admin.Page{Limit: 1})
	if err != nil || first.Next == "" {
		t.Fatal(err)
	}
	for _, c := range []struct {
		page admin.Page
		want []string
	}{
		{admin.Page{Sort: "-modl", Limit: 1001, Cursor: "?", Filter: "vendr:x"}, []string{
			`/sort: there is no field "modl" to sort by; did you mean model?`, "/limit: want 1 to 1000, not 1001",
			"/cursor: it is none that a list of this order gave; begin with the first page",
			`/filter: there is no field "vendr" to filter by; did you mean vendor?; text with a colon stands in quotation marks`,
		}},
		{admin.Page{Sort: "label", Cursor: first.Next}, []string{"/cursor: it is none that a list of this order gave; begin with the first page"}},
		{admin.Page{Limit: -1}, []string{"/limit: want 1 to 1000, not -1"}},
	} {
		_, err := x.ListPhones(t.Context(), c.page)
		if diff := cmp.Diff(c.want, faults(err)); diff != "" {
			t.Errorf("%+v: faults (-want +got):\n%s", c.page, diff)
		}
	}
}

// TestPages: whatever comes and goes between two pages, all else is on one of them, once.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, sort := range []string{"mac", "-mac", "label", "-created"} {
		x := newSite(t)
		var want []string
		for i := range 50 {
			d := provision.Device{ID: provision.DeviceID(fmt.Sprintf("d%02d", i)), HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, byte(i + 1)}, Label: string(rune('a' + i%3))}
			if _, err := x.memory.PutDevice(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			want = append(want, string(d.ID))
		}
		var got []string
		page := admin.Page{Limit: 7, Sort: sort}
		for n := 0; ; n++ {
			l, err := x.ListPhones(t.Context(), page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range l.Items {
				if !strings.HasPrefix(string(p.ID), "x") {
					got = append(got, string(p.ID))
				}
			}
			if l.Next == "" {
				break
			}
			page.Cursor = l.Next
			// The last one that was seen goes, and new ones come before and behind it.
			if err := x.memory.DeleteDevice(t.Context(), l.Items[len(l.Items)-1].ID, 0); err != nil {
				t.Fatal(err)
			}
			for _, label := range []string{"", "zz"} {
				d := provision.Device{ID: provision.DeviceID(fmt.Sprintf("x%d%s", n, label)), Serial: fmt.Sprint(n, label), Label: label}
				if _, err := x.memory.PutDevice(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			if n > 30 {
				t.Fatal("it never ends")
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s: seen (-want +got):\n%s", sort, diff)
		}
	}
}

func TestOtherPages(t *testing.T) {
	t.Parallel()
	x := newList(t)
	leases, err := x.PageLeases(admin.Page{Filter: "network:voice active:true 00:15:65"})
	if err != nil || leases.Total != 2 || leases.Items[0].Addr != ip("192.0.2.9") {
		t.Errorf("leases by number: %+v, %v", leases, err)
	}
	if leases, err = x.PageLeases(admin.Page{Filter: "state:expired"}); err != nil || leases.Total != 0 {
		t.Errorf("expired: %+v, %v", leases, err)
	}
	p := &provision.Pipeline{
		Leases: x.Leases, Devices: x.memory, Configs: x.memory, Plugins: provisiontest.PluginsOf(), Journal: x.Journal, Sightings: x.Sightings,
	}
	for i, path := range []string{"00085d000001.cfg", "b.cfg", "a.cfg"} {
		p.Handle(t.Context(), &provision.Request{
			Proto: provision.HTTP, At: time.Unix(int64(i), 0), Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(200 + i)}), Path: path,
			HW: hwaddr.Addr{0, 8, 0x5d, 0, 0, byte(i + 1)},
		})
	}
	requests, err := x.PageRequests(admin.Page{Limit: 2})
	if err != nil || requests.Total != 3 || requests.Items[0].Request.Path != "a.cfg" || requests.Next == "" {
		t.Errorf("requests: %+v, %v", requests, err)
	}
	if requests, err = x.PageRequests(admin.Page{Limit: 2, Cursor: requests.Next}); err != nil || len(requests.Items) != 1 || requests.Next != "" {
		t.Errorf("the second page: %+v, %v", requests, err)
	}
	if requests, err = x.PageRequests(admin.Page{Filter: "path:b."}); err != nil || requests.Total != 1 {
		t.Errorf("filtered: %+v, %v", requests, err)
	}
	sightings, err := x.PageSightings(admin.Page{Filter: "00:08:5d:00:00:02"})
	if err != nil || sightings.Total != 1 || sightings.Items[0].Last.Path != "b.cfg" {
		t.Errorf("sightings: %+v, %v", sightings, err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add("", "", "")
	f.Add("-label", `vendor:x "a b" mac:00-15`, "Im1hYyIiYSIiYiI")
	f.Fuzz(func(t *testing.T, sort, filter, cursor string) {
		x := newList(t)
		l, err := x.ListPhones(t.Context(), admin.Page{Limit: 1, Sort: sort, Filter: filter, Cursor: cursor})
		if err == nil && l.Next != "" {
			if _, err := x.ListPhones(t.Context(), admin.Page{Sort: sort, Filter: filter, Cursor: l.Next}); err != nil {
				t.Errorf("our own cursor: %v", err)
			}
		}
	})
}

// BenchmarkPhones is what the console asks for all the time, at an office of 1,000 phones on disk.
func BenchmarkPhones(b *testing.B) {
	db, err := store.Opener{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	var list []provision.Device
	var changes []lease.Change
	journal := provision.NewJournal(0)
	for i := range 1000 {
		hw := hwaddr.Addr{0, 0x15, 0x65, 0, byte(i >> 8), byte(i)}
		list = append(list, provision.Device{
			ID: provision.DeviceID(hw.Join("")), HW: hw, Serial: strconv.Itoa(i), Vendor: "Yealink", Model: "T46U", Version: "108.86.0.20", Plugin: "yealink-v86",
			Config: "office", Label: fmt.Sprintf("room %d", i), Override: provision.Params{"sip_lines": map[string]any{"1": map[string]any{
				"username": "101", "display_name": "somebody", "password": provision.Secret("x"),
			}}},
		})
	}
	if list, err = db.PutDevices(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	for i, d := range list {
		changes = append(changes, lease.Change{Next: lease.Lease{
			Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Network: "voice", State: lease.Bound, Origin: lease.Pool,
			Client: lease.Client{HW: d.HW}, Start: time.Now(), Expiry: time.Now().Add(time.Hour),
		}})
	}
	if _, err := db.CommitLeases(b.Context(), changes...); err != nil {
		b.Fatal(err)
	}
	held, err := lease.Open(b.Context(), db, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	p := &provision.Pipeline{Leases: held, Devices: db, Configs: db, Plugins: provisiontest.PluginsOf(), Journal: journal}
	for i, c := range changes {
		p.Handle(b.Context(), &provision.Request{Proto: provision.HTTP, At: time.Unix(int64(i), 0), Peer: c.Next.Addr, Path: "x"})
	}
	s := &admin.Service{Leases: held, Devices: db, Configs: db, Journal: journal}
	for name, f := range map[string]func() error{
		"list": func() error { _, err := s.ListPhones(b.Context(), admin.Page{Limit: 1000}); return err },
		"search": func() error {
			_, err := s.ListPhones(b.Context(), admin.Page{Filter: "room t46 vendor:yea"})
			return err
		},
		"one": func() error { _, err := s.Phone(b.Context(), "0015.6500.0105"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
