// Package hook tells programs and web services of others what happens to leases.
//
// A [Hook] delivers one event as one JSON document (see [Event]); [lease.Follow] decides which event is next and
// remembers how far each hook came. Nothing here is on the way of a DHCP reply. What a client said of itself is outside
// text: it goes into the document, escaped, and nowhere near a command line, an environment or a shell.
package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

const (
	defaultTimeout = 5 * time.Second
	tries          = 5           // of an event that the receiver refuses …
	firstPause     = time.Second // … with pauses in between that double from this
	maxOutput      = 1024        // bytes of what a receiver says that are kept for the log
)

// Hook is a receiver of lease events: a program, a web service, or both. It is safe for concurrent use once its fields
// are set, but delivers in order only what it is given in order.
type Hook struct {
	Name string
	// Exec is a program, by its full path, and its arguments. It is started for each event, in the root folder, with
	// the event on its standard input and little more than PATH and DIALTONE_HOOK, its name, in its environment.
	Exec []string
	// URL gets each event by POST. A redirect is not followed, and no proxy is used.
	URL string
	// Key, if set, signs what is posted: the header X-Dialtone-Signature has the form t=1767225600,v1=5257a8…, where t
	// is the time in seconds since 1970 and v1 the HMAC-SHA256 of that number, a dot and the body. A receiver checks
	// both, so that nobody can replay what he overheard.
	Key Key
	// Timeout bounds one attempt. Zero means five seconds.
	Timeout time.Duration
	Log     *slog.Logger

	once   sync.Once
	client *http.Client
	pause  time.Duration // instead of firstPause; tests can't wait

	delivered, failed, skipped atomic.Uint64
}

// Key is a shared secret. It prints as [secret].
type Key []byte

// String keeps the key out of texts.
func (Key) String() string { return "[secret]" }

// GoString keeps the key out of dumps.
func (Key) GoString() string { return "[secret]" }

// LogValue keeps the key out of logs.
func (Key) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Counts are what became of events since the start.
type Counts struct {
	Delivered uint64
	Failed    uint64 // attempts
	Skipped   uint64 // events that the receiver refused to the last
}

// Counts returns the numbers up to now.
func (h *Hook) Counts() Counts {
	return Counts{Delivered: h.delivered.Load(), Failed: h.failed.Load(), Skipped: h.skipped.Load()}
}

// errAway marks that the receiver isn't there, whatever the event.
var errAway = errors.New("receiver is away")

// Deliver hands the event to the receiver. It suits [lease.Follow].
//
// A receiver that refuses the event (an exit status, an HTTP status that isn't 2xx, no answer in time) gets it five
// times in a quarter of a minute; then the event is logged, counted and skipped, and Deliver returns nil, for the next
// event may be welcome. A receiver that isn't there at all is another matter: if the program can't be started, the
// connection can't be made or the service says that it is unavailable (429, 502, 503, 504), Deliver returns the error at
// once and leaves it to Follow to come back with the same event, for up to an hour.
//
// If there are both a program and a URL, and the latter is away, the program gets the event again, too. Receivers tell
// events by their seq.
func (h *Hook) Deliver(ctx context.Context, e lease.Event) error {
	body, err := json.Marshal(NewEvent(e))
	if err != nil {
		return fmt.Errorf("hook %s: event %d: %w", h.Name, e.Seq, err)
	}
	body = append(body, '\n')
	ok := true
	for _, send := range []func(context.Context, []byte) (string, error){h.run, h.post} {
		done, err := h.insist(ctx, e.Seq, body, send)
		if err != nil {
			return fmt.Errorf("hook %s: event %d: %w", h.Name, e.Seq, err)
		}
		ok = ok && done
	}
	if ok {
		h.delivered.Add(1)
	} else {
		h.skipped.Add(1)
	}
	return nil
}

// insist tries until the receiver takes the event. It returns false if it never did, an error if it is away.
func (h *Hook) insist(ctx context.Context, seq uint64, body []byte, send func(context.Context, []byte) (string, error)) (bool, error) {
	pause := cmp.Or(h.pause, firstPause)
	for try := 1; ; try++ {
		output, err := h.attempt(ctx, body, send)
		log := h.Log.With("hook", h.Name, "seq", seq)
		if output != "" {
			log = log.With("output", output)
		}
		if err == nil {
			if output != "" {
				log.DebugContext(ctx, "hook said something")
			}
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		h.failed.Add(1)
		switch {
		case errors.Is(err, errAway):
			return false, err
		case try == tries:
			log.ErrorContext(ctx, "hook refuses an event, it is skipped", "tries", try, "err", err)
			return false, nil
		}
		log.WarnContext(ctx, "hook failed", "try", try, "err", err)
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

func (h *Hook) attempt(ctx context.Context, body []byte, send func(context.Context, []byte) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, defaultTimeout))
	defer cancel()
	return send(ctx, body)
}

// clip keeps the beginning of what is written to it. It embeds nothing, for a [bytes.Buffer] would take all by ReadFrom.
type clip struct{ kept []byte }

// Write implements [io.Writer]; it never fails.
func (c *clip) Write(p []byte) (int, error) {
	c.kept = append(c.kept, p[:min(len(p), maxOutput-len(c.kept))]...)
	return len(p), nil
}

// String returns what was kept, printable.
func (c *clip) String() string { return escape(string(c.kept)) }
