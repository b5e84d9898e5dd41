package hwaddr

import (
	_ "embed"
	"strings"
)

// ouis has the makers of phones and of what else is found in an office's network by the first six digits of their
// addresses, a line each, sorted. It is no register: who isn't in it is unknown. packaging/makers writes it.
//
//go:embed oui.txt
var ouis string

// Words of [Addr.Vendor] for addresses that no maker is known of.
const (
	VendorUnknown = "unknown vendor"
	// VendorLocal: the address was made up, by a virtual machine or to keep its owner from being known again.
	VendorLocal = "locally administered"
)

// Vendor names the maker of a device as far as its address tells, else VendorUnknown or VendorLocal; empty for no address.
// An address proves nothing: any device can use any.
func (a Addr) Vendor() string {
	if a.IsZero() {
		return ""
	}
	oui := a.Join("")[:6]
	for low, high := 0, len(ouis); low < high; {
		at := low + (high-low)/2
		at = low + strings.LastIndexByte(ouis[low:at], '\n') + 1 // the beginning of the line that is there
		line, _, _ := strings.Cut(ouis[at:high], "\n")
		switch strings.Compare(line[:6], oui) {
		case 0:
			return line[7:]
		case -1:
			low = at + len(line) + 1
		default:
			high = at
		}
	}
	if a.IsLocal() {
		return VendorLocal
	}
	return VendorUnknown
}
