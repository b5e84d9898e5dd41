package provision

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

const (
	// bootSpan is how long after it got its lease a device counts as just booted.
	bootSpan = 10 * time.Minute
	// settleSpan is how long a disagreement between lease and neighbour table has to clear up: a phone that has just got
	// the address may not have been heard of yet.
	settleSpan = 200 * time.Millisecond
)

// tie is what the network itself says of who is at the peer's address.
type tie struct {
	level   NetLevel
	hw      hwaddr.Addr // zero: it doesn't say
	trusted bool        // see Evidence.RelayTrusted
	start   time.Time   // of the lease, or of its client if that is later
	port    string      // the switch port at which the lease was got; empty: not told
	rival   hwaddr.Addr // somebody else who is at the address according to the neighbour table
	note    string      // what an administrator may want to know of it
}

// prober is a neighbour table that can ask the wire itself. Without it, a disagreement is given some time.
type prober interface {
	Probe(context.Context, netip.Addr) ([]hwaddr.Addr, error)
}

// bearing is a token that a request came with, and what it is worth.
type bearing struct {
	state TokenState
	hw    hwaddr.Addr
	id    DeviceID
}

// cutToken takes a token off the request's path. What is left shows that there was one, not which.
func (r *passage) cutToken(tokens TokenView) {
	req := &r.out.Request
	rest, ok := strings.CutPrefix(req.Path, tokenPrefix)
	if tokens == nil || !ok {
		return
	}
	token, path, _ := strings.Cut(rest, "/")
	req.Path = path
	req.Raw = "/" + tokenPrefix + masked + "/" + path // the phone may have written the token in many ways
	check := tokens.Check
	if p, ok := tokens.(peeker); ok && r.explains() {
		check = p.Peek
	}
	r.token.hw, r.token.id, r.token.state = check(token, req.Peer, req.At)
}

// peeker is a [TokenView] that can be asked without remembering who uses the token.
type peeker interface {
	Peek(token string, from netip.Addr, at time.Time) (hwaddr.Addr, DeviceID, TokenState)
}

// explains reports whether the request is only explained: what is written is discarded.
func (r *passage) explains() bool {
	_, ok := r.devices.(*overlay)
	return ok
}

// tokenPrefix begins the path of a request that bears a token: t/TOKEN/file.
const tokenPrefix = "t/"

// heard reports whether a source's claims count in the request's network.
func (r *passage) heard(s Source) bool { return !slices.Contains(r.out.Policy.Ignore, s) }

// proofs returns the claims of what the request proves: by its peer's address, a certificate, a token. It completes the
// request's fields from the peer's lease.
func (r *passage) proofs(ctx context.Context) ([]Claim, error) {
	req := &r.out.Request
	var claims []Claim
	if req.HW.IsZero() {
		claims = r.tied(ctx)
	} else {
		claims = append(claims, Claim{AttrMAC, req.HW.String(), SourceLease, core})
		r.tie = tie{level: NetLease, hw: req.HW, trusted: true, start: req.At}
	}
	if c := req.Cert; c != nil && r.heard(SourceCert) {
		source := SourceCert
		if c.Level < CertFactory {
			source = SourceHeader
		}
		if !c.HW.IsZero() {
			claims = append(claims, Claim{AttrMAC, c.HW.String(), source, "certificate"})
		}
		if c.Serial != "" && len(c.Serial) <= maxClaimValue {
			claims = append(claims, Claim{AttrSerial, c.Serial, source, "certificate"})
		}
		if c.Note != "" {
			r.say("the certificate is only a claim: %s", c.Note)
		}
	}
	borne, err := r.borne(ctx)
	return append(claims, borne...), err
}

