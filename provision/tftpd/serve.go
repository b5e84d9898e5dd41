package tftpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// The longest that a transfer may take. A file over bigFile bytes is firmware.
const (
	bigFile   = 1 << 20
	smallTime = 10 * time.Minute
	bigTime   = time.Hour
)

// maxRaw bounds [provision.Request.Raw].
const maxRaw = 512

// asking is a read request that has a slot.
type asking struct {
	request
	length int // of the datagram
	peer   netip.AddrPort
	local  netip.Addr // the address that was asked
	at     time.Time
	nearly *atomic.Bool // see slots.take
}

// prepare asks the pipeline. If there is nothing to send, it refuses the request, gives its slot back and returns nil.
func (s *Server) prepare(ctx context.Context, a *asking) (t *transfer) {
	refused := resultFailed
	defer func() {
		if v := recover(); v != nil {
			s.caught(ctx, a, v)
			s.refuse(a.peer, a.local, a.length, temporary)
		}
		if t == nil {
			s.slots.give(a.peer, a.at)
			s.count.results[refused].Add(1)
		}
	}()
	path, err := provision.Clean(a.name)
	if err != nil {
		s.Log.WarnContext(ctx, "tftp request for an impossible name", "ip", a.peer.Addr(), "path", a.shown(), "err", err)
		s.refuse(a.peer, a.local, a.length, notFound)
		refused = resultNotFound
		return nil
	}
	answer, out := s.Handler.Handle(ctx, &provision.Request{
		Proto: provision.TFTP,
		At:    a.at,
		Peer:  a.peer.Addr().WithZone(""),
		Local: a.local.WithZone(""),
		Path:  path,
		Raw:   a.shown(),
	})
	if answer == nil {
		var say refusal
		say, refused = refusalFor(out.Err)
		s.refuse(a.peer, a.local, a.length, say)
		return nil
	}
	begun := time.Now()
	conn, err := s.socket(a)
	if err != nil {
		s.refuse(a.peer, a.local, a.length, temporary)
		s.report(ctx, a, answer, out.Request.ID, provision.Delivery{
			Took: time.Since(begun), Err: fmt.Errorf("open a socket for the transfer: %w", err),
		})
		return nil
	}
	t = s.transfer(a, answer, out, conn, begun)
	t.unstop = context.AfterFunc(ctx, t.stop)
	return t
}

// transfer makes the transfer of an answer.
func (s *Server) transfer(a *asking, answer *provision.Answer, out *provision.Outcome, conn wire, begun time.Time) *transfer {
	quirks := s.Quirks[out.Plugin]
	if quirks.NoBlockSize {
		a.block = 0
	}
	limit, factor := smallTime, unprovenFactor
	if answer.Size > bigFile {
		limit = bigTime
	}
	proven := s.Trusted == nil || s.Trusted(a.peer.Addr().WithZone(""))
	if proven {
		factor = provenFactor
	}
	t := &transfer{
		ask: a, answer: answer, id: out.Request.ID, conn: conn, count: &s.count, times: &s.times, peer: a.peer,
		blockLen: a.blockSize(), window: max(a.window, 1), proven: proven, budget: factor * a.length,
		began: begun, deadline: begun.Add(limit), oack: a.oack(answer.Size), base: 1,
	}
	if t.oack != nil {
		t.base = 0
	}
	if quirks.RollToOne {
		t.rollTo = 1
	}
	t.trip.fixed = time.Duration(a.timeout) * time.Second
	return t
}

// conclude ends a transfer: it tells a client that waits for more to try again, reports, and gives the slot back.
func (s *Server) conclude(ctx context.Context, t *transfer) {
	t.unstop()
	came := outcome(t.cause)
	defer func() {
		if v := recover(); v != nil {
			s.caught(ctx, t.ask, v)
			came = resultFailed
		}
		s.slots.give(t.ask.peer, t.ask.at)
		s.count.results[came].Add(1)
	}()
	if came == resultFailed || came == resultStopped {
		_, _ = t.conn.WriteToUDPAddrPort([]byte(temporary), t.peer)
	}
	_ = t.conn.Close() // nothing was buffered
	s.report(ctx, t.ask, t.answer, t.id, provision.Delivery{Bytes: t.acked, Took: time.Since(t.began), Err: t.cause})
}

// report closes the answer's body and tells how it went.
func (s *Server) report(ctx context.Context, a *asking, answer *provision.Answer, id uint64, d provision.Delivery) {
	if err := answer.Body.Close(); err != nil {
		s.Log.WarnContext(ctx, "close a served file", "path", a.shown(), "err", err)
	}
	s.count.bytes.Add(uint64(d.Bytes)) //nolint:gosec // a sum of lengths
	if s.verbose {
		s.Log.DebugContext(ctx, "tftp transfer ended", "ip", a.peer.Addr(), "path", a.shown(), "bytes", d.Bytes,
			"took", d.Took, "err", d.Err)
	}
	s.Handler.Delivered(id, d)
}

// socket opens a transfer's socket, at the address that was asked.
func (s *Server) socket(a *asking) (wire, error) {
	if s.SinglePort {
		return s.lanes.open(s, a), nil
	}
	if s.Ports.First == 0 {
		return listen(a.local, 0)
	}
	// From where the last search ended, so that a port rests before it is used again: its last client may still talk.
	n := uint32(s.Ports.Last) - uint32(s.Ports.First) + 1
	for range n {
		port := uint32(s.Ports.First) + s.port.Add(1)%n
		conn, err := listen(a.local, uint16(port)) //nolint:gosec // between First and Last
		if !errors.Is(err, syscall.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, fmt.Errorf("all ports from %d to %d are in use", s.Ports.First, s.Ports.Last)
}

// listen returns a nil interface with an error.
func listen(at netip.Addr, port uint16) (wire, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, port)))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// refusalFor is the status table: a file that may not be had looks like one that isn't there.
func refusalFor(err error) (refusal, result) {
	switch {
	case errors.Is(err, provision.ErrNotFound), errors.Is(err, provision.ErrForbidden), errors.Is(err, provision.ErrInvalid):
		return notFound, resultNotFound
	default:
		return temporary, resultFailed
	}
}

// caught counts and logs a panic.
func (s *Server) caught(ctx context.Context, a *asking, v any) {
	s.count.panics.Add(1)
	s.Log.ErrorContext(ctx, "panic while answering a tftp request", "ip", a.peer.Addr(), "path", a.shown(),
		"err", v, "stack", string(debug.Stack()))
}

// shown is the name that was asked for, fit for journal and log: without a token that it may bear.
func (a *asking) shown() string { return printable(provision.HideToken(a.name)) }

// printable makes text of a client fit for journal and log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if len(s) > maxRaw {
		s = strings.ToValidUTF8(s[:maxRaw], "")
	}
	return s
}
