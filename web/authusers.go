package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// ListUsers lists who may sign in.
func (o operations) ListUsers(ctx context.Context, _ api.ListUsersRequestObject) (api.ListUsersResponseObject, error) {
	users, err := o.server.Access.Store.Users(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(users, func(a, b access.User) int { return strings.Compare(a.Name, b.Name) })
	list := api.ListUsers200JSONResponse{Users: []api.User{}}
	for _, u := range users {
		list.Users = append(list.Users, toUser(u))
	}
	return list, nil
}

func toUser(u access.User) api.User {
	return api.User{
		Name: u.Name, Role: api.Role(u.Role), Disabled: u.Disabled, SecondFactor: u.TOTP != nil, Created: u.Created, Changed: u.Changed,
	}
}

// CreateUser creates a user.
func (o operations) CreateUser(ctx context.Context, r api.CreateUserRequestObject) (api.CreateUserResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	u, err := o.server.Access.NewUser(ctx, r.Body.Name, r.Body.Password, access.Role(r.Body.Role))
	if err != nil {
		return nil, err
	}
	return api.CreateUser201JSONResponse(toUser(u)), nil
}

// DeleteUser deletes a user.
func (o operations) DeleteUser(ctx context.Context, r api.DeleteUserRequestObject) (api.DeleteUserResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.server.Access.DeleteUser(ctx, r.User); err != nil {
		return nil, err
	}
	return api.DeleteUser204Response{}, nil
}

// SetUserRole says what a user is trusted with.
func (o operations) SetUserRole(ctx context.Context, r api.SetUserRoleRequestObject) (api.SetUserRoleResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.server.Access.SetRole(ctx, r.User, access.Role(r.Body.Role), r.Body.Disabled); err != nil {
		return nil, err
	}
	return api.SetUserRole204Response{}, nil
}

// SetUserPassword gives a user another password.
func (o operations) SetUserPassword(ctx context.Context, r api.SetUserPasswordRequestObject) (api.SetUserPasswordResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.server.Access.SetPassword(ctx, r.User, r.Body.Password, ""); err != nil {
		return nil, err
	}
	return api.SetUserPassword204Response{}, nil
}

// ResetUserTotp takes a user's second factor away.
func (o operations) ResetUserTotp(ctx context.Context, r api.ResetUserTotpRequestObject) (api.ResetUserTotpResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.server.Access.ResetTOTP(ctx, r.User); err != nil {
		return nil, err
	}
	return api.ResetUserTotp204Response{}, nil
}

// whose is the user whose sessions and tokens an actor may see and end; empty: everybody's.
func whose(a access.Actor) string {
	if a.May(access.Admin) == nil {
		return ""
	}
	user, _, _ := strings.Cut(a.Name, "/") // of a token
	return user
}

// ListAPITokens lists the tokens of programs.
func (o operations) ListAPITokens(ctx context.Context, _ api.ListAPITokensRequestObject) (api.ListAPITokensResponseObject, error) {
	all, err := o.server.Access.Store.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	user := whose(visitOf(ctx).Actor)
	slices.SortFunc(all, func(a, b access.Token) int { return strings.Compare(a.User+"/"+a.Name, b.User+"/"+b.Name) })
	list := api.ListAPITokens200JSONResponse{Tokens: []api.APIToken{}}
	for _, t := range all {
		if user == "" || t.User == user {
			list.Tokens = append(list.Tokens, toToken(t))
		}
	}
	return list, nil
}

func toToken(t access.Token) api.APIToken {
	return api.APIToken{ID: t.ID, User: t.User, Name: t.Name, Scopes: words(t.Scopes), Created: t.Created, Expiry: t.Expiry, Used: t.Used}
}

func words(scopes []access.Scope) []string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return list
}