// borne returns the claims of the request's token: the MAC that it is for, or the keys of the device that it is for.
func (r *passage) borne(ctx context.Context) ([]Claim, error) {
	switch {
	case r.token.state == TokenNone:
		return nil, nil
	case !r.heard(SourceToken):
		r.token = bearing{}
		return nil, nil
	}
	var d Device
	var err error
	if r.token.id != "" {
		d, err = r.devices.Device(ctx, r.token.id)
	} else {
		d, err = r.devices.DeviceByHW(ctx, r.token.hw)
	}
	switch {
	case err == nil:
		r.token.id = d.ID
	case !errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("look up the token's device: %w", err)
	case r.token.id != "":
		r.say("the token is for a device that there isn't any more")
		r.token = bearing{}
		return nil, nil
	}
	if r.token.state != TokenValid {
		return nil, nil
	}
	if r.token.hw.IsZero() {
		r.token.hw = d.HW
	}
	var claims []Claim
	for _, k := range [...]Claim{{Attr: AttrMAC, Value: r.token.hw.String()}, {Attr: AttrSerial, Value: d.Serial}, {Attr: AttrUUID, Value: d.UUID}} {
		if k.Value != "" {
			claims = append(claims, Claim{k.Attr, k.Value, SourceToken, core})
		}
	}
	return claims, nil
}

// tied asks the lease table and the neighbour table who is at the peer's address. Where devices share addresses, it says
// nothing of any of them.
func (r *passage) tied(ctx context.Context) []Claim {
	req := &r.out.Request
	if !req.Peer.IsValid() || r.out.Policy.NAT {
		return nil
	}
	var l lease.Lease
	leased := false
	if r.leases != nil && r.heard(SourceLease) {
		l, leased = r.leases.ByAddr(req.Peer)
	}
	near, known := hwaddr.Addr{}, false
	// A relay agent's clients are behind a router, and a proxy's behind the proxy: they are no neighbours of ours.
	onLink := !l.Client.Relay.IsValid() && !req.Via.IsValid()
	if r.neighbours != nil && onLink && r.heard(SourceNeighbour) {
		near, known = r.neighbours.Neighbour(req.Peer)
	}
	if !leased {
		if !known {
			return nil
		}
		r.tie = tie{level: NetNeighbour, hw: near, note: "C9: no lease of ours backs the address"}
		return []Claim{{AttrMAC, near.String(), SourceNeighbour, core}}
	}
	req.Fields = clientFields(l.Client, req.Fields)
	t := tie{level: NetLease, hw: l.Client.HW, start: l.Start, port: PortOf(l.Client)}
	if up := l.Booted(); up.After(t.start) {
		t.start = up // a phone that starts with the address it remembers keeps its lease
	}
	// Of somebody else's lease we only know what we were told.
	ours := l.Origin != lease.External
	t.trusted = ours && (onLink || req.Via.IsValid() || !r.out.Policy.RelaysDistrusted)
	claims := []Claim{{AttrMAC, l.Client.HW.String(), SourceLease, core}}
	doubted := r.doubt != nil && r.doubt(l, req.At)
	switch {
	case known && near != t.hw:
		near, known = r.again(ctx, req.Peer, t.hw, near)
	case known && doubted:
		near, known = r.afresh(ctx, req.Peer, t.hw)
	}
	switch {
	case known && near != t.hw:
		t.level, t.rival = NetNone, near
		claims = append(claims, Claim{AttrMAC, near.String(), SourceNeighbour, core})
	case known:
		if ours {
			t.level = NetConfirmed
		}
		claims = append(claims, Claim{AttrMAC, near.String(), SourceNeighbour, core})
	case doubted:
		t.level, t.note = NetNone, "C12: the lease table may be older than the leases, and nothing on the link confirms this one"
	}
	r.tie = t
	return claims
}

// again asks once more who is at an address that a lease gives to holder, but the neighbour table to near (rule C3).
func (r *passage) again(ctx context.Context, addr netip.Addr, holder, near hwaddr.Addr) (hwaddr.Addr, bool) {
	if p, ok := r.neighbours.(prober); ok {
		if all, err := p.Probe(ctx, addr); err == nil {
			for _, hw := range all {
				if hw != holder {
					return hw, true
				}
			}
			if len(all) > 0 {
				return holder, true
			}
			// Nobody says anything now. Who is there according to the table gets what we send nevertheless.
			return r.neighbours.Neighbour(addr)
		}
	}
	wait := time.NewTimer(settleSpan)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return near, true
	case <-wait.C:
	}
	return r.neighbours.Neighbour(addr)
}

