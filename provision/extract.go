package provision

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// Limits on what plugins' rules may find in one request.
const (
	maxClaims     = 128
	maxClaimValue = 128 // bytes
)

// core is who makes the claims that come from no plugin.
const core = "core"

// extract collects the claims and concludes from them who asks.
func (r *passage) extract(ctx context.Context) error {
	claims, err := r.proofs(ctx)
	if err != nil {
		return err
	}
	claims, id := r.conclude(claims)
	mac := id.HW.String()
	if i := slices.IndexFunc(claims, func(c Claim) bool {
		return c.Attr == AttrMAC && c.Value == mac && c.Source == id.Assurance
	}); i >= 0 {
		r.contradictByLease(&id, id.HW, claims[i])
	}
	r.out.Claims, r.out.Identity = claims, id
	r.sayWho(id)
	r.lock()
	return nil
}

// conclude returns all claims that count, those of the plugins after our own, and what follows from them.
func (r *passage) conclude(own []Claim) ([]Claim, Identity) {
	req, ignore := &r.out.Request, r.out.Policy.Ignore
	memo := r.plugins.recall(req)
	if c := memo.concluded(own, ignore); c != nil {
		return c.claims, c.id
	}
	all := slices.Clip(own)
	var panics []PluginPanic
	if memo != nil {
		all = append(all, memo.found...)
	} else {
		all, panics = r.plugins.Extract(all, req)
	}
	for _, p := range panics {
		r.say("plugin %s lost its claims: its rules panicked: %v", p.Plugin, p.Value)
	}
	said := len(r.notes)
	all = slices.Clip(append(all[:len(own)], r.sound(all[len(own):])...))
	id := Conclude(all)
	id.Conflicts = slices.Clip(id.Conflicts)
	if memo != nil && len(r.notes) == said {
		memo.last.Store(&conclusion{own: all[:len(own):len(own)], ignore: ignore, claims: all, id: id})
	}
	return all, id
}

// sound returns those of the plugins' claims that can be true, in their usual spelling. It reuses the slice.
func (r *passage) sound(found []Claim) []Claim {
	claims := found[:0]
	for _, c := range found {
		if c.Value = strings.TrimSpace(c.Value); c.Value == "" || len(c.Value) > maxClaimValue || len(claims) == maxClaims {
			continue
		}
		if !r.heard(c.Source) {
			continue
		}
		if c.Attr == AttrMAC {
			mac, ok := canonical(c.Value)
			if !ok {
				r.say("%s claims the mac %s, which is no device's", c.By, Printable(c.Value))
				continue
			}
			c.Value = mac
		}
		claims = append(claims, c)
	}
	return claims
}

// canonical returns a device's hardware address in its usual spelling; false if it is none.
func canonical(mac string) (string, bool) {
	hw, err := hwaddr.Parse(mac)
	if err != nil || hw.IsGroup() {
		return "", false
	}
	if len(mac) == 17 && mac[2] == ':' && strings.ToLower(mac) == mac {
		return mac, true // mostly it is so already
	}
	return hw.String(), true
}

func (r *passage) sayWho(id Identity) {
	if id.Assurance == SourceNone {
		r.say("nothing tells who asks")
	} else {
		r.tell(id.who(), " by ", id.Assurance.String())
	}
	for _, x := range id.Conflicts {
		r.say("%s", x)
	}
}

// clientFields returns the fields that a DHCP client's options make, under those that the request has itself.
func clientFields(c lease.Client, own map[string]string) map[string]string {
	fields := make(map[string]string, len(own)+5)
	set := func(name, value string) {
		if value != "" {
			fields[name] = value
		}
	}
	// Some clients count a C string's end as part of the option.
	set(FieldVendorClass, strings.TrimRight(c.VendorClass, "\x00"))
	set(FieldUserClass, strings.TrimRight(c.UserClass, "\x00"))
	set(FieldHostname, strings.TrimRight(c.Hostname, "\x00"))
	set(FieldClientID, hex.EncodeToString([]byte(c.ID)))
	if len(c.Params) > 0 {
		var b []byte
		for i, code := range c.Params {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(code), 10)
		}
		fields[FieldParams] = string(b)
	}
	maps.Copy(fields, own)
	return fields
}

// contradictByLease adds a conflict if a request merely claims to come from a device whose MAC holds another address
// now. The claim stays the identity's, for want of a better one, but it has lost.
func (r *passage) contradictByLease(id *Identity, hw hwaddr.Addr, claim Claim) {
	if r.leases == nil || hw.IsZero() || id.Assurance >= SourceNeighbour {
		return
	}
	held := r.leases.ByHW(hw)
	if len(held) == 0 || slices.ContainsFunc(held, func(l lease.Lease) bool { return l.Addr == r.out.Request.Peer }) {
		return
	}
	at := fmt.Sprintf("%s at %s", hw, held[0].Addr)
	id.contradict(Conflict{Won: Claim{AttrMAC, at, SourceLease, core}, Lost: claim})
}

func (id *Identity) contradict(x Conflict) {
	if !slices.Contains(id.Conflicts, x) {
		id.Conflicts = append(id.Conflicts, x)
	}
}

// safely calls a plugin's code and returns what it panicked with, if it did.
func safely[T any](f func() T) (v T, fault any) {
	defer func() { fault = recover() }()
	return f(), nil
}

// String tells the conflict in a sentence.
func (x Conflict) String() string {
	return fmt.Sprintf("%s %s (%s) contradicts %s %s (%s, %s)",
		x.Won.Attr, Printable(x.Won.Value), x.Won.Source, x.Lost.Attr, Printable(x.Lost.Value), x.Lost.Source, x.Lost.By)
}

// nobody is who an identity without any key names.
const nobody = "nobody"

// who names the device by the best key that there is.
func (id *Identity) who() string {
	switch {
	case !id.HW.IsZero():
		return "mac " + id.HW.String()
	case id.Serial != "":
		return "serial " + Printable(id.Serial)
	case id.UUID != "":
		return "uuid " + Printable(id.UUID)
	}
	return nobody
}
