package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// rule says who may call an operation.
type rule struct {
	name  string       // its operationId
	needs access.Scope // or one of the two below
	does  effect
}

// effect is what an operation does.
type effect int

const (
	looks   effect = iota
	changes        // and is written down
	feeds          // changes, but so often and by a program that writing it down would push everything else out of the audit
)

// What a rule may need besides the scopes of package access.
const (
	anybody  access.Scope = "anybody"   // also who isn't signed in
	signedIn access.Scope = "signed in" // for what is one's own
)

// rules has every operation of openapi.yaml, by method and path. What isn't in it is refused.
func rules() map[string]rule {
	return map[string]rule{
		"GET /version":                     {"getVersion", access.Read, looks},
		"GET /leases":                      {"listLeases", access.Read, looks},
		"POST /lease-events":               {"tellLease", access.LeasesWrite, feeds},
		"GET /phones":                      {"listPhones", access.Read, looks},
		"GET /phones/{phone}":              {"getPhone", access.Read, looks},
		"POST /phones":                     {"createPhone", access.PhonesWrite, changes},
		"POST /phones/delete":              {"deletePhones", access.PhonesWrite, changes},
		"PUT /phones/{phone}":              {"updatePhone", access.PhonesWrite, changes},
		"PATCH /phones/{phone}":            {"patchPhone", access.PhonesWrite, changes},
		"DELETE /phones/{phone}":           {"deletePhone", access.PhonesWrite, changes},
		"POST /phones/{phone}/replace":     {"replacePhone", access.PhonesWrite, changes},
		"DELETE /leases/{address}":         {"releaseLease", access.LeasesWrite, changes},
		"GET /phones/{phone}/boots":        {"listBoots", access.Read, looks},
		"GET /phones/{phone}/drift":        {"listDrift", access.Read, looks},
		"GET /phones/{phone}/files":        {"listFiles", access.Read, looks},
		"GET /phones/{phone}/offer":        {"getOffer", access.Read, looks},
		"GET /sightings":                   {"listSightings", access.Read, looks},
		"POST /sightings/{sighting}/adopt": {"adoptSighting", access.PhonesWrite, changes},
		"POST /phones/{phone}/approve":     {"approvePhone", access.PhonesWrite, changes},
		"POST /phones/{phone}/deny":        {"denyPhone", access.PhonesWrite, changes},
		"POST /phones/{phone}/retire":      {"retirePhone", access.PhonesWrite, changes},
		"POST /phones/{phone}/clear":       {"clearPhone", access.PhonesWrite, changes},
		"POST /phones/{phone}/port":        {"movePort", access.PhonesWrite, changes},
		"DELETE /alarms/{subject}":         {"quietAlarms", access.PhonesWrite, changes},
		"POST /phones/{phone}/reveal":      {"revealPhone", access.SecretsRead, changes},     // nothing, but it is written down
		"POST /phones/{phone}/token":       {"issuePhoneToken", access.SecretsRead, changes}, // it opens the phone's files
		"GET /waiting":                     {"listWaiting", access.Read, looks},
		"GET /windows":                     {"listWindows", access.Read, looks},
		"POST /windows":                    {"openWindow", access.PhonesWrite, changes},
		"DELETE /windows/{window}":         {"closeWindow", access.PhonesWrite, changes},
		"GET /asides":                      {"listAsides", access.Read, looks},
		"POST /asides":                     {"setAside", access.PhonesWrite, changes},
		"DELETE /asides/{aside}":           {"takeBack", access.PhonesWrite, changes},
		"GET /configs":                     {"listConfigs", access.Read, looks},
		"GET /configs/{config}":            {"getConfig", access.Read, looks},
		"PUT /configs/{config}":            {"putConfig", access.ConfigsWrite, changes},
		"PATCH /configs/{config}":          {"patchConfig", access.ConfigsWrite, changes},
		"DELETE /configs/{config}":         {"deleteConfig", access.ConfigsWrite, changes},
		"GET /configs/{config}/resolved":   {"resolveConfig", access.Read, looks},
		"GET /configs/{config}/history":    {"listRevisions", access.Read, looks},
		"GET /configs/{config}/diff":       {"diffConfig", access.Read, looks},
		"POST /configs/{config}/reveal":    {"revealConfig", access.SecretsRead, changes}, // as for a phone
		"POST /configs/{config}/restore":   {"restoreConfig", access.ConfigsWrite, changes},
		"GET /plugins":                     {"listPlugins", access.Read, looks},
		"GET /firmware":                    {"listFirmware", access.Read, looks},
		"GET /lines":                       {"listLines", access.Read, looks},
		"GET /settings":                    {"getSettings", access.Read, looks},
		"POST /plugins/rescan":             {"rescanPlugins", access.PluginsWrite, changes},
		"GET /requests":                    {"listRequests", access.Read, looks},
		"GET /requests/{number}":           {"getRequest", access.Read, looks},
		"POST /requests/{number}/replay":   {"replayRequest", access.Read, looks},
		"GET /problems":                    {"listProblems", access.Read, looks},
		"GET /log-levels":                  {"listLogLevels", access.Read, looks},
		"PUT /log-levels":                  {"setLogLevels", access.Admin, changes},
		"GET /events":                      {"followEvents", access.Read, looks},
		"POST /explain":                    {"explain", access.Read, looks},
		"POST /secrets/rotate":             {"rotateKey", access.Admin, changes},
		"GET /backup":                      {"getBackup", access.Admin, changes}, // nothing, but who has it has every secret
		"GET /backups":                     {"listBackups", access.Admin, looks},
		"POST /backups":                    {"createBackup", access.Admin, changes},
		"GET /backups/{backup}":            {"downloadBackup", access.Admin, changes}, // as GET /backup
		"DELETE /backups/{backup}":         {"deleteBackup", access.Admin, changes},
		"POST /backups/{backup}/verify":    {"verifyBackup", access.Admin, changes}, // nothing, but it is work
		"GET /jobs":                        {"listJobs", access.Admin, looks},
		"GET /jobs/{job}":                  {"getJob", access.Admin, looks},
		"DELETE /jobs/{job}":               {"cancelJob", access.Admin, changes},
		"GET /site":                        {"exportSite", access.Admin, changes}, // as GET /backup
		"PUT /site":                        {"applySite", access.Admin, changes},
		"POST /import/{format}":            {"importFiles", access.Admin, changes},

		"GET /networks":                            {"listNetworks", access.Read, looks},
		"POST /networks":                           {"createNetwork", access.NetworkWrite, changes},
		"GET /networks/{network}":                  {"getNetwork", access.Read, looks},
		"PUT /networks/{network}":                  {"putNetwork", access.NetworkWrite, changes},
		"PATCH /networks/{network}":                {"patchNetwork", access.NetworkWrite, changes},
		"DELETE /networks/{network}":               {"deleteNetwork", access.NetworkWrite, changes},
		"POST /networks/{network}/pools":           {"addPool", access.NetworkWrite, changes},
		"PUT /networks/{network}/pools/{first}":    {"putPool", access.NetworkWrite, changes},
		"DELETE /networks/{network}/pools/{first}": {"deletePool", access.NetworkWrite, changes},
		"GET /networks/{network}/options":          {"getNetworkOptions", access.Read, looks},
		"PUT /networks/{network}/options":          {"putNetworkOptions", access.NetworkWrite, changes},
		"GET /options":                             {"getOptions", access.Read, looks},
		"PUT /options":                             {"putOptions", access.NetworkWrite, changes},
		"GET /option-types":                        {"listOptionTypes", access.Read, looks},
		"GET /pools":                               {"listPools", access.Read, looks},
		"GET /reservations":                        {"listReservations", access.Read, looks},
		"POST /reservations":                       {"createReservation", access.NetworkWrite, changes},
		"PATCH /reservations/{address}":            {"patchReservation", access.NetworkWrite, changes},
		"DELETE /reservations/{address}":           {"deleteReservation", access.NetworkWrite, changes},
		"POST /leases/{address}/reserve":           {"reserveLease", access.NetworkWrite, changes},
		"GET /classes":                             {"listClasses", access.Read, looks},
		"PUT /classes/{class}":                     {"putClass", access.NetworkWrite, changes},
		"DELETE /classes/{class}":                  {"deleteClass", access.NetworkWrite, changes},

		"POST /login":                {"login", anybody, changes},
		"POST /setup":                {"setup", anybody, changes},
		"POST /logout":               {"logout", signedIn, changes},
		"GET /me":                    {"getMe", signedIn, looks},
		"PUT /me/password":           {"setMyPassword", signedIn, changes},
		"POST /me/totp":              {"beginMyTotp", signedIn, looks},
		"PUT /me/totp":               {"confirmMyTotp", signedIn, changes},
		"GET /sessions":              {"listSessions", signedIn, looks},
		"GET /tokens":                {"listAPITokens", signedIn, looks},
		"POST /tokens":               {"createAPIToken", signedIn, changes},
		"GET /users":                 {"listUsers", access.Admin, looks},
		"POST /users":                {"createUser", access.Admin, changes},
		"DELETE /users/{user}":       {"deleteUser", access.Admin, changes},
		"PUT /users/{user}/role":     {"setUserRole", access.Admin, changes},
		"PUT /users/{user}/password": {"setUserPassword", access.Admin, changes},
		"DELETE /users/{user}/totp":  {"resetUserTotp", access.Admin, changes},
		"DELETE /tokens/{token}":     {"revokeAPIToken", signedIn, changes},
		"DELETE /sessions/{session}": {"revokeSession", signedIn, changes},
		"GET /audit":                 {"listAudit", access.Admin, looks},
		"GET /audit/verify":          {"verifyAudit", access.Admin, looks},
	}
}

