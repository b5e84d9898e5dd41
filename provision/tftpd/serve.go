package tftpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"github.com/pin/tftp/v3"

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
	peer  netip.AddrPort
	local netip.Addr // the address that was asked
	at    time.Time
}

// serve answers one request.
func (s *Server) serve(ctx context.Context, a asking) {
	defer s.slots.give(a.peer, a.at)
	result := s.answer(ctx, a)
	s.count.results[result].Add(1)
}

// answer asks the pipeline and sends what it has.
func (s *Server) answer(ctx context.Context, a asking) (came result) {
	defer func() {
		if v := recover(); v != nil {
			s.caught(ctx, a, v)
			s.refuse(a.peer, a.local, temporary)
			came = resultFailed
		}
	}()
	path, err := provision.Clean(a.name)
	if err != nil {
		s.Log.WarnContext(ctx, "tftp request for an impossible name", "ip", a.peer.Addr(), "path", printable(a.name), "err", err)
		s.refuse(a.peer, a.local, notFound)
		return resultNotFound
	}
	answer, out := s.Handler.Handle(ctx, &provision.Request{
		Proto: provision.TFTP,
		At:    a.at,
		Peer:  a.peer.Addr().WithZone(""),
		Local: a.local.WithZone(""),
		Path:  path,
		Raw:   printable(a.name),
	})
	if answer == nil {
		refusal, result := refusalFor(out.Err)
		s.refuse(a.peer, a.local, refusal)
		return result
	}
	cause := s.deliver(ctx, a, answer, out.Request.ID)
	return outcome(cause)
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

// deliver sends the answer, closes its body and reports. It returns why the file didn't arrive whole.
func (s *Server) deliver(ctx context.Context, a asking, answer *provision.Answer, id uint64) (cause error) {
	begun := time.Now()
	var sent int64
	defer func() {
		v := recover()
		if v != nil {
			cause = fmt.Errorf("panic: %v", v)
		}
		if err := answer.Body.Close(); err != nil {
			s.Log.WarnContext(ctx, "close a served file", "path", printable(a.name), "err", err)
		}
		took := time.Since(begun)
		s.count.bytes.Add(uint64(sent)) //nolint:gosec // a sum of lengths
		s.Log.DebugContext(ctx, "tftp transfer ended", "ip", a.peer.Addr(), "path", printable(a.name), "bytes", sent,
			"took", took, "err", cause)
		s.Handler.Delivered(id, provision.Delivery{Bytes: sent, Took: took, Err: cause})
		if v != nil {
			panic(v) // counted by the caller
		}
	}()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.local, 0)))
	if err != nil {
		s.refuse(a.peer, a.local, temporary)
		return fmt.Errorf("open a socket for the transfer: %w", err)
	}
	limit := smallTime
	if answer.Size > bigFile {
		limit = bigTime
	}
	t := &transfer{
		conn: conn, peer: a.peer, from: net.UDPAddrFromAddrPort(a.peer), blockLen: a.blockSize(),
		deadline: begun.Add(limit), times: s.times, count: &s.count, over: make(chan struct{}), request: a.datagram(),
	}
	defer context.AfterFunc(ctx, func() { t.stop(errStopping) })()
	err = s.send(ctx, a, t, answer)
	sent, cause = t.end()
	return errors.Join(cause, err)
}

// send lets the library send the body through t. It returns when the library has ended all that it started.
func (s *Server) send(ctx context.Context, a asking, t *transfer, answer *provision.Answer) error {
	var lib *tftp.Server
	lib = tftp.NewServer(func(_ string, to io.ReaderFrom) error {
		// In this order: the library reads again and again from a connection that fails before it was told to stop.
		// In single-port mode Shutdown doesn't wait.
		defer t.finish()
		defer lib.Shutdown()
		defer func() {
			if v := recover(); v != nil {
				s.caught(ctx, a, v)
				t.stop(fmt.Errorf("panic: %v", v))
			}
		}()
		if to, ok := to.(tftp.OutgoingTransfer); ok && answer.Size > 0 {
			to.SetSize(answer.Size)
		}
		// The library closes its end in any case. It may not seek: the size is known.
		if _, err := to.ReadFrom(struct{ io.Reader }{answer.Body}); err != nil {
			t.stop(err)
		}
		return nil
	}, nil)
	lib.SetBlockSize(a.blockSize())
	lib.SetBlockSizeNegotiation(false) // it would allow 512 only, not knowing the interface; the request has our limit
	lib.EnableSinglePort()
	// Resending is the transfer's: the library's timer never runs out before the transfer's patience does.
	lib.SetTimeout(4 * s.times.patience)
	lib.SetBackoff(func(int) time.Duration { return s.times.floor }) // after a send that failed
	return lib.Serve(t)
}

// caught counts and logs a panic.
func (s *Server) caught(ctx context.Context, a asking, v any) {
	s.count.panics.Add(1)
	s.Log.ErrorContext(ctx, "panic while answering a tftp request", "ip", a.peer.Addr(), "path", printable(a.name),
		"err", v, "stack", string(debug.Stack()))
}

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
