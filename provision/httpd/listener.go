package httpd

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
)

// listener bounds how many connections are open: in all by waiting (the kernel's queue is a better place for phones
// that are switched on together than a refusal), for one address by closing.
type listener struct {
	net.Listener
	count *counters
	each  int
	slots chan struct{}
	done  chan struct{} // closed by Close
	close sync.Once

	mu    sync.Mutex // guards peers
	peers map[netip.Addr]int
}

func limit(l net.Listener, all, each int, count *counters) *listener {
	return &listener{
		Listener: l, count: count, each: each,
		slots: make(chan struct{}, all), done: make(chan struct{}), peers: map[netip.Addr]int{},
	}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
		inner, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		tcp, ok := inner.(*net.TCPConn)
		peer := addrPort(inner.RemoteAddr()).Addr()
		if !ok || !l.take(peer) {
			<-l.slots
			l.count.overCap.Add(1)
			_ = inner.Close()
			continue
		}
		return &conn{TCPConn: tcp, l: l, peer: peer}, nil
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}

func (l *listener) take(peer netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers[peer] >= l.each {
		return false
	}
	l.peers[peer]++
	return true
}

func (l *listener) give(peer netip.Addr) {
	l.mu.Lock()
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
	l.mu.Unlock()
	<-l.slots
}

// open returns how many connections are open.
func (l *listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.peers {
		n += c
	}
	return n
}

// conn is a connection that gives its slot back when it is closed, and sees what net/http refuses by itself.
type conn struct {
	*net.TCPConn // its ReadFrom, too: files go out by sendfile
	l            *listener
	peer         netip.Addr
	once         sync.Once
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { c.l.give(c.peer) })
	return err
}

// Write implements [net.Conn]. A request that net/http can't read it answers by itself, in one write that begins with
// one of these lines. The front end's own answers have none of these status codes.
func (c *conn) Write(p []byte) (int, error) {
	const line = "HTTP/1.1 400 "
	if len(p) >= len(line) && bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		switch string(p[len("HTTP/1.1 "):len(line)]) {
		case "400 ", "417 ", "431 ", "501 ", "505 ":
			c.l.count.results[resultUnreadable].Add(1)
		}
	}
	return c.TCPConn.Write(p)
}

// addrPort returns the netip form of an address, IPv4 as such.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
