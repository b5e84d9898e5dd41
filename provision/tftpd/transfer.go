package tftpd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// Why a transfer ended before its end.
var (
	errSilent      = errors.New("the client fell silent")
	errUnconfirmed = errors.New("the last block wasn't acknowledged")
	errRefused     = errors.New("the client refused")
	errTooLong     = errors.New("the transfer took too long")
	errStopping    = errors.New("the server is stopping")
	errUnproven    = errors.New("nobody with a lease or in the neighbour table asked, and without options: the first block " +
		"might hit another host than the one that asked, and is too large for that")
)

// A datagram is sent at most 1 + maxResends times. The last one of a file, which many a client doesn't acknowledge
// because it has all it wants, only 1 + maxLastResends times.
const (
	maxResends     = 5
	maxLastResends = 2
)

// How many times the bytes of its request are sent to a peer that hasn't acknowledged anything yet: its address may be
// forged, and then all that goes to somebody who didn't ask. To one that nobody vouches for, nothing is sent more than
// twice.
const (
	provenFactor   = 120
	unprovenFactor = 10
	unprovenSends  = 2
)

// wire is a transfer's socket.
type wire interface {
	ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error)
	SetReadDeadline(at time.Time) error
	Close() error
}

// transfer is one file on its way to one client. It belongs to the goroutine that sends, and afterwards to the one that
// concludes; only stop may be called by others.
//
// Datagrams have running numbers: 0 is the OACK, 1 the first block. Those that aren't acknowledged are kept.
type transfer struct {
	ask      *asking
	answer   *provision.Answer
	id       uint64 // of the request, for the report
	conn     wire
	count    *counters
	times    *timing
	peer     netip.AddrPort
	blockLen int
	window   int
	rollTo   uint16 // which number follows 65535
	proven   bool   // the peer's address is known to be its own
	budget   int    // bytes that may be sent before the peer has proven that it is there
	began    time.Time
	deadline time.Time
	unstop   func() bool // ends listening for the server's end

	oack []byte   // to be sent before the first block; nil: none, or sent
	out  [][]byte // sent and not acknowledged; only the last may be the file's last
	free [][]byte // buffers
	base uint64   // number of out[0], or of what comes next
	full bool     // the file's last block is in out or acknowledged

	sends int       // how often out was sent
	since time.Time // when out[0] was sent first
	due   time.Time // when out is to be sent again, or the client given up
	armed time.Time // what the socket was told to wait for
	trip  roundTrip
	lost  error // of the socket, when something couldn't be sent
	heard bool  // the client has acknowledged something
	gone  bool  // what the client misses was sent again and not acknowledged since

	acked   int64 // bytes of the file
	cause   error // why the file didn't arrive whole
	scolded time.Time
	in      [128]byte // what the client sends is short

	stopped atomic.Bool
}

// put sends a block of the library's, as soon as the window has room.
func (t *transfer) put(block []byte) error {
	if t.oack != nil {
		oack := t.oack
		t.oack = nil
		if err := t.add(oack); err != nil {
			return err
		}
		if err := t.settle(); err != nil { // RFC 2347: the client acknowledges it before it gets data
			return err
		}
	}
	for len(t.out) >= t.window {
		if err := t.await(); err != nil {
			return err
		}
	}
	var d []byte
	if n := len(t.free); n > 0 {
		d, t.free = t.free[n-1], t.free[:n-1]
	}
	d = append(d[:0], block...)
	binary.BigEndian.PutUint16(d[2:], t.number(t.base+uint64(len(t.out))))
	t.full = len(d)-4 < t.blockLen
	if t.full && t.heard && len(t.out) == 0 {
		t.ask.nearly.Store(true)
	}
	return t.add(d)
}

// settle waits until all is acknowledged.
func (t *transfer) settle() error {
	for len(t.out) > 0 {
		if err := t.await(); err != nil {
			return err
		}
	}
	return nil
}

// number returns the number on the wire. RFC 1350 doesn't say what follows 65535; most clients expect 0.
func (t *transfer) number(n uint64) uint16 {
	if t.rollTo == 0 || n == 0 {
		return uint16(n) //nolint:gosec // it rolls over
	}
	return uint16((n-1)%65535) + 1
}

// add sends a datagram for the first time.
func (t *transfer) add(d []byte) error {
	if !t.affords(len(d)) {
		return errUnproven
	}
	now := time.Now()
	t.out = append(t.out, d)
	t.send(d)
	if t.sends <= 1 { // else the timer runs for what is being sent again
		t.sends, t.since = 1, now
		t.wait(now)
	}
	return nil
}

// wait sets the timer for what was sent just now.
func (t *transfer) wait(now time.Time) {
	t.due = now.Add(t.trip.timeout(t.times))
	if end := t.since.Add(t.patience()); end.Before(t.due) {
		t.due = end
	}
}

// patience is how long the client may be silent. One that asked for a long timer may miss two datagrams in a row, but
// not hold a slot without having been there at all.
func (t *transfer) patience() time.Duration {
	if t.heard {
		return max(t.times.patience, 2*t.trip.fixed)
	}
	return t.times.patience
}

// affords tells whether that many bytes may be sent.
func (t *transfer) affords(n int) bool { return t.heard || n <= t.budget }

// send sends a datagram. If that fails, it is lost like any other, and the next try may do better.
func (t *transfer) send(d []byte) {
	t.budget -= len(d)
	_, err := t.conn.WriteToUDPAddrPort(d, t.peer)
	if err != nil {
		t.lost = err
	}
}

