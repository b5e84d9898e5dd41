package pki

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	refreshSpan = 30 * time.Second // between two looks at the files
	maxLeaves   = 256              // names and addresses that we show certificates for
)

// Keeper keeps what the phones' TLS listener shows, and judges what phones show. Set its fields, call Open, then Run. The
// other methods may be called by any goroutine after Open.
type Keeper struct {
	Dir string // see the package's comment
	// Certificate and Key are files of a certificate, with its chain, that is shown instead of our own. They are read
	// again when they change. Both empty: our own.
	Certificate, Key string
	// Names are what phones reach us by besides the address that a connection comes in at: names and addresses.
	Names []string
	// Floor says what a phone at an address must be capable of. Nil: the zero policy for all.
	Floor func(netip.Addr) Policy
	// Unasked: phones aren't asked for certificates.
	Unasked bool
	Log     *slog.Logger // nil: silent

	state atomic.Pointer[state]

	mu       sync.Mutex // guards the replacement of the state and what follows; held over reads of small files
	rsa, ec  crypto.Signer
	was      [2]stamp // of Certificate and Key
	problems map[string]string
}

// state is what is in force. It never changes.
type state struct {
	authority *Authority
	own       *x509.CertPool // of the authority alone
	given     *tls.Certificate
	leaves    map[string]*leaf
	vendors   []*vendor
}

// leaf is what we show for one name, in order of preference.
type leaf struct {
	certs []*tls.Certificate
	ends  time.Time
	until time.Time // when it is to be made anew
}

// Open reads or makes the authority and the keys, and reads the other files. A given certificate that can't be read is an
// error here; later the one that was read before stays in force.
func (k *Keeper) Open(now time.Time) error {
	if k.Log == nil {
		k.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	a, err := OpenAuthority(k.Dir, now)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	st := &state{authority: a, own: a.own()}
	if k.Certificate != "" || k.Key != "" {
		if st.given, err = k.readGiven(); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	} else if err := k.openKeys(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	k.problems = make(map[string]string)
	k.state.Store(k.refreshed(st))
	return nil
}

func (k *Keeper) openKeys() (err error) {
	if k.rsa, err = loadKey(filepath.Join(k.Dir, "server-rsa.key"), newRSA); err != nil {
		return err
	}
	k.ec, err = loadKey(filepath.Join(k.Dir, "server-ecdsa.key"), newECDSA)
	return err
}

// readGiven reads the certificate and key that the settings name.
func (k *Keeper) readGiven() (*tls.Certificate, error) {
	var was [2]stamp
	for i, file := range []string{k.Certificate, k.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		was[i] = stampOf(info)
	}
	c, err := tls.LoadX509KeyPair(k.Certificate, k.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", k.Certificate, k.Key, err)
	}
	k.was = was
	return &c, nil
}

// Run looks at the files again every half minute until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshSpan)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			k.Refresh()
		}
	}
}

// Refresh takes up changes of the files.
func (k *Keeper) Refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.Store(k.refreshed(k.state.Load()))
}

// refreshed returns a state with what the files have now. The caller holds mu.
func (k *Keeper) refreshed(old *state) *state {
	st := *old
	if st.given != nil && k.givenChanged() {
		given, err := k.readGiven()
		// The two files are rarely replaced in one moment; the next look finds both.
		k.note("certificate", err)
		if err == nil {
			st.given = given
			k.Log.Info("tls certificate read again", "path", k.Certificate, "ends", given.Leaf.NotAfter)
		}
	}
	vendors, err := readVendors(k.factory(), st.vendors)
	k.note("factory", err)
	for _, v := range vendors {
		k.note("factory "+v.name, v.fault)
	}
	for _, v := range st.vendors {
		if !slices.ContainsFunc(vendors, func(n *vendor) bool { return n.name == v.name }) {
			k.note("factory "+v.name, nil)
		}
	}
	st.vendors = vendors
	return &st
}

func (k *Keeper) factory() string { return filepath.Join(k.Dir, "factory") }

func (k *Keeper) givenChanged() bool {
	for i, file := range []string{k.Certificate, k.Key} {
		if info, err := os.Stat(file); err != nil || stampOf(info) != k.was[i] {
			return true
		}
	}
	return false
}

// note keeps or forgets a problem, and logs it when it is new. The caller holds mu.
func (k *Keeper) note(what string, err error) {
	if err == nil {
		delete(k.problems, what)
		return
	}
	if text := err.Error(); k.problems[what] != text {
		k.problems[what] = text
		k.Log.Warn("tls file not taken up", "file", what, "err", err)
	}
}

// Authority returns our own authority.
func (k *Keeper) Authority() *Authority { return k.state.Load().authority }

