package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/httpd"
	"github.com/dialtone-project/dialtone/provision/pki"
)

// openTokens reads or makes the key of the devices' tokens.
func (p *parts) openTokens() error {
	key, err := pki.Secret(filepath.Join(p.settings.State, "token.key"))
	if err != nil {
		return err
	}
	p.tokens, err = provision.NewTokens(key, p.table)
	return err
}

// openKeeper reads or makes the keys and certificates of HTTPS, if it is on.
func (p *parts) openKeeper() error {
	s := p.settings.HTTP.TLS
	if !s.Enabled || !p.settings.HTTP.Enabled {
		return nil
	}
	p.keeper = &pki.Keeper{
		Dir: filepath.Join(p.settings.State, "ca"), Certificate: s.Certificate, Key: s.Key, Names: p.names(),
		Floor: p.tlsPolicy, Unasked: !s.ClientCertificates, Log: p.logs.of(logHTTP),
	}
	return p.keeper.Open(time.Now())
}

// names are what phones reach us by: what the settings name, and our address in each network.
func (p *parts) names() []string {
	names := slices.Clone(p.settings.HTTP.TLS.Names)
	for _, n := range p.Networks().All() {
		if n.Server.IsValid() {
			names = append(names, n.Server.String())
		}
	}
	return names
}

// tlsPolicy is what TLS with a phone at an address must have at least.
func (p *parts) tlsPolicy(a netip.Addr) pki.Policy {
	s := p.settings.HTTP.TLS
	if slices.ContainsFunc(s.Legacy, func(n netip.Prefix) bool { return n.Contains(a) }) {
		return pki.Policy{Legacy: true}
	}
	if s.MinVersion == "1.3" {
		return pki.Policy{Min: tls.VersionTLS13}
	}
	return pki.Policy{Min: tls.VersionTLS12}
}

// consoleTLS is what the console speaks where others can hear it; nil: HTTP. Old phones' exceptions aren't for it.
func (p *parts) consoleTLS() *tls.Config {
	if p.keeper == nil || p.settings.Console.Listen.Addr().IsLoopback() {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.keeper.Config().GetCertificate}
}

// openHTTP opens the sockets that phones ask by HTTP and HTTPS.
func (p *parts) openHTTP(ctx context.Context) error {
	s := p.settings.HTTP
	srv := &httpd.Server{
		Addr: s.Listen.String(), Handler: p.pipeline, Log: p.logs.of(logHTTP), Proxies: s.Proxies,
		Connections: s.MaxConnections, PeerConnections: s.MaxPerPeer,
	}
	if p.keeper != nil {
		srv.TLSAddr, srv.TLS, srv.Identify = s.TLS.Listen.String(), p.keeper.Config(), p.keeper.Identify
		for _, n := range s.TLS.Legacy {
			p.log.WarnContext(ctx, "legacy tls is admitted", "network", n, "warning", pki.Policy{Legacy: true}.Warning())
		}
	}
	if err := srv.Open(); err != nil {
		return err
	}
	p.http = srv
	return nil
}

// httpURL is the URL of our HTTP server as a phone that reached us at local sees it.
func (p *parts) httpURL(local netip.Addr) string {
	if !p.settings.HTTP.Enabled {
		return ""
	}
	return urlOf("http", local, p.settings.HTTP.Listen.Port(), 80)
}

// httpsURL is that of our HTTPS server. A phone that compares certificates with names finds the address in ours.
func (p *parts) httpsURL(local netip.Addr) string {
	if p.keeper == nil {
		return ""
	}
	return urlOf("https", local, p.settings.HTTP.TLS.Listen.Port(), 443)
}

func urlOf(scheme string, local netip.Addr, port, usual uint16) string {
	switch {
	case !local.IsValid():
		return ""
	case port == usual:
		return scheme + "://" + local.String()
	}
	return scheme + "://" + local.String() + ":" + strconv.Itoa(int(port))
}

