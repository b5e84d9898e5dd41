package httpd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// What a client is told. A file that is forbidden is refused like one that doesn't exist.
const (
	notFound  = "Not found\n"
	temporary = "Temporary failure\n"
	method    = "Method not allowed\n"
)

// retryAfter is when a phone may try again after a failure of ours, in seconds.
const retryAfter = "30"

// maxRanges is how many ranges of a file one request may ask for; with more it gets the whole.
const maxRanges = 4

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.running.Add(1)
	defer s.running.Done()
	s.count.inProgress.Add(1)
	defer s.count.inProgress.Add(-1)
	out, begun := &writer{ResponseWriter: w}, time.Now()
	came := resultFailed
	defer func() {
		s.count.add(r, out.status, came, time.Since(begun))
		s.count.bytes.Add(uint64(out.n)) //nolint:gosec // a sum of lengths
	}()
	defer func() {
		if v := recover(); v != nil {
			came = resultFailed
			s.caught(r, v)
			// If a part is out, net/http closes the connection, because it is shorter than its Content-Length.
			if out.status == 0 {
				refuse(out, http.StatusServiceUnavailable)
			}
		}
	}()
	came = s.answer(out, r)
}

// answer asks the pipeline and sends what it has.
func (s *Server) answer(w *writer, r *http.Request) result {
	w.Header()["Server"] = []string{"Dialtone"}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed)
		return resultMethod
	}
	ctx := r.Context()
	local, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	from := s.sender(r)
	clean, raw, err := path(r.RequestURI)
	if err != nil {
		s.Log.WarnContext(ctx, "http request for an impossible path", "ip", from.peer, "path", provision.HideToken(raw), "err", err)
		refuse(w, http.StatusNotFound)
		return resultNotFound
	}
	req := &provision.Request{
		Proto: provision.HTTP,
		At:    time.Now(),
		Peer:  from.peer,
		Via:   from.via,
		Local: addrPort(local).Addr(),
		Path:  clean,
		Raw:   raw,
		Head:  r.Method == http.MethodHead,
		Fields: map[string]string{
			provision.FieldUserAgent: printable(r.UserAgent()),
			provision.FieldHost:      printable(r.Host),
			provision.FieldMethod:    r.Method,
		},
	}
	s.overTLS(r, req)
	answer, out := s.Handler.Handle(ctx, req)
	if answer == nil {
		status := statusFor(out.Err)
		refuse(w, status)
		switch {
		case status == http.StatusNotFound:
			return resultNotFound
		case out.Status() == provision.StatusGone:
			return resultBroken
		}
		return resultFailed
	}
	return s.deliver(w, r, answer, out.Request.ID)
}

// overTLS completes a request by what its connection proves. Of one that a proxy passed on it proves nothing: the
// certificate is the proxy's, and how the phone spoke to that isn't known.
func (s *Server) overTLS(r *http.Request, req *provision.Request) {
	if r.TLS == nil || req.Via.IsValid() {
		return
	}
	req.TLS = true
	if s.Identify == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	req.Cert = s.Identify(r.TLS.PeerCertificates, req.At)
	if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != "" {
		req.Fields[provision.FieldTLSName] = printable(name)
	}
}

// statusFor is the status table.
func statusFor(err error) int {
	switch {
	case errors.Is(err, provision.ErrNotFound), errors.Is(err, provision.ErrForbidden), errors.Is(err, provision.ErrInvalid):
		return http.StatusNotFound
	default:
		return http.StatusServiceUnavailable
	}
}

// deliver sends the answer, closes its body and reports.
func (s *Server) deliver(w *writer, r *http.Request, answer *provision.Answer, id uint64) (came result) {
	ctx := r.Context()
	begun := time.Now()
	var err error
	defer func() {
		v := recover()
		if v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
		if err := answer.Body.Close(); err != nil {
			s.Log.WarnContext(ctx, "close a served file", "path", provision.HideToken(printable(r.URL.Path)), "err", err)
		}
		s.Handler.Delivered(id, provision.Delivery{Bytes: w.n, Took: time.Since(begun), Err: err})
		if v != nil {
			panic(v) // counted by the caller
		}
	}()
	if err = rewind(answer); err != nil {
		refuse(w, http.StatusServiceUnavailable)
		return resultFailed
	}
	// A slow line gets its time, but nobody gets more than that. What nothing is added to net/http has set already.
	if span := s.times.send(answer.Size); span > s.times.send(0) {
		if err := http.NewResponseController(w).SetWriteDeadline(begun.Add(span)); err != nil {
			s.Log.DebugContext(ctx, "set a write deadline", "err", err)
		}
	}
	describe(w.Header(), answer)
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r.Header.Del("Range") // RFC 9110 §14.2: a server may ignore it
	}
	if body, ok := answer.Body.(inMemory); ok && wantsAll(r) && answer.ModTime.IsZero() {
		w.send(body)
	} else {
		http.ServeContent(w, r, "", answer.ModTime, answer.Body)
	}
	err = w.shortfall(r.Method)
	switch {
	case err != nil:
		return resultBroken
	case w.status == http.StatusNotModified, w.status == http.StatusPreconditionFailed:
		return resultUnchanged
	case w.status == http.StatusRequestedRangeNotSatisfiable:
		return resultRange
	}
	return resultSent
}

// wantsAll reports whether a request asks for a file whatever it knows of it already, and for all of it: then there is
// nothing for [http.ServeContent] to find out (RFC 9110 §13.1, §14.2).
func wantsAll(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, name := range [...]string{
		"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}
	return true
}

// rewind checks that the body can be sought and has the size that it should have.
func rewind(a *provision.Answer) error {
	size, err := a.Body.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of the answer: %w", err)
	}
	if size != a.Size {
		return fmt.Errorf("the answer has %d bytes, not %d", size, a.Size)
	}
	_, err = a.Body.Seek(0, io.SeekStart)
	return err
}

// describe sets the headers of an answer.
func describe(h http.Header, a *provision.Answer) {
	contentType := a.Type
	if contentType == "" {
		contentType = "application/octet-stream" // never guessed from the content
	}
	// Two phones get different files at one URL: no proxy may keep them, and a phone must ask again.
	values := &[...]string{contentType, "nosniff", "private, no-cache", ""} // in one piece, by the names' usual spelling
	h["Content-Type"], h["X-Content-Type-Options"], h["Cache-Control"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if a.Hash != [32]byte{} {
		var tag [34]byte
		tag[0], tag[33] = '"', '"'
		hex.Encode(tag[1:33], a.Hash[:16])
		values[3] = string(tag[:])
		h["Etag"] = values[3:4:4]
	}
}

// refuse sends a fixed sentence.
func refuse(w http.ResponseWriter, status int) {
	body := notFound
	h := w.Header()
	switch status {
	case http.StatusServiceUnavailable:
		body = temporary
		h.Set("Retry-After", retryAfter)
	case http.StatusMethodNotAllowed:
		body = method
		h.Set("Allow", "GET, HEAD")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may be gone
}

// caught counts and logs a panic.
func (s *Server) caught(r *http.Request, v any) {
	s.count.panics.Add(1)
	s.Log.ErrorContext(r.Context(), "panic while answering an http request", "ip", r.RemoteAddr,
		"path", provision.HideToken(printable(r.URL.Path)), "err", v, "stack", string(debug.Stack()))
}
