// Package web is the appliance's face for people and programs: the administration API and the console, both on Echo.
//
// Phones never come here; their files are served by provision/httpd. The API is answered on the unix socket,
// whose file permissions say who may use it, and on the console's port to who signs in or has a token.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"golang.org/x/sync/errgroup"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// socketMode lets the daemon's group in: whoever may administer is put into it.
const socketMode = 0o660

// Server serves the API on a unix socket and the console on TCP. Open it, then Run it, both once.
type Server struct {
	Admin *admin.Service
	Keys  *admin.Keys // nil: no tokens for phones are issued
	Build api.Version
	// Socket is the path of the unix socket. One that a dead process left behind is replaced.
	Socket string
	// Console is the address that the console listens on, such as 127.0.0.1:8080. Empty: no console.
	Console string
	// Names are the host names that the console is opened by, besides localhost and addresses of any kind.
	Names []string
	// TLS is what the console speaks; nil: HTTP, and then its API is for this host only.
	TLS *tls.Config
	// Public lets in who doesn't come from a private address or a network that this host has a card in.
	Public bool
	Access *access.Gate
	Audit  access.AuditStore
	// Site turns the whole site into a file and back; nil: it can't be exported.
	Site SiteFile
	// Settings are those in force, as people may see them, in the shape of their file.
	Settings map[string]any
	// Metrics returns what the other parts count; nil: nothing.
	Metrics func(context.Context) ([]Metric, error)
	// Ready returns the parts that serve phones. Alive returns as long as they can be asked. Both may be nil.
	Ready func() []Part
	Alive func()
	// Leases subscribes to what happens to leases; nil: nobody is told of it.
	Leases func(buf int) *lease.Subscription
	// LogLevels has a level for each part of the program.
	LogLevels map[string]*slog.LevelVar
	Log       *slog.Logger

	socket, console net.Listener
	tally           tally
	bus             *bus
	contract        *api.Contract // set by readContract
	answers         answers
}

// Open starts to listen, so that what stands in the way is known before anything is served.
func (s *Server) Open(ctx context.Context) error {
	if err := errors.Join(s.readContract(), removeDead(ctx, s.Socket)); err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", s.Socket)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Socket, err)
	}
	if err := os.Chmod(s.Socket, socketMode); err != nil {
		return errors.Join(fmt.Errorf("protect %s: %w", s.Socket, err), l.Close())
	}
	s.socket, s.bus = l, newBus(time.Now())
	if s.Admin.Jobs != nil {
		s.Admin.Jobs.Tell(s.tellJob)
	}
	if s.Console == "" {
		return nil
	}
	if s.console, err = lc.Listen(ctx, "tcp", s.Console); err != nil {
		return errors.Join(fmt.Errorf("console on %s: %w; choose another console.listen or end the program that has it", s.Console, err), l.Close())
	}
	return nil
}

// removeDead removes a socket that nobody listens on any more.
func removeDead(ctx context.Context, path string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // it was only asked for
		return fmt.Errorf("%s: another dialtone listens there already", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket of an earlier run: %w", err)
	}
	return nil
}

// ConsoleAddr returns the address that the console listens on, nil if there is none. It is known after Open.
func (s *Server) ConsoleAddr() net.Addr {
	if s.console == nil {
		return nil
	}
	return s.console.Addr()
}

// Run serves until ctx ends, then lets requests in hand finish for up to five seconds.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	serve := func(l net.Listener, h http.Handler, config *tls.Config) {
		srv := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
			TLSConfig: config, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		}
		group.Go(func() error {
			run := srv.Serve
			if config != nil {
				run = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
			}
			if err := run(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := srv.Shutdown(last); err != nil {
				return srv.Close()
			}
			return nil
		})
	}
	group.Go(func() error { return s.watch(ctx) })
	operations, err := s.socketHandler()
	if err != nil {
		return err
	}
	serve(s.socket, operations, nil)
	if s.console != nil {
		h, err := s.consoleHandler()
		if err != nil {
			return err
		}
		serve(s.console, h, s.TLS)
	}
	return group.Wait()
}

// newEcho returns an Echo with what every face of ours needs.
func (s *Server) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		x, ok := errors.AsType[*echo.HTTPError](err)
		switch {
		case ok && x.Code == http.StatusMethodNotAllowed && strings.HasPrefix(c.Request().URL.Path, "/api/"):
			s.problem(c.Response(), c.Request(), errMethod)
		case ok && x.Code == http.StatusNotFound && strings.HasPrefix(c.Request().URL.Path, "/api/"):
			s.problem(c.Response(), c.Request(), fmt.Errorf("there is no %s: %w", provision.Printable(c.Request().URL.Path), provision.ErrNotFound))
		default:
			e.DefaultHTTPErrorHandler(err, c)
		}
	}
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.Log.ErrorContext(c.Request().Context(), "console request panicked", "path", c.Path(), "err", err, "stack", string(stack))
			return err
		},
	}))
	return e
}
