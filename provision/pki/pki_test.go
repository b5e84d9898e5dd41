package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// maker is a vendor's authority of the tests.
type maker struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newMaker(t *testing.T, name string) maker {
	t.Helper()
	m := maker{t: t}
	var err error
	if m.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	m.cert = m.sign(template(name, true), m.key.Public())
	return m
}

func template(name string, authority bool) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0), BasicConstraintsValid: true, IsCA: authority,
	}
	if authority {
		t.KeyUsage = x509.KeyUsageCertSign
	} else {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return t
}

func (m maker) sign(t *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	m.t.Helper()
	parent := m.cert
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// device makes the certificate of a device, as change has it.
func (m maker) device(name string, change func(*x509.Certificate)) *x509.Certificate {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	t := template(name, false)
	if change != nil {
		change(t)
	}
	return m.sign(t, key.Public())
}

func (m maker) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: m.cert.Raw})
}

func open(t *testing.T, factory map[string][]byte) *Keeper {
	t.Helper()
	k := &Keeper{Dir: filepath.Join(t.TempDir(), "ca")}
	write(t, k, factory)
	if err := k.Open(now); err != nil {
		t.Fatal(err)
	}
	return k
}

func write(t *testing.T, k *Keeper, factory map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(k.factory(), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range factory {
		if err := os.WriteFile(filepath.Join(k.factory(), name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	mac   = "001565AABBCC"
	other = "00:15:65:00:00:01"
)

func TestIdentify(t *testing.T) {
	t.Parallel()
	yealink, poly, cisco, stranger := newMaker(t, "Yealink Root"), newMaker(t, "Poly Root"), newMaker(t, "Cisco Manufacturing CA"), newMaker(t, "Nobody")
	k := open(t, map[string][]byte{
		"yealink.pem": yealink.pem(), "poly.weak.pem": poly.pem(), "cisco.pem": append(cisco.pem(), []byte("text\n")...),
		"broken.pem": []byte("no certificate"), "README": []byte("x"),
	})
	between := maker{t: t, key: stranger.key, cert: cisco.sign(template("Cisco Between", true), stranger.key.Public())}
	old := template("Cisco Aged", true)
	old.SignatureAlgorithm = x509.SHA1WithRSA
	aged := maker{t: t, key: stranger.key, cert: cisco.sign(old, stranger.key.Public())}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "I am the king"}}, ecKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := k.Authority().SignDevice(csr, hwaddr.MustParse(mac), "SER1", now)
	if err != nil {
		t.Fatal(err)
	}
	own, err := parseCerts(signed)
	if err != nil {
		t.Fatal(err)
	}
	hw := hwaddr.MustParse(mac)
	cases := []struct {
		name  string
		chain []*x509.Certificate
		at    time.Time
		want  provision.Cert // but for the subject
		note  string
	}{
		{"own", own, now, provision.Cert{Level: provision.CertOwn, HW: hw, Serial: "SER1"}, ""},
		{"own, ended", own, now.AddDate(3, 0, 0), provision.Cert{HW: hw, Serial: "SER1"}, "valid from"},
		{"factory", []*x509.Certificate{yealink.device(mac, nil)}, now, provision.Cert{Level: provision.CertFactory, HW: hw}, ""},
		{"without a purpose", []*x509.Certificate{yealink.device(mac, func(c *x509.Certificate) { c.ExtKeyUsage = nil })}, now, provision.Cert{Level: provision.CertFactory, HW: hw}, ""},
		{
			"with one between",
			[]*x509.Certificate{between.device("CP-7945G-SEP"+mac, func(c *x509.Certificate) { c.Subject.SerialNumber = "PID:CP-7945G SN:FCH1234ABCD" }), between.cert},
			now,
			provision.Cert{Level: provision.CertFactory, HW: hw, Serial: "FCH1234ABCD"},
			"",
		},
		{"the one between is missing", []*x509.Certificate{between.device(mac, nil)}, now, provision.Cert{HW: hw}, "authority isn't known here: CN=Cisco Between"},
		{"nobody's", []*x509.Certificate{stranger.device(mac, nil)}, now, provision.Cert{HW: hw}, "authority isn't known here: CN=Nobody"},
		{"nobody's, ended", []*x509.Certificate{stranger.device(mac, nil)}, now.AddDate(9, 0, 0), provision.Cert{HW: hw}, "authority isn't known here: CN=Nobody"},
		{"ended", []*x509.Certificate{yealink.device(mac, nil)}, now.AddDate(9, 0, 0), provision.Cert{HW: hw}, "is valid from 2021-03-01 to 2031-03-01 only"},
		{"not yet", []*x509.Certificate{yealink.device(mac, nil)}, now.AddDate(-9, 0, 0), provision.Cert{HW: hw}, "is valid from"},
		{"leaked keys", []*x509.Certificate{poly.device(mac, nil)}, now, provision.Cert{HW: hw}, "leaked (poly.weak)"},
		{
			"of a server",
			[]*x509.Certificate{yealink.device(mac, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })},
			now,
			provision.Cert{HW: hw},
			"isn't meant for clients",
		},
		{
			"SHA-1",
			[]*x509.Certificate{yealink.device(mac, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })},
			now,
			provision.Cert{HW: hw},
			"signed with SHA-1",
		},
		{
			"SHA-1 further up",
			[]*x509.Certificate{aged.device(mac, nil), aged.cert},
			now,
			provision.Cert{HW: hw},
			"signed with SHA-1",
		},
		{
			"nobody's SHA-1",
			[]*x509.Certificate{stranger.device(mac, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })},
			now,
			provision.Cert{HW: hw},
			"authority isn't known here",
		},
		{
			"two devices",
			[]*x509.Certificate{yealink.device(mac, func(c *x509.Certificate) { c.DNSNames = []string{"001565000001"} })},
			now,
			provision.Cert{},
			"it names 2 devices",
		},
		{"nobody in particular", []*x509.Certificate{yealink.device("Yealink Equipment", nil)}, now, provision.Cert{}, "it names no device"},
		{
			"serial only",
			[]*x509.Certificate{yealink.device("T46S", func(c *x509.Certificate) { c.Subject.SerialNumber = "123456789012" })},
			now,
			provision.Cert{Level: provision.CertFactory, Serial: "123456789012"},
			"",
		},
		{"too long a chain", append([]*x509.Certificate{yealink.device(mac, nil)}, slices.Repeat([]*x509.Certificate{stranger.cert}, maxChain)...), now, provision.Cert{HW: hw}, "it comes with 8 others"},
		{"no authority is a device", []*x509.Certificate{k.Authority().cert}, now, provision.Cert{}, "it names no device"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := k.Identify(c.chain, c.at)
			if c.want.Level == 0 {
				c.want.Level = provision.CertClaim
			}
			if !strings.Contains(got.Note, c.note) || (got.Note == "") != (c.note == "") {
				t.Errorf("note: got %q, want %q", got.Note, c.note)
			}
			if got.Subject == "" {
				t.Error("got no subject")
			}
			got.Note, got.Subject = "", ""
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := k.Identify(nil, now); got != nil {
		t.Errorf("no certificate: got %+v", got)
	}
	want := []string{"factory broken: it is no PEM file with a CERTIFICATE"}
	if diff := cmp.Diff(want, k.Status(now).Problems); diff != "" {
		t.Error(diff)
	}
}

// A folder of authorities is taken up as it changes; a file that breaks leaves what was read before.
func TestFactoryReload(t *testing.T) {
	t.Parallel()
	m := newMaker(t, "Vendor Root")
	k := open(t, nil)
	cert := []*x509.Certificate{m.device(mac, nil)}
	level := func() provision.CertLevel { k.Refresh(); return k.Identify(cert, now).Level }
	if got := level(); got != provision.CertClaim {
		t.Errorf("before: got %d", got)
	}
	write(t, k, map[string][]byte{"vendor.pem": m.pem()})
	if got := level(); got != provision.CertFactory {
		t.Errorf("after it was put there: got %d", got)
	}
	write(t, k, map[string][]byte{"vendor.pem": []byte("half")})
	if got := level(); got != provision.CertFactory || len(k.Status(now).Problems) != 1 {
		t.Errorf("broken: got %d, %v", got, k.Status(now).Problems)
	}
	if err := os.Remove(filepath.Join(k.factory(), "vendor.pem")); err != nil {
		t.Fatal(err)
	}
	if got := level(); got != provision.CertClaim || len(k.Status(now).Problems) != 0 {
		t.Errorf("removed: got %d, %v", got, k.Status(now).Problems)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"001565AABBCC", "00:15:65:aa:bb:cc"},
		{"00:15:65:aa:bb:cc", "00:15:65:aa:bb:cc"},
		{"00-15-65-AA-BB-CC", "00:15:65:aa:bb:cc"},
		{"0015.65aa.bbcc", "00:15:65:aa:bb:cc"},
		{"CP-7945G-SEP001565AABBCC", "00:15:65:aa:bb:cc"},
		{"SEP001565AABBCC", "00:15:65:aa:bb:cc"},
		{"snom370 (001565AABBCC)", "00:15:65:aa:bb:cc"},
		{"T46S_001565aabbcc", "00:15:65:aa:bb:cc"},
		{"urn:mac:001565aabbcc", "00:15:65:aa:bb:cc"},
		{"001565AABBCCDD", ""},
		{"00-15-65-FF-FE-AA-BB-CC", ""}, // an EUI-64
		{"000000000000", ""},
		{"123456789012", ""}, // locally administered: a serial number
		{"01005e000001", ""}, // a group's
		{"X001565AABBCC", ""},
		{"T46S", ""},
		{"", ""},
	} {
		var all []string
		for _, hw := range macsIn(c.text) {
			all = append(all, hw.String())
		}
		if got := strings.Join(all, " "); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"FCH1234ABCD", "FCH1234ABCD"},
		{"PID:CP-8841-3PCC-K9 SN:FCH1234ABCD", "FCH1234ABCD"},
		{"001565AABBCC", ""},
		{"", ""},
		{"SN:", ""},
		{"a\nb\"", "a"},
		{"<script>", ""},
	} {
		if got := serialIn(c.text); got != c.want {
			t.Errorf("serial of %q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"SEP001565AABBCC", "00-15-65-FF-FE-AA-BB-CC", "0015.65aa.bbcc", "PID:x SN:y", "00:15", "\xff", strings.Repeat("0", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, hw := range macsIn(text) {
			if hw.IsZero() || hw.IsGroup() || hw.IsLocal() {
				t.Errorf("%q: %s is nobody's", text, hw)
			}
		}
		if s := serialIn(text); len(s) > 64 || s != provision.Printable(s) {
			t.Errorf("%q: serial %q", text, s)
		}
	})
}

