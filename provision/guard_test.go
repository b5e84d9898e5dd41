package provision_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

// guardSpec is the table of the specification, which the guard's own must say the same as.
type guardSpec struct {
	Rows []struct {
		ID             string
		When           map[string][]any
		P0, P1, P2, P3 any
	}
	Policies map[string]map[string]map[string]any
}

func readGuardSpec(tb testing.TB) *guardSpec {
	tb.Helper()
	b, err := os.ReadFile("testdata/guard/identity_table.json")
	if err != nil {
		tb.Fatal(err)
	}
	var s guardSpec
	if err := json.Unmarshal(b, &s); err != nil {
		tb.Fatal(err)
	}
	return &s
}

// The values of fields as the specification spells them.
var (
	specStates = []string{"new", "enrolled", "windowed", "provisioned", "suspicious", "retired"}
	specCerts  = []string{"none", "none", "E5", "E6"}
	specTokens = []string{"none", "valid", "replayed"}
	specNets   = []string{"none", "E1", "E2", "E3", "E3p"}
	specOver   = []string{"tftp", "http", "https"}
)

func specValues(ev provision.Evidence) map[string]any {
	source := "ok"
	if ev.Locked {
		source = "locked_or_foreign_subnet"
	}
	return map[string]any{
		"source": source, "state": specStates[ev.State], "contradiction": ev.Contradiction, "cert": specCerts[ev.Cert],
		"token": specTokens[ev.Token], "net": specNets[ev.Net], "claim": ev.Claim, "sitekey": ev.SiteKey, "transport": specOver[ev.Over],
	}
}

// specNeed evaluates a requirement as the specification words it.
func specNeed(name string, ev provision.Evidence) bool {
	need := func(name string) bool { return specNeed(name, ev) }
	switch name {
	case "auto_enrol_by_cert":
		return ev.AutoEnrol
	case "remote_phone":
		return ev.RemotePhone
	case "static_ip_phone":
		return ev.StaticIP
	case "relay_trusted":
		return ev.RelayTrusted
	case "booted_10min":
		return ev.Booted
	case "neighbour_trusted":
		return ev.NeighbourTrusted
	case "clear_ok":
		return ev.Over == provision.OverTLS || ev.CleartextOK && ev.BudgetLeft
	case "tcp":
		return ev.Over != provision.OverTFTP
	case "sitekey_or_policy":
		return ev.SiteKey || ev.SitePolicyP1
	case "evidence_or_policy":
		return ev.Net != provision.NetNone || ev.Cert >= provision.CertFactory ||
			ev.Token != provision.TokenNone && ev.State != provision.StandingNew || ev.Claim && need("sitekey_or_policy")
	case "remote_or_static":
		return ev.RemotePhone || ev.Net == provision.NetNeighbour && ev.Claim && ev.State == provision.StandingWindowed && ev.StaticIP && need("clear_ok")
	case "static_or_trusted_relay_tcp":
		return ev.StaticIP || ev.RelayTrusted && need("tcp")
	case "remote_static_or_neighbour":
		return ev.RemotePhone || ev.Net == provision.NetNeighbour &&
			(ev.NeighbourTrusted || ev.Claim && ev.State == provision.StandingWindowed && ev.StaticIP)
	case "remote_static_neighbour_or_claim":
		return need("remote_static_or_neighbour") || ev.Claim
	case "relay_or_neighbour":
		return ev.RelayTrusted || ev.NeighbourTrusted
	case "relay_neighbour_or_static":
		return need("relay_or_neighbour") || ev.StaticIP
	case "relay_neighbour_or_claim":
		return need("relay_or_neighbour") || ev.Claim
	case "relay_neighbour_static_or_claim":
		return need("relay_or_neighbour") || ev.StaticIP || ev.Claim
	case "static_or_neighbour":
		return ev.StaticIP || ev.NeighbourTrusted
	case "neighbour_or_claim":
		return ev.NeighbourTrusted || ev.Claim
	}
	panic("the specification requires " + name)
}

// cell returns what a row says of a class under a policy.
func (s *guardSpec) cell(policy provision.GuardPolicy, row int, class string) any {
	r := &s.Rows[row]
	v := map[string]any{"P0": r.P0, "P1": r.P1, "P2": r.P2, "P3": r.P3}[class]
	for _, p := range []provision.GuardPolicy{provision.GuardBalanced, provision.GuardLegacy} {
		if policy == provision.GuardStrict {
			break
		}
		if o, ok := s.Policies[string(p)][r.ID][class]; ok {
			v = o
		}
		if policy == p {
			break
		}
	}
	return v
}

func (s *guardSpec) decide(policy provision.GuardPolicy, ev provision.Evidence) provision.Decision {
	values := specValues(ev)
	for i := range s.Rows {
		fits := true
		for field, allowed := range s.Rows[i].When {
			fits = fits && slices.Contains(allowed, values[field])
		}
		if !fits {
			continue
		}
		d := provision.Decision{Row: s.Rows[i].ID}
		for class, name := range classNames() {
			switch v := s.cell(policy, i, name).(type) {
			case bool:
				d.May[class] = v
			case []any:
				d.May[class] = true
				for _, n := range v {
					d.May[class] = d.May[class] && specNeed(n.(string), ev)
				}
			}
		}
		return d
	}
	return provision.Decision{}
}

