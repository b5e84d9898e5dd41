package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web"
)

// Who repeats a POST with the same key gets the same answer, and it is done once.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	o.user(t, "nobody", access.Owner)
	token, other := o.token(t, "desk", access.Admin, access.Read), o.token(t, "nobody", access.Admin, access.Read)
	with := func(token, key string) func(*http.Request) {
		return func(r *http.Request) {
			bearer(token)(r)
			r.Header.Set("Idempotency-Key", key)
		}
	}
	create := func(name string) string {
		return fmt.Sprintf(`{"name": %q, "password": "three blue bicycles", "role": "viewer"}`, name)
	}
	const path = "/users"
	first := o.ask(t, http.MethodPost, path, create("porter"), with(token, "k1"))
	again := o.ask(t, http.MethodPost, path, create("porter"), with(token, "k1"))
	if first.status != http.StatusCreated || again.status != first.status || again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %d %s, again %d %s, %v", first.status, first.body, again.status, again.body, again.header)
	}
	if a, b := first.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"); a == b || b == "" {
		t.Errorf("both requests are %q and %q", a, b)
	}
	for name, tt := range map[string]struct {
		token, key, body string
		status           int
	}{
		"another body":     {token, "k1", create("bill"), http.StatusUnprocessableEntity},
		"another key":      {token, "k2", create("porter"), http.StatusConflict},
		"somebody else's":  {other, "k1", create("porter"), http.StatusConflict},
		"a bad key":        {token, strings.Repeat("k", 200), create("ben"), http.StatusBadRequest},
		"a key with blank": {token, "k 1", create("ben"), http.StatusBadRequest},
	} {
		if a := o.ask(t, http.MethodPost, path, tt.body, with(tt.token, tt.key)); a.status != tt.status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, tt.status)
		}
	}
	if a := o.ask(t, http.MethodPost, path, create("porter"), with("dialtone_pat_wrong", "k1")); a.status != http.StatusUnauthorized {
		t.Errorf("without a right: %d %s", a.status, a.body)
	}
	var all sync.WaitGroup
	answers := make([]asked, 8)
	for i := range answers {
		all.Go(func() { answers[i] = o.ask(t, http.MethodPost, path, create("zed"), with(token, "k3")) })
	}
	all.Wait()
	for i, a := range answers {
		if a.status != http.StatusCreated || a.body != answers[0].body {
			t.Errorf("answer %d of eight at once: %d %s", i, a.status, a.body)
		}
	}
	n := 0
	for _, e := range o.audit(t) {
		if e.Action == "createUser" && strings.Contains(e.Object, "zed") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the user was created %d times", n)
	}
}

// Answers are kept for a day, and only so many.
func TestIdempotencyBounds(t *testing.T) {
	t.Parallel()
	var s web.Answers
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	if !s.Give("a", 1, now) || s.Give("a", 1, now.Add(23*time.Hour)) {
		t.Error("an answer isn't kept for a day")
	}
	if !s.Give("a", 1, now.Add(25*time.Hour)) {
		t.Error("an answer is kept for more than a day")
	}
	for i := range 2 * web.KeptAnswers {
		s.Give(fmt.Sprint("k", i), 1, now)
	}
	if n, size := s.Kept(); n != web.KeptAnswers || size != n {
		t.Errorf("%d answers of %d bytes are kept, want %d", n, size, web.KeptAnswers)
	}
	for i := range 10 {
		s.Give(fmt.Sprint("large", i), web.KeptAnswerBytes/4, now)
	}
	if n, size := s.Kept(); n != 4 || size > web.KeptAnswerBytes {
		t.Errorf("%d large answers of %d bytes are kept", n, size)
	}
}
