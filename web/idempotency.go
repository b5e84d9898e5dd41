package web

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// Bounds of the answers that are kept for repeated requests.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxKey            = 128
	keptAnswers       = 1000
	keptAnswerBytes   = 8 << 20
	keptAnswerLife    = 24 * time.Hour
)

var errKeyReused = errors.New("this Idempotency-Key was used for another request; a new request needs a new key")

// answers keeps what POSTs with an Idempotency-Key were answered, so that who didn't get the answer may ask again without
// doing it twice. They live in memory: one may hold a token, and a restart is rare. The zero value is ready.
type answers struct {
	mu    sync.Mutex // guards what follows
	byKey map[answerKey]*answer
	order []answerKey // the oldest first; those that are gone from byKey, too
	bytes int
}

// answerKey is whose request it is, and what they call it.
type answerKey struct{ actor, key string }

// answer is one that was given, or is being found.
type answer struct {
	sum  [sha256.Size]byte // of the request
	at   time.Time
	done chan struct{} // closed when what follows is there

	status int // 0: none that may be repeated
	header http.Header
	body   []byte
}

// begin returns the answer that a request has had, and whether it is the caller's to find.
func (s *answers) begin(k answerKey, sum [sha256.Size]byte, now time.Time) (a *answer, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.byKey[k]; a != nil && now.Sub(a.at) < keptAnswerLife {
		return a, false
	}
	s.drop(k)
	if s.byKey == nil {
		s.byKey = make(map[answerKey]*answer)
	}
	a = &answer{sum: sum, at: now, done: make(chan struct{})}
	s.byKey[k] = a
	s.order = append(s.order, k)
	return a, true
}

// end says that an answer is there. One without a status is forgotten.
func (s *answers) end(k answerKey, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(a.done)
	s.bytes += len(a.body)
	if a.status == 0 {
		s.drop(k)
	}
	for i := 0; i < len(s.order) && (len(s.byKey) > keptAnswers || s.bytes > keptAnswerBytes); i++ {
		s.drop(s.order[i])
	}
	keep := s.order[:0]
	for _, o := range s.order {
		if s.byKey[o] != nil {
			keep = append(keep, o)
		}
	}
	s.order = keep
}

// drop forgets an answer, unless it is still being found.
func (s *answers) drop(k answerKey) {
	a := s.byKey[k]
	if a == nil {
		return
	}
	select {
	case <-a.done:
		s.bytes -= len(a.body)
		delete(s.byKey, k)
	default:
	}
}

// once has a request answered by h, or as it was answered before. Who repeats one that is being answered waits for it.
func (s *Server) once(h http.Handler, w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(idempotencyHeader)
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		s.problem(w, r, fmt.Errorf("%s: at most %d letters, digits and signs of ASCII, without blanks: %w", idempotencyHeader, maxKey, provision.ErrInvalid))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.problem(w, r, fmt.Errorf("read the body: %w: %w", err, provision.ErrInvalid))
		return
	}
	v := visitOf(r.Context())
	k := answerKey{string(v.Via) + " " + v.Name, key}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s\n%s", r.Method, r.URL.RequestURI(), body))
	for {
		a, first := s.answers.begin(k, sum, time.Now())
		switch {
		case first:
			r.Body = io.NopCloser(bytes.NewReader(body))
			s.find(a, k, h, w, r)
			return
		case a.sum != sum:
			s.problem(w, r, errKeyReused)
			return
		}
		select {
		case <-a.done:
		case <-r.Context().Done():
			return
		}
		if a.status != 0 {
			w.Header().Set(replayedHeader, "true")
			a.write(w)
			return
		}
	}
}

// find has a request answered, and keeps the answer if the same request would be answered the same for ever: not where
// something was at fault that may be over soon.
func (s *Server) find(a *answer, k answerKey, h http.Handler, w http.ResponseWriter, r *http.Request) {
	rec := &recorder{header: w.Header().Clone(), status: http.StatusOK}
	defer s.answers.end(k, a) // also if h panics
	h.ServeHTTP(rec, r)
	found := answer{status: rec.status, header: rec.header, body: rec.body.Bytes()}
	found.header.Del(requestIDHeader)
	found.write(w)
	if rec.status < http.StatusInternalServerError && rec.status != http.StatusTooManyRequests {
		a.status, a.header, a.body = found.status, found.header, found.body
	}
}

func (a *answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) //nolint:gosec // our own answer, under its own content type; the client is gone if this fails
}

// recorder takes an answer to be written later.
type recorder struct {
	header  http.Header
	status  int
	started bool
	body    bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if !w.started {
		w.status, w.started = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.started = true
	return w.body.Write(p)
}
