package httpd

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/pki"
)

// vendor makes devices' certificates.
type vendor struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newVendor(tb testing.TB) vendor {
	tb.Helper()
	v := vendor{tb: tb}
	v.cert, v.key = v.make("Vendor Root", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	return v
}

func (v vendor) make(name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	v.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		v.tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(c)
	}
	parent, by := v.cert, v.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		v.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		v.tb.Fatal(err)
	}
	return cert, key
}

// device returns what a phone of the vendor's shows.
func (v vendor) device(name string, change func(*x509.Certificate)) *tls.Certificate {
	cert, key := v.make(name, change)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// secured adds a TLS listener whose keeper trusts the vendor.
func secured(tb testing.TB, v vendor, change func(*Server)) (func(*Server), *pki.Keeper) {
	tb.Helper()
	k := &pki.Keeper{Dir: tb.TempDir()}
	if v.cert != nil {
		dir := filepath.Join(k.Dir, "factory")
		if err := os.Mkdir(dir, 0o700); err != nil {
			tb.Fatal(err)
		}
		data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.cert.Raw})
		if err := os.WriteFile(filepath.Join(dir, "vendor.pem"), data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if err := k.Open(time.Now()); err != nil {
		tb.Fatal(err)
	}
	return func(s *Server) {
		s.TLSAddr, s.TLS, s.Identify = "127.0.0.1:0", k.Config(), k.Identify
		if change != nil {
			change(s)
		}
	}, k
}

// dialTLS connects to the TLS listener, without a handshake.
func dialTLS(tb testing.TB, s *Server) net.Conn {
	tb.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(tb.Context(), "tcp", s.LocalTLSAddr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func trust(k *pki.Keeper) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.Authority().PEM())
	return roots
}

// askTLS asks over TLS, with that certificate if it isn't nil.
func askTLS(tb testing.TB, s *Server, k *pki.Keeper, cert *tls.Certificate, raw string) reply {
	tb.Helper()
	config := &tls.Config{RootCAs: trust(k), ServerName: "127.0.0.1"}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	c := tls.Client(dialTLS(tb, s), config)
	if _, err := io.WriteString(c, raw); err != nil {
		tb.Fatal(err)
	}
	return answerFrom(tb, bufio.NewReader(c), raw)
}

// TestTLS: a phone is served with and without a certificate, and what its certificate proves reaches the pipeline.
func TestTLS(t *testing.T) {
	t.Parallel()
	const mac = "001565AABBCC"
	hw := hwaddr.MustParse(mac)
	ours, stranger := newVendor(t), newVendor(t)
	h := serving(files)
	change, k := secured(t, ours, nil)
	s := start(t, h, change)
	for _, c := range []struct {
		name string
		cert *tls.Certificate
		want *provision.Cert // but for subject and note
		note string
	}{
		{"none", nil, nil, ""},
		{"factory", ours.device(mac, nil), &provision.Cert{Level: provision.CertFactory, HW: hw}, ""},
		{"foreign", stranger.device(mac, nil), &provision.Cert{Level: provision.CertClaim, HW: hw}, "isn't known here"},
		{"ended", ours.device(mac, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), &provision.Cert{Level: provision.CertClaim, HW: hw}, "is valid from"},
		{"not for clients", ours.device(mac, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), &provision.Cert{Level: provision.CertClaim, HW: hw}, "isn't meant"},
	} {
		got := askTLS(t, s, k, c.cert, get("/aastra.cfg"))
		if got.StatusCode != http.StatusOK || got.content != files["aastra.cfg"] {
			t.Errorf("%s: got %d", c.name, got.StatusCode)
		}
		r, _ := h.last(t)
		if !r.TLS || r.Peer != netip.MustParseAddr("127.0.0.1") || r.Local != r.Peer {
			t.Errorf("%s: got TLS %v from %s to %s", c.name, r.TLS, r.Peer, r.Local)
		}
		if want := map[bool]string{true: mac}[c.cert != nil]; r.Fields[provision.FieldTLSName] != want {
			t.Errorf("%s: field: got %q, want %q", c.name, r.Fields[provision.FieldTLSName], want)
		}
		if diff := cmp.Diff(c.want, r.Cert, cmpopts.IgnoreFields(provision.Cert{}, "Subject", "Note")); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if r.Cert != nil && (!strings.Contains(r.Cert.Note, c.note) || (c.note == "") != (r.Cert.Note == "")) {
			t.Errorf("%s: note: got %q, want %q", c.name, r.Cert.Note, c.note)
		}
	}
	ask(t, s, get("/aastra.cfg"))
	if r, _ := h.last(t); r.TLS || r.Cert != nil {
		t.Errorf("over HTTP: got %+v", r)
	}
}

// TestThreatOverTLS: what holds for HTTP holds for HTTPS.
func TestThreatOverTLS(t *testing.T) {
	t.Parallel()
	t.Run("S25", func(t *testing.T) {
		t.Parallel()
		change, k := secured(t, vendor{}, func(s *Server) { s.times.header = 100 * time.Millisecond })
		s := start(t, serving(files), change)
		if _, err := io.ReadAll(dialTLS(t, s)); err != nil {
			t.Errorf("no handshake: got %v, want the end of the connection", err)
		}
		slow := tls.Client(dialTLS(t, s), &tls.Config{RootCAs: trust(k), ServerName: "127.0.0.1"})
		if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(slow); err != nil {
			t.Errorf("slow headers: got %v, want the end of the connection", err)
		}
		eventually(t, "the connections are gone", func() bool { return s.Stats().Connections == 0 })
	})
	t.Run("S25 caps", func(t *testing.T) {
		t.Parallel()
		change, k := secured(t, vendor{}, func(s *Server) { s.PeerConnections = 2 })
		s := start(t, serving(files), change)
		c := dial(t, s, "127.0.0.1")
		if _, err := io.WriteString(c, get("/dir/x")); err != nil {
			t.Fatal(err)
		}
		answerFrom(t, bufio.NewReader(c), "GET ")
		second := tls.Client(dialTLS(t, s), &tls.Config{RootCAs: trust(k), ServerName: "127.0.0.1"})
		if _, err := io.WriteString(second, get("/dir/x")); err != nil {
			t.Fatal(err)
		}
		answerFrom(t, bufio.NewReader(second), "GET ")
		if _, err := io.ReadAll(dialTLS(t, s)); err != nil {
			t.Errorf("one too many: got %v, want the end of the connection", err)
		}
		if got := s.Stats(); got.OverCap != 1 || got.Connections != 2 {
			t.Errorf("got %d over the cap, %d open; want 1 and 2", got.OverCap, got.Connections)
		}
	})
	t.Run("S30", func(t *testing.T) {
		t.Parallel()
		change, k := secured(t, vendor{}, nil)
		s := start(t, serving(files), change)
		for _, c := range []struct {
			name, raw string
			want      int
		}{
			{"huge headers", get("/x", "X-Filler: "+strings.Repeat("x", 32<<10)), http.StatusRequestHeaderFieldsTooLarge},
			{"absolute form", get("https://prov.example/dir/x"), http.StatusOK},
			{"another method", "POST /dir/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", http.StatusMethodNotAllowed},
			{"two lengths", "GET /dir/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", http.StatusBadRequest},
			{"out of the root", get("/%2e%2e/x"), http.StatusNotFound},
		} {
			if got := askTLS(t, s, k, nil, c.raw); got.StatusCode != c.want {
				t.Errorf("%s: got %d, want %d", c.name, got.StatusCode, c.want)
			}
		}
	})
}

// lines is a log that can be read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A phone that finds no common TLS with us is told of in the log, once, with what can be done.
func TestHandshakeFails(t *testing.T) {
	t.Parallel()
	log := &lines{}
	change, k := secured(t, vendor{}, func(s *Server) { s.Log = slog.New(slog.NewTextHandler(log, nil)) })
	s := start(t, serving(files), change)
	for range 2 {
		c := tls.Client(dialTLS(t, s), &tls.Config{
			RootCAs: trust(k), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
		})
		if err := c.HandshakeContext(t.Context()); err == nil {
			t.Error("TLS 1.1: got no error")
		}
	}
	eventually(t, "counted", func() bool { return s.Stats().Handshakes == 2 })
	if got := log.String(); strings.Count(got, "no tls with a phone") != 1 || !strings.Contains(got, "ip=127.0.0.1") || !strings.Contains(got, "http.tls.legacy") {
		t.Errorf("log: got %s", got)
	}
	for why, want := range map[string]string{
		"tls: client offered only unsupported versions: [301]":           "http.tls.legacy",
		"tls: no cipher suite supported by both client and server":       "http.tls.legacy",
		"remote error: tls: unknown certificate authority":               "our authority",
		"tls: failed to parse client certificate: x509: negative serial": "client_certificates",
		"tls: first record does not look like a TLS handshake":           "plain http",
		"EOF": "",
	} {
		if got := handshakeRemedy(why); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: got %q, want %q", why, got, want)
		}
	}
	q := &hush{said: make(map[netip.Addr]time.Time)}
	for i := range 3 * handshakePeers {
		q.first(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), time.Now())
	}
	if len(q.said) > handshakePeers {
		t.Errorf("got %d addresses remembered, want at most %d", len(q.said), handshakePeers)
	}
}

func TestOpenBothOrNone(t *testing.T) {
	t.Parallel()
	change, _ := secured(t, vendor{}, nil)
	s := start(t, serving(nil), change)
	again := &Server{Addr: "127.0.0.1:0", TLSAddr: s.LocalTLSAddr().String(), TLS: s.TLS}
	if err := again.Open(); err == nil || !strings.Contains(err.Error(), "https: ") {
		t.Errorf("got %v, want an error of https", err)
	}
	if _, err := net.DialTimeout("tcp", again.LocalAddr().String(), time.Second); err == nil { //nolint:noctx // it fails at once
		t.Error("the other socket is open")
	}
}
