package httpd

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	handshakeQuiet = 10 * time.Minute // between two lines about one address
	handshakePeers = 1024             // that are remembered for that
)

// remarks is the log of net/http. What it says is for developers, but for one thing: why a phone and we find no common
// version or suite of TLS, or why the phone doesn't trust us, is told nowhere else.
type remarks struct {
	slog.Handler
	count *counters
	log   *slog.Logger
	hush  *hush
}

// hush remembers of whom was spoken.
type hush struct {
	mu   sync.Mutex // guards said
	said map[netip.Addr]time.Time
}

// first reports whether it is time to speak of an address.
func (q *hush) first(a netip.Addr, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, ok := q.said[a]; ok && now.Sub(at) < handshakeQuiet {
		return false
	}
	if len(q.said) >= handshakePeers {
		clear(q.said)
	}
	q.said[a] = now
	return true
}

// Enabled implements [slog.Handler].
func (r remarks) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (r remarks) Handle(ctx context.Context, record slog.Record) error {
	if text, ok := strings.CutPrefix(record.Message, "http: TLS handshake error from "); ok {
		r.count.handshakes.Add(1)
		from, why, _ := strings.Cut(text, ": ")
		ap, err := netip.ParseAddrPort(from)
		if a := ap.Addr().Unmap().WithZone(""); err == nil && r.hush.first(a, record.Time) {
			r.log.WarnContext(ctx, "no tls with a phone", "ip", a, "err", printable(why), "remedy", handshakeRemedy(why))
		}
		return nil
	}
	if !r.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return r.Handler.Handle(ctx, record)
}

// handshakeRemedy says what to do about a handshake that failed; empty: nothing that we know.
func handshakeRemedy(why string) string {
	switch {
	case strings.Contains(why, "unsupported versions"), strings.Contains(why, "no cipher suite"):
		return "it can only do what is broken: list its network under http.tls.legacy, or let it use http"
	case strings.Contains(why, "unknown certificate authority"), strings.Contains(why, "bad certificate"), strings.Contains(why, "unknown certificate"):
		return "it doesn't trust our certificate: give it our authority's"
	case strings.Contains(why, "parse client certificate"):
		return "its own certificate is malformed: set http.tls.client_certificates to false, or run with GODEBUG=x509negativeserial=1"
	case strings.Contains(why, "first record does not look like a TLS handshake"):
		return "it speaks plain http to the port for https: look at the URL that it was given"
	}
	return ""
}