func classNames() map[provision.Class]string {
	return map[provision.Class]string{
		provision.ClassPublic: "P0", provision.ClassSite: "P1", provision.ClassDevice: "P2", provision.ClassSecret: "P3",
	}
}

func guardPolicies() []provision.GuardPolicy {
	return []provision.GuardPolicy{provision.GuardStrict, provision.GuardBalanced, provision.GuardLegacy}
}

// flags has the flags of evidence, in the order of their bits in the numbers that inputs are made of.
func flags(ev *provision.Evidence) []*bool {
	return []*bool{
		&ev.SiteKey, &ev.AutoEnrol, &ev.RemotePhone, &ev.StaticIP, &ev.RelayTrusted, &ev.Booted, &ev.CleartextOK, &ev.BudgetLeft,
		&ev.SitePolicyP1, &ev.NeighbourTrusted,
	}
}

// situations yields every combination of the fields that rows are chosen by, and of the transport.
func situations() iter.Seq[provision.Evidence] {
	return func(yield func(provision.Evidence) bool) {
		for n := range 2 * 6 * 2 * 3 * 3 * 5 * 2 * 3 {
			var ev provision.Evidence
			take := func(of int) int { v := n % of; n /= of; return v }
			ev.Locked, ev.State, ev.Contradiction = take(2) == 1, provision.Standing(take(6)), take(2) == 1
			ev.Cert = []provision.CertLevel{0, provision.CertFactory, provision.CertOwn}[take(3)]
			ev.Token, ev.Net, ev.Claim = provision.TokenState(take(3)), provision.NetLevel(take(5)), take(2) == 1
			ev.Over = provision.Transport(take(3))
			if !yield(ev) {
				return
			}
		}
	}
}

// inputs yields every input of the table, or, if a sample is enough, each situation with some sets of flags.
func inputs(sample bool) iter.Seq[provision.Evidence] {
	return func(yield func(provision.Evidence) bool) {
		random := rand.New(rand.NewPCG(1, 2))
		all := flags(&provision.Evidence{})
		for base := range situations() {
			for set := range 1 << len(all) {
				if sample && set != 0 && set != 1<<len(all)-1 && random.IntN(400) != 0 {
					continue
				}
				ev := base
				for i, f := range flags(&ev) {
					*f = set>>i&1 == 1
				}
				if !yield(ev) {
					return
				}
			}
		}
	}
}

// Each cell of the table, under each policy: the guard says what the specification says, for every situation that the
// row is for; one subtest per cell.
func TestGuardCell(t *testing.T) {
	t.Parallel()
	spec := readGuardSpec(t)
	for _, policy := range guardPolicies() {
		byRow := make(map[string][]provision.Evidence)
		for ev := range inputs(true) {
			d := spec.decide(policy, ev)
			byRow[d.Row] = append(byRow[d.Row], ev)
		}
		for i := range spec.Rows {
			row := spec.Rows[i].ID
			if len(byRow[row]) == 0 {
				t.Errorf("%s %s: no input reaches the row", policy, row)
			}
			for class, name := range classNames() {
				t.Run(fmt.Sprintf("%s/%s/%s", policy, row, name), func(t *testing.T) {
					for _, ev := range byRow[row] {
						got, want := provision.Decide(policy, ev), spec.decide(policy, ev)
						if got.Row != want.Row || got.May[class] != want.May[class] {
							t.Fatalf("%+v: row %s says %t, want %t of row %s", ev, got.Row, got.May[class], want.May[class], want.Row)
						}
					}
				})
			}
		}
	}
}

// What must hold before a secret may leave.
func proven(policy provision.GuardPolicy, ev provision.Evidence) bool {
	static := ev.StaticIP && ev.State == provision.StandingWindowed
	lease, near := ev.Net == provision.NetLease, ev.Net == provision.NetNeighbour
	if ev.Cert >= provision.CertFactory || ev.Token == provision.TokenValid || ev.Net >= provision.NetConfirmed {
		return true
	}
	if policy == provision.GuardStrict {
		return lease && ev.RelayTrusted && ev.Over != provision.OverTFTP || (lease || near) && static
	}
	return lease && (ev.RelayTrusted || ev.NeighbourTrusted || static) || near && (ev.NeighbourTrusted || static && ev.Claim) ||
		policy == provision.GuardLegacy && ev.Claim
}

// stronger returns the evidence with one thing in it that proves more.
func stronger(ev provision.Evidence) []provision.Evidence {
	var out []provision.Evidence
	add := func(change func(*provision.Evidence)) {
		more := ev
		change(&more)
		out = append(out, more)
	}
	if ev.Net < provision.NetPort {
		add(func(e *provision.Evidence) { e.Net++ })
	}
	if ev.Token == provision.TokenNone {
		add(func(e *provision.Evidence) { e.Token = provision.TokenValid })
	}
	if ev.Cert < provision.CertFactory {
		add(func(e *provision.Evidence) { e.Cert = provision.CertFactory })
		add(func(e *provision.Evidence) { e.Cert = provision.CertOwn })
	}
	return out
}

