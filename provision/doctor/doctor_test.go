package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func check(t *testing.T, f Finding, level Level, text string) {
	t.Helper()
	if f.Level != level || !strings.Contains(f.Text, text) {
		t.Errorf("%s: %s %q, want %s and %q in it", f.Area, f.Level, f.Text, level, text)
	}
	if (level == Warning || level == Error) && f.Remedy == "" {
		t.Errorf("%s: no remedy for %q", f.Area, f.Text)
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	taken := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
	got := Ports(t.Context(), []Port{
		{"tftp.listen", "udp4", taken(udp.LocalAddr())},
		{"http.listen", "tcp", taken(tcp.Addr())},
		{"console.listen", "tcp", netip.MustParseAddrPort("127.0.0.1:0")},
		{"console.listen", "tcp", netip.MustParseAddrPort("192.0.2.1:8080")},
	})
	if len(got) != 4 {
		t.Fatalf("findings %+v", got)
	}
	check(t, got[0], Error, "is taken by doctor.test")
	check(t, got[1], Error, "is taken by doctor.test")
	check(t, got[2], OK, "free")
	check(t, got[3], Error, "isn't an address of this machine")
	if !strings.Contains(got[0].Remedy, "tftp.listen") {
		t.Errorf("remedy %q doesn't name the setting", got[0].Remedy)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	got := State(dir)
	if len(got) != 2 {
		t.Fatalf("findings %+v", got)
	}
	check(t, got[0], OK, "can be written")
	if got[1].Area != "disk" || !strings.Contains(got[1].Text, "MiB") {
		t.Errorf("disk: %+v", got[1])
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	check(t, State(dir)[0], Warning, "open to other users")
	check(t, State(filepath.Join(dir, "x"))[0], Warning, "doesn't exist yet")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, State(file)[0], Error, "not a folder")
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		check(t, State(dir)[0], Error, "can't be written")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	check(t, Clock(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)), Error, "1970-01-01")
	if f := Clock(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)); f.Level == Error {
		t.Errorf("clock %+v", f)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	check(t, rights("Name:\tx\nCapEff:\t000001ffffffffff\n"), OK, "allowed")
	check(t, rights("CapEff:\t0000000000000000\n"), Warning, "CAP_NET_RAW and CAP_NET_BIND_SERVICE")
	check(t, rights("CapEff:\t0000000000002000\n"), Warning, "lacks CAP_NET_BIND_SERVICE")
	check(t, rights("CapEff:\tnonsense\n"), Skipped, "doesn't say")
	check(t, rights(""), Skipped, "doesn't say")
}

func TestOwn(t *testing.T) {
	t.Parallel()
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")
	got := Own([]netip.Addr{a, b, c}, []Address{{a, "eth0", false}, {b, "eth1", true}})
	check(t, got[0], OK, "eth0")
	check(t, got[1], Warning, "eth1 was given by a DHCP server")
	check(t, got[2], Error, "isn't this machine's")
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(from, to time.Time) string {
		t.Helper()
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "phones"}, NotBefore: from, NotAfter: to}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	day := 24 * time.Hour
	write("a.pem", pemOf(now.Add(-day), now.Add(100*day))+"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	write("b.crt", pemOf(now.Add(-day), now.Add(10*day)))
	write("c.pem", pemOf(now.Add(-10*day), now.Add(-day)))
	write("d.pem", pemOf(now.Add(day), now.Add(10*day)))
	write("e.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	write("f.key", pemOf(now, now))
	got := Certificates(dir, now)
	if len(got) != 5 {
		t.Fatalf("findings %+v", got)
	}
	check(t, got[0], OK, "a.pem (CN=phones) is good until 2026-06-10")
	check(t, got[1], Warning, "b.crt")
	check(t, got[2], Error, "ended on 2026-03-01")
	check(t, got[3], Error, "begins on 2026-03-03")
	check(t, got[4], Warning, "e.pem")
	if got := Certificates(filepath.Join(dir, "none"), now); got != nil {
		t.Errorf("a folder that isn't there: %+v", got)
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	for want, levels := range map[Level][]Level{OK: {OK, Skipped}, Warning: {Warning, OK}, Error: {Warning, Error, OK}} {
		var list []Finding
		for _, l := range levels {
			list = append(list, Finding{Level: l})
		}
		if got := Worst(list); got != want {
			t.Errorf("worst of %v: %s, want %s", levels, got, want)
		}
	}
}