// Config returns what the listener needs. It must not be changed.
func (k *Keeper) Config() *tls.Config {
	base := &tls.Config{
		GetCertificate: k.certificate,
		// A phone's certificate is wanted but not needed, and it is verified by Identify: a handshake that fails for a
		// certificate that is out of date would leave a phone without a word.
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"http/1.1"},
	}
	if k.Unasked {
		base.ClientAuth = tls.NoClientCert
	}
	// Few policies are in use, and one config must serve many connections for their sessions to be resumed.
	configs := make(map[Policy]*tls.Config)
	for _, p := range []Policy{{}, {Min: tls.VersionTLS12}, {Min: tls.VersionTLS13}, {Legacy: true}} {
		c := base.Clone()
		p.apply(c)
		configs[p] = c
	}
	Policy{}.apply(base)
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		var p Policy
		if k.Floor != nil {
			p = k.Floor(addrOf(hello.Conn.RemoteAddr()))
		}
		if p.Legacy {
			p.Min = 0
		}
		return configs[p], nil // nil, for a policy of no known version: base
	}
	return base
}

// certificate chooses what a phone is shown. Of our own, the first that it can verify: ECDSA, or RSA for old phones.
func (k *Keeper) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	st := k.state.Load()
	if st.given != nil {
		return st.given, nil
	}
	name := leafName(hello.ServerName, k.Names, addrOf(hello.Conn.LocalAddr()))
	l, err := k.leaf(name, time.Now())
	if err != nil {
		return nil, err
	}
	h := *hello
	h.ServerName = "" // a phone that calls us by another name may still take our certificate
	for _, c := range l.certs {
		if h.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return l.certs[len(l.certs)-1], nil
}

// leaf returns what we show for a name, made anew if it ends soon.
func (k *Keeper) leaf(name string, now time.Time) (*leaf, error) {
	fresh := func(l *leaf) bool { return l != nil && now.Before(l.until) }
	if l := k.state.Load().leaves[name]; fresh(l) {
		return l, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.state.Load()
	if l := old.leaves[name]; fresh(l) {
		return l, nil
	}
	l := &leaf{until: now.Add(leafSpan - leafRenew)}
	for _, key := range []crypto.Signer{k.ec, k.rsa} {
		cert, err := old.authority.server(key, name, k.Names, now)
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", name, err)
		}
		l.certs = append(l.certs, &tls.Certificate{
			Certificate: [][]byte{cert.Raw, old.authority.cert.Raw}, PrivateKey: key, Leaf: cert,
		})
		l.ends = cert.NotAfter
	}
	st := *old
	st.leaves = make(map[string]*leaf, len(old.leaves)+1)
	for n, x := range old.leaves {
		if len(old.leaves) < maxLeaves { // else begin anew: addresses that come and go are many
			st.leaves[n] = x
		}
	}
	st.leaves[name] = l
	k.state.Store(&st)
	k.Log.Info("tls certificate made", "name", name, "ends", l.ends)
	return l, nil
}

// addrOf returns the netip form of an address, IPv4 as such.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// Status is how things stand.
type Status struct {
	Authority   string    // name of our own
	Fingerprint string    // its SHA-256
	Ends        time.Time // its
	Given       string    // file of the certificate that we were given; empty: we show our own
	GivenEnds   time.Time
	Vendors     []string // whose devices' certificates count
	Weak        []string // whose certificates are claims only
	Problems    []string // what an administrator should look into
}

// Status returns how things stand.
func (k *Keeper) Status(now time.Time) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state.Load()
	s := Status{
		Authority: st.authority.cert.Subject.CommonName, Fingerprint: st.authority.Fingerprint(), Ends: st.authority.Ends(),
	}
	for what, text := range k.problems {
		s.Problems = append(s.Problems, what+": "+text)
	}
	slices.Sort(s.Problems)
	if st.authority.Ends().Sub(now) < leafSpan {
		s.Problems = append(s.Problems, fmt.Sprintf("the authority ends on %s: remove authority.pem, start again and give phones the new one",
			st.authority.Ends().Format(time.DateOnly)))
	}
	if st.given != nil {
		s.Given, s.GivenEnds = k.Certificate, st.given.Leaf.NotAfter
		if left := s.GivenEnds.Sub(now); left < 14*day {
			s.Problems = append(s.Problems, fmt.Sprintf("the certificate %s ends on %s: replace it", k.Certificate, s.GivenEnds.Format(time.DateTime)))
		}
	}
	for _, v := range st.vendors {
		switch {
		case v.roots == nil:
		case v.weak:
			s.Weak = append(s.Weak, v.name)
		default:
			s.Vendors = append(s.Vendors, v.name)
		}
	}
	return s
}
