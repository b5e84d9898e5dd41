package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, which every authenticator knows
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// Hash is a password's, in the PHC string format: "$argon2id$v=19$m=19456,t=2,p=1$salt$sum". It says how it was made, so
// that stronger parameters may come later.
type Hash string

// The parameters of new hashes: OWASP's second choice for argon2id, which leaves memory for phones.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltSize    = 16
	sumSize     = 32
)

var b64 = base64.RawStdEncoding //nolint:gochecknoglobals // a constant

// NewHash hashes a password.
func NewHash(password string) Hash {
	salt := make([]byte, saltSize)
	rand.Read(salt) // it never fails: crypto/rand ends the program instead
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, sumSize)
	return Hash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)))
}

// Matches reports whether the hash is the password's. It takes as long for a hash that is none.
func (h Hash) Matches(password string) bool {
	p, ok := h.parse()
	if !ok {
		p = params{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: make([]byte, saltSize), sum: make([]byte, sumSize)}
	}
	sum := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.lanes, uint32(len(p.sum))) //nolint:gosec // at most 64
	return subtle.ConstantTimeCompare(sum, p.sum) == 1 && ok
}

// Stale reports whether the hash was made with other parameters than new ones are.
func (h Hash) Stale() bool {
	p, ok := h.parse()
	return !ok || p.memory != argonMemory || p.time != argonTime || p.lanes != argonLanes || len(p.sum) != sumSize
}

// String hides the hash.
func (Hash) String() string { return "[hash]" }

// GoString hides the hash.
func (Hash) GoString() string { return "[hash]" }

type params struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

// parse reads a hash; false if it is none, or asks for more than a login may cost.
func (h Hash) parse() (p params, ok bool) {
	parts := strings.Split(string(h), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes); err != nil || n != 3 {
		return p, false
	}
	var err error
	if p.salt, err = b64.DecodeString(parts[4]); err != nil {
		return p, false
	}
	if p.sum, err = b64.DecodeString(parts[5]); err != nil {
		return p, false
	}
	return p, p.memory >= 8 && p.memory <= 256<<10 && p.time >= 1 && p.time <= 10 && p.lanes >= 1 && p.lanes <= 16 &&
		len(p.salt) >= 8 && len(p.salt) <= 64 && len(p.sum) >= 16 && len(p.sum) <= 64
}

// tokenPrefix lets people and scanners of leaked secrets tell what they have found.
const tokenPrefix = "dialtone_pat_" //nolint:gosec // what all tokens begin with is no secret

var b32 = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding) //nolint:gochecknoglobals // a constant

// newToken returns a secret for a program: the prefix, 160 random bits and a checksum that tells a mistyped one.
func newToken() string {
	raw := make([]byte, 20)
	rand.Read(raw)
	body := b32.EncodeToString(raw)
	return tokenPrefix + body + tokenCheck(body)
}

func tokenCheck(body string) string {
	return b32.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}

// tokenSum returns what a token is looked up by; false if it is none of ours.
func tokenSum(token string) (sum [32]byte, ok bool) {
	body, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(body) != 32+7 || tokenCheck(body[:32]) != body[32:] {
		return sum, false
	}
	return sha256.Sum256([]byte(token)), true
}

// newSecret returns 256 random bits that fit into a cookie, and what identifies them in lists.
func newSecret() (secret, id string) {
	raw := make([]byte, 32)
	rand.Read(raw)
	secret = base64.RawURLEncoding.EncodeToString(raw)
	return secret, secretID(secret)
}

func secretID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return b32.EncodeToString(sum[:10])
}

// The parameters of the second factor, which authenticators assume (RFC 6238 §4, RFC 4226 §5.3).
const (
	totpStep   = 30 * time.Second
	totpDigits = 6
	totpSlack  = 1 // steps that a phone's clock may be off
	totpSize   = 20
)

// newTOTP returns a secret for an authenticator.
func newTOTP() []byte {
	raw := make([]byte, totpSize)
	rand.Read(raw)
	return raw
}

// totpCode is the code of one time step.
func totpCode(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) //nolint:gosec // time steps since 1970
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// totpMatch returns the time step that a code is for, if that is later than the last one used.
func totpMatch(secret []byte, code string, last int64, now time.Time) (int64, bool) {
	code = strings.ReplaceAll(code, " ", "")
	at := now.Unix() / int64(totpStep/time.Second)
	found, ok := int64(0), false
	for step := at - totpSlack; step <= at+totpSlack; step++ {
		if step > last && subtle.ConstantTimeCompare([]byte(totpCode(secret, step)), []byte(code)) == 1 {
			found, ok = step, true
		}
	}
	return found, ok
}

// TOTPURL is what an authenticator reads from a QR code.
func TOTPURL(user string, secret []byte) string {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	q := url.Values{"secret": {text}, "issuer": {"Dialtone"}}
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/Dialtone:" + user, RawQuery: q.Encode()}).String()
}
