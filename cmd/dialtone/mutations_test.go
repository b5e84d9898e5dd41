package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// looks are the operations that are asked for by POST and change nothing, and why they are.
func looks() map[string]string {
	return map[string]string{
		"explain":       "the question doesn't fit into a URL",
		"replayRequest": "it costs a rendering, which a link mustn't set off",
		"beginMyTotp":   "it makes up a secret, which a cache mustn't keep; confirmMyTotp puts it in force",
	}
}

// tellsAll are the operations that change nothing and are treated as changes, as they hand out secrets.
func tellsAll() []string {
	return []string{"getBackup", "downloadBackup", "exportSite", "revealConfig", "revealPhone"}
}

// unmatched are the operations on one thing that take no If-Match, and why.
func unmatched() map[string]string {
	const (
		noRev  = "what it changes has no revision: it is there or it isn't"
		step   = "a decision about the phone, whatever its fields are; one that its state forbids is a 409"
		ownOne = "a new value in the place of one that nobody can read"
	)
	return map[string]string{
		"releaseLease": noRev, "closeWindow": noRev, "takeBack": noRev, "revokeAPIToken": noRev, "revokeSession": noRev, "adoptSighting": noRev,
		"deleteUser": noRev, "resetUserTotp": noRev, "reserveLease": "who holds the address is all that counts, and a reservation that is there stays",
		"approvePhone": step, "denyPhone": step, "retirePhone": step, "clearPhone": step, "issuePhoneToken": "a new token; the ones before stay good", "movePort": step, "quietAlarms": noRev,
		"setMyPassword": ownOne, "setUserPassword": ownOne, "confirmMyTotp": "it is refused if there is one already",
		"setUserRole":  "all that there is of a user, given as a whole: nothing of somebody else's edit is lost by it that isn't meant",
		"applySite":    "a site as a whole; what it would change, a dry run tells",
		"importFiles":  "it only adds",
		"revealConfig": "it only reads", "revealPhone": "it only reads",
		"setLogLevels": noRev, "downloadBackup": noRev, "deleteBackup": noRev, "verifyBackup": noRev, "cancelJob": noRev,
	}
}

// wet are the operations that can't be tried dry, and why.
func wet() map[string]string {
	const proof = "it proves who somebody is, to somebody whom nothing is known of yet: there is nothing to tell them"
	return map[string]string{
		"login": proof, "setup": proof, "logout": "it ends what it is asked by",
		"tellLease":      "another DHCP server's word, which has happened already",
		"rescanPlugins":  "the folder is watched: what a scan would find is in force a moment later by itself",
		"downloadBackup": "it only reads", "getBackup": "it only reads", "exportSite": "it only reads", "revealConfig": "it only reads", "revealPhone": "it only reads",
	}
}

// unwritten are the operations that aren't in the audit, and why.
func unwritten() map[string]string {
	return map[string]string{"tellLease": "a program's, for each lease of another server: they would push all else out"}
}

// valueless are the operations whose entry in the audit has neither a before nor an after, and why.
func valueless() map[string]string {
	const (
		object = "the object's name is all there is to it"
		reads  = "nothing changes"
	)
	return map[string]string{
		"login": object, "logout": object, "revokeSession": object,
		"getBackup": reads, "downloadBackup": reads, "verifyBackup": reads, "createBackup": object, "deleteBackup": object, "cancelJob": object,
		"exportSite": reads, "rescanPlugins": "what changes is in the folder, not in the store",
	}
}

// Each operation that changes something is refused without a proof of who asks, to roles that lack the right, to pages of
// other sites and over a newer revision; dry it changes nothing; done it is in the audit, once, with before and after; and
// no secret is told by its answer or there.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	cases := apiCases()
	for _, id := range slices.Sorted(maps.Keys(s.doc.operations)) {
		o := s.doc.operations[id]
		if o.method == http.MethodGet && !slices.Contains(tellsAll(), id) {
			continue
		}
		c, ok := cases[id]
		if !ok {
			continue // TestContract says so
		}
		x, who := s.ready(&c) // what is refused or tried dry leaves it as good as new
		s.refused(o, &c, x, who)
		if looks()[id] != "" {
			s.harmless(o, x, who)
			continue
		}
		s.stale(o, x, who)
		s.dry(o, x, who)
		s.done(o, &c, x, who)
	}
}

