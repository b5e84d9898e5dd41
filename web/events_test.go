package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

// heard is one event as it came.
type heard struct {
	id, name, data string
	event          api.Event
}

// listen follows events with a token or a cookie, until the test ends. The channel is closed when the stream ends.
func (o *office) listen(t *testing.T, query, last string, edit func(*http.Request)) (<-chan heard, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.ConsoleAddr().String()+"/api/v1/events"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	edit(r)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r) //nolint:bodyclose // it is, where it is read
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	c, done, ready := make(chan heard, 10000), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer close(c)
		defer resp.Body.Close()
		var h heard
		first := true
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "id":
				h.id = value
			case "event":
				h.name = value
			case "data":
				h.data = value
			case "":
				if h.name != "" {
					_ = json.Unmarshal([]byte(h.data), &h.event) // an empty one is noticed by the test
					c <- h
				} else if first {
					first = false
					close(ready)
				}
				h = heard{}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-ready:
	case <-done:
		t.Fatal("the stream ended at once")
	}
	return c, cancel
}

// next returns the next event that is one of a topic.
func next(t *testing.T, c <-chan heard, topic string) heard {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case h, ok := <-c:
			if !ok {
				t.Fatalf("the stream ended before an event %q", topic)
			}
			if h.name == topic {
				return h
			}
		case <-late:
			t.Fatalf("no event %q in ten seconds", topic)
		}
	}
}

func (o *office) request(t *testing.T, path string) {
	t.Helper()
	o.Admin.Pipeline.(*provision.Pipeline).Handle(t.Context(), &provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("192.0.2.23"), Path: path, Raw: "/" + path,
	})
}

// Who listens hears of requests and of changes, in order, and after a break what came meanwhile; each only what they may.
func TestEvents(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	o.user(t, "hal", access.Helpdesk)
	owner, desk := o.token(t, "desk", access.Admin, access.Read), o.token(t, "hal", access.Read)
	all, leave := o.listen(t, "", "", bearer(owner))
	few, _ := o.listen(t, "", "", bearer(desk))
	changes, _ := o.listen(t, "?topics=phone,problem", "", bearer(desk))

	o.request(t, "a.cfg")
	h := next(t, all, "request")
	if e := h.event; e.Path != "a.cfg" || e.IP != "192.0.2.23" || e.Mac != phoneHW.String() || e.Action != "missing" || e.Request == 0 || h.id == "" {
		t.Errorf("request: %s", h.data)
	}
	next(t, few, "request")
	if a := o.ask(t, http.MethodPost, "/users", `{"name": "porter", "password": "three blue bicycles", "role": "viewer"}`, bearer(owner)); a.status != http.StatusCreated {
		t.Fatalf("create user: %d %s", a.status, a.body)
	}
	if e := next(t, all, "access").event; e.Action != "createUser" || !strings.HasPrefix(e.Actor, "desk/") || !strings.Contains(e.Object, "porter") {
		t.Errorf("the owner hears of a new user: %+v", e)
	}
	leave()
	o.request(t, "b.cfg")
	o.request(t, "c.cfg")
	if got := next(t, few, "request"); got.event.Path != "b.cfg" {
		t.Errorf("the helpdesk hears of %s after the first request, want b.cfg", got.data)
	}
	again, _ := o.listen(t, "", h.id, bearer(desk))
	for _, want := range []string{"b.cfg", "c.cfg"} {
		if got := next(t, again, "request"); got.event.Path != want {
			t.Errorf("after %s comes %s, want %s", h.id, got.data, want)
		}
	}
	strange, _ := o.listen(t, "", "elsewhere-7", bearer(desk))
	if got := next(t, strange, "lagged"); got.id == "" {
		t.Errorf("lagged without an ID: %+v", got)
	}
	select {
	case h := <-changes:
		t.Errorf("who wants phones and problems hears of %s", h.data)
	default:
	}
	if a := o.ask(t, http.MethodGet, "/events?topics=phones", "", bearer(desk)); a.status != http.StatusBadRequest || !strings.Contains(a.body, `"/topics"`) {
		t.Errorf("an unknown topic: %d %s", a.status, a.body)
	}
	a := o.ask(t, http.MethodGet, "/events?once=true", "", bearer(desk))
	if n := strings.Count(a.body, "event: request"); a.status != http.StatusOK || n != 3 || strings.Contains(a.body, "access") {
		t.Errorf("once: %d, %d requests:\n%s", a.status, n, a.body)
	}
}

