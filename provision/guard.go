package provision

// GuardPolicy says how much proof the guard wants before a file leaves. Each is the one before with some rows of the
// table relaxed.
type GuardPolicy string

// The policies. The zero value means GuardBalanced.
const (
	GuardStrict   GuardPolicy = "strict"   // a secret only after a person has confirmed the device
	GuardBalanced GuardPolicy = "balanced" // the lease is proof enough, for new devices, too
	GuardLegacy   GuardPolicy = "legacy"   // a claim that nothing contradicts is enough
)

// Standing is a device's [DeviceState] as the guard sees it: with the enrolment windows that are open for it.
type Standing uint8

// The standings.
const (
	StandingNew Standing = iota
	StandingEnrolled
	StandingWindowed // a window is open for it
	StandingProvisioned
	StandingSuspicious
	StandingRetired
)

// TokenState is what the token in a request's path is worth.
type TokenState uint8

// The states of a token.
const (
	TokenNone     TokenState = iota // there is none, or nobody knows it
	TokenValid                      // the device's own
	TokenReplayed                   // it was the device's own, but it comes too late or from another address than before
)

// NetLevel is what the network itself proves of who is at the peer's address.
type NetLevel uint8

// The levels, weakest first, with the names that reliability reviews use.
const (
	NetNone      NetLevel = iota
	NetNeighbour          // E1: the neighbour table knows the address; no lease does
	NetLease              // E2: the lease table does, and nothing on the link confirms it
	NetConfirmed          // E3: the neighbour table agrees with the lease
	NetPort               // E3p: and the lease was got at the switch port that the device belongs to
)

// Transport is what a request came over, as far as the guard is concerned.
type Transport uint8

// The transports.
const (
	OverTFTP Transport = iota // the sender's address may be forged
	OverHTTP                  // it can't be, but everybody on the way reads along
	OverTLS
)

// Evidence is all that the guard decides by: what a request proves, and what an administrator has settled about the
// device and its network.
type Evidence struct {
	// Locked: the source asked for too many devices' files, or is in no network that we answer.
	Locked bool
	State  Standing
	// Contradiction: something that tells who asks disagrees with something else, and no rule settles it.
	Contradiction bool
	Cert          CertLevel // CertFactory and CertOwn; less counts for nothing
	Token         TokenState
	Net           NetLevel
	Claim         bool // the request itself says which device it is of
	SiteKey       bool // it has a key that all phones of the site share
	Over          Transport

	AutoEnrol        bool // strict: a certificate is enough to enrol a new device
	RemotePhone      bool // the device may be outside of our networks: its token is enough
	StaticIP         bool // the device has an address of its own, so no lease will ever back it
	RelayTrusted     bool // what the lease was got through (the link, or a listed relay agent) is the administrator's
	Booted           bool // it got its lease in the last ten minutes
	CleartextOK      bool // strict: secrets may leave unencrypted
	BudgetLeft       bool // strict: it hasn't fetched its secrets too often
	SitePolicyP1     bool // files of the site are for everybody
	NeighbourTrusted bool // the neighbour table is evidence enough in this network
}

// Decision is what the guard's table says: its row, and the classes of files that may leave.
type Decision struct {
	Row string
	May [4]bool // by Class
}

// Waits reports whether a person's approval is what the decision lacks to be better.
func (d Decision) Waits() bool {
	for i := range guardTable {
		if guardTable[i].id == d.Row {
			return guardTable[i].waits
		}
	}
	return false
}

// Decide evaluates the guard's table: the first row that fits decides. It is a pure function. Whatever the evidence, a
// class includes the laxer ones (secrets, then the device's own, the site's, public files); stronger evidence never
// lowers a decision and a contradiction never raises one.
func Decide(policy GuardPolicy, ev Evidence) Decision {
	in := ev.input()
	for i := range guardTable {
		row := &guardTable[i]
		if !row.fits(in) {
			continue
		}
		facts := ev.facts()
		d := Decision{Row: row.id}
		for class, n := range row.cells(policy) {
			d.May[class] = n&^facts == 0
		}
		return d
	}
	return Decision{} // no input gets here: the rows without a condition on the network end with none and a claim or not
}

