package tftpd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Why a transfer ended before its end. None is a net.Error: the library would try those again.
var (
	errSilent      = errors.New("the client fell silent")
	errUnconfirmed = errors.New("the last block wasn't acknowledged")
	errRefused     = errors.New("the client refused")
	errTooLong     = errors.New("the transfer took too long")
	errStopping    = errors.New("the server is stopping")
)

// timing has the times of a transfer; tests shorten them.
type timing struct {
	first    time.Duration // resend timer while no round trip has been seen: RFC 1123 §4.2.3.2 asks for adaptive ones
	floor    time.Duration // least resend timer
	ceiling  time.Duration // greatest
	patience time.Duration // how long a client may be silent
	drain    time.Duration // how long running transfers may go on when the server stops
}

func defaultTiming() timing {
	return timing{
		first:    time.Second,
		floor:    100 * time.Millisecond,
		ceiling:  6 * time.Second,
		patience: 25 * time.Second,
		drain:    5 * time.Second,
	}
}

// A datagram is sent at most 1 + maxResends times. The last one of a file, which many a client doesn't acknowledge
// because it has all it wants, only 1 + maxLastResends times.
const (
	maxResends     = 5
	maxLastResends = 2
)

// transfer is one file on its way to one client. It is the connection ([net.PacketConn]) that a library server of its
// own works on: the first datagram that this reads is the normalised request, the others are the client's.
//
// For each datagram that the library sends it is given exactly one: the acknowledgement that fits, or an ERROR if the
// transfer is over. Repeated and foreign ones end here, and resending is done here. That keeps the library's channel,
// which drops what doesn't fit, from ever holding two, and from being closed while one is being put in.
type transfer struct {
	conn     *net.UDPConn
	peer     netip.AddrPort
	from     *net.UDPAddr // peer, as the library wants it
	blockLen int
	deadline time.Time
	times    timing
	count    *counters
	over     chan struct{} // closed when the library needs nothing more

	request []byte // of the reading goroutine: what it reads first, then nil

	mu       sync.Mutex // guards what follows; held over sends to conn, which don't wait for anybody
	cause    error      // why the transfer is over; nil while it runs
	last     []byte     // the datagram that was sent last
	awaiting bool       // the library waits for an answer to last
	sends    int        // how often last was sent
	began    time.Time  // when last was sent first
	due      time.Time  // when last is to be sent again, or the client given up
	trip     roundTrip
	answered bool  // the client has acknowledged something
	acked    int64 // bytes of the file
	complete bool  // the last block was acknowledged
	scolded  time.Time
}

// ReadFrom implements [net.PacketConn]: it gives the library the next datagram that it may see. It fails only when the
// library is through.
func (t *transfer) ReadFrom(p []byte) (int, net.Addr, error) {
	if t.request != nil {
		n := copy(p, t.request)
		t.request = nil
		return n, t.from, nil
	}
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(p)
		switch {
		case t.isOver():
		case err != nil:
			if !t.overdue(err) {
				continue
			}
		case unmap(from) != t.peer:
			t.scold(unmap(from))
			continue
		default:
			pass, over := t.accept(p[:n])
			if pass {
				return n, t.from, nil
			}
			if !over {
				continue
			}
		}
		if t.surrender() {
			return copy(p, endOfClient), t.from, nil
		}
		<-t.over
		return 0, nil, net.ErrClosed
	}
}

// accept tells whether a datagram of the client is for the library, and whether it ends the transfer.
func (t *transfer) accept(p []byte) (pass, over bool) {
	if len(p) < 4 {
		return false, false
	}
	number := binary.BigEndian.Uint16(p[2:])
	t.mu.Lock()
	defer t.mu.Unlock()
	switch binary.BigEndian.Uint16(p) {
	case opError:
		// RFC 1350 §7: the transfer is over, and an ERROR isn't answered.
		if t.cause == nil {
			t.cause = fmt.Errorf("%w: code %d, %.64q", errRefused, number, p[4:])
		}
		return false, true
	case opAck:
		// RFC 1123 §4.2.3.1: only the first acknowledgement of a block sends the next one.
		if !t.awaiting || t.cause != nil || number != t.block() {
			return false, false
		}
	default:
		return false, false
	}
	t.awaiting = false
	t.answered = true
	if t.sends == 1 { // else it isn't known which of them was answered
		t.trip.add(time.Since(t.began))
	}
	if t.isData() {
		t.acked += int64(len(t.last) - 4)
		t.complete = t.isLast()
	}
	return true, false
}

// overdue handles the end of a wait: it sends again, or tells that the transfer is over.
func (t *transfer) overdue(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.cause != nil, t.complete:
		return true
	case !errors.Is(err, os.ErrDeadlineExceeded):
		t.cause = err
	case !now.Before(t.deadline):
		t.cause = errTooLong
	case !t.awaiting || now.Before(t.due): // the wait was for an earlier datagram
		t.wake()
	case t.isLast() && t.answered && t.sends > maxLastResends:
		t.cause = errUnconfirmed
	case t.sends > maxResends:
		t.cause = errSilent
	default:
		t.trip.backOff(t.times)
		t.sends++
		t.count.resent.Add(1)
		_, _ = t.conn.WriteToUDPAddrPort(t.last, t.peer) // the next try may do better
		t.setDue(now)
	}
	return t.cause != nil
}

