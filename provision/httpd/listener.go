package httpd

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// caps bound how many connections are open over all listeners: in all by waiting (the kernel's queue is a better place for
// phones that are switched on together than a refusal), for one address by closing.
type caps struct {
	count  *counters
	each   int
	exempt []netip.Addr // proxies: behind each are many phones
	slots  chan struct{}

	mu    sync.Mutex // guards peers
	peers map[netip.Addr]int
}

func newCaps(all, each int, exempt []netip.Addr, count *counters) *caps {
	return &caps{count: count, each: each, exempt: exempt, slots: make(chan struct{}, all), peers: map[netip.Addr]int{}}
}

func (c *caps) take(peer netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers[peer] >= c.each && !slices.Contains(c.exempt, peer) {
		return false
	}
	c.peers[peer]++
	return true
}

func (c *caps) give(peer netip.Addr) {
	c.mu.Lock()
	if c.peers[peer]--; c.peers[peer] == 0 {
		delete(c.peers, peer)
	}
	c.mu.Unlock()
	<-c.slots
}

// open returns how many connections are open.
func (c *caps) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, k := range c.peers {
		n += k
	}
	return n
}

// listener accepts within the caps.
type listener struct {
	net.Listener
	caps  *caps
	done  chan struct{} // closed by Close
	close sync.Once
}

func (c *caps) limit(l net.Listener) *listener {
	return &listener{Listener: l, caps: c, done: make(chan struct{})}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	c := l.caps
	for {
		// A connection first, then a slot for it: a listener that nobody calls must not hold one.
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case c.slots <- struct{}{}:
		case <-l.done:
			_ = inner.Close()
			return nil, net.ErrClosed
		}
		tcp, ok := inner.(*net.TCPConn)
		peer := addrPort(inner.RemoteAddr()).Addr()
		if !ok || !c.take(peer) {
			<-c.slots
			c.count.overCap.Add(1)
			_ = inner.Close()
			continue
		}
		return &conn{TCPConn: tcp, caps: c, peer: peer}, nil
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// conn is a connection that gives its slot back when it is closed, and sees what net/http refuses by itself.
type conn struct {
	*net.TCPConn // its ReadFrom, too: files go out by sendfile
	caps         *caps
	peer         netip.Addr
	once         sync.Once
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { c.caps.give(c.peer) })
	return err
}

// Write implements [net.Conn]. A request that net/http can't read it answers by itself, in one write that begins with
// one of these lines. The front end's own answers have none of these status codes. Over TLS this isn't seen.
func (c *conn) Write(p []byte) (int, error) {
	const line = "HTTP/1.1 400 "
	if len(p) >= len(line) && bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		switch string(p[len("HTTP/1.1 "):len(line)]) {
		case "400 ", "417 ", "431 ", "501 ", "505 ":
			c.caps.count.results[resultUnreadable].Add(1)
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