// A stream ends with the session or the token that it was opened by, and with the role.
func TestEventsEndWithSession(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T, c <-chan heard) {
		t.Helper()
		late := time.After(10 * time.Second)
		for {
			select {
			case _, ok := <-c:
				if !ok {
					return
				}
			case <-late:
				t.Fatal("the stream goes on")
			}
		}
	}
	for name, end := range map[string]func(t *testing.T, o *office, id string){
		"revoked": func(_ *testing.T, o *office, id string) { o.Access.Revoke(id) },
		"idle":    func(_ *testing.T, o *office, _ string) { o.pass(31 * time.Minute) },
		"new role": func(t *testing.T, o *office, _ string) {
			if err := o.Access.SetRole(t.Context(), "desk", access.Viewer, false); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.user(t, "desk", access.Owner)
			o.user(t, "zoe", access.Owner)
			a := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), nil)
			if a.status >= http.StatusBadRequest {
				t.Fatalf("login: %d %s", a.status, a.body)
			}
			c, _ := o.listen(t, "", "", func(r *http.Request) { r.AddCookie(a.cookie()) })
			end(t, o, o.Access.Sessions("desk")[0].ID)
			ended(t, c)
		})
	}
	t.Run("token", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		o.user(t, "desk", access.Owner)
		token := o.token(t, "desk", access.Read)
		c, _ := o.listen(t, "", "", bearer(token))
		all, err := o.Access.Store.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Access.RevokeToken(t.Context(), "", all[0].ID); err != nil {
			t.Fatal(err)
		}
		o.request(t, "after.cfg")
		for h := range c {
			t.Errorf("a revoked token hears of %s", h.data)
		}
	})
}

// A listener that doesn't read delays nobody, and is told later that it has missed something.
func TestEventsLagged(t *testing.T) {
	t.Parallel()
	b := web.NewBus()
	const n = web.KeptEvents + 500
	for range n {
		b.Publish(access.Read, api.Event{Topic: api.EventTopicRequest})
	}
	list, lost := b.After(100)
	if want := uint64(n - 100 - web.KeptEvents); lost != want || list[0] != 100+want+1 || !slices.IsSorted(list) {
		t.Errorf("after 100 of %d: %d lost and then %v, want %d lost", n, lost, list[0], want)
	}
	b.Gap()
	if list, lost := b.After(n); lost != 1 || len(list) != 0 {
		t.Errorf("after a gap: %d lost, %v", lost, list)
	}
	b.Publish(access.Read, api.Event{Topic: api.EventTopicRequest})
	if list, lost := b.After(n + 1); lost != 0 || !slices.Equal(list, []uint64{n + 2}) {
		t.Errorf("after the gap: %d lost, %v", lost, list)
	}
}

// There are only so many listeners, of one user and in all, and who leaves makes room.
func TestEventsListeners(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	token := o.token(t, "desk", access.Read)
	var leave context.CancelFunc
	for range web.MaxPerUser {
		_, leave = o.listen(t, "", "", bearer(token))
	}
	a := o.ask(t, http.MethodGet, "/events", "", bearer(token))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "too many") {
		t.Errorf("one more listener: %d %s", a.status, a.body)
	}
	leave()
	for late := time.After(10 * time.Second); ; {
		if a = o.ask(t, http.MethodGet, "/events?once=true", "", bearer(token)); a.status == http.StatusOK {
			break
		}
		select {
		case <-late:
			t.Fatalf("there is no room after one has left: %d", a.status)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// What happens to leases is told, too.
func TestLeaseEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	got := web.LeaseEvent(lease.Event{Kind: lease.KindBound, At: at, Lease: lease.Lease{
		Addr: netip.MustParseAddr("192.0.2.9"), Network: "office", Client: lease.Client{HW: phoneHW, Hostname: "x\x1b"},
	}})
	want := api.Event{Topic: "lease", Action: "bound", At: at, IP: "192.0.2.9", Mac: phoneHW.String(), Network: "office", Text: `x\x1b`}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
