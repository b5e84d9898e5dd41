package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// maxHeader bounds a request's headers, in bytes.
const maxHeader = 16 << 10

// timing has the times that a client has for its part; tests shorten them.
type timing struct {
	header time.Duration // from the first byte to the end of the headers
	read   time.Duration // to the end of the request
	write  time.Duration // for an answer of no size
	idle   time.Duration // between two requests
	drain  time.Duration // how long running answers may go on when the server stops
	rate   int64         // the slowest line, in bytes a second: what an answer of some size gets in addition
}

func defaultTiming() timing {
	return timing{
		header: 10 * time.Second,
		read:   20 * time.Second,
		write:  30 * time.Second,
		idle:   time.Minute,
		drain:  5 * time.Second,
		rate:   16 << 10,
	}
}

// send returns how long an answer may take.
func (t timing) send(size int64) time.Duration {
	return t.write + time.Duration(size/t.rate)*time.Second
}

// Server answers GET and HEAD. Set its fields, then call Open, then Run, once each. The other methods may be called by
// any goroutine after Open.
type Server struct {
	// Addr is where to listen, "host:port". An empty host means every address, IPv4 and IPv6.
	Addr string
	// TLSAddr is where to listen for HTTPS, in addition, with that config. Empty: nowhere.
	TLSAddr string
	TLS     *tls.Config
	// Identify says what the certificates that a phone has shown prove, its own first. Nil: they count for nothing.
	Identify func([]*x509.Certificate, time.Time) *provision.Cert
	// Proxies are the reverse proxies whose X-Forwarded-For counts.
	Proxies []netip.Addr
	Handler provision.Handler
	Log     *slog.Logger // nil: silent
	// Connections is how many may be open at a time, PeerConnections how many of one address but a proxy's. Zero means
	// 1024 and 32. HTTPS is included.
	Connections, PeerConnections int

	caps    *caps
	plain   *listener
	secure  *listener      // nil: no HTTPS
	running sync.WaitGroup // requests
	count   counters
	times   timing
}

var _ http.Handler = (*Server)(nil)

// Open binds the sockets. Its errors say what to do about them.
func (s *Server) Open() error {
	s.caps = newCaps(cmp.Or(s.Connections, 1024), cmp.Or(s.PeerConnections, 32), s.Proxies, &s.count)
	s.times = cmp.Or(s.times, defaultTiming())
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	l, err := listen(s.Addr)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	s.plain = s.caps.limit(l)
	if s.TLSAddr == "" {
		return nil
	}
	if l, err = listen(s.TLSAddr); err != nil {
		return errors.Join(fmt.Errorf("https: %w", err), s.plain.Close())
	}
	s.secure = s.caps.limit(l)
	return nil
}

func listen(at string) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		return nil, err
	}
	family := "tcp"
	if addr.IP.To4() != nil {
		family = "tcp4" // else 0.0.0.0 would mean IPv6, too
	}
	// Nothing is waited for without a deadline, so the kernel's keep-alive would cost four system calls for nothing.
	without := net.ListenConfig{KeepAlive: -1}
	without.SetMultipathTCP(false)
	l, err := without.Listen(context.Background(), family, addr.String())
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, remedy(err, addr.Port))
	}
	return l, nil
}

// remedy says what to do about a port that can't be had.
func remedy(err error, port int) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Sprintf(": a port under 1024 needs root or CAP_NET_BIND_SERVICE; else choose another one than %d", port)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf(": another server has port %d; `ss -ltnp sport = :%d` names it", port, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no interface has that address (yet)"
	}
	return ""
}

// LocalAddr returns the address that Open bound for HTTP.
func (s *Server) LocalAddr() netip.AddrPort { return addrPort(s.plain.Addr()) }

// LocalTLSAddr returns the address that Open bound for HTTPS; zero if there is none.
func (s *Server) LocalTLSAddr() netip.AddrPort {
	if s.secure == nil {
		return netip.AddrPort{}
	}
	return addrPort(s.secure.Addr())
}

// Stats returns the counts since Open.
func (s *Server) Stats() Stats {
	st := s.count.stats()
	st.Connections = s.caps.open()
	return st
}

// Run serves until ctx ends, then gives running answers five seconds and breaks off those that are left. It returns
// after all goroutines that it started, with nil unless a socket failed for good.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            s.times.header, // of a handshake, too
		ReadTimeout:                  s.times.read,
		WriteTimeout:                 s.times.send(0),
		IdleTimeout:                  s.times.idle,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is 405 like every other method
		ErrorLog: slog.NewLogLogger(remarks{
			Handler: s.Log.Handler(), count: &s.count, log: s.Log, hush: &hush{said: make(map[netip.Addr]time.Time)},
		}, slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		// HTTP/2 has limits of its own, and no phone needs it.
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	listeners := []net.Listener{s.plain}
	if s.secure != nil {
		listeners = append(listeners, tls.NewListener(s.secure, s.TLS))
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	left := len(listeners)
	var broken error
	select {
	case err := <-failed:
		left--
		broken = fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.times.drain)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	for range left {
		if why := <-failed; !errors.Is(why, http.ErrServerClosed) {
			err = errors.Join(err, why)
		}
	}
	s.running.Wait()
	return errors.Join(broken, err)
}
