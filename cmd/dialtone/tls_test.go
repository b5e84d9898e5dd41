package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

func withTokens(site string) string {
	return strings.Replace(site, "provisioning: {", "provisioning: {tokens: true, ", 1)
}

// A phone whose network wants tokens gets one by DHCP and is served by it. Who stole it gets nothing, and nobody reads it
// in a log, the journal or the API.
func TestPhoneWithToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t, withTokens)
	const mac = "00:08:5d:00:00:01"
	r, err := o.phone("6730i", mac).Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(r.Steps[0].Options[66])
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://%s:%d/t/", o.addr, httpPort)
	token, ok := strings.CutPrefix(string(raw), base)
	if !ok || len(token) < 40 {
		t.Fatalf("option 66: got %q, want %s and a token", raw, base)
	}
	for _, s := range r.Steps {
		t.Logf("%s %s: %s", s.Ask, strings.ReplaceAll(s.What, token, "TOKEN"), s.Got)
	}
	got := o.last("00085D000001.cfg")
	if got.Evidence.Token != provision.TokenValid || got.Identity.Assurance != provision.SourceToken || !got.Verdict.Secrets {
		t.Errorf("got %+v by %s, %+v", got.Evidence, got.Identity.Assurance, got.Verdict)
	}
	status, body := o.get(r.Addr, "/t/"+token+"/aastra.cfg", agent("3.3.1.4365", mac))
	if status != http.StatusOK || !strings.Contains(body, token) {
		t.Errorf("aastra.cfg has no token: %d %q", status, body)
	}
	// The same file without a token, from an address that proves nothing, tells nobody.
	if _, body := o.get(netip.MustParseAddr("127.64.200.1"), "/aastra.cfg", agent("3.3.1.4365", mac)); strings.Contains(body, token) {
		t.Error("the token is told to somebody who only says that he is the phone")
	}
	// Stolen.
	if status, body := o.get(netip.MustParseAddr("127.64.200.2"), "/t/"+token+"/00085D000001.cfg", agent("3.3.1.4365", mac)); status != http.StatusNotFound {
		t.Errorf("with the stolen token: got %d %q, want 404", status, body)
	}
	stolen := o.last("00085D000001.cfg")
	if stolen.Evidence.Token != provision.TokenReplayed || stolen.Device.State != provision.StateSuspicious {
		t.Errorf("stolen: got %+v, state %q", stolen.Evidence, stolen.Device.State)
	}
	// A path that is none at all is logged.
	o.get(r.Addr, "/t/"+token+"/%01", "x")
	o.get(r.Addr, "/t/"+token[:8]+"%"+hex.EncodeToString([]byte{token[8]})+token[9:]+"/x.cfg", "x")
	o.rrq(r.Addr, "t/"+token+"/aastra.cfg")
	var seen strings.Builder
	seen.WriteString(o.log.String())
	for _, x := range o.parts.pipeline.Journal.Recent(0) {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&seen, "%s %+v %v\n", b, x.Request, x.Err)
	}
	for _, verb := range [][]string{{"requests", "--json"}, {"problem", "list", "--json"}, {"phone", "show", mac, "--json"}} {
		out, _ := o.cli(verb...)
		seen.WriteString(out)
	}
	if i := strings.Index(seen.String(), token); i >= 0 {
		t.Errorf("the token is told: …%s…", seen.String()[max(0, i-200):min(seen.Len(), i+100)])
	}
	if i := strings.Index(seen.String(), token[9:]); i >= 0 {
		t.Errorf("a part of the token is told: …%s…", seen.String()[max(0, i-200):min(seen.Len(), i+100)])
	}
	err = filepath.WalkDir(filepath.Join(o.state, "trace"), func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		if strings.Contains(string(data), token) {
			t.Errorf("%s has the token", file)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

// A phone outside, for which an administrator issued a token, is served by that.
func TestIssuedToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(site string) string {
		return strings.Replace(site, "devices: []", `devices:
  - {mac: '00:08:5d:00:00:77', vendor: Aastra, model: 6730i, plugin: aastra-67xx-3.3.1, config: autocreate}`, 1)
	}, func(s *configs.Settings) { s.Guard.Outside = string(provision.GuardBalanced) })
	ctx := t.Context()
	d, err := o.parts.db.DeviceByHW(ctx, hwaddr.MustParse("00:08:5d:00:00:77"))
	if err != nil {
		t.Fatal(err)
	}
	d.Remote = true
	if d, err = o.parts.db.PutDevice(ctx, d); err != nil {
		t.Fatal(err)
	}
	keys := o.parts.keys(o.parts.admin())
	issued, err := keys.IssueToken(ctx, "00:08:5d:00:00:77", time.Hour, time.Now())
	if err != nil || issued.Device != d.ID {
		t.Fatalf("got %+v, %v", issued, err)
	}
	token := issued.Token.Reveal()
	if got := fmt.Sprintf("%v %+v", issued, issued); strings.Contains(got, token) {
		t.Errorf("the token is told by %s", got)
	}
	if _, err := keys.IssueToken(ctx, "00:08:5d:00:00:78", time.Hour, time.Now()); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("for nobody: got %v, want ErrNotFound", err)
	}
	if _, err := keys.Authority(); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("the authority while HTTPS is off: got %v, want ErrNotFound", err)
	}
	nat := netip.MustParseAddr("127.201.0.1")
	if status, body := o.get(nat, "/00085D000077.cfg", "x"); status != http.StatusNotFound {
		t.Errorf("without a token: got %d %q, want 404", status, body)
	}
	status, body := o.get(nat, "/t/"+token+"/00085D000077.cfg", "x")
	if status != http.StatusOK || !strings.Contains(body, "sandbox-guest") {
		t.Errorf("with its token: got %d %q", status, body)
	}
	if status, body := o.get(nat, "/t/"+token+"/00085D000078.cfg", "x"); status != http.StatusNotFound {
		t.Errorf("another phone's file: got %d %q, want 404", status, body)
	}
	if status, body := o.get(netip.MustParseAddr("127.201.0.2"), "/t/"+token+"/00085D000077.cfg", "x"); status != http.StatusNotFound {
		t.Errorf("from another address: got %d %q, want 404", status, body)
	}
}