// setDue says when last is to be sent again. After the last try the client has what is left of our patience.
func (t *transfer) setDue(now time.Time) {
	t.due = now.Add(t.trip.timeout(t.times))
	if patience := t.began.Add(t.times.patience); t.sends > maxResends && t.due.Before(patience) {
		t.due = patience
	}
	t.wake()
}

// wake makes the pending read end when there is something to do.
func (t *transfer) wake() {
	at := t.deadline
	if t.awaiting && t.due.Before(at) {
		at = t.due
	}
	_ = t.conn.SetReadDeadline(at) // fails only on a closed socket, whose reads end anyway
}

// isOver tells whether the library needs nothing more.
func (t *transfer) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// surrender tells whether the library waits for a datagram, which it then no longer does.
func (t *transfer) surrender() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	waits := t.awaiting
	t.awaiting = false
	return waits
}

// scold answers a datagram that isn't of this transfer (RFC 1350 §4), once a second at most.
func (t *transfer) scold(from netip.AddrPort) {
	t.count.strangers.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if from.Port() == 0 || from.Port() == wellKnownPort || now.Sub(t.scolded) < time.Second {
		return
	}
	t.scolded = now
	_, _ = t.conn.WriteToUDPAddrPort([]byte(unknownTID), from)
}

// WriteTo implements [net.PacketConn]: it sends a DATA or OACK to the client. An ERROR of the library, which has the
// text of a Go error, goes nowhere: what the client is told is said by finish.
func (t *transfer) WriteTo(p []byte, _ net.Addr) (int, error) {
	op := binary.BigEndian.Uint16(p)
	if op == opError {
		return len(p), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != nil {
		return 0, t.cause
	}
	t.last = append(t.last[:0], p...)
	if op == opOAck {
		t.last = trueSize(t.last)
	}
	if _, err := t.conn.WriteToUDPAddrPort(t.last, t.peer); err != nil {
		return 0, err
	}
	t.awaiting, t.sends, t.began = true, 1, time.Now()
	t.setDue(t.began)
	return len(p), nil
}

// block returns the number by which last is acknowledged.
func (t *transfer) block() uint16 {
	if t.isData() {
		return binary.BigEndian.Uint16(t.last[2:])
	}
	return 0 // RFC 2347: an OACK is acknowledged as block 0
}

func (t *transfer) isData() bool { return binary.BigEndian.Uint16(t.last) == opData }

// isLast tells whether last is the file's last block: a short one.
func (t *transfer) isLast() bool { return t.isData() && len(t.last)-4 < t.blockLen }

// stop ends the transfer, unless it is over.
func (t *transfer) stop(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil && !t.complete {
		t.cause = cause
	}
	_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // in the past; fails only on a closed socket
}

// finish lets the library's reading goroutine end and closes the socket. A client that still waits is told to try again.
func (t *transfer) finish() {
	t.mu.Lock()
	cause := t.cause
	t.mu.Unlock()
	switch outcome(cause) {
	case resultFailed, resultStopped:
		_, _ = t.conn.WriteToUDPAddrPort([]byte(temporary), t.peer)
	default:
	}
	close(t.over)
	_ = t.conn.Close() // nothing was buffered
}

// end returns how many bytes of the file arrived, and why the rest didn't.
func (t *transfer) end() (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked, t.cause
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
	case errors.Is(cause, errTooLong), errors.Is(cause, errStopping):
		return resultStopped
	default:
		return resultFailed
	}
}

// LocalAddr implements [net.PacketConn]. The library only wants to see an IP address, without a zone.
func (t *transfer) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(local(t.conn).Addr().WithZone(""), local(t.conn).Port()))
}

// Close implements [net.PacketConn]. It does nothing: the socket is the transfer's, and finish closes it.
func (t *transfer) Close() error { return nil }

// SetDeadline implements [net.PacketConn]. It does nothing, like the two below: the transfer has its own deadlines.
func (t *transfer) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements [net.PacketConn].
func (t *transfer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.PacketConn].
func (t *transfer) SetWriteDeadline(time.Time) error { return nil }

var _ net.PacketConn = (*transfer)(nil)

// roundTrip estimates the time to an acknowledgement as RFC 6298 §2 does. Its zero value has seen none.
type roundTrip struct {
	mean, spread time.Duration
	backedOff    time.Duration // the timer since the last resend, or zero
}

// add takes a measurement into account and ends backing off.
func (r *roundTrip) add(d time.Duration) {
	d = max(d, 1)
	r.backedOff = 0
	if r.mean == 0 {
		r.mean, r.spread = d, d/2
		return
	}
	r.spread = (3*r.spread + (r.mean - d).Abs()) / 4
	r.mean = (7*r.mean + d) / 8
}

// timeout returns how long to wait before sending again.
func (r *roundTrip) timeout(t timing) time.Duration {
	switch {
	case r.backedOff > 0:
		return r.backedOff
	case r.mean == 0:
		return t.first
	}
	return min(max(r.mean+4*r.spread, t.floor), t.ceiling)
}

// backOff doubles the timer.
func (r *roundTrip) backOff(t timing) { r.backedOff = min(2*r.timeout(t), t.ceiling) }
