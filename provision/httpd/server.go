package httpd

import (
	"cmp"
	"context"
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
	Addr    string
	Handler provision.Handler
	Log     *slog.Logger // nil: silent
	// Connections is how many may be open at a time, PeerConnections how many of one address. Zero means 1024 and 32.
	Connections, PeerConnections int

	listener *listener
	running  sync.WaitGroup // requests
	count    counters
	times    timing
}

var _ http.Handler = (*Server)(nil)

// Open binds the socket. Its errors say what to do about them.
func (s *Server) Open() error {
	addr, err := net.ResolveTCPAddr("tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	family := "tcp"
	if addr.IP.To4() != nil {
		family = "tcp4" // else 0.0.0.0 would mean IPv6, too
	}
	l, err := net.ListenTCP(family, addr)
	if err != nil {
		return fmt.Errorf("http: %w%s", err, remedy(err, addr.Port))
	}
	s.listener = limit(l, cmp.Or(s.Connections, 1024), cmp.Or(s.PeerConnections, 32), &s.count)
	s.times = cmp.Or(s.times, defaultTiming())
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return nil
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

// LocalAddr returns the address that Open bound.
func (s *Server) LocalAddr() netip.AddrPort { return addrPort(s.listener.Addr()) }

// Stats returns the counts since Open.
func (s *Server) Stats() Stats {
	st := s.count.stats()
	st.Connections = s.listener.open()
	return st
}

// Run serves until ctx ends, then gives running answers five seconds and breaks off those that are left. It returns
// after all goroutines that it started, with nil unless the socket failed for good.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            s.times.header,
		ReadTimeout:                  s.times.read,
		WriteTimeout:                 s.times.send(0),
		IdleTimeout:                  s.times.idle,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is 405 like every other method
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.listener) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("http: %w", err), server.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.times.drain)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if why := <-failed; !errors.Is(why, http.ErrServerClosed) {
		err = errors.Join(err, why)
	}
	s.running.Wait()
	return err
}