func TestSignDeviceRefuses(t *testing.T) {
	t.Parallel()
	k := open(t, nil)
	request := func(key crypto.Signer) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := request(good)
	forged[len(forged)-1] ^= 1
	hw := hwaddr.MustParse(mac)
	for name, c := range map[string]struct {
		request []byte
		hw      hwaddr.Addr
	}{
		"no request": {nil, hw}, "weak RSA": {request(weak), hw}, "weak curve": {request(short), hw}, "forged": {forged, hw},
		"nobody's": {request(good), hwaddr.Addr{}},
	} {
		if _, err := k.Authority().SignDevice(c.request, c.hw, "", now); !errors.Is(err, provision.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// TestThreat/S36: there is no key that two installations share, and none that others can read.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S36", func(t *testing.T) {
		t.Parallel()
		a, b := open(t, nil), open(t, nil)
		if a.Authority().Fingerprint() == b.Authority().Fingerprint() || bytes.Equal(a.Authority().cert.RawSubject, b.Authority().cert.RawSubject) {
			t.Error("two installations have the same authority")
		}
		for _, name := range []string{"authority.key", "server-rsa.key", "server-ecdsa.key"} {
			info, err := os.Stat(filepath.Join(a.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o600 {
				t.Errorf("%s: got mode %o, want 600", name, got)
			}
		}
		again := &Keeper{Dir: a.Dir}
		if err := again.Open(now); err != nil || again.Authority().Fingerprint() != a.Authority().Fingerprint() {
			t.Errorf("opened again: %v, or another authority", err)
		}
		secret := func(k *Keeper) []byte {
			t.Helper()
			s, err := Secret(filepath.Join(k.Dir, "token.key"))
			if err != nil || len(s) != 32 {
				t.Fatalf("secret: got %d bytes, %v", len(s), err)
			}
			return s
		}
		first := secret(a)
		if bytes.Equal(first, secret(b)) || !bytes.Equal(first, secret(a)) {
			t.Error("secrets: two are the same, or one changes")
		}
		if err := os.WriteFile(filepath.Join(a.Dir, "token.key"), first[:5], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Secret(filepath.Join(a.Dir, "token.key")); err == nil {
			t.Error("a damaged secret was taken")
		}
	})
}

func TestOpenAuthorityFaults(t *testing.T) {
	t.Parallel()
	a, b := open(t, nil), open(t, nil)
	key, err := os.ReadFile(filepath.Join(b.Dir, "authority.key"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(a.Dir, "authority.key")
	for _, c := range []struct {
		name, want string
		do         func() error
	}{
		{"another's key", "isn't that of its key", func() error { return os.WriteFile(file, key, 0o600) }},
		{"no key", "is no PEM file", func() error { return os.WriteFile(file, nil, 0o600) }},
		{"key lost", "lost its key", func() error { return os.Remove(file) }},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if err := (&Keeper{Dir: a.Dir}).Open(now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	// Interrupted between key and certificate: the certificate is made of the key.
	if err := os.Remove(filepath.Join(b.Dir, "authority.pem")); err != nil {
		t.Fatal(err)
	}
	again := &Keeper{Dir: b.Dir}
	if err := again.Open(now); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(b.Dir, "authority.key")); err != nil || !bytes.Equal(got, key) {
		t.Errorf("the key was made anew: %v", err)
	}
}

// shown returns what a client with that config is shown.
func shown(t *testing.T, k *Keeper, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_ = tls.Server(conn, k.Config()).HandshakeContext(t.Context())
	}()
	conn, err := net.Dial("tcp", l.Addr().String()) //nolint:noctx // as above
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	client := tls.Client(conn, c)
	err = client.HandshakeContext(t.Context())
	st := client.ConnectionState()
	_ = conn.Close()
	<-done
	return st, err
}

// Old phones and new ones each find a certificate that they can verify, for the name by which they reached us.
func TestServerCertificate(t *testing.T) {
	t.Parallel()
	k := open(t, nil)
	k.Names = []string{"prov.example", "192.0.2.5"}
	roots := k.Authority().own()
	longAgo := func() time.Time { return time.Unix(3600, 0) } // a phone without a clock
	for _, c := range []struct {
		name   string
		config *tls.Config
		want   x509.PublicKeyAlgorithm
		cn     string
	}{
		{"today's", &tls.Config{ServerName: "127.0.0.1"}, x509.ECDSA, "127.0.0.1"},
		{"by name", &tls.Config{ServerName: "prov.example"}, x509.ECDSA, "prov.example"},
		{"without a clock", &tls.Config{ServerName: "127.0.0.1", Time: longAgo}, x509.ECDSA, "127.0.0.1"},
		{"TLS 1.2", &tls.Config{ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12}, x509.ECDSA, "127.0.0.1"},
		{
			"knows RSA only",
			&tls.Config{ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
			x509.RSA, "127.0.0.1",
		},
		{"another of our addresses", &tls.Config{ServerName: "192.0.2.5"}, x509.ECDSA, "127.0.0.1"},
	} {
		c.config.RootCAs = roots
		st, err := shown(t, k, c.config)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := st.PeerCertificates[0]
		if got.PublicKeyAlgorithm != c.want || got.Subject.CommonName != c.cn {
			t.Errorf("%s: got %v for %s, want %v for %s", c.name, got.PublicKeyAlgorithm, got.Subject.CommonName, c.want, c.cn)
		}
		if left := time.Until(got.NotAfter); left > leafSpan || left < leafSpan-time.Hour {
			t.Errorf("%s: it ends in %v, want %v", c.name, left, leafSpan)
		}
	}
	if _, err := shown(t, k, &tls.Config{RootCAs: roots, ServerName: "evil.example"}); err == nil {
		t.Error("our certificate is good for a name that isn't ours")
	}
}

func TestLeafIsRenewed(t *testing.T) {
	t.Parallel()
	k := open(t, nil)
	at := func(after time.Duration) *leaf {
		l, err := k.leaf("192.0.2.1", now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := at(0)
	if at(leafSpan-leafRenew-time.Hour) != first {
		t.Error("it was renewed early")
	}
	second := at(leafSpan - leafRenew)
	if second == first || !second.ends.After(first.ends) {
		t.Errorf("got one that ends %v, want one after %v", second.ends, first.ends)
	}
	if second.certs[0].PrivateKey != first.certs[0].PrivateKey {
		t.Error("the key has changed")
	}
	// 32-bit clocks are done in 2038, whatever we sign before.
	if last := at(11 * 365 * day); last.ends.Year() > 2037 {
		t.Errorf("got one that ends %v", last.ends)
	}
	for i := range maxLeaves + 10 {
		if _, err := k.leaf(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}).String(), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(k.state.Load().leaves); n > maxLeaves {
		t.Errorf("got %d leaves kept, want at most %d", n, maxLeaves)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	var policy Policy
	k := open(t, nil)
	k.Floor = func(a netip.Addr) Policy {
		if a != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("asked for the policy of %s", a)
		}
		return policy
	}
	old := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}
	middle := &tls.Config{MaxVersion: tls.VersionTLS12}
	kex := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}
	for _, c := range []struct {
		policy       Policy
		old, mid, rs bool
	}{
		{Policy{}, false, true, false},
		{Policy{Min: tls.VersionTLS12}, false, true, false},
		{Policy{Min: tls.VersionTLS13}, false, false, false},
		{Policy{Legacy: true}, true, true, true},
		{Policy{Min: tls.VersionTLS13, Legacy: true}, true, true, true},
		{Policy{Min: tls.VersionTLS10}, false, true, false}, // only Legacy goes below 1.2
	} {
		policy = c.policy
		for _, x := range []struct {
			name   string
			config *tls.Config
			want   bool
		}{{"TLS 1.0, 3DES", old, c.old}, {"TLS 1.2", middle, c.mid}, {"RSA key exchange", kex, c.rs}} {
			x.config.RootCAs, x.config.ServerName = k.Authority().own(), "127.0.0.1"
			_, err := shown(t, k, x.config)
			if got := err == nil; got != x.want {
				t.Errorf("%s for %s: got %v (%v), want %v", c.policy, x.name, got, err, x.want)
			}
		}
	}
	if (Policy{}).Warning() != "" || (Policy{Legacy: true}).Warning() == "" {
		t.Error("want a warning of legacy policies, of no others")
	}
}

// A certificate that we were given is shown as it is, and taken up when it changes.
func TestGiven(t *testing.T) {
	t.Parallel()
	m := newMaker(t, "Public CA")
	dir := t.TempDir()
	k := &Keeper{Dir: filepath.Join(dir, "ca"), Certificate: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls.key")}
	if err := k.Open(now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: got %v", err)
	}
	replace := func(name string) {
		key, err := newECDSA()
		if err != nil {
			t.Fatal(err)
		}
		tmpl := template(name, false)
		tmpl.ExtKeyUsage, tmpl.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{name}
		tmpl.NotAfter = time.Now().Add(7 * day)
		cert := m.sign(tmpl, key.Public())
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(
			os.WriteFile(k.Certificate, pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: cert.Raw}), 0o600),
			os.WriteFile(k.Key, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600),
		); err != nil {
			t.Fatal(err)
		}
	}
	replace("one.example")
	if err := k.Open(now); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(m.cert)
	check := func(name string) {
		t.Helper()
		if _, err := shown(t, k, &tls.Config{RootCAs: roots, ServerName: name, Time: func() time.Time { return now }}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("one.example")
	replace("another.example") // of another length, so that its time needn't differ
	k.Refresh()
	check("another.example")
	if err := os.WriteFile(k.Key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Refresh()
	check("another.example")
	if got := k.Status(time.Now()); len(got.Problems) != 2 || got.Given != k.Certificate {
		t.Errorf("got %+v, want two problems: a broken key, and that it ends soon", got)
	}
}
