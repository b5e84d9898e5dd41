package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

var errTooManyListeners = errors.New("too many listen for events; close a page of the console, or a program that follows them")

// FollowEvents sends events as they happen.
func (o operations) FollowEvents(ctx context.Context, r api.FollowEventsRequestObject) (api.FollowEventsResponseObject, error) {
	topics, err := parseTopics(r.Params.Topics)
	if err != nil {
		return nil, err
	}
	v, b := visitOf(ctx), o.server.bus
	st := &stream{ctx: ctx, bus: b, actor: v.Actor, still: v.still, topics: topics, once: r.Params.Once}
	switch number, known := b.position(r.Params.LastEventID); {
	case known:
		st.at = number
	case r.Params.LastEventID != "":
		st.at, st.stranger = b.newest(), true
	case !r.Params.Once:
		st.at = b.newest()
	}
	return st, nil
}

// stream is one listener's.
type stream struct {
	ctx    context.Context //nolint:containedctx // of the request that this answers
	bus    *bus
	actor  access.Actor
	still  func(context.Context) error // whether the actor may go on; nil: always
	topics []api.EventTopic
	once   bool

	at       uint64 // number of the last event that was looked at
	stranger bool   // it comes from another run, whose events are gone

	control *http.ResponseController
	w       http.ResponseWriter
	quiet   time.Time // since when nothing was sent
	full    bool      // the last batch was as large as may be
	out     bytes.Buffer
}

// VisitFollowEventsResponse implements the generated interface.
func (s *stream) VisitFollowEventsResponse(w http.ResponseWriter) error {
	if !s.bus.enter(s.actor.Name) {
		w.Header().Set("Retry-After", "30")
		return errTooManyListeners
	}
	defer s.bus.leave(s.actor.Name)
	s.w, s.control = w, http.NewResponseController(w)
	if err := s.control.SetReadDeadline(time.Time{}); err != nil { // it would end the stream
		return fmt.Errorf("follow events: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // what nginx asks for
	w.WriteHeader(http.StatusOK)
	var hello bytes.Buffer
	fmt.Fprintf(&hello, "retry: 2000\nid: %s-%d\n\n", s.bus.epoch, s.at)
	if s.stranger {
		fmt.Fprintf(&hello, "event: lagged\nid: %s-%d\ndata: {}\n\n", s.bus.epoch, s.at)
	}
	if !s.send(hello.Bytes()) {
		return nil
	}
	s.run()
	return nil
}

// run sends events until the listener or the server goes, or the listener may listen no more.
func (s *stream) run() {
	check := time.NewTicker(eventCheck)
	defer check.Stop()
	for {
		sent, ok := s.flush()
		if !ok || s.once && !sent && s.at >= s.bus.newest() {
			return
		}
		wake := s.bus.waiting(s.at)
		if sent {
			wake = nil // a pause first, in which more may come
			if s.once {
				continue
			}
		}
		if !s.wait(wake, check.C) {
			return
		}
	}
}

// wait waits for an event, or, if wake is nil, for the end of the pause. It returns false when the stream is to end.
func (s *stream) wait(wake <-chan struct{}, check <-chan time.Time) bool {
	var pause <-chan time.Time
	if wake == nil {
		pause = time.After(eventPause)
		if s.full {
			pause = time.After(eventStorm)
		}
	}
	for {
		select {
		case <-s.ctx.Done():
			return false
		case <-s.bus.ended:
			return false
		case <-wake:
			return true
		case <-pause:
			return true
		case <-check:
			if !s.may() || time.Since(s.quiet) >= eventBeat && !s.send([]byte(": still here\n\n")) {
				return false
			}
		}
	}
}

func (s *stream) may() bool { return s.still == nil || s.still(s.ctx) == nil }

// flush sends what has come since the last time, as much of it as one may have at a time.
func (s *stream) flush() (sent, ok bool) {
	list, lost := s.bus.after(s.at)
	s.out.Reset()
	if lost > 0 {
		s.at += lost
		fmt.Fprintf(&s.out, "event: lagged\nid: %s-%d\ndata: {\"missed\":%d}\n\n", s.bus.epoch, s.at, lost)
	}
	n := 0
	for _, e := range list {
		if n == eventBatch {
			break
		}
		s.at = e.number
		if e.concerns(s.actor, s.topics) {
			s.out.Write(e.frame(s.bus.epoch))
			n++
		}
	}
	if s.full = n == eventBatch; s.out.Len() == 0 {
		return false, true
	}
	return true, s.may() && s.send(s.out.Bytes())
}

func (s *stream) send(data []byte) bool {
	s.quiet = time.Now()
	if err := s.control.SetWriteDeadline(s.quiet.Add(eventPatience)); err != nil {
		return false
	}
	if _, err := s.w.Write(data); err != nil {
		return false
	}
	return s.control.Flush() == nil
}
