package web

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// Login begins a session. One that the browser had before ends.
func (o operations) Login(ctx context.Context, r api.LoginRequestObject) (api.LoginResponseObject, error) {
	v := visitOf(ctx)
	name := r.Body.Name
	if _, err := o.server.Access.Store.User(ctx, name); err != nil {
		name = "" // nobody's: perhaps a password in the wrong place, which must not be written down
	}
	ctx, as := noted(ctx, name, "login")
	secret, a, err := o.server.Access.Login(ctx, r.Body.Name, r.Body.Password, r.Body.Code, v.remote, v.agent)
	if err != nil {
		o.denied(ctx, as, "login", err)
		return nil, err
	}
	if v.Session != "" {
		o.server.Access.Revoke(v.Session)
	}
	o.server.did(ctx, "session "+a.Session)
	return signedInResponse{sessionCookie(secret, v.tls), api.Login200JSONResponse(toMe(a))}, nil
}

// noted returns a context whose changes are those of somebody who says who they are.
func noted(ctx context.Context, name, action string) (context.Context, access.Actor) {
	if access.CheckName(name) != nil {
		name = "?"
	}
	a := access.Actor{Name: name, Via: access.ViaSession, Remote: visitOf(ctx).remote}
	ctx, _ = access.WithNote(ctx, a, action)
	return ctx, a
}

// denied writes down a wrong password or code. Attempts that had to wait aren't: they would fill the audit.
func (o operations) denied(ctx context.Context, a access.Actor, action string, err error) {
	if errors.Is(err, access.ErrDenied) {
		o.server.refused(ctx, a, action, err)
	}
}

type signedInResponse struct {
	cookie *http.Cookie
	body   api.Login200JSONResponse
}

// VisitLoginResponse implements the generated interface.
func (x signedInResponse) VisitLoginResponse(w http.ResponseWriter) error {
	http.SetCookie(w, x.cookie)
	return x.body.VisitLoginResponse(w)
}

// Logout ends the session that asks.
func (o operations) Logout(ctx context.Context, _ api.LogoutRequestObject) (api.LogoutResponseObject, error) {
	v := visitOf(ctx)
	if err := person(v); err != nil {
		return nil, err
	}
	o.server.Access.Revoke(v.Session)
	o.server.did(ctx, "session "+v.Session)
	return signedOutResponse{sessionCookie("", v.tls)}, nil
}

type signedOutResponse struct{ cookie *http.Cookie }

// VisitLogoutResponse implements the generated interface.
func (x signedOutResponse) VisitLogoutResponse(w http.ResponseWriter) error {
	http.SetCookie(w, x.cookie)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// person refuses programs what only a person who is signed in can mean.
func person(v visit) error {
	if v.Via != access.ViaSession {
		return fmt.Errorf("%w: only for a person who is signed in", access.ErrScope)
	}
	return nil
}

// Setup creates the first owner.
func (o operations) Setup(ctx context.Context, r api.SetupRequestObject) (api.SetupResponseObject, error) {
	ctx, as := noted(ctx, r.Body.Name, "setup")
	if err := o.server.Access.Setup(ctx, r.Body.Code, r.Body.Name, r.Body.Password, as.Remote); err != nil {
		as.Name = "?" // there is no such user, and the word may be anything
		o.denied(ctx, as, "setup", err)
		return nil, err
	}
	return api.Setup204Response{}, nil
}

// GetMe says who asks.
func (o operations) GetMe(ctx context.Context, _ api.GetMeRequestObject) (api.GetMeResponseObject, error) {
	return api.GetMe200JSONResponse(toMe(visitOf(ctx).Actor)), nil
}

func toMe(a access.Actor) api.Me {
	return api.Me{Name: a.Name, Via: api.MeVia(a.Via), Role: api.Role(a.Role), Scopes: words(a.Scopes), Session: a.Session}
}

// SetMyPassword changes the password of the person who asks and knows the old one.
func (o operations) SetMyPassword(ctx context.Context, r api.SetMyPasswordRequestObject) (api.SetMyPasswordResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	v := visitOf(ctx)
	if err := o.prove(ctx, v, r.Body.Old, "setMyPassword"); err != nil {
		return nil, err
	}
	err := o.server.Access.SetPassword(ctx, v.Name, r.Body.New, v.Session)
	if f, ok := errors.AsType[*access.FieldError](err); ok {
		f.Field = "new" // as the body has it
	}
	if err != nil {
		return nil, err
	}
	return api.SetMyPassword204Response{}, nil
}

// prove asks a person for the password again.
func (o operations) prove(ctx context.Context, v visit, password, action string) error {
	if err := person(v); err != nil {
		return err
	}
	err := o.server.Access.Prove(ctx, v.Name, password, v.remote)
	if errors.Is(err, access.ErrDenied) {
		o.denied(ctx, v.Actor, action, err)
		return fmt.Errorf("%w: the password is wrong", access.ErrScope) // not 401: the session is good
	}
	return err
}

func secretCoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// BeginMyTotp proposes a second factor.
func (o operations) BeginMyTotp(ctx context.Context, _ api.BeginMyTotpRequestObject) (api.BeginMyTotpResponseObject, error) {
	v := visitOf(ctx)
	if err := person(v); err != nil {
		return nil, err
	}
	secret := o.server.Access.NewTOTP()
	return api.BeginMyTotp200JSONResponse{Secret: secretCoding().EncodeToString(secret), URL: access.TOTPURL(v.Name, secret)}, nil
}

// ConfirmMyTotp puts a second factor in force. One that is in force isn't replaced: who has only the password mustn't.
func (o operations) ConfirmMyTotp(ctx context.Context, r api.ConfirmMyTotpRequestObject) (api.ConfirmMyTotpResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	v := visitOf(ctx)
	if err := o.prove(ctx, v, r.Body.Password, "confirmMyTotp"); err != nil {
		return nil, err
	}
	u, err := o.server.Access.Store.User(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	if u.TOTP != nil {
		return nil, fmt.Errorf("there is a second factor; have an owner reset it first: %w", access.ErrConflict)
	}
	secret, err := secretCoding().DecodeString(r.Body.Secret)
	if err != nil {
		return nil, fieldFault("secret", "it isn't base32")
	}
	if err := o.server.Access.ConfirmTOTP(ctx, v.Name, secret, r.Body.Code, v.Session); err != nil {
		return nil, err
	}
	return api.ConfirmMyTotp204Response{}, nil
}