// check refuses who lacks the scope. A program changes what is its user's own only if it may do everything: a token that
// leaks mustn't make itself a successor.
func (k rule) check(a access.Actor) error {
	switch {
	case k.needs != signedIn:
		return a.May(k.needs)
	case k.does != looks && a.Via == access.ViaToken:
		return a.May(access.Admin)
	}
	return nil
}

// visit is who calls an operation, and from where.
type visit struct {
	access.Actor // the zero one: nobody has proven who they are

	remote, agent string
	tls           bool
	still         func(context.Context) error // whether they may go on doing what takes long; nil: yes
}

type visitKey struct{}

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}

// guarded lets through what the rules allow, before anything of the request's body is read. who says who asks.
func (s *Server) guarded(mux *http.ServeMux, who func(*http.Request) (access.Actor, error)) http.Handler {
	rules := rules()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		a, err := who(r)
		v := visit{Actor: a, remote: remoteOf(r).String(), agent: provision.Printable(r.UserAgent()), tls: r.TLS != nil, still: s.again(r, a)}
		ctx := context.WithValue(r.Context(), visitKey{}, v)
		otherwise, pattern := mux.Handler(r)
		method, path, _ := strings.Cut(pattern, " ")
		known, ok := rules[method+" "+strings.TrimPrefix(path, apiBase)]
		switch {
		case known.needs == anybody: // who they are is for the operation to find out
		case err != nil:
			s.problem(w, r, err)
			return
		case pattern == "":
			s.problem(w, r, unrouted(w, r, otherwise))
			return
		case !ok:
			s.problem(w, r, fmt.Errorf("%s has no rule that says who may call it: %w", pattern, provision.ErrForbidden))
			return
		default:
			if err := known.check(a); err != nil {
				if known.does != looks {
					s.refused(ctx, a, known.name, err)
				}
				s.problem(w, r, err)
				return
			}
		}
		if known.does == changes && known.needs != anybody {
			var note *access.Note
			ctx, note = access.WithNote(ctx, a, known.name)
			defer s.changed(known, strings.TrimPrefix(path, apiBase), note, a)
		}
		if r = r.WithContext(ctx); r.Method == http.MethodPost && r.Header.Get(idempotencyHeader) != "" && known.needs != anybody {
			s.once(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unrouted is what is wrong with a request of no operation: the multiplexer says so by a status, and which methods there are.
func unrouted(w http.ResponseWriter, r *http.Request, says http.Handler) error {
	heard := hearing{header: http.Header{}}
	says.ServeHTTP(&heard, r)
	if heard.code != http.StatusMethodNotAllowed {
		return fmt.Errorf("there is no %s: %w", provision.Printable(r.URL.Path), provision.ErrNotFound)
	}
	allow := heard.header.Get("Allow")
	w.Header().Set("Allow", allow)
	return fmt.Errorf("%w: %s is not for %s, but for %s", errMethod, provision.Printable(r.URL.Path), provision.Printable(r.Method), allow)
}

var errMethod = errors.New("method not allowed")

// hearing hears what a handler says and tells nobody.
type hearing struct {
	header http.Header
	code   int
}

// Header implements http.ResponseWriter.
func (h *hearing) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *hearing) WriteHeader(code int) { h.code = code }

// Write implements http.ResponseWriter.
func (h *hearing) Write(b []byte) (int, error) { return len(b), nil }

// refused writes down that somebody tried in vain.
func (s *Server) refused(ctx context.Context, a access.Actor, action string, why error) {
	s.write(ctx, access.Entry{Actor: a.Name, Via: a.Via, Remote: a.Remote, Action: action, Refused: why.Error()})
}

// rehearse has an operation only tried, if it is to be dry: where it would begin to change something it ends with
// access.ErrRehearsed, which [Server.problem] answers with what it would have been.
func rehearse(ctx context.Context, dry bool) {
	if dry {
		access.NoteOf(ctx).Rehearse()
	}
}

// about says what an operation is about to do that changes nothing in the store; its error ends the operation.
func about(ctx context.Context, object string) error {
	return access.NoteOf(ctx).Describe(object, nil, nil)
}

// did writes down what changed nothing in the store, and so hasn't been written down there.
func (s *Server) did(ctx context.Context, object string) {
	if err := about(ctx, object); err != nil {
		s.Log.ErrorContext(ctx, "audit", "err", err)
	}
	s.done(ctx)
}

// done writes down what was described and not written into the store.
func (s *Server) done(ctx context.Context) {
	if e, ok := access.NoteOf(ctx).Take(); ok {
		s.write(ctx, e)
	}
}

// witnessed writes down what is about to be shown, as the use case has described it. Without that, it mustn't be shown.
func (s *Server) witnessed(ctx context.Context) error {
	note := access.NoteOf(ctx)
	e, ok := note.Take()
	if !ok {
		return errors.New("it could not be written into the audit")
	}
	if err := s.Audit.Append(ctx, e); err != nil {
		note.Undo()
		return fmt.Errorf("it could not be written into the audit: %w", err)
	}
	return nil
}

func (s *Server) write(ctx context.Context, e access.Entry) {
	if err := s.Audit.Append(ctx, e); err != nil {
		s.Log.ErrorContext(ctx, "not written to the audit", "actor", e.Actor, "action", e.Action, "err", err)
	}
}

// visitor says who asks on the console's port, by the request's token or its cookie.
func (s *Server) visitor(r *http.Request) (access.Actor, error) {
	remote := remoteOf(r).String()
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return access.Actor{}, access.ErrExpired
		}
		return s.Access.Bearer(r.Context(), strings.TrimSpace(token), remote)
	}
	c, err := r.Cookie(cookieName(r.TLS != nil))
	if err != nil {
		return access.Actor{}, access.ErrExpired
	}
	return s.Access.Session(r.Context(), c.Value, remote)
}

