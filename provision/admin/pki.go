package admin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// Certificates is what the use cases need of the keeper of keys and certificates.
type Certificates interface {
	// Status returns how things stand.
	Status(now time.Time) TLSStatus
	// Authority returns the certificate of our own authority as PEM.
	Authority() []byte
	// SignDevice signs a device's request for a certificate and returns the certificate as PEM. ErrInvalid if the request
	// can't be taken.
	SignDevice(request []byte, hw hwaddr.Addr, serial string, now time.Time) ([]byte, error)
}

// TLSStatus is how the phones' HTTPS stands.
type TLSStatus struct {
	Listen      string    // where it is served
	Authority   string    // name of our own
	Fingerprint string    // SHA-256 of its certificate
	Ends        time.Time // its
	Given       string    // file of the certificate that phones are shown; empty: ours
	GivenEnds   time.Time
	Vendors     []string // whose factory certificates count
	Weak        []string // whose factory certificates are claims only
	Legacy      []string // networks whose phones may use what is broken
	Problems    []string
}

// TokenIssuer is what the use cases need of the tokens.
type TokenIssuer interface {
	// IssueFor returns a token for a device, good until end.
	IssueFor(id provision.DeviceID, now, end time.Time) (string, error)
}

// Keys is the use cases about certificates and tokens. It is safe for concurrent use.
type Keys struct {
	Phones       *Service
	Certificates Certificates // nil: HTTPS is off
	Tokens       TokenIssuer
}

// TLS returns how the phones' HTTPS stands. ErrNotFound if it is off.
func (k *Keys) TLS(now time.Time) (TLSStatus, error) {
	if k.Certificates == nil {
		return TLSStatus{}, errHTTPSOff()
	}
	return k.Certificates.Status(now), nil
}

// Authority returns the certificate that phones must be given to trust ours, as PEM. It is no secret. ErrNotFound if
// HTTPS is off.
func (k *Keys) Authority() ([]byte, error) {
	if k.Certificates == nil {
		return nil, errHTTPSOff()
	}
	return k.Certificates.Authority(), nil
}

func errHTTPSOff() error {
	return fmt.Errorf("https is off (http.tls.enabled in the settings): %w", provision.ErrNotFound)
}

// SignCertificate signs a phone's request for a certificate (PKCS #10, PEM or DER) and returns the certificate as PEM. The
// phone is named as in [Service.Phone].
func (k *Keys) SignCertificate(ctx context.Context, key string, request []byte, now time.Time) ([]byte, error) {
	if k.Certificates == nil {
		return nil, errHTTPSOff()
	}
	phone, err := k.Phones.Phone(ctx, key)
	if err != nil {
		return nil, err
	}
	cert, err := k.Certificates.SignDevice(request, phone.HW, phone.Serial, now)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for phone %q: %w", key, err)
	}
	return cert, nil
}

// IssuedToken is a token that a person has issued. It is shown once: nobody keeps it.
type IssuedToken struct {
	Device provision.DeviceID
	Token  provision.Secret
	Path   provision.Secret // what follows the host in a URL, without a trailing slash
	Ends   time.Time
}

// IssueToken issues a token for a phone without a lease of ours, such as one behind NAT, good for a span and from one
// address. It proves enough for passwords where the phone is marked as remote or its network as NAT. ErrInvalid if the
// span isn't between nothing and [provision.MaxTokenSpan].
func (k *Keys) IssueToken(ctx context.Context, key string, span time.Duration, now time.Time) (IssuedToken, error) {
	phone, err := k.Phones.Phone(ctx, key)
	if err != nil {
		return IssuedToken{}, err
	}
	t := IssuedToken{Device: phone.ID, Ends: now.Add(span).Truncate(time.Second)}
	token, err := k.Tokens.IssueFor(phone.ID, now, t.Ends)
	if err != nil {
		return IssuedToken{}, err
	}
	t.Token, t.Path = provision.Secret(token), provision.Secret(provision.TokenPath(token))
	return t, nil
}

// URL returns the URL that a phone is given, whose requests come from an address, where its path is that of an issued token.
// Empty if HTTP isn't served; an invalid address finds none either.
func (k *Keys) URL(from netip.Addr, path provision.Secret) provision.Secret {
	if !from.IsValid() || k.Phones.HTTP == nil || k.Phones.Local == nil {
		return ""
	}
	url := k.Phones.HTTP(k.Phones.Local(from))
	if url == "" {
		return ""
	}
	return provision.Secret(url) + path
}