// afresh asks who is at an address that a lease gives to holder, when neither the lease nor what the neighbour table may have
// heard long ago is proof (rule C12). A table that can't ask the wire has its word believed.
func (r *passage) afresh(ctx context.Context, addr netip.Addr, holder hwaddr.Addr) (hwaddr.Addr, bool) {
	p, ok := r.neighbours.(prober)
	if !ok {
		return holder, true
	}
	all, err := p.Probe(ctx, addr)
	for _, hw := range all {
		if hw != holder {
			return hw, true
		}
	}
	return holder, err == nil && len(all) > 0
}

// PortOf names the switch port that a relay agent said the client is at; empty: it said nothing.
func PortOf(c lease.Client) string {
	if c.Circuit == "" {
		return ""
	}
	return Printable(c.Remote + "/" + c.Circuit)
}

// weigh completes the evidence, once the device is known, and asks the table.
func (r *passage) weigh(ctx context.Context) {
	req, policy, d := &r.out.Request, &r.out.Policy, &r.device
	ev := Evidence{
		Locked: policy.Foreign || r.locked,
		State:  r.standing(), Net: r.tie.level, Claim: r.claims(), Over: over(req),
		AutoEnrol: policy.AutoEnrol, RemotePhone: d.Remote || policy.NAT, StaticIP: d.Static, RelayTrusted: r.tie.trusted,
		CleartextOK: policy.CleartextOK, SitePolicyP1: policy.SiteFiles, NeighbourTrusted: policy.NeighbourTrusted,
	}
	if c := req.Cert; c != nil && c.Level >= CertFactory && r.heard(SourceCert) && r.certified(c) {
		ev.Cert = c.Level
	}
	if r.token.state == TokenReplayed || r.token.state == TokenValid && r.token.id == d.ID && d.ID != "" {
		ev.Token = r.token.state
	}
	if ev.Net == NetConfirmed && d.Port != "" && d.Port == r.tie.port {
		ev.Net = NetPort
	}
	ev.Booted = r.gate.booted(r.tie.hw, req.At) || lately(r.tie.start, req.At)
	ev.BudgetLeft = r.gate.budgetLeft(d.ID, req.At)
	r.dispute = r.contradiction(&ev)
	ev.Contradiction = r.dispute != ""
	r.pretends(ctx, &ev)
	if r.tie.note != "" {
		r.remark("%s", r.tie.note)
	}
	r.out.Evidence, r.out.Decision = ev, Decide(policy.Guard, ev)
}

// lately reports whether something was at most a boot's span ago. Clocks may differ by a little.
func lately(then, at time.Time) bool {
	d := at.Sub(then)
	return d < bootSpan && d > -time.Minute
}

// certified reports whether the certificate is of the device that was found: by its MAC, or by the serial that the device
// had before this request.
func (r *passage) certified(c *Cert) bool {
	if !c.HW.IsZero() {
		return c.HW == r.out.Identity.HW
	}
	return c.Serial != "" && (r.stored.Rev == 0 || r.stored.Serial == c.Serial)
}

// claims reports whether the request says which device it is of: a file that all phones share doesn't.
func (r *passage) claims() bool {
	return slices.ContainsFunc(r.out.Claims, func(c Claim) bool {
		return (c.Source == SourcePath || c.Source == SourceHeader) && identifies(c.Attr)
	})
}

func identifies(attr string) bool { return attr == AttrMAC || attr == AttrSerial || attr == AttrUUID }

func over(req *Request) Transport {
	switch {
	case req.TLS:
		return OverTLS
	case req.Proto == HTTP:
		return OverHTTP
	}
	return OverTFTP
}