// link is how DHCP tells a client to reach our HTTP server, and its token. An OFFER to a client that holds no lease has no
// token, for there is none yet; the ACK has it.
func (p *parts) link(c lease.Client, base netip.Addr) (url, token string) {
	wants := func(n *network.Network) bool { return n.Provisioning.Tokens || n.Provisioning.HTTPS }
	if !slices.ContainsFunc(p.Networks().All(), wants) {
		return "", ""
	}
	n := p.networkOf(c, base)
	if n == nil {
		return "", ""
	}
	if url = p.httpURL(base); n.Provisioning.HTTPS {
		if s := p.httpsURL(base); s != "" {
			url = s
		}
	}
	if n.Provisioning.Tokens {
		token = p.tokens.Issue(c.HW)
	}
	if url != "" {
		url += provision.TokenPath(token)
	}
	return url, token
}

// networkOf is the network that a client is in: by the lease that it got last, else by the relay agent or our address.
func (p *parts) networkOf(c lease.Client, base netip.Addr) *network.Network {
	var last lease.Lease
	for _, l := range p.table.ByHW(c.HW) {
		if l.Origin != lease.External && l.Boot >= last.Boot {
			last = l
		}
	}
	if n := p.Networks().Get(last.Network); n != nil {
		return n
	}
	if c.Relay.IsValid() {
		return p.Networks().OnRelay(c.Relay)
	}
	return p.Networks().Containing(base)
}

// tokenFor is a device's present token.
func (p *parts) tokenFor(hw hwaddr.Addr) string { return p.tokens.Issue(hw) }

// tlsProblems are those of HTTPS.
func (p *parts) tlsProblems() []admin.Problem {
	if p.keeper == nil {
		return nil
	}
	var list []admin.Problem
	for _, text := range p.keeper.Status(time.Now()).Problems {
		list = append(list, admin.Problem{Part: "tls", Kind: "certificate", Text: text})
	}
	for _, n := range p.settings.HTTP.TLS.Legacy {
		list = append(list, admin.Problem{Part: "tls", Kind: "legacy", Text: fmt.Sprintf("phones of %s: %s", n, pki.Policy{Legacy: true}.Warning())})
	}
	return list
}

// tlsNotes are what somebody should know who checks the settings of HTTPS.
func tlsNotes(s configs.HTTP, networks []*network.Network) (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	for _, n := range networks {
		if n.Provisioning.HTTPS && !s.TLS.Enabled {
			note("network %s wants https, which is off: its phones are given http", n.ID)
		}
	}
	if !s.TLS.Enabled {
		return notes
	}
	if s.TLS.Certificate == "" {
		note("phones are shown a certificate of the authority in the state folder (ca/authority.pem), which they must be given to trust")
	} else if _, err := tls.LoadX509KeyPair(s.TLS.Certificate, s.TLS.Key); err != nil {
		note("the certificate %s with the key %s can't be read here: %s", s.TLS.Certificate, s.TLS.Key, err)
	}
	for _, n := range s.TLS.Legacy {
		note("warning: phones of %s: %s", n, pki.Policy{Legacy: true}.Warning())
	}
	return notes
}

// keys are the use cases about certificates and tokens.
func (p *parts) keys(phones *admin.Service) *admin.Keys {
	k := &admin.Keys{Phones: phones, Tokens: p.tokens}
	if p.keeper != nil {
		k.Certificates = certificates{p}
	}
	return k
}

// certificates shows the keeper as the use cases see it.
type certificates struct{ p *parts }

var _ admin.Certificates = certificates{}

// Status implements admin.Certificates.
func (c certificates) Status(now time.Time) admin.TLSStatus {
	s, t := c.p.keeper.Status(now), c.p.settings.HTTP.TLS
	out := admin.TLSStatus{
		Listen: t.Listen.String(), Authority: s.Authority, Fingerprint: s.Fingerprint, Ends: s.Ends,
		Given: s.Given, GivenEnds: s.GivenEnds, Vendors: s.Vendors, Weak: s.Weak, Problems: s.Problems,
	}
	for _, n := range t.Legacy {
		out.Legacy = append(out.Legacy, n.String())
	}
	return out
}

// Authority implements admin.Certificates.
func (c certificates) Authority() []byte { return c.p.keeper.Authority().PEM() }

// SignDevice implements admin.Certificates.
func (c certificates) SignDevice(request []byte, hw hwaddr.Addr, serial string, now time.Time) ([]byte, error) {
	return c.p.keeper.Authority().SignDevice(request, hw, serial, now)
}
