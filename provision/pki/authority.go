package pki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

const (
	leafSpan   = 397 * 24 * time.Hour
	leafRenew  = 120 * 24 * time.Hour // how long before its end a leaf is made anew
	deviceSpan = 2 * 365 * 24 * time.Hour
	day        = 24 * time.Hour
)

// begin is where all that we sign begins; see the package's comment. UTCTime has it (RFC 5280 §4.1.2.5.1).
func begin() time.Time { return time.Unix(1, 0).UTC() }

// Authority is the site's own: it signs what we show to phones and, if wanted, certificates for phones. Its key is RSA,
// which every phone can verify. It is immutable and safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// OpenAuthority reads the authority in a folder, or makes it if there is none.
func OpenAuthority(dir string, now time.Time) (*Authority, error) {
	keyFile, certFile := filepath.Join(dir, "authority.key"), filepath.Join(dir, "authority.pem")
	data, err := os.ReadFile(certFile)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	if _, err := os.Stat(keyFile); !missing && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("authority %s has lost its key %s: restore it from a backup, or remove the certificate to begin "+
			"anew, with phones that trust nobody", certFile, keyFile)
	}
	// The key is written first: if we were interrupted there, the certificate is made now.
	key, err := loadKey(keyFile, newRSA)
	if err != nil {
		return nil, err
	}
	if missing {
		if data, err = selfSign(key, now); err != nil {
			return nil, err
		}
		if err := writeFile(certFile, data, 0o644); err != nil {
			return nil, err
		}
	}
	certs, err := parseCerts(data)
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", certFile, err)
	}
	a := &Authority{cert: certs[0], key: key}
	if k, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("authority %s isn't that of its key %s: restore both from one backup", certFile, keyFile)
	}
	return a, nil
}

// selfSign makes the authority's certificate. Its name is of this installation alone: phones that meet two of one name
// take one for the other.
func selfSign(key crypto.Signer, now time.Time) ([]byte, error) {
	// Clocks of 32 bits end on 2038-01-19.
	end := time.Date(2037, 12, 31, 23, 59, 59, 0, time.UTC)
	if end.Sub(now) < 5*365*day {
		end = now.AddDate(10, 0, 0)
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Dialtone"}, CommonName: "Dialtone CA " + serial().Text(16)[:8]},
		NotBefore:    begin(), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der}), nil
}

// serial makes a number that nobody has used (RFC 5280 §4.1.2.2: positive, at most 20 octets).
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// parseCerts reads every certificate of a PEM file; there is one at least.
func parseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certBlock {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate can't be read: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("it is no PEM file with a " + certBlock)
	}
	return certs, nil
}

// PEM returns the authority's certificate, for phones to trust. The caller owns it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: a.cert.Raw})
}

// Ends returns when the authority's certificate ends.
func (a *Authority) Ends() time.Time { return a.cert.NotAfter }

// Fingerprint returns the SHA-256 of the authority's certificate, as tools print it.
func (a *Authority) Fingerprint() string { return fingerprint(a.cert) }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	text := make([]byte, 0, 3*len(sum))
	for i, b := range sum {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, hex.EncodeToString([]byte{b})...)
	}
	return string(text)
}

// server makes a certificate for a key of ours. Phones that know no subject alternative names compare the common name.
func (a *Authority) server(key crypto.Signer, name string, names []string, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: serial(), NotBefore: begin(), NotAfter: earlier(now.Add(leafSpan), a.cert.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SignatureAlgorithm: x509.SHA256WithRSA, BasicConstraintsValid: true,
	}
	if len(name) <= 64 { // RFC 5280: ub-common-name
		t.Subject.CommonName = name
	}
	if _, ok := key.(*rsa.PrivateKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // of the old key exchange
	}
	for _, n := range append([]string{name}, names...) {
		if ip, err := netip.ParseAddr(n); err == nil {
			if as := net.IP(ip.AsSlice()); !slices.ContainsFunc(t.IPAddresses, as.Equal) {
				t.IPAddresses = append(t.IPAddresses, as)
			}
		} else if n != "" && !slices.Contains(t.DNSNames, n) {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	return a.sign(t, key.Public())
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (a *Authority) sign(t *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// SignDevice signs a device's request for a certificate (PKCS #10, PEM or DER) and returns the certificate as PEM. What
// the request says of its subject counts for nothing: the certificate names the device's MAC and serial, one of which
// must be given. ErrInvalid if the request can't be read, isn't signed by its own key, or has a weak one.
func (a *Authority) SignDevice(request []byte, hw hwaddr.Addr, deviceSerial string, now time.Time) ([]byte, error) {
	if block, _ := pem.Decode(request); block != nil {
		request = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err == nil {
		err = strong(csr.PublicKey)
	}
	if err == nil && hw.IsZero() && deviceSerial == "" {
		err = errors.New("the device has neither MAC nor serial number")
	}
	if err != nil {
		return nil, fmt.Errorf("request for a certificate: %w: %w", err, provision.ErrInvalid)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), NotBefore: begin(), NotAfter: earlier(now.Add(deviceSpan), a.cert.NotAfter),
		Subject:  pkix.Name{Organization: a.cert.Subject.Organization, CommonName: deviceSerial, SerialNumber: deviceSerial},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		SignatureAlgorithm: x509.SHA256WithRSA, BasicConstraintsValid: true,
	}
	if !hw.IsZero() {
		t.Subject.CommonName = hw.String()
	}
	cert, err := a.sign(t, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: cert.Raw}), nil
}

func strong(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < rsaBits {
			return fmt.Errorf("an RSA key of %d bits is too weak; at least %d are wanted", k.N.BitLen(), rsaBits)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Errorf("a curve of %d bits is too weak; at least 256 are wanted", k.Curve.Params().BitSize)
		}
		return nil
	}
	return fmt.Errorf("keys of type %T aren't taken; use RSA or ECDSA", key)
}

// own returns a pool with nothing but the authority.
func (a *Authority) own() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// leafName returns what a phone reached us by: the name that it says, if it is one of ours, else our address.
func leafName(serverName string, names []string, local netip.Addr) string {
	if slices.Contains(names, serverName) {
		return serverName
	}
	if local.IsValid() {
		return local.String()
	}
	return cmp.Or(slices.Concat(names, []string{"dialtone"})...)
}
