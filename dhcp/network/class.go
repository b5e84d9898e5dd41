package network

import (
	"net/netip"
	"strings"
)

// ClassID names a class of clients: short, lower case, chosen by the administrator ("phones").
type ClassID string

// maxClasses is how many classes a set may have. Which of them a client is in is kept in as many bits.
const maxClasses = 256

// Class is a kind of clients and what is special about them. Classes are declared in order: of several that a client is
// in, the first one's options, lease times and header fields count.
type Class struct {
	ID ClassID
	// Match has the alternatives: a client is in the class if one of them fits.
	Match []Match
	// Refuse keeps silent to the class, whatever else a client is in: no lease, no reply.
	Refuse  bool
	Options []Option
	// NUL ends texts in options with a NUL, for clients that read past the end without (old boot loaders). RFC 2132 §2
	// says that they SHOULD NOT.
	NUL bool
	// Broadcast sends replies to everybody, for clients that can't be reached before they have taken their address and
	// don't say so (RFC 2131 §4.1).
	Broadcast bool

	Lease Lifetime // zero fields leave what else holds
	Next  netip.Addr
	Sname string
	File  string
}

// Tri is a condition that a client may have to fulfil. The zero value is none.
type Tri int8

// The conditions.
const (
	Whatever Tri = iota
	Yes
	No
)

// fits reports whether a fact fulfils the condition.
func (t Tri) fits(fact bool) bool { return t == Whatever || (t == Yes) == fact }

// Match is a set of conditions, all of which must hold; each field has alternatives, one of which must fit. Empty fields
// are no condition.
//
// Texts are patterns: * stands for any bytes, ? for one, and a backslash takes the meaning from what follows. They are
// compared as a whole and, in VendorClass, UserClass, Hostname and Vendor, without regard to case and to NULs at the
// value's end. "hex:0000363d*" is a pattern of bytes, "re:^SPA5\d+G$" a regular expression (RE2) that may match
// anywhere. What a client doesn't say fits no pattern but the empty one.
type Match struct {
	VendorClass []string // option 60
	UserClass   []string // option 77: one of the classes that the client names, or all of them, joined with commas
	ClientID    []string // option 61
	Hostname    []string // option 12
	Circuit     []string // option 82 sub-option 1
	Remote      []string // option 82 sub-option 2
	Interface   []string // where the message came in, such as eth0.20
	// Vendor is the vendor by the plugin that recognises the client's vendor class.
	Vendor []string
	// MAC are the beginnings of hardware addresses, of one to six bytes: "00:15:65".
	MAC []string
	// Relay are the relay agents' addresses (giaddr), or prefixes of them.
	Relay []netip.Prefix
	// Local: the hardware address is one that its owner made up (its U/L bit is set), as randomised ones are.
	Local Tri
	// Known: the client is a known device or has a reservation on its link.
	Known Tri
	// Asks are options of which the client asks for one (option 55).
	Asks []uint8
	// Options are patterns of any other options that the client sends.
	Options []OptionMatch
	// Enterprise is who made the client, by option 124 or 125.
	Enterprise []EnterpriseMatch
	// In and Not are classes declared before this one; the client is in one of the former and in none of the latter.
	In, Not []ClassID
}

// OptionMatch is a pattern of what a client sends in an option.
type OptionMatch struct {
	Code    uint8
	Pattern string
}

// EnterpriseMatch is a pattern of what a client says as hardware or software of an enterprise (RFC 3925 §3, §4). An
// empty pattern fits whatever it says.
type EnterpriseMatch struct {
	Number  uint32 // IANA's private enterprise number
	Pattern string
}

// empty reports whether the match has no condition.
func (m *Match) empty() bool {
	return len(m.VendorClass)+len(m.UserClass)+len(m.ClientID)+len(m.Hostname)+len(m.Circuit)+len(m.Remote)+
		len(m.Interface)+len(m.Vendor)+len(m.MAC)+len(m.Relay)+len(m.Asks)+len(m.Options)+len(m.Enterprise)+
		len(m.In)+len(m.Not) == 0 && m.Local == Whatever && m.Known == Whatever
}

// idle reports whether being in the class makes no difference by itself.
func (c *Class) idle() bool {
	return !c.Refuse && !c.NUL && !c.Broadcast && len(c.Options) == 0 && c.Lease == (Lifetime{}) && !c.Next.IsValid() &&
		c.Sname == "" && c.File == ""
}

// bits are the classes that a client is in, by number.
type bits [maxClasses / 64]uint64

func (b *bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b *bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// meets reports whether there is a class in both.
func (b *bits) meets(o *bits) bool {
	for i := range b {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// guard says whom something is for.
type guard struct {
	only, not bits
	some      bool // only has one
}

// allows reports whether it is for a client that is in these classes.
func (g *guard) allows(in *bits) bool {
	return (!g.some || g.only.meets(in)) && !g.not.meets(in)
}

// ids joins the names of classes for a sentence.
func ids(list []ClassID) string {
	texts := make([]string, len(list))
	for i, id := range list {
		texts[i] = string(id)
	}
	return strings.Join(texts, ", ")
}
