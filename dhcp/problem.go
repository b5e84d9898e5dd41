package dhcp

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// ProblemKind is what a [Problem] is about.
type ProblemKind string

// The kinds of problems.
const (
	ProblemExhausted   ProblemKind = "pool-exhausted"    // no address of a pool is free
	ProblemNearlyFull  ProblemKind = "pool-nearly-full"  // more than 90 % of a pool are in use
	ProblemQuarantine  ProblemKind = "quarantine"        // too much of a pool is said to be in use by strangers
	ProblemRogue       ProblemKind = "rogue-server"      // another server answers on our link
	ProblemRefused     ProblemKind = "network-refused"   // because of it, we don't serve a network
	ProblemNewcomers   ProblemKind = "too-many-new"      // more clients come or go than the limit allows
	ProblemDecliner    ProblemKind = "client-declines"   // a client finds fault with every address
	ProblemWanderer    ProblemKind = "client-wanders"    // a client goes to and fro between networks
	ProblemNoRawSocket ProblemKind = "no-packet-socket"  // an interface is served without frames, probes and watch
	ProblemNoPing      ProblemKind = "no-ping"           // networks behind relay agents can't be probed
	ProblemLost        ProblemKind = "interface-lost"    // a listener is closed until its interface is back
	ProblemAddress     ProblemKind = "no-server-address" // we have no address in a network, or not the declared one
	ProblemBusy        ProblemKind = "too-many-requests" // messages are dropped because too many are in hand
)

// Problem is what an administrator should look into.
type Problem struct {
	Kind    ProblemKind
	Network network.ID // empty: it concerns none or several
	Text    string     // what is wrong and what to do about it, in a sentence
	Since   time.Time
}

const (
	// problemStays is for how long a problem that shows only now and then is kept after it was last seen.
	problemStays = 5 * time.Minute
	// maxProblems bounds what is kept; subjects of problems are interfaces, networks and pools, but also clients.
	maxProblems = 256
)

// board has the problems at hand. Its zero value is ready for use.
type board struct {
	mu       sync.Mutex // guards what follows
	problems map[problemKey]*posted
}

type problemKey struct {
	kind    ProblemKind
	subject string
}

// posted is a problem on the board. One with a zero until stays until it is cleared.
type posted struct {
	Problem
	until time.Time
}

// post puts a problem on the board, or brings the one that is there up to date, and reports whether it is new. Of those
// beyond the bound nothing is kept.
func (b *board) post(subject string, p Problem, passing bool) bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	key := problemKey{p.Kind, subject}
	old := b.problems[key]
	switch {
	case old == nil && len(b.problems) >= maxProblems:
		return false
	case old == nil:
		if b.problems == nil {
			b.problems = make(map[problemKey]*posted)
		}
		p.Since = now
		old = &posted{Problem: p}
		b.problems[key] = old
	default:
		p.Since = old.Since
	}
	fresh := old.Text != p.Text || p.Since.Equal(now)
	old.Problem = p
	if passing {
		old.until = now.Add(problemStays)
	}
	return fresh
}

// clear takes a problem off the board, and reports whether it was there.
func (b *board) clear(kind ProblemKind, subject string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := problemKey{kind, subject}
	_, there := b.problems[key]
	delete(b.problems, key)
	return there
}

// sweep takes off what has not been seen lately, and the problems of that kind whose subject is no longer there.
func (b *board) sweep(there func(kind ProblemKind, subject string) bool) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, p := range b.problems {
		if !p.until.IsZero() && now.After(p.until) || !there(key.kind, key.subject) {
			delete(b.problems, key)
		}
	}
}

// Problems returns what an administrator should look into, the oldest first.
func (s *Server) Problems() []Problem {
	s.board.mu.Lock()
	list := make([]Problem, 0, len(s.board.problems))
	for _, p := range s.board.problems {
		list = append(list, p.Problem)
	}
	s.board.mu.Unlock()
	slices.SortFunc(list, func(a, b Problem) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text))
	})
	return list
}

// raise puts a problem on the board and says so in the log, the same one once a minute at most.
func (s *Server) raise(ctx context.Context, subject string, p Problem) {
	s.tell(ctx, subject, p, false)
}

// passing is raise for what nobody will tell us the end of.
func (s *Server) passing(ctx context.Context, subject string, p Problem) {
	s.tell(ctx, subject, p, true)
}

func (s *Server) tell(ctx context.Context, subject string, p Problem, passing bool) {
	if !s.board.post(subject, p, passing) || !s.mayWarn("problem "+string(p.Kind)) {
		return
	}
	attrs := []slog.Attr{slog.String("kind", string(p.Kind)), slog.String("problem", p.Text)}
	if p.Network != "" {
		attrs = append(attrs, slog.String("network", string(p.Network)))
	}
	s.Log.LogAttrs(ctx, slog.LevelWarn, "dhcp problem", attrs...)
}

// solved takes a problem off the board and says so.
func (s *Server) solved(ctx context.Context, kind ProblemKind, subject string) {
	if s.board.clear(kind, subject) {
		s.Log.InfoContext(ctx, "dhcp problem is over", "kind", string(kind), "of", subject)
	}
}