// await waits for an acknowledgement and sends again what isn't acknowledged in time.
func (t *transfer) await() error {
	for {
		if !t.due.Equal(t.armed) {
			t.armed = t.due
			at := t.due
			if t.deadline.Before(at) {
				at = t.deadline
			}
			_ = t.conn.SetReadDeadline(at) // fails only on a closed socket, whose reads end anyway
		}
		if t.stopped.Load() { // after the deadline was set: stop sets its own after this
			return errStopping
		}
		n, from, err := t.conn.ReadFromUDPAddrPort(t.in[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := t.overdue(time.Now()); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case unmap(from) != t.peer:
			t.scold(unmap(from))
		default:
			if progress, err := t.accept(t.in[:n]); progress || err != nil {
				return err
			}
		}
	}
}

// accept takes a datagram of the client and tells whether it acknowledges something that wasn't.
func (t *transfer) accept(p []byte) (progress bool, err error) {
	if len(p) < 4 {
		return false, nil
	}
	number := binary.BigEndian.Uint16(p[2:])
	switch binary.BigEndian.Uint16(p) {
	case opError:
		// RFC 1350 §7: the transfer is over, and an ERROR isn't answered.
		return false, fmt.Errorf("%w: code %d, %.64q", errRefused, number, p[4:])
	case opAck:
	default:
		return false, nil
	}
	for i := range t.out {
		if t.number(t.base+uint64(i)) == number {
			t.confirm(i + 1)
			return true, nil
		}
	}
	// RFC 7440 §4: the client has the block before, and misses one of these. One answer to that, or each repetition of
	// its datagram would have a whole window sent again. Without a window it means nothing (RFC 1123 §4.2.3.1).
	if t.window > 1 && t.heard && !t.gone && len(t.out) > 0 && t.base > 0 && t.number(t.base-1) == number {
		t.gone = true
		t.again(time.Now())
	}
	return false, nil
}

// confirm takes the first n of out for acknowledged.
func (t *transfer) confirm(n int) {
	now := time.Now()
	whole := n == len(t.out)
	if t.sends == 1 && whole { // else it isn't known which one was answered
		t.trip.add(now.Sub(t.since))
	}
	t.trip.backedOff = 0
	t.heard = true
	for _, d := range t.out[:n] {
		if binary.BigEndian.Uint16(d) == opData {
			t.acked += int64(len(d) - 4)
		}
		t.free = append(t.free, d)
	}
	t.base += uint64(n) //nolint:gosec // a length
	t.out = append(t.out[:0], t.out[n:]...)
	t.sends, t.gone = 0, false
	if !whole { // RFC 7440 §4: what follows the one that is acknowledged was lost
		t.gone = true
		t.again(now)
	}
}

// overdue handles the end of a wait: it sends again, or tells why the transfer is over.
func (t *transfer) overdue(now time.Time) error {
	switch {
	case t.stopped.Load():
		return errStopping
	case !now.Before(t.deadline):
		return errTooLong
	case now.Before(t.due): // the wait was for something earlier
		t.armed = time.Time{}
	case t.full && len(t.out) == 1 && t.heard && t.sends > maxLastResends:
		return errUnconfirmed
	case !now.Before(t.since.Add(t.patience())):
		return t.silent()
	case !t.heard && !t.proven && (t.sends >= unprovenSends || !t.affords(t.size())):
		return t.silent() // nobody vouches for the peer: it isn't waited for any longer
	case t.sends > maxResends, !t.affords(t.size()):
		t.due = t.since.Add(t.patience())
	default:
		t.trip.backOff(t.times)
		t.again(now)
	}
	return nil
}

// silent says why a client that wasn't heard may not have been.
func (t *transfer) silent() error {
	if t.lost != nil {
		return fmt.Errorf("%w, and something couldn't be sent: %w", errSilent, t.lost)
	}
	return errSilent
}

// size returns how many bytes sending again would take.
func (t *transfer) size() (n int) {
	for _, d := range t.out {
		n += len(d)
	}
	return n
}

// again sends all that isn't acknowledged.
func (t *transfer) again(now time.Time) {
	if t.sends == 0 {
		t.since = now
	}
	t.sends = max(t.sends, 1) + 1
	t.count.resent.Add(uint64(len(t.out)))
	for _, d := range t.out {
		t.send(d)
	}
	t.wait(now)
}

// scold answers a datagram that isn't of this transfer (RFC 1350 §4), once a second at most.
func (t *transfer) scold(from netip.AddrPort) {
	t.count.strangers.Add(1)
	now := time.Now()
	if from.Port() == 0 || from.Port() == wellKnownPort || now.Sub(t.scolded) < time.Second {
		return
	}
	t.scolded = now
	_, _ = t.conn.WriteToUDPAddrPort([]byte(unknownTID), from)
}

// fail notes why the file didn't arrive whole. Nil changes nothing, and the first reason counts.
func (t *transfer) fail(err error) {
	if t.cause == nil {
		t.cause = err
	}
}

// stop ends the transfer at its next wait. Any goroutine may call it, also when the transfer is over.
func (t *transfer) stop() {
	t.stopped.Store(true)
	_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // in the past; fails only on a closed socket
}

// outcome classes the cause of a transfer's end.
func outcome(cause error) result {
	switch {
	case cause == nil:
		return resultSent
	case errors.Is(cause, errUnconfirmed):
		return resultUnconfirmed
	case errors.Is(cause, errRefused):
		return resultRefused
	case errors.Is(cause, errSilent):
		return resultTimeout
	case errors.Is(cause, errUnproven):
		return resultUnproven
	case errors.Is(cause, errTooLong), errors.Is(cause, errStopping):
		return resultStopped
	default:
		return resultFailed
	}
}