// lowers reports whether something that may leave by a may not by b.
func lowers(a, b provision.Decision) bool {
	for i := range a.May {
		if a.May[i] && !b.May[i] {
			return true
		}
	}
	return false
}

// guardFault says which property a decision breaks; empty: none.
func guardFault(policy provision.GuardPolicy, ev provision.Evidence) string {
	d := provision.Decide(policy, ev)
	secret := d.May[provision.ClassSecret]
	switch {
	case d.Row == "":
		return "no row fits"
	case secret && !d.May[provision.ClassDevice] || d.May[provision.ClassDevice] && !d.May[provision.ClassSite] ||
		d.May[provision.ClassSite] && !d.May[provision.ClassPublic]:
		return "the classes aren't nested"
	case secret && (ev.State == provision.StandingSuspicious || ev.State == provision.StandingRetired):
		return "a secret for a device that isn't trusted"
	case secret && policy == provision.GuardStrict && ev.State == provision.StandingNew:
		return "a secret for a new device"
	case secret && (ev.Contradiction || ev.Token == provision.TokenReplayed || ev.Locked):
		return "a secret in spite of a contradiction"
	case secret && !proven(policy, ev):
		return "a secret without proof"
	case secret && policy == provision.GuardStrict && ev.Cert < provision.CertFactory && ev.Token == provision.TokenNone &&
		ev.Over != provision.OverTLS && !ev.CleartextOK:
		return "a secret in clear text without leave"
	}
	for _, more := range stronger(ev) {
		if lowers(d, provision.Decide(policy, more)) {
			return fmt.Sprintf("stronger evidence lowers it: %+v", more)
		}
	}
	claimed, contradicted := ev, ev
	claimed.Claim, contradicted.Contradiction = true, true
	if e := provision.Decide(policy, claimed); policy != provision.GuardLegacy && !ev.StaticIP {
		window := ev.State == provision.StandingWindowed && ev.Net == provision.NetNeighbour
		if e.May[provision.ClassSecret] && !secret || e.May[provision.ClassDevice] && !d.May[provision.ClassDevice] && !window {
			return "a claim alone buys a device's files"
		}
	}
	if lowers(provision.Decide(policy, contradicted), d) {
		return "a contradiction raises it"
	}
	return ""
}

var full = flag.Bool("full", false, "try every input of the guard's table; half a minute")

// The table's properties over inputs of every situation (with -full over every input there is), and each row used.
func TestGuardProperties(t *testing.T) {
	t.Parallel()
	for _, policy := range guardPolicies() {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			used := make(map[string]bool)
			for ev := range inputs(!*full) {
				if fault := guardFault(policy, ev); fault != "" {
					t.Fatalf("%+v: %s", ev, fault)
				}
				used[provision.Decide(policy, ev).Row] = true
			}
			if got, want := len(used), 21; got != want {
				t.Errorf("%d rows are used, want %d", got, want)
			}
		})
	}
}

func TestGuardPropertiesAtRandom(t *testing.T) {
	t.Parallel()
	spec := readGuardSpec(t)
	rapid.Check(t, func(t *rapid.T) {
		ev := provision.Evidence{
			Locked: rapid.Bool().Draw(t, "locked"), Contradiction: rapid.Bool().Draw(t, "contradiction"), Claim: rapid.Bool().Draw(t, "claim"),
			State: provision.Standing(rapid.IntRange(0, 5).Draw(t, "state")), Cert: provision.CertLevel(rapid.IntRange(0, 3).Draw(t, "cert")),
			Token: provision.TokenState(rapid.IntRange(0, 2).Draw(t, "token")), Net: provision.NetLevel(rapid.IntRange(0, 4).Draw(t, "net")),
			Over: provision.Transport(rapid.IntRange(0, 2).Draw(t, "over")),
		}
		for _, f := range flags(&ev) {
			*f = rapid.Bool().Draw(t, "flag")
		}
		for _, policy := range guardPolicies() {
			if fault := guardFault(policy, ev); fault != "" {
				t.Fatalf("%s: %s", policy, fault)
			}
			if got, want := provision.Decide(policy, ev), spec.decide(policy, ev); got != want {
				t.Fatalf("%s: %+v, want %+v", policy, got, want)
			}
		}
	})
}

// A policy that nobody chose is balanced.
func TestGuardPolicyDefault(t *testing.T) {
	t.Parallel()
	for ev := range inputs(true) {
		if got, want := provision.Decide("", ev), provision.Decide(provision.GuardBalanced, ev); got != want {
			t.Fatalf("%+v: %+v, want %+v", ev, got, want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	ev := provision.Evidence{Over: provision.OverHTTP, CleartextOK: true}
	b.ReportAllocs()
	for b.Loop() {
		if d := provision.Decide(provision.GuardStrict, ev); !strings.HasPrefix(d.Row, "ID") {
			b.Fatal(d)
		}
	}
}
