package provision

// guardRow is one row of the guard's table.
type guardRow struct {
	id   string
	when input // for each field, the values that the row is for; 0: all
	// What each class of files needs. Balanced and legacy are what the policy before says unless they are set.
	strict, balanced, legacy cells
	waits                    bool // for a person's approval
	why                      string
}

// cells are what files need: p0 public ones, p1 the site's, p2 the device's own, p3 those with its secrets.
type cells struct {
	p0, p1, p2, p3 need
	set            bool
}

// Sets of values.
const (
	confirmed = 1<<StandingEnrolled | 1<<StandingWindowed | 1<<StandingProvisioned
	settled   = 1<<StandingEnrolled | 1<<StandingProvisioned
	yes       = 1 << 1
	no        = 1 << 0
)

// guardTable has the rows in the order in which they are tried; it is never changed. The properties that it must have
// are tested over all inputs.
var guardTable = [...]guardRow{ //nolint:gochecknoglobals // a constant table
	{
		id: "ID-01", when: input{source: yes}, why: "the source is locked, or in no network that we answer",
		strict: cells{p0: never, p1: never, p2: never, p3: never},
	},
	{
		id: "ID-02", when: input{state: 1 << StandingRetired}, why: "the device is retired",
		strict: cells{p1: never, p2: never, p3: never},
	},
	{
		id: "ID-03", when: input{state: 1 << StandingSuspicious}, why: "the device is suspicious until an administrator clears it",
		strict: cells{p1: needEvidenceOrPolicy, p2: never, p3: never},
	},
	{
		id: "ID-04", when: input{contradiction: yes}, why: "what tells who asks contradicts itself", waits: true,
		strict: cells{p1: needEvidenceOrPolicy, p2: never, p3: never},
	},
	{
		id: "ID-05", when: input{token: 1 << TokenReplayed}, why: "its token is used from elsewhere, or too late",
		strict: cells{p1: needEvidenceOrPolicy, p2: never, p3: never},
	},
	{
		id: "ID-06", when: input{cert: 1<<CertFactory | 1<<CertOwn, state: 1 << StandingNew}, waits: true,
		why:      "a certificate proves a device that nobody has confirmed yet",
		strict:   cells{p2: needAutoEnrol, p3: never},
		balanced: cells{set: true},
	},
	{id: "ID-07", when: input{cert: 1 << CertOwn}, why: "a certificate of our own proves the device"},
	{id: "ID-08", when: input{cert: 1 << CertFactory}, why: "its maker's certificate proves the device"},
	{
		id: "ID-09", when: input{token: 1 << TokenValid, net: 1<<NetLease | 1<<NetConfirmed | 1<<NetPort, state: confirmed},
		why: "its own token is in the address, and a lease backs it",
	},
	{
		id: "ID-10", when: input{token: 1 << TokenValid, net: 1<<NetNone | 1<<NetNeighbour, state: confirmed},
		why:      "its own token is in the address, and no lease backs it",
		strict:   cells{p3: needRemoteOrStatic},
		balanced: cells{p3: needRemoteStaticOrNeighbour, set: true},
		legacy:   cells{p3: needRemoteStaticNeighbourOrClaim, set: true},
	},
	{
		id: "ID-11", when: input{net: 1 << NetPort, state: confirmed}, why: "lease, neighbour table and switch port agree",
		strict:   cells{p3: needClear},
		balanced: cells{set: true},
	},
	{
		id: "ID-12", when: input{net: 1 << NetConfirmed, state: 1 << StandingWindowed},
		why:      "an enrolment window is open for it, and lease and neighbour table agree",
		strict:   cells{p3: needClear},
		balanced: cells{set: true},
	},
	{
		id: "ID-13", when: input{net: 1 << NetConfirmed, state: settled}, why: "lease and neighbour table agree",
		strict:   cells{p3: needBooted | needClear},
		balanced: cells{set: true},
	},
	{
		id: "ID-14", when: input{net: 1<<NetConfirmed | 1<<NetPort, state: 1 << StandingNew}, waits: true,
		why:      "lease and neighbour table agree on a device that nobody has confirmed yet",
		strict:   cells{p2: never, p3: never},
		balanced: cells{set: true},
	},
	{
		id: "ID-15", when: input{net: 1 << NetLease, state: 1 << StandingWindowed},
		why:      "an enrolment window is open for it, and a lease backs it",
		strict:   cells{p3: needStaticOrRelayTCP | needClear},
		balanced: cells{p3: needRelayNeighbourOrStatic, set: true},
		legacy:   cells{p3: needRelayNeighbourStaticOrClaim, set: true},
	},
	{
		id: "ID-16", when: input{net: 1 << NetLease, state: settled}, why: "a lease backs it",
		strict:   cells{p3: needRelay | needTCP | needBooted | needClear},
		balanced: cells{p3: needRelayOrNeighbour, set: true},
		legacy:   cells{p3: needRelayNeighbourOrClaim, set: true},
	},
	{
		id: "ID-17", when: input{net: 1 << NetLease, state: 1 << StandingNew}, waits: true,
		why:      "a lease backs a device that nobody has confirmed yet",
		strict:   cells{p2: never, p3: never},
		balanced: cells{p2: needRelayOrNeighbour, p3: needRelayOrNeighbour, set: true},
		legacy:   cells{p2: needRelayNeighbourOrClaim, p3: needRelayNeighbourOrClaim, set: true},
	},
	{
		id: "ID-18", when: input{net: 1 << NetNeighbour, claim: yes, state: 1 << StandingWindowed},
		why:      "an enrolment window is open for it, and the neighbour table agrees with its claim",
		strict:   cells{p3: needStatic | needClear},
		balanced: cells{p3: needStaticOrNeighbour, set: true},
		legacy:   cells{set: true},
	},
	{
		id: "ID-19", when: input{net: 1 << NetNeighbour}, waits: true, why: "nothing but the neighbour table backs it",
		strict:   cells{p2: never, p3: never},
		balanced: cells{p2: needNeighbour, p3: needNeighbour, set: true},
		legacy:   cells{p2: needNeighbourOrClaim, p3: needNeighbourOrClaim, set: true},
	},
	{
		id: "ID-20", when: input{net: 1 << NetNone, claim: yes}, waits: true, why: "it has nothing but its own word",
		strict: cells{p1: needKeyOrPolicy, p2: never, p3: never},
		legacy: cells{set: true},
	},
	{
		id: "ID-21", when: input{net: 1 << NetNone, claim: no}, why: "nothing tells who asks",
		strict: cells{p1: never, p2: never, p3: never},
	},
}
