package web

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

const requestIDHeader = "X-Request-Id"

// numbered gives each request an ID, by which the log and whoever asked speak of it.
func numbered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(requestIDHeader, strings.ToLower(rand.Text()[:16]))
		h.ServeHTTP(w, r)
	})
}

// checkBody refuses bodies and queries that aren't as the document has them. Decoding alone would pass over fields and
// parameters that nobody knows.
func (s *Server) checkBody(contract *api.Contract) api.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			operation := strings.Replace(r.Pattern, " "+apiBase, " ", 1)
			if found := violations(contract.Query(operation, r.URL.Query())); found != nil {
				s.problem(w, r, found)
				return
			}
			if r.Body == nil || r.Body == http.NoBody {
				next.ServeHTTP(w, r)
				return
			}
			if kind := r.Header.Get("Content-Type"); !contract.Takes(operation, kind) {
				s.problem(w, r, fmt.Errorf("%w: the body isn't %q: send Content-Type: application/json, or what else the operation takes",
					errMediaType, provision.Printable(kind)))
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				s.problem(w, r, fmt.Errorf("read the body: %w: %w", err, provision.ErrInvalid))
				return
			}
			if found := violations(contract.Request(operation, body)); found != nil {
				s.problem(w, r, found)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		})
	}
}

// unreadable words what the generated code says of a request that it can't read, of its parameters above all.
func unreadable(err error) error {
	name, text := "", ""
	if e, ok := errors.AsType[*api.InvalidParamFormatError](err); ok {
		name, text = e.ParamName, "it is given more than once, or isn't what is wanted there"
	}
	if e, ok := errors.AsType[*api.TooManyValuesForParamError](err); ok {
		name, text = e.ParamName, "it is given more than once"
	}
	if e, ok := errors.AsType[*api.RequiredParamError](err); ok {
		name, text = e.ParamName, "it is missing"
	}
	if e, ok := errors.AsType[*strconv.NumError](err); ok {
		switch {
		case e.Func == "ParseBool":
			text = "want true or false, not " + strconv.Quote(e.Num)
		case errors.Is(e, strconv.ErrRange):
			text = e.Num + " is out of bounds"
		default:
			text = "want a whole number, not " + strconv.Quote(e.Num)
		}
	}
	if name == "" {
		return fmt.Errorf("%w: %w", provision.ErrInvalid, err)
	}
	return fieldFault(name, "%s", text)
}

var errMediaType = errors.New("unsupported media type")

// violations makes an error of them; nil: there are none.
func violations(list []api.Violation) error {
	if len(list) == 0 {
		return nil
	}
	found := make(bodyError, len(list))
	for i, v := range list {
		found[i] = api.FieldError{Pointer: v.Pointer, Detail: provision.Printable(v.Text)}
	}
	return found
}

// fieldFault is what is wrong with one field of a body, or one parameter of a query, that the document has no words for.
func fieldFault(name, format string, args ...any) error {
	return violations([]api.Violation{{Pointer: "/" + name, Text: fmt.Sprintf(format, args...)}})
}

// bodyError is where a body isn't as the document has it.
type bodyError []api.FieldError

// Error returns a line for each.
func (e bodyError) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = strings.TrimPrefix(f.Pointer+": "+f.Detail, ": ")
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns provision.ErrInvalid.
func (e bodyError) Unwrap() error { return provision.ErrInvalid }

// problem writes an error as RFC 9457 has it. What isn't the caller's fault is logged and told in general words.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, access.ErrRehearsed) {
		rehearsed(w, r)
		return
	}
	p := toProblem(err)
	authStatus(w, err, &p)
	p.RequestID = w.Header().Get(requestIDHeader)
	if p.Status == http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "api request", "method", r.Method, "path", r.URL.Path, "request_id", p.RequestID, "err", err)
		p.Detail = "The appliance could not do this; its log says why."
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(int(p.Status))
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// rehearsed answers an operation that was only tried: what its note has is what it would have done.
func rehearsed(w http.ResponseWriter, r *http.Request) {
	object, before, after := access.NoteOf(r.Context()).Described()
	x := api.Rehearsal{Object: provision.Printable(object)}
	if before != nil {
		x.Before = before
	}
	if after != nil {
		x.After = after
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(x) // the client is gone if this fails
}

// toProblem finds the status of an error. A body that isn't as the document has it is a 400, one that is and says what
// can't be a 422. What clashes with something else is a 409, whatever else is wrong with it.
func toProblem(err error) api.Problem {
	p := api.Problem{Type: "about:blank", Status: http.StatusInternalServerError, Detail: err.Error()}
	for _, k := range []struct {
		kind   error
		status int32
	}{
		{provision.ErrInvalid, http.StatusBadRequest},
		{provision.ErrNotFound, http.StatusNotFound},
		{provision.ErrForbidden, http.StatusForbidden},
		{provision.ErrConflict, http.StatusConflict},
		{provision.ErrAmbiguous, http.StatusConflict},
		{errMethod, http.StatusMethodNotAllowed},
		{errMediaType, http.StatusUnsupportedMediaType},
		{errKeyReused, http.StatusUnprocessableEntity},
		{errTooManyListeners, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, k.kind) {
			p.Status = k.status
			break
		}
	}
	if faults, ok := errors.AsType[admin.Faults](err); ok {
		p.Status = http.StatusUnprocessableEntity
		if errors.Is(faults, provision.ErrConflict) {
			p.Status = http.StatusConflict
		}
		for _, f := range faults {
			p.Errors = append(p.Errors, api.FieldError{Pointer: f.Pointer, Detail: f.Text})
		}
	}
	if found, ok := errors.AsType[bodyError](err); ok {
		p.Errors = found
	}
	if f, ok := errors.AsType[*access.FieldError](err); ok {
		p.Errors = []api.FieldError{{Pointer: "/" + f.Field, Detail: f.Text}}
	}
	if _, ok := errors.AsType[*admin.StaleError](err); ok {
		p.Status = http.StatusPreconditionFailed
	}
	p.Title = http.StatusText(int(p.Status))
	return p
}
