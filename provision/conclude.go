package provision

import (
	"cmp"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Conclude weighs claims. The order of the claims never matters.
//
// For mac, serial and uuid the strongest source wins; every other value is kept as a [Conflict]. Between two values of
// equal strength the lesser text wins, so that the result is at least the same every time; the conflict says that it
// is worth nothing.
//
// Vendor, model and version describe one product, so they aren't mixed from rules that disagree: the vendor is
// concluded first; a rule that names another vendor has no say in the model; one that names another vendor or model
// has none in the version. Within that the strongest source wins, then the rule that says most, then the lesser text.
// What a rule says of the product counts for nothing if what it says of who asks has lost to stronger evidence: it
// speaks of another device.
//
// Claims without a source, without a value, or of a mac that is none are ignored.
func Conclude(claims []Claim) Identity {
	w := newWeighing(usable(claims))
	var id Identity
	mac := w.who(AttrMAC)
	sn := w.who(AttrSerial)
	uuid := w.who(AttrUUID)
	if mac.Value != "" {
		id.HW = hwaddr.MustParse(mac.Value)
	}
	id.Serial, id.UUID = sn.Value, uuid.Value
	id.Assurance = cmp.Or(mac.Source, sn.Source, uuid.Source)
	id.Conflicts = w.conflicts

	vendor := w.what(AttrVendor)
	w.vendor = vendor.Value
	model := w.what(AttrModel)
	w.model = model.Value
	version := w.what(AttrVersion)
	id.Vendor, id.VendorBy = vendor.Value, vendor.Source
	id.Model, id.ModelBy = model.Value, model.Source
	id.Version, id.VersionBy = version.Value, version.Source
	return id
}

// usable returns the claims that count: the slice itself if all of them do.
func usable(claims []Claim) []Claim {
	for i, c := range claims {
		if value, ok := c.counts(); !ok || value != c.Value {
			out := make([]Claim, i, len(claims))
			copy(out, claims)
			for _, c := range claims[i:] {
				if c.Value, ok = c.counts(); ok {
					out = append(out, c)
				}
			}
			return out
		}
	}
	return claims
}

// counts returns the claim's value in its usual spelling; false: the claim is worth nothing.
func (c *Claim) counts() (string, bool) {
	if c.Source == SourceNone || c.Value == "" {
		return "", false
	}
	if c.Attr == AttrMAC {
		return canonical(c.Value)
	}
	return c.Value, true
}

type weighing struct {
	claims []Claim
	// next leads from a claim to the next one of the same rule, from the last one to the first.
	next          []uint32
	conflicts     []Conflict
	vendor, model string // as concluded so far
}

func newWeighing(claims []Claim) weighing {
	w := weighing{claims: claims, next: make([]uint32, 0, len(claims))}
	var room [32]uint32
	last := room[:0] // of each rule, the last claim so far
	for i := range claims {
		n := uint32(i)
		w.next = append(w.next, n)
		k := len(last) - 1 // mostly, a rule's claims stand side by side
		for k >= 0 && claims[last[k]].By != claims[i].By {
			k--
		}
		if k < 0 {
			last = append(last, n)
			continue
		}
		w.next[n], w.next[last[k]] = w.next[last[k]], n
		last[k] = n
	}
	return w
}

// who returns the winning claim for an attribute of identity, and adds the conflicts.
func (w *weighing) who(attr string) Claim {
	var won Claim
	several := false
	for _, c := range w.claims {
		if c.Attr != attr {
			continue
		}
		several = several || won.Value != "" && won.Value != c.Value
		if won.Value == "" || before(c, won) {
			won = c
		}
	}
	if !several {
		return won
	}
	var lost []Claim
	for _, c := range w.claims {
		if c.Attr == attr && c.Value != won.Value {
			lost = append(lost, c)
		}
	}
	slices.SortFunc(lost, compareClaims)
	var told []string
	for _, c := range lost {
		if !slices.Contains(told, c.Value) {
			told = append(told, c.Value)
			w.conflicts = append(w.conflicts, Conflict{Won: won, Lost: c})
		}
	}
	return won
}

// compareClaims orders claims of one attribute, the better one first.
func compareClaims(a, b Claim) int {
	return cmp.Or(cmp.Compare(b.Source, a.Source), cmp.Compare(a.Value, b.Value), cmp.Compare(a.By, b.By))
}

func before(a, b Claim) bool { return compareClaims(a, b) < 0 }

// what returns the winning claim for an attribute of the product.
func (w *weighing) what(attr string) Claim {
	var won Claim
	weight := 0
	for i, c := range w.claims {
		if c.Attr != attr || c.Source < won.Source {
			continue
		}
		n, ok := w.rule(i)
		if !ok {
			continue
		}
		if won.Value == "" || cmp.Or(cmp.Compare(won.Source, c.Source), cmp.Compare(weight, n), compareClaims(c, won)) < 0 {
			won, weight = c, n
		}
	}
	return won
}

// rule returns how many attributes the rule of a claim speaks of, and false if it speaks of another device or product
// than the one concluded so far.
func (w *weighing) rule(of int) (int, bool) {
	n := 0
	for i := of; ; {
		c := &w.claims[i]
		n++
		switch c.Attr {
		case AttrVendor:
			if w.vendor != "" && c.Value != w.vendor {
				return 0, false
			}
		case AttrModel:
			if w.model != "" && c.Value != w.model {
				return 0, false
			}
		case AttrMAC, AttrSerial, AttrUUID:
			for _, x := range w.conflicts {
				if x.Lost.Attr == c.Attr && x.Lost.Value == c.Value && x.Won.Source > c.Source {
					return 0, false
				}
			}
		}
		if i = int(w.next[i]); i == of {
			return n, true
		}
	}
}

// contested reports whether the identity's value of an attribute is itself in doubt: a claim of equal strength says
// otherwise, or it is the one that stronger evidence contradicts.
func (id *Identity) contested(attr string) bool {
	var value string
	switch attr {
	case AttrMAC:
		value = id.HW.String()
	case AttrSerial:
		value = id.Serial
	case AttrUUID:
		value = id.UUID
	}
	for _, x := range id.Conflicts {
		if x.Lost.Attr == attr && (x.Lost.Value == value || x.Lost.Source == x.Won.Source) {
			return true
		}
	}
	return false
}
