package hwaddr

import (
	"slices"
	"strings"
	"testing"
)

func TestVendor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ addr, want string }{
		{"00:15:65:12:34:56", "Yealink"},
		{"00:04:13:12:34:56", "Snom"},
		{"4c:5e:0c:12:34:56", "MikroTik"},
		{"00:1b:54:12:34:56", "Cisco"},
		{"00:08:5d:12:34:56", "Aastra"},   // as the phone says; the register has who bought the maker
		{"52:54:00:12:34:56", "QEMU/KVM"}, // made up, but by an agreed rule
		{"02:42:ac:11:00:02", VendorLocal},
		{"00:00:5e:00:53:01", VendorUnknown},
		{"fc:ff:ff:00:00:00", VendorUnknown},
		{"00:00:00:00:00:01", VendorUnknown},
	} {
		if got := MustParse(c.addr).Vendor(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.addr, got, c.want)
		}
	}
	if got := (Addr{}).Vendor(); got != "" {
		t.Errorf("no address: got %q", got)
	}
}

// Every line is found, and they are in the form that the search relies on.
func TestVendors(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSuffix(ouis, "\n"), "\n")
	if !slices.IsSorted(lines) || len(lines) < 100 {
		t.Fatalf("%d lines, sorted %v", len(lines), slices.IsSorted(lines))
	}
	for i, line := range lines {
		oui, name, ok := strings.Cut(line, " ")
		if !ok || len(oui) != 6 || name == "" || i > 0 && strings.HasPrefix(lines[i-1], oui) {
			t.Errorf("line %d is %q", i+1, line)
			continue
		}
		if got := MustParse(oui + "123456").Vendor(); got != name {
			t.Errorf("%s: got %q, want %q", oui, got, name)
		}
	}
}
