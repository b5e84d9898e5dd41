package hook

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// Event is the document that a receiver gets. Fields may be added in time; the present ones keep their names and
// meanings. Text that a client sent is escaped: bytes that are no printable UTF-8 are written as \x1b, and a backslash
// as \\. Fields that are empty are left out.
type Event struct {
	// Seq rises by one from event to event. A receiver may get the same event twice, never one out of order.
	Seq uint64 `json:"seq"`
	// At is when it happened.
	At time.Time `json:"at"`
	// Event is bound, renewed, moved, released, declined or expired.
	Event string `json:"event"`
	Lease
	// Previous is the address's lease before, if there was one.
	Previous *Lease `json:"previous,omitempty"`
}

// Lease is who holds an address, or held it. Of a declined address, mac is the client that declined it.
type Lease struct {
	IP          netip.Addr `json:"ip"`
	MAC         string     `json:"mac,omitempty"` // as 00:15:65:aa:bb:cc
	Network     string     `json:"network,omitempty"`
	State       string     `json:"state"`                  // bound, released, declined or expired
	Origin      string     `json:"origin"`                 // pool, reserved or external
	Hostname    string     `json:"hostname,omitempty"`     // option 12
	VendorClass string     `json:"vendor_class,omitempty"` // option 60
	UserClass   string     `json:"user_class,omitempty"`   // option 77
	ClientID    string     `json:"client_id,omitempty"`    // option 61, in hexadecimal digits
	Circuit     string     `json:"circuit,omitempty"`      // option 82.1
	Remote      string     `json:"remote,omitempty"`       // option 82.2
	Start       time.Time  `json:"start,omitzero"`
	Expiry      time.Time  `json:"expiry,omitzero"`
}

// NewEvent writes a lease event as receivers get it.
func NewEvent(e lease.Event) Event {
	out := Event{Seq: e.Seq, At: e.At.UTC(), Event: e.Kind.String(), Lease: newLease(e.Lease)}
	if e.Prev.State != 0 {
		prev := newLease(e.Prev)
		out.Previous = &prev
	}
	return out
}

func newLease(l lease.Lease) Lease {
	return Lease{
		IP:          l.Addr,
		MAC:         l.Client.HW.String(),
		Network:     string(l.Network),
		State:       l.State.String(),
		Origin:      l.Origin.String(),
		Hostname:    escape(l.Client.Hostname),
		VendorClass: escape(l.Client.VendorClass),
		UserClass:   escape(l.Client.UserClass),
		ClientID:    hex.EncodeToString([]byte(l.Client.ID)),
		Circuit:     escape(l.Client.Circuit),
		Remote:      escape(l.Client.Remote),
		Start:       l.Start.UTC(),
		Expiry:      l.Expiry.UTC(),
	}
}

// escape makes outside bytes printable, and so that they can be had back.
func escape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1, !unicode.IsPrint(r):
			for _, c := range []byte(s[:n]) {
				b.WriteString(`\x`)
				b.WriteString(hex.EncodeToString([]byte{c}))
			}
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}
