package provision

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

const (
	// tokenGrace is how long after a device's start the token of the start before is still good: its config has the URL,
	// and it may fetch by that one first.
	tokenGrace = 10 * time.Minute
	// MaxTokenSpan is how long a token may be good that a person issues.
	MaxTokenSpan = 30 * 24 * time.Hour

	tokenKeySize = 32
	tokenTagSize = 16  // of an HMAC: 128 bits
	maxToken     = 160 // characters
	maxTokenID   = 64  // bytes of a device's ID
	maxTokenUses = 10_000
)

// The kinds of tokens, their first byte.
const (
	tokenLeased = 1 // hardware address, number of its start
	tokenIssued = 2 // end in seconds since 1970, four random bytes, device's ID
)

// tokenEncoding survives phones that write everything in capitals or in none.
func tokenEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// Tokens makes and checks the tokens that stand in URLs: t/TOKEN/file. Nothing is written for them: a token says itself
// whose it is and is signed by a key of this installation.
//
// There are two kinds. One belongs to a start of a device, as the lease table numbers them. It is good until ten minutes
// after the next start, from the addresses that the device holds. The other is issued by a person, for a device without a
// lease of ours, such as one behind NAT: it is good for a span, from the first address that uses it. (Which that was is
// forgotten with the process; the span isn't.) Used otherwise, a token that was good is [TokenReplayed].
//
// It is safe for concurrent use.
type Tokens struct {
	key    []byte
	leases LeaseView

	mu   sync.Mutex // guards uses
	uses *recent[string, netip.Addr]
}

var _ TokenView = (*Tokens)(nil)

// NewTokens returns the tokens of a key, which is at least 32 random bytes.
func NewTokens(key []byte, leases LeaseView) (*Tokens, error) {
	if len(key) < tokenKeySize {
		return nil, fmt.Errorf("key of the tokens: %d bytes are too few, %d are needed: %w", len(key), tokenKeySize, ErrInvalid)
	}
	return &Tokens{key: key, leases: leases, uses: newRecent[string, netip.Addr](maxTokenUses)}, nil
}

// Issue returns the token of a device's present start; empty if it holds no lease of ours, or none whose start is known.
func (t *Tokens) Issue(hw hwaddr.Addr) string {
	var boot uint32
	for _, l := range t.leases.ByHW(hw) {
		if l.Origin != lease.External {
			boot = max(boot, l.Boot)
		}
	}
	if boot == 0 {
		return ""
	}
	return t.seal(binary.BigEndian.AppendUint32(append([]byte{tokenLeased}, hw[:]...), boot))
}

// IssueFor returns a token for a device that needn't have a lease, good until end. ErrInvalid if that is past or more than
// [MaxTokenSpan] away, or the ID too long.
func (t *Tokens) IssueFor(id DeviceID, now, end time.Time) (string, error) {
	switch span := end.Sub(now); {
	case id == "" || len(id) > maxTokenID:
		return "", fmt.Errorf("token for device %q: the ID has none or too many of at most %d bytes: %w", Printable(string(id)), maxTokenID, ErrInvalid)
	case span <= 0 || span > MaxTokenSpan:
		return "", fmt.Errorf("token for device %s: %s isn't between now and in %s: %w", id, span, MaxTokenSpan, ErrInvalid)
	}
	b := binary.BigEndian.AppendUint32([]byte{tokenIssued}, uint32(end.Unix())) //nolint:gosec // until 2106
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return t.seal(append(append(b, salt[:]...), id...)), nil
}

// Check implements [TokenView], and remembers who uses a token.
func (t *Tokens) Check(token string, from netip.Addr, at time.Time) (hwaddr.Addr, DeviceID, TokenState) {
	return t.check(token, from, at, true)
}

// Peek is Check that remembers nothing.
func (t *Tokens) Peek(token string, from netip.Addr, at time.Time) (hwaddr.Addr, DeviceID, TokenState) {
	return t.check(token, from, at, false)
}

func (t *Tokens) check(token string, from netip.Addr, at time.Time, uses bool) (hwaddr.Addr, DeviceID, TokenState) {
	b, ok := t.open(token)
	switch {
	case ok && b[0] == tokenLeased && len(b) == 1+6+4:
		hw := hwaddr.Addr(b[1:7])
		state := t.leased(hw, binary.BigEndian.Uint32(b[7:]), from, at)
		if state == TokenNone {
			return hwaddr.Addr{}, "", TokenNone
		}
		return hw, "", state
	case ok && b[0] == tokenIssued && len(b) > 1+4+4:
		end := time.Unix(int64(binary.BigEndian.Uint32(b[1:])), 0)
		id := DeviceID(b[9:])
		if !at.Before(end) || !t.use(string(b), from, uses) {
			return hwaddr.Addr{}, id, TokenReplayed
		}
		return hwaddr.Addr{}, id, TokenValid
	}
	return hwaddr.Addr{}, "", TokenNone
}

// leased says what a token of a device's start is worth. That of a device which holds no lease of ours is worth nothing:
// nobody knows whether it has started since.
func (t *Tokens) leased(hw hwaddr.Addr, boot uint32, from netip.Addr, at time.Time) TokenState {
	known, good, here := false, false, false
	for _, l := range t.leases.ByHW(hw) {
		if l.Origin == lease.External || l.Boot == 0 {
			continue
		}
		known = true
		here = here || l.Addr == from
		good = good || l.Boot == boot || l.LastBoot == boot && at.Sub(l.Booted()) < tokenGrace
	}
	switch {
	case !known:
		return TokenNone
	case good && here:
		return TokenValid
	}
	return TokenReplayed
}

// use reports whether a token may be used from an address: the first one that it was used from.
func (t *Tokens) use(payload string, from netip.Addr, remember bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, ok := t.uses.get(payload)
	if !ok {
		first = from
	}
	if first == from && remember {
		t.uses.put(payload, from)
	}
	return first == from
}

// seal signs a payload.
func (t *Tokens) seal(payload []byte) string {
	return tokenEncoding().EncodeToString(append(payload, t.tag(payload)...))
}

// open returns the payload of a token that we sealed.
func (t *Tokens) open(token string) ([]byte, bool) {
	if len(token) > maxToken {
		return nil, false
	}
	b, err := tokenEncoding().DecodeString(strings.ToLower(token))
	if err != nil || len(b) <= tokenTagSize {
		return nil, false
	}
	payload, tag := b[:len(b)-tokenTagSize], b[len(b)-tokenTagSize:]
	return payload, hmac.Equal(tag, t.tag(payload))
}

func (t *Tokens) tag(payload []byte) []byte {
	m := hmac.New(sha256.New, t.key)
	_, _ = m.Write([]byte("dialtone token\x00")) // never fails
	_, _ = m.Write(payload)
	return m.Sum(nil)[:tokenTagSize]
}

// TokenPath returns the path that a URL's host is followed by, where it has a token: "/t/TOKEN". Empty without one.
func TokenPath(token string) string {
	if token == "" {
		return ""
	}
	return "/" + tokenPrefix + token
}

// HideToken returns a path, as a phone wrote it, fit for log and journal: without the token that it may bear.
func HideToken(raw string) string {
	path := raw
	if decoded, err := url.PathUnescape(raw); err == nil {
		path = decoded
	}
	segments := strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == '\\' })
	segments = slices.DeleteFunc(segments, func(s string) bool { return s == "." })
	hidden := false
	for i, s := range segments {
		if s+"/" == tokenPrefix && i+1 < len(segments) {
			segments[i+1], hidden = masked, true
		}
	}
	if !hidden {
		return raw
	}
	return "/" + strings.Join(segments, "/")
}