// input is the evidence in the form that rows are compared with: one bit for the value of each field.
type input struct{ source, state, contradiction, cert, token, net, claim uint8 }

func (ev *Evidence) input() input {
	return input{
		source: 1 << bit(ev.Locked), state: 1 << ev.State, contradiction: 1 << bit(ev.Contradiction),
		cert: 1 << ev.Cert, token: 1 << ev.Token, net: 1 << ev.Net, claim: 1 << bit(ev.Claim),
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// fits reports whether every field has a value that the row names; a row that names none of a field takes all.
func (r *guardRow) fits(in input) bool {
	fits := func(want, has uint8) bool { return want == 0 || want&has != 0 }
	return fits(r.when.source, in.source) && fits(r.when.state, in.state) && fits(r.when.contradiction, in.contradiction) &&
		fits(r.when.cert, in.cert) && fits(r.when.token, in.token) && fits(r.when.net, in.net) && fits(r.when.claim, in.claim)
}

// cells returns what each class needs in this row, by Class.
func (r *guardRow) cells(policy GuardPolicy) [4]need {
	c := &r.strict
	if policy != GuardStrict && r.balanced.set {
		c = &r.balanced
	}
	if policy == GuardLegacy && r.legacy.set {
		c = &r.legacy
	}
	return [4]need{ClassSecret: c.p3, ClassDevice: c.p2, ClassSite: c.p1, ClassPublic: c.p0}
}

// need is a set of requirements that must all hold. Empty: always.
type need uint32

// The requirements. Those that are alternatives have a bit of their own.
const (
	never need = 1 << iota
	needAutoEnrol
	needBooted
	needClear
	needTCP
	needRelay
	needStatic
	needNeighbour
	needEvidenceOrPolicy
	needKeyOrPolicy
	needRemoteOrStatic
	needStaticOrRelayTCP
	needRemoteStaticOrNeighbour
	needRemoteStaticNeighbourOrClaim
	needRelayOrNeighbour
	needRelayNeighbourOrStatic
	needRelayNeighbourOrClaim
	needRelayNeighbourStaticOrClaim
	needStaticOrNeighbour
	needNeighbourOrClaim
)

// facts returns the requirements that the evidence meets.
func (ev *Evidence) facts() need {
	relay, near, static, claim := ev.RelayTrusted, ev.NeighbourTrusted, ev.StaticIP, ev.Claim
	tcp := ev.Over != OverTFTP
	clear := ev.Over == OverTLS || ev.CleartextOK && ev.BudgetLeft
	keyed := ev.SiteKey || ev.SitePolicyP1
	known := ev.Net != NetNone || ev.Cert >= CertFactory || ev.Token != TokenNone && ev.State != StandingNew || claim && keyed
	windowed := ev.Net == NetNeighbour && claim && ev.State == StandingWindowed && static
	remote := ev.RemotePhone || ev.Net == NetNeighbour && near || windowed
	var f need
	for _, x := range [...]struct {
		is bool
		n  need
	}{
		{ev.AutoEnrol, needAutoEnrol},
		{ev.Booted, needBooted},
		{clear, needClear},
		{tcp, needTCP},
		{relay, needRelay},
		{static, needStatic},
		{near, needNeighbour},
		{known, needEvidenceOrPolicy},
		{keyed, needKeyOrPolicy},
		{ev.RemotePhone || windowed && clear, needRemoteOrStatic},
		{static || relay && tcp, needStaticOrRelayTCP},
		{remote, needRemoteStaticOrNeighbour},
		{remote || claim, needRemoteStaticNeighbourOrClaim},
		{relay || near, needRelayOrNeighbour},
		{relay || near || static, needRelayNeighbourOrStatic},
		{relay || near || claim, needRelayNeighbourOrClaim},
		{relay || near || static || claim, needRelayNeighbourStaticOrClaim},
		{static || near, needStaticOrNeighbour},
		{near || claim, needNeighbourOrClaim},
	} {
		if x.is {
			f |= x.n
		}
	}
	return f
}
