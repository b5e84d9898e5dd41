package pki

import "crypto/tls"

// Policy is what TLS with the phones of a network must have at least. The zero value is what today's clients can:
// TLS 1.2 and cipher suites with forward secrecy.
type Policy struct {
	Min uint16 // tls.VersionTLS12 or tls.VersionTLS13; zero: the former
	// Legacy admits what is broken but all that some old phones can: TLS 1.0 and 1.1, CBC suites, 3DES, and the RSA key
	// exchange without forward secrecy. Min doesn't count then.
	Legacy bool
}

// Warning says what is wrong with a policy; empty if nothing is.
func (p Policy) Warning() string {
	if p.Legacy {
		return "TLS 1.0, 3DES and key exchange without forward secrecy are admitted: who records the traffic may read it later"
	}
	return ""
}

// String names the policy.
func (p Policy) String() string {
	switch {
	case p.Legacy:
		return "TLS 1.0 with legacy suites"
	case p.Min == tls.VersionTLS13:
		return "TLS 1.3"
	}
	return "TLS 1.2"
}

// apply sets a config's bounds. What is listed holds whatever GODEBUG says of the defaults (tls10server, tls3des,
// tlsrsakex). Only one thing needs that variable: phones that speak TLS 1.2 but can sign with nothing better than SHA-1
// (tlssha1=1).
func (p Policy) apply(c *tls.Config) {
	if !p.Legacy {
		c.MinVersion = max(p.Min, tls.VersionTLS12)
		return // and Go's default suites
	}
	c.MinVersion = tls.VersionTLS10
	for _, s := range tls.CipherSuites() {
		c.CipherSuites = append(c.CipherSuites, s.ID)
	}
	// RC4 stays out: no phone of this century has nothing else.
	c.CipherSuites = append(c.CipherSuites,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
	)
}