// standing is the device's state, or that a window is open for it.
func (r *passage) standing() Standing {
	var s Standing
	switch r.device.Trust() {
	case StateSuspicious:
		return StandingSuspicious
	case StateRetired:
		return StandingRetired
	case StateEnrolled:
		s = StandingEnrolled
	case StateProvisioned:
		s = StandingProvisioned
	case StateNew:
	}
	if r.gate.aside(&r.out.Identity) {
		return StandingRetired
	}
	if r.device.ID != "" && r.gate.windowed(&r.device, r.out.Policy.Network, r.out.Request.At) {
		return StandingWindowed
	}
	return s
}

// contradiction says what about the request's sender disagrees and can't be settled; empty: nothing. Rules C1 to C12 are
// those of the guard's specification.
func (r *passage) contradiction(ev *Evidence) string {
	id := &r.out.Identity
	if !r.tie.rival.IsZero() {
		return fmt.Sprintf("C3: %s holds the lease of %s, but %s answers there", r.tie.hw, r.out.Request.Peer, r.tie.rival)
	}
	for _, x := range id.Conflicts {
		if !r.settled(x) {
			return x.String()
		}
		r.remark("C1: %s is trusted, the claim of %s ignored", r.tie.hw, Printable(x.Lost.Value))
	}
	if c := r.out.Request.Cert; c != nil && c.Level >= CertFactory && r.heard(SourceCert) && !r.certified(c) {
		return fmt.Sprintf("the certificate of serial %s isn't device %s's", Printable(c.Serial), r.device.ID)
	}
	if text := r.unlike(&r.stored); text != "" {
		if ev.Net < NetConfirmed && ev.Cert < CertFactory && ev.Token != TokenValid && r.stored.State == StateProvisioned {
			return text
		}
		r.remark("%s", text)
	}
	if major(id.Version) < major(r.stored.Version) && id.Version != "" {
		r.remark("C7: firmware %s is older than %s was: set back to factory state?", Printable(id.Version), Printable(r.stored.Version))
	}
	return ""
}

// unlike says what the request tells of itself that can't be of a device (rule C6): another vendor, or a model that the
// device's plugin doesn't know though it knows the device's own. Names of one model that differ are nothing.
func (r *passage) unlike(d *Device) string {
	id := &r.out.Identity
	says := func(asked, stored string) string {
		return fmt.Sprintf("C6: the request says %s, the record %s", Printable(asked), Printable(stored))
	}
	switch {
	case d.Vendor == "" || id.Vendor == "" || id.VendorBy < SourcePath:
		return ""
	case id.Vendor != d.Vendor:
		return says(id.Vendor, d.Vendor)
	case d.Model == "" || id.Model == "" || id.Model == d.Model || id.ModelBy < SourceHeader:
		return ""
	}
	own := *id
	own.Model, own.Version, own.VersionBy = d.Model, "", SourceNone
	if r.plugins.support(d.Plugin, *id) != SupportImprobable || r.plugins.support(d.Plugin, own) < SupportProbable {
		return ""
	}
	return says(id.Model, d.Model)
}

// settled applies rule C1: where the network proves a device that an administrator has confirmed, a mere claim to be
// another one is ignored. A new device with such a claim waits for approval instead.
func (r *passage) settled(x Conflict) bool {
	switch r.device.Trust() {
	case StateEnrolled, StateProvisioned:
	case StateNew, StateSuspicious, StateRetired:
		return false
	}
	proven := r.tie.level >= NetLease || r.tie.level == NetNeighbour && r.out.Policy.NeighbourTrusted
	return proven && x.Lost.Attr == AttrMAC && x.Lost.Source <= SourceHeader &&
		(x.Won.Source == SourceLease || x.Won.Source == SourceNeighbour) && r.device.HW == r.tie.hw
}

// major returns the leading number of a version.
func major(version string) int {
	n := 0
	for _, c := range []byte(version) {
		if !isDigit(c) || n > 1<<20 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// remark adds what a rule has settled.
func (r *passage) remark(format string, args ...any) {
	r.out.Remarks = append(r.out.Remarks, fmt.Sprintf(format, args...))
}