// exempt is the reason of an exception. One that isn't needed is an error.
func (s *apiSite) exempt(o *described, list map[string]string, not bool, what string) bool {
	s.t.Helper()
	reason := list[o.ID]
	switch {
	case reason == "" && not:
		s.t.Errorf("%s %s: add it to openapi.yaml, or the reason to mutations_test.go", o.ID, what)
	case reason != "" && !not:
		s.t.Errorf("mutations_test.go has a reason why %s %s, but that isn't so any more", o.ID, what)
	}
	return not
}

// ready prepares a case.
func (s *apiSite) ready(c *apiCase) (attempt, *person) {
	s.t.Helper()
	x := c.make(s, s.client(s.office))
	if x.by != nil {
		return x, x.by
	}
	return x, s.people[access.Owner]
}

// refused tries a case in all the ways that mustn't work.
func (s *apiSite) refused(o *described, c *apiCase, x attempt, who *person) {
	s.t.Helper()
	expect := func(as string, want int, edit ...api.RequestEditorFn) {
		s.t.Helper()
		if status, body := s.try(x.call, edit...); status != want || strings.Contains(string(body), planted) {
			s.t.Errorf("%s %s: %d %s, want %d", o.ID, as, status, body, want)
		}
	}
	before := s.holds()
	if c.needs != anybody {
		expect("by nobody", http.StatusUnauthorized)
		expect("with a forged token", http.StatusUnauthorized, header("Authorization", "Bearer dialtone_pat_"+strings.Repeat("0", 39)))
		expect("with a forged session", http.StatusUnauthorized, header("Cookie", "dialtone="+strings.Repeat("0", 43)))
	}
	if c.needs != anybody && c.needs != own {
		for role, p := range s.people {
			if !slices.Contains(role.Scopes(), c.needs) {
				expect("by the "+string(role), http.StatusForbidden, p.as)
			}
		}
	}
	if o.method != http.MethodGet { // with those, a browser doesn't send the cookie, and the answer isn't readable
		expect("by another site", http.StatusForbidden, who.as, header("Sec-Fetch-Site", "cross-site"))
		expect("by a page of a neighbour", http.StatusForbidden, who.as, header("Sec-Fetch-Site", "same-site"))
		expect("by another site in an old browser", http.StatusForbidden, who.as, header("Origin", "http://evil.example"))
	}
	if diff := cmp.Diff(before, s.holds()); diff != "" {
		s.t.Errorf("%s was refused and has changed something (-before +after):\n%s", o.ID, diff)
	}
}

// stale tries to change what has changed meanwhile.
func (s *apiSite) stale(o *described, x attempt, who *person) {
	s.t.Helper()
	one := strings.Contains(o.path, "{") || o.method != http.MethodPost && o.method != http.MethodGet
	if !one || s.exempt(o, unmatched(), !o.takes("header", "If-Match"), "takes no If-Match") {
		return
	}
	before := s.holds()
	if status, body := s.try(x.call, who.as, header("If-Match", `"999999"`)); status != http.StatusPreconditionFailed {
		s.t.Errorf("%s over a newer revision: %d %.300s, want 412", o.ID, status, body)
	}
	if diff := cmp.Diff(before, s.holds()); diff != "" {
		s.t.Errorf("%s has changed something over a newer revision (-before +after):\n%s", o.ID, diff)
	}
}

// dry tries whether a dry run changes something.
func (s *apiSite) dry(o *described, x attempt, who *person) {
	s.t.Helper()
	if s.exempt(o, wet(), !o.takes("query", "dry_run"), "takes no dry_run") {
		return
	}
	s.harmless(o, x, who, func(_ context.Context, r *http.Request) error {
		q := r.URL.Query()
		q.Set("dry_run", "true")
		r.URL.RawQuery = q.Encode()
		return nil
	})
}

