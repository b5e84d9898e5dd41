package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

const (
	maxChain = 8  // certificates that a phone may show
	maxTries = 32 // signatures that are looked at for one chain with SHA-1
)

// Identify says what the certificates that a phone has shown, its own first, prove. It returns nil if there are none. That
// the phone has the certificate's key has been proven by the handshake; everything else is verified here: the chain to
// our own authority or to a vendor's, its time and that it is for clients. What fails is a claim, and the note says why.
func (k *Keeper) Identify(chain []*x509.Certificate, at time.Time) *provision.Cert {
	if len(chain) == 0 {
		return nil
	}
	leaf := chain[0]
	c := &provision.Cert{Level: provision.CertClaim, Subject: provision.Printable(leaf.Subject.String())}
	macs, number := names(leaf)
	c.Serial = number
	switch {
	case len(macs) > 1:
		// It may be anybody's: neither name counts.
		c.Serial, c.Note = "", fmt.Sprintf("it names %d devices", len(macs))
		return c
	case len(macs) == 1:
		c.HW = macs[0]
	case number == "":
		c.Note = "it names no device"
		return c
	}
	if len(chain) > maxChain {
		c.Note = fmt.Sprintf("it comes with %d others", len(chain)-1)
		return c
	}
	c.Level, c.Note = k.verify(chain, at)
	c.Note = provision.Printable(c.Note)
	return c
}

// verify returns what a chain is worth, and why it isn't more.
func (k *Keeper) verify(chain []*x509.Certificate, at time.Time) (provision.CertLevel, string) {
	st := k.state.Load()
	o := x509.VerifyOptions{
		Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	o.Roots = st.own
	_, err := chain[0].Verify(o)
	if err == nil {
		return provision.CertOwn, ""
	}
	note := reason(err, chain, []*x509.Certificate{st.authority.cert})
	for _, v := range st.vendors {
		if v.roots == nil {
			continue
		}
		o.Roots = v.roots
		_, err := chain[0].Verify(o)
		switch {
		case err == nil && v.weak:
			return provision.CertClaim, "keys of this maker's devices have leaked (" + v.name + ")"
		case err == nil:
			return provision.CertFactory, ""
		case note == "":
			note = reason(err, chain, v.certs)
		}
	}
	if note == "" {
		note = "its authority isn't known here: " + chain[len(chain)-1].Issuer.String()
	}
	return provision.CertClaim, note
}

// reason says why a chain failed; empty if simply none of the authorities has signed it.
func reason(err error, chain, roots []*x509.Certificate) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if w := (walk{chain: chain, roots: roots, tries: maxTries}); w.up(chain[0], 0) && w.old {
			return "its chain is signed with SHA-1, which can be forged"
		}
		return ""
	}
	e, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok {
		return err.Error()
	}
	switch e.Reason {
	case x509.Expired:
		// This is found before the signatures are looked at, so any authority's would fail so.
		if w := (walk{chain: chain, roots: roots, tries: maxTries}); !w.up(chain[0], 0) {
			return ""
		}
		return fmt.Sprintf("%s is valid from %s to %s only", e.Cert.Subject, e.Cert.NotBefore.Format(time.DateOnly), e.Cert.NotAfter.Format(time.DateOnly))
	case x509.IncompatibleUsage:
		return "it isn't meant for clients"
	default:
		return e.Error()
	}
}

// walk follows a chain by its signatures alone, SHA-1 included, which x509.Verify refuses.
type walk struct {
	chain, roots []*x509.Certificate
	tries        int
	old          bool // a signature by SHA-1 was met
}

// up reports whether one of the roots has signed the certificate, or one that did.
func (w *walk) up(c *x509.Certificate, depth int) bool {
	for _, r := range w.roots {
		if c.Equal(r) || w.signed(c, r) {
			return true
		}
	}
	if depth == len(w.chain) {
		return false
	}
	for _, parent := range w.chain[1:] {
		if parent != c && w.signed(c, parent) && w.up(parent, depth+1) {
			return true
		}
	}
	return false
}

func (w *walk) signed(c, by *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, by.RawSubject) || w.tries == 0 {
		return false
	}
	w.tries--
	if by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		return false
	}
	w.old = w.old || c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1
	return true
}