// CreateAPIToken makes a token, which may do no more than who asks for it.
func (o operations) CreateAPIToken(ctx context.Context, r api.CreateAPITokenRequestObject) (api.CreateAPITokenResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	a := visitOf(ctx).Actor
	user := r.Body.User
	switch own := whose(a); {
	case user == "" && a.Via == access.ViaSocket:
		return nil, fieldFault("user", "whose token is it?")
	case user == "":
		user, _, _ = strings.Cut(a.Name, "/")
	case own != "" && user != own:
		return nil, a.May(access.Admin)
	}
	var scopes []access.Scope
	for _, s := range r.Body.Scopes {
		if err := a.May(access.Scope(s)); err != nil && slices.Contains(access.Scopes(), access.Scope(s)) {
			return nil, err
		}
		scopes = append(scopes, access.Scope(s))
	}
	const maxDays = 36500
	if r.Body.Days < 0 || r.Body.Days > maxDays {
		return nil, fieldFault("days", "want 0 to %d, not %d", maxDays, r.Body.Days)
	}
	secret, t, err := o.server.Access.NewToken(ctx, user, r.Body.Name, scopes, time.Duration(r.Body.Days)*24*time.Hour)
	if err != nil {
		return nil, err
	}
	return api.CreateAPIToken201JSONResponse{Secret: secret, Token: toToken(t)}, nil
}

// RevokeAPIToken ends a token.
func (o operations) RevokeAPIToken(ctx context.Context, r api.RevokeAPITokenRequestObject) (api.RevokeAPITokenResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if err := o.server.Access.RevokeToken(ctx, whose(visitOf(ctx).Actor), r.Token); err != nil {
		return nil, err
	}
	return api.RevokeAPIToken204Response{}, nil
}

// ListSessions lists who is signed in.
func (o operations) ListSessions(ctx context.Context, _ api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	list := api.ListSessions200JSONResponse{Sessions: []api.Session{}}
	for _, s := range o.server.Access.Sessions(whose(visitOf(ctx).Actor)) {
		list.Sessions = append(list.Sessions, api.Session{ID: s.ID, User: s.User, Remote: s.Remote, Agent: s.Agent, Begun: s.Begun, Seen: s.Seen})
	}
	return list, nil
}

// RevokeSession ends a session.
func (o operations) RevokeSession(ctx context.Context, r api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	sessions := o.server.Access.Sessions(whose(visitOf(ctx).Actor))
	there := slices.ContainsFunc(sessions, func(s access.Session) bool { return s.ID == r.Session })
	if there {
		if err := about(ctx, "session "+r.Session); err != nil {
			return nil, err
		}
	}
	if !there || !o.server.Access.Revoke(r.Session) {
		return nil, fmt.Errorf("session %q: %w", r.Session, access.ErrNotFound)
	}
	o.server.done(ctx)
	return api.RevokeSession204Response{}, nil
}

// ListAudit lists who changed what.
func (o operations) ListAudit(ctx context.Context, r api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
	limit := int(r.Params.Limit)
	if limit < 0 || limit > 1000 || r.Params.Before < 0 {
		return nil, fieldFault("limit", "want 1 to 1000, not %d", limit)
	}
	if limit == 0 {
		limit = 50
	}
	entries, err := o.server.Audit.Audit(ctx, requestID(r.Params.Before), limit)
	if err != nil {
		return nil, err
	}
	list := api.ListAudit200JSONResponse{Entries: []api.AuditEntry{}}
	for _, e := range entries {
		x := api.AuditEntry{
			Seq: number(e.Seq), At: e.At, Actor: e.Actor, Via: api.AuditEntryVia(e.Via), Remote: e.Remote, Action: e.Action,
			Object: e.Object, Refused: e.Refused,
		}
		if e.Before != nil {
			x.Before = e.Before
		}
		if e.After != nil {
			x.After = e.After
		}
		list.Entries = append(list.Entries, x)
	}
	return list, nil
}

// VerifyAudit checks the chain, a page at a time.
func (o operations) VerifyAudit(ctx context.Context, _ api.VerifyAuditRequestObject) (api.VerifyAuditResponseObject, error) {
	const page = 1000
	verdict := api.VerifyAudit200JSONResponse{Whole: true}
	var later []access.Entry // the oldest of the page before, to which this one leads
	for before := uint64(0); ; {
		entries, err := o.server.Audit.Audit(ctx, before, page)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			return verdict, nil
		}
		verdict.Entries += int32(len(entries)) //nolint:gosec // a page
		slices.Reverse(entries)
		if err := access.VerifyChain(append(slices.Clone(entries), later...)); err != nil {
			verdict.Whole, verdict.Problem = false, err.Error()
			return verdict, nil //nolint:nilerr // the verdict is the answer
		}
		later, before = entries[:1], entries[0].Seq
	}
}