// cookieName is that of the session's cookie. Of one that begins with __Host- a browser makes sure that it was set by this
// host, over HTTPS (RFC 6265bis §4.1.3.2).
func cookieName(tls bool) string {
	if tls {
		return "__Host-dialtone"
	}
	return "dialtone"
}

// sessionCookie carries a session's secret; an empty one ends it.
func sessionCookie(secret string, tls bool) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // HTTP is for this host only; a cookie that is Secure wouldn't be sent by it
		Name: cookieName(tls), Value: secret, Path: "/", HttpOnly: true, Secure: tls, SameSite: http.SameSiteStrictMode,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}

// remoteOf is the address that a request comes from; of the unix socket, none.
func remoteOf(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// fenced keeps out of the API what a browser is made to send by another site, and passwords that the network can read.
func (s *Server) fenced(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, fmt.Errorf("another web site may not change anything here: %w", provision.ErrForbidden))
	}))
	guarded := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !remoteOf(r).IsLoopback() {
			s.problem(w, r, fmt.Errorf("the API is used by HTTPS, or on the appliance itself: %w", provision.ErrForbidden))
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// knownHost reports whether a Host header is an address of any kind or a name that is ours. Else it may be that of a site
// elsewhere which is made to resolve to us, so that its pages may read ours (DNS rebinding).
func (s *Server) knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "" {
		return true
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || slices.ContainsFunc(s.Names, func(n string) bool { return strings.EqualFold(n, host) })
}

// nearby reports whether an address is one of a local network: private, or in a network that this host has a card in.
func nearby(a netip.Addr) bool {
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a) {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(o net.Addr) bool {
		n, ok := o.(*net.IPNet)
		return ok && n.Contains(a.AsSlice())
	})
}

// authStatus sets what a problem of package access is, and what its answer's header says besides.
func authStatus(w http.ResponseWriter, err error, p *api.Problem) {
	status := statusOf(err)
	if status == 0 {
		return
	}
	p.Status, p.Title = status, http.StatusText(int(status))
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="dialtone"`)
	}
	if t, ok := errors.AsType[*access.ThrottledError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(t.Wait/time.Second)))
	}
}

// statusOf is the status of an error of package access; 0: it is none.
func statusOf(err error) int32 {
	if _, ok := errors.AsType[*access.FieldError](err); ok {
		return http.StatusUnprocessableEntity
	}
	for _, k := range []struct {
		kind   error
		status int32
	}{
		{access.ErrExpired, http.StatusUnauthorized},
		{access.ErrDenied, http.StatusUnauthorized},
		{access.ErrThrottled, http.StatusTooManyRequests},
		{access.ErrScope, http.StatusForbidden},
		{access.ErrInvalid, http.StatusBadRequest},
		{access.ErrNotFound, http.StatusNotFound},
		{access.ErrConflict, http.StatusConflict},
	} {
		if errors.Is(err, k.kind) {
			return k.status
		}
	}
	return 0
}
