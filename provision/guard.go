package provision

import (
	"context"
	"fmt"
)

// The rows of the guard's table.
const (
	GuardPublic        = "public"        // the file is the vendor's own
	GuardSite          = "site"          // the file is the same for every device of the plugin
	GuardContradiction = "contradiction" // a claim about who asks has lost
	GuardCertificate   = "certificate"
	GuardToken         = "token"
	GuardLease         = "lease"
	GuardNeighbour     = "neighbour"
	GuardClaim         = "claim" // nothing but the request's own word, and nothing against it
	GuardNobody        = "nobody"
)

// Guard decides whether the identity may have the route's file, and with secrets or without. The first row that fits
// decides. It is a pure function of its arguments.
func Guard(id Identity, route Route) Verdict {
	switch route.Class {
	case ClassPublic:
		return Verdict{Allow: true, Rule: GuardPublic, Why: "the file is public"}
	case ClassSite:
		return Verdict{Allow: true, Rule: GuardSite, Why: "the file is the site's and has no secrets"}
	case ClassDevice, ClassSecret:
	}
	if len(id.Conflicts) > 0 {
		return Verdict{Rule: GuardContradiction, Why: id.Conflicts[0].String()}
	}
	allow := func(rule, why string) Verdict {
		return Verdict{Allow: true, Secrets: route.Class == ClassSecret, Rule: rule, Why: why}
	}
	switch id.Assurance {
	case SourceCert:
		return allow(GuardCertificate, "a certificate proves the device")
	case SourceToken:
		return allow(GuardToken, "the device's own token is in the address")
	case SourceLease:
		return allow(GuardLease, "the lease table backs "+id.who())
	case SourceNeighbour:
		return allow(GuardNeighbour, "the neighbour table backs "+id.who())
	case SourceStored, SourceHeader, SourcePath, SourceGuess:
		return allow(GuardClaim, "nothing contradicts the claim to be "+id.who())
	case SourceNone:
	}
	return Verdict{Rule: GuardNobody, Why: "nothing tells who asks"}
}

// guard asks Guard about the identity as the request shows it: the record completes what is known of a device, but it
// proves nothing about who asks.
func (r *passage) guard(context.Context) error {
	r.out.Verdict = Guard(r.out.Identity, r.out.Route)
	if !r.out.Verdict.Allow {
		return fmt.Errorf("%s: %w", r.out.Verdict.Why, ErrForbidden)
	}
	r.say("%s", r.out.Verdict.Why)
	return nil
}