// harmless does a case and sees whether it has changed something.
func (s *apiSite) harmless(o *described, x attempt, who *person, edit ...api.RequestEditorFn) {
	s.t.Helper()
	before, entries := s.holds(), len(s.entries(s.office, o.ID, who.name))
	if status, body := s.try(x.call, append(edit, who.as)...); status != http.StatusOK || strings.Contains(string(body), planted) {
		s.t.Errorf("%s, which changes nothing: %d %.500s, want 200 and no secret", o.ID, status, body)
	}
	if diff := cmp.Diff(before, s.holds()); diff != "" {
		s.t.Errorf("%s, which changes nothing, has changed something (-before +after):\n%s", o.ID, diff)
	}
	if n := len(s.entries(s.office, o.ID, who.name)); n != entries {
		s.t.Errorf("%s, which changes nothing, is in the audit", o.ID)
	}
}

// done does a case as the owner and as the helpdesk, if that may.
func (s *apiSite) done(o *described, c *apiCase, x attempt, who *person) {
	s.t.Helper()
	at := s.office
	if x.at != nil {
		at = x.at
	}
	before := len(s.entries(at, o.ID, who.name))
	status, body := s.try(x.call, who.as)
	if status != c.status {
		s.t.Errorf("%s: %d %.500s, want %d", o.ID, status, body, c.status)
	}
	if !slices.Contains(tellsAll(), o.ID) && strings.Contains(string(body), planted) {
		s.t.Errorf("%s tells a secret: %s", o.ID, body)
	}
	s.written(o, at, who.name, before)
	if x.by != nil || !slices.Contains(append(access.Helpdesk.Scopes(), own), c.needs) {
		return
	}
	x, _ = s.ready(c)
	if status, body := s.try(x.call, s.people[access.Helpdesk].as); status != c.status || strings.Contains(string(body), planted) {
		s.t.Errorf("%s by the helpdesk: %d %.500s, want %d and no secret", o.ID, status, body, c.status)
	}
}

// written sees whether an operation has got its entry in the audit.
func (s *apiSite) written(o *described, at *office, who string, before int) {
	s.t.Helper()
	entries := s.entries(at, o.ID, who)[before:]
	if s.exempt(o, unwritten(), len(entries) == 0, "is not in the audit") {
		return
	}
	e := entries[0]
	if len(entries) != 1 || e.Object == "" {
		s.t.Errorf("%s has the entries %+v, want one of %s, with its object", o.ID, entries, who)
	}
	s.exempt(o, valueless(), e.Before == nil && e.After == nil, "has neither before nor after in the audit")
	text, err := json.Marshal(e)
	if err != nil || strings.Contains(string(text), planted) {
		s.t.Errorf("%s tells a secret to the audit: %s, %v", o.ID, text, err)
	}
}

// entries are the ones of an operation that somebody did, the oldest first.
func (s *apiSite) entries(at *office, id, who string) (list []access.Entry) {
	s.t.Helper()
	all, err := at.parts.db.Audit(s.t.Context(), 0, 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range slices.Backward(all) {
		if e.Action == id && e.Actor == who && e.Refused == "" {
			list = append(list, e)
		}
	}
	return list
}

// holds is all that the appliance keeps and an administrator can change.
func (s *apiSite) holds() string {
	s.t.Helper()
	ctx := s.t.Context()
	var b strings.Builder
	read := func(resp *http.Response, err error) {
		s.t.Helper()
		if err != nil || resp.StatusCode != http.StatusOK {
			s.t.Fatalf("state: %v, %v", resp, err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(&b, resp.Body); err != nil {
			s.t.Fatal(err)
		}
		b.WriteString("\n")
	}
	read(s.root.ExportSite(ctx, &api.ExportSiteParams{Secrets: true}))
	read(s.root.ListUsers(ctx))
	read(s.root.ListAPITokens(ctx))
	read(s.root.ListWindows(ctx))
	read(s.root.ListAsides(ctx))
	read(s.root.ListWaiting(ctx))
	read(s.root.ListSightings(ctx, nil))
	leases := s.parts.table.All()
	slices.SortFunc(leases, func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
	fmt.Fprintln(&b, leases)
	sessions := make([]string, 0)
	for _, x := range s.parts.access.Sessions("") {
		sessions = append(sessions, x.ID)
	}
	slices.Sort(sessions)
	fmt.Fprintln(&b, sessions)
	return b.String()
}

func header(name, value string) api.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set(name, value)
		return nil
	}
}