// secureGet asks by HTTPS from an address, with a certificate if it isn't nil.
func (o *office) secureGet(from netip.Addr, path, agent string, cert *tls.Certificate) (int, string) {
	o.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(o.parts.keeper.Authority().PEM())
	config := &tls.Config{RootCAs: roots}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: config,
		DialContext: (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}).DialContext,
	}}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, fmt.Sprintf("https://%s:%d%s", o.addr, httpsPort, path), http.NoBody)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// factory makes a vendor's authority in the state folder, and returns what makes its devices' certificates.
func (o *office) factory() func(name string) *tls.Certificate {
	o.t.Helper()
	sign := func(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			o.t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: parent == nil,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		if parent == nil {
			parent, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
		if err != nil {
			o.t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			o.t.Fatal(err)
		}
		return cert, key
	}
	root, key := sign("Aastra Root", nil, nil)
	dir := filepath.Join(o.state, "ca", "factory")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		o.t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	if err := os.WriteFile(filepath.Join(dir, "aastra.pem"), data, 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.parts.keeper.Refresh()
	return func(name string) *tls.Certificate {
		c, k := sign(name, root, key)
		return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k}
	}
}

// TestThreat/S28: a factory certificate proves its own device, over HTTPS, and no other one of the vendor.
func TestFactoryCertificate(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, func(s *configs.Settings) { s.HTTP.TLS.Enabled = true })
	device := o.factory()
	keys := o.parts.keys(o.parts.admin())
	if got, err := keys.TLS(time.Now()); err != nil || !slices.Equal(got.Vendors, []string{"aastra"}) || len(got.Problems) > 0 {
		t.Errorf("status: got %+v, %v", got, err)
	}
	const mac, other = "00:08:5d:00:00:01", "00:08:5d:00:00:02"
	a, b := o.lease(mac, aastraClass), o.lease(other, aastraClass)
	status, body := o.secureGet(a, "/00085D000001.cfg", agent("3.3.1.4365", mac), device("00085D000001"))
	got := o.last("00085D000001.cfg")
	if status != http.StatusOK || got.Evidence.Cert != provision.CertFactory || got.Identity.Assurance != provision.SourceCert || got.Evidence.Over != provision.OverTLS {
		t.Errorf("its own: got %d %q, %+v by %s", status, body, got.Evidence, got.Identity.Assurance)
	}
	_, body = o.secureGet(a, "/aastra.cfg", agent("3.3.1.4365", mac), nil)
	if want := strconv.Itoa(httpsPort); !strings.Contains(body, want) {
		t.Errorf("a phone that came by HTTPS is sent elsewhere: %q", body)
	}
	// A certificate of our own, from a request that says what it likes of who asks.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "00085D000002"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := keys.SignCertificate(t.Context(), mac, csr, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(signed)
	o.secureGet(a, "/00085D000001.cfg", agent("3.3.1.4365", mac), &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key})
	if got := o.last("00085D000001.cfg"); got.Evidence.Cert != provision.CertOwn {
		t.Errorf("our own certificate: got %+v", got.Evidence)
	}
	// The other phone shows the first one's certificate, or asks with its own for the first one's file.
	for name, cert := range map[string]string{"a foreign certificate": "00085D000001", "its own for another's file": "00085D000002"} {
		if status, body := o.secureGet(b, "/00085D000001.cfg", agent("3.3.1.4365", other), device(cert)); status != http.StatusNotFound {
			t.Errorf("%s: got %d %q, want 404", name, status, body)
		}
	}
	if got := o.last("00085D000001.cfg"); got.Verdict.Secrets {
		t.Errorf("got %+v", got.Verdict)
	}
	if status, body := o.secureGet(netip.MustParseAddr("127.64.200.1"), "/00085D000002.cfg", agent("3.3.1.4365", other), device("00085D000001")); status != http.StatusNotFound {
		t.Errorf("S28: another phone of the vendor: got %d %q, want 404", status, body)
	}
}
