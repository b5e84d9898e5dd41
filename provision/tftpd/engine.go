package tftpd

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pin/tftp/v3"
)

// engine is a server of the library that serves one request after the other. It is the connection ([net.PacketConn])
// that the library works on: what the library reads from it are normalised requests and, while one is served,
// acknowledgements.
//
// Two goroutines of the library's work here. One reads: while nothing is being sent, it waits for the next request and
// asks the pipeline (that is all done in ReadFrom). The other is started by the library for each transfer and sends.
// The library hands over acknowledgements from the first to the second by a channel that it drops from when full, and
// closes at the end. So the reading one gives exactly one acknowledgement for each datagram that the library sends,
// when the sending one says so, and nothing when the transfer is over.
//
// The acknowledgement is given when the datagram has been sent, while the client's is still on its way; the transfer
// waits for that one before it sends further. So the hand-over costs no time of the client's, and a window is possible.
type engine struct {
	server *Server
	lib    *tftp.Server
	ctx    context.Context //nolint:containedctx // of all its requests; the library's calls have none
	first  *asking         // the request that it was made for; then nil
	t      *transfer       // what is being sent; nil: nothing
	say    chan cue
	ack    [4]byte
	// client stands for all clients: the library tells them apart by their addresses, but there is one at a time.
	client net.UDPAddr
}

// cue is what the sending goroutine tells the reading one: the number to acknowledge, or that all is over.
type cue struct {
	number uint16
	over   bool
}

// run has an engine serve a request, and then what comes from the queue, until that is closed.
func (s *Server) run(ctx context.Context, first asking) {
	e := &engine{server: s, ctx: ctx, first: &first, say: make(chan cue), client: net.UDPAddr{Port: 1}}
	e.lib = tftp.NewServer(e.send, nil)
	e.lib.SetBlockSizeNegotiation(false) // it would allow 512 only, not knowing the interface
	e.lib.EnableSinglePort()
	if err := e.lib.Serve(e); err != nil {
		s.Log.ErrorContext(ctx, "tftp engine", "err", err)
	}
}

// ReadFrom implements [net.PacketConn] for the reading goroutine.
func (e *engine) ReadFrom(p []byte) (int, net.Addr, error) {
	for e.t != nil {
		c := <-e.say
		if !c.over {
			binary.BigEndian.PutUint16(e.ack[:], opAck)
			binary.BigEndian.PutUint16(e.ack[2:], c.number)
			return copy(p, e.ack[:]), &e.client, nil
		}
		e.server.conclude(e.ctx, e.t)
		e.t = nil
	}
	for a := e.first; ; a = nil {
		e.first = nil
		if a == nil {
			next, more := <-e.server.queue
			if !more {
				e.lib.Shutdown()
				return 0, nil, net.ErrClosed
			}
			a = &next
		}
		if e.t = e.server.prepare(e.ctx, a); e.t != nil {
			// The library sizes its buffers by it. One more than 512 is the least that it takes.
			e.lib.SetBlockSize(max(e.t.blockLen, defaultBlock+1))
			return copy(p, e.t.ask.datagram()), &e.client, nil
		}
	}
}

// send is the library's handler, on the sending goroutine. All that was sent is waited for, also when there is no more
// to send because the body failed: what the client has of it is known then.
func (e *engine) send(_ string, to io.ReaderFrom) error {
	t := e.t
	err := e.read(to)
	if t.cause == nil {
		if late := t.settle(); err == nil {
			err = late
		}
	}
	t.fail(err)
	e.say <- cue{over: true}
	return nil
}

// read lets the library send the body, which may panic. The library ends its part of the transfer within to.ReadFrom,
// which is therefore called in any case.
func (e *engine) read(to io.ReaderFrom) (err error) {
	defer func() {
		if v := recover(); v != nil {
			e.server.caught(e.ctx, e.t.ask, v)
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	_, err = to.ReadFrom(e.t.answer.Body)
	return err
}

// WriteTo implements [net.PacketConn] for the sending goroutine. The OACK of the library isn't sent: ours is. Nor is an
// ERROR of the library, which has the text of a Go error: what the client is told is said by conclude.
//
// The library holds its lock meanwhile, for which the reading goroutine waits as soon as it is told something. So that
// comes last, and when the transfer fails, the reading goroutine rests in ReadFrom.
func (e *engine) WriteTo(p []byte, _ net.Addr) (int, error) {
	switch binary.BigEndian.Uint16(p) {
	case opOAck:
		e.say <- cue{number: 0}
	case opData:
		number := binary.BigEndian.Uint16(p[2:])
		if err := e.t.put(p); err != nil {
			e.t.fail(err)
			return 0, err
		}
		e.say <- cue{number: number}
	}
	return len(p), nil
}

// LocalAddr implements [net.PacketConn]. The library only wants to see an IP address.
func (e *engine) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4zero} }

// Close implements [net.PacketConn]. It does nothing: the sockets are the transfers'.
func (e *engine) Close() error { return nil }

// SetDeadline implements [net.PacketConn]. It does nothing, like the two below: the transfers have their own deadlines.
func (e *engine) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements [net.PacketConn].
func (e *engine) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.PacketConn].
func (e *engine) SetWriteDeadline(time.Time) error { return nil }

var _ net.PacketConn = (*engine)(nil)
