package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/web/api"
)

const (
	socketName = "api.sock" // below the state folder
	apiPath    = "/api/v1"
	usualTime  = time.Minute // for an answer, unless --timeout says otherwise
)

// remote is which daemon is spoken to: the one of a state folder on this machine, by its socket, or the one of a URL.
type remote struct {
	server string // --server; empty: the socket
	token  string // --token-file
	ca     string // --ca
	limit  time.Duration
}

// client returns a client of the daemon that was named.
func (a *app) client() (*api.ClientWithResponses, error) {
	c, err := a.transport(usualTime)
	if err != nil {
		return nil, err
	}
	return &api.ClientWithResponses{ClientInterface: c}, nil
}

// transport returns a client that leaves the answers as they come, each within a time unless --timeout says another;
// zero: however long it takes.
func (a *app) transport(timeout time.Duration) (*api.Client, error) {
	base, options := "http://dialtone"+apiPath, []api.ClientOption(nil)
	transport := &http.Transport{DialContext: a.dialSocket}
	if server := a.distantServer(); server != "" {
		u, err := serverURL(server)
		if err != nil {
			return nil, err
		}
		if transport, err = a.distant(u.Host); err != nil {
			return nil, err
		}
		token, err := a.bearer()
		if err != nil {
			return nil, err
		}
		base = u.String() + apiPath
		options = append(options, api.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	}
	client := &http.Client{
		Transport: transport, Timeout: cmp.Or(a.remote.limit, timeout),
		// The API sends nobody elsewhere, and a token is for the one that it was written for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := api.NewClient(base, append(options, api.WithHTTPClient(plainly{client}))...)
	if err != nil {
		return nil, fmt.Errorf("daemon's client: %w", err)
	}
	return c, nil
}

// plainly does requests whose errors don't begin with the method and the URL, which mean nothing to whoever gave a verb, and
// have a remedy.
type plainly struct{ *http.Client }

// Do implements [api.HttpRequestDoer].
func (c plainly) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(r) //nolint:gosec // where to is what --server says
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		err = fmt.Errorf("%w; if it is the right daemon, name the file with its authority: --ca", err)
	}
	return resp, err
}

// distantServer is the URL of a daemon elsewhere; empty: the one of the state folder is meant.
func (a *app) distantServer() string { return cmp.Or(a.remote.server, a.env("DIALTONE_SERVER")) }

func (a *app) dialSocket(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(a.state, socketName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w; is `dialtone serve` running, and is --state its folder?", errUnreachable, err)
	}
	return conn, nil
}

// serverURL reads --server. Without TLS only this machine is spoken to, because the network could read the token.
func serverURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%w: --server %q is not a URL such as https://192.0.2.1:8080", errUsage, s)
	}
	if u.Path = strings.TrimRight(u.Path, "/"); u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%w: --server has more than scheme, host and port", errUsage)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return nil, fmt.Errorf("%w: --server %s: the token would go through the network in the clear; use https", errUsage, u)
	}
	return u, nil
}

// distant connects to a daemon by TCP, and trusts the authorities of --ca alone if there are any.
func (a *app) distant(host string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := cmp.Or(a.remote.ca, a.env("DIALTONE_CA")); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read --ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%w: --ca %s has no certificate in PEM", errUsage, file)
		}
	}
	return &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, fmt.Errorf("%w: %w; does the console of %s listen there (console.listen in its settings)?", errUnreachable, err, host)
			}
			return conn, nil
		},
	}, nil
}

// bearer reads the token: from a file or the environment, never from a flag, which others on this machine could see.
func (a *app) bearer() (string, error) {
	file := cmp.Or(a.remote.token, a.env("DIALTONE_TOKEN_FILE"))
	token := a.env("DIALTONE_TOKEN")
	if file != "" {
		data, err := a.read(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		token = string(data)
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return "", fmt.Errorf("%w: --server needs a token: make one with `dialtone token create` on the appliance and name its file with --token-file", errUsage)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%w: the token has characters that none of ours has", errUsage)
	}
	return token, nil
}

// timedOut reports whether an answer took longer than it was given.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
