package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealKey is a key that secrets are sealed with (XChaCha20-Poly1305: its nonces are long enough to be drawn at random for
// as long as anybody likes, and it is quick on boards whose processor knows no AES).
type sealKey struct {
	id   string // what ciphertexts name it by: the beginning of its own SHA-256, so that a key that was altered shows
	raw  []byte
	aead cipher.AEAD
}

// ring is the keys that are known, the newest first: that one seals, the others only open what hasn't been sealed anew.
// It is never empty and never changes.
type ring struct{ keys []sealKey }

func newSealKey(raw []byte) (sealKey, error) {
	aead, err := chacha20poly1305.NewX(raw)
	if err != nil {
		return sealKey{}, fmt.Errorf("a key of %d bytes, not %d", len(raw), chacha20poly1305.KeySize)
	}
	sum := sha256.Sum256(raw)
	return sealKey{id: hex.EncodeToString(sum[:8]), raw: raw, aead: aead}, nil
}

func randomSealKey() (sealKey, error) {
	raw := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(raw) // never fails
	return newSealKey(raw)
}

// first returns the key that seals.
func (r *ring) first() sealKey { return r.keys[0] }

func (r *ring) find(id string) (sealKey, bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return sealKey{}, false
}

// place is the record that a value lies in. A ciphertext opens nowhere but at its path in its record.
//
// Without a ring a place is for who has no key: values are written in the clear, which is for comparing only, and what
// is sealed reads as empty once it is seen to have the form of a ciphertext.
type place struct {
	ring        *ring
	bucket, key string
}

func (db *DB) place(bucket, key string) place { return place{db.ring.Load(), bucket, key} }

var errSealed = errors.New("its ciphertext is damaged or belongs elsewhere")

// seal returns the ciphertext of a value as text: the key's ID, a colon, and nonce and ciphertext in base64.
func (p place) seal(path string, plain []byte) string {
	k := p.ring.first()
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	_, _ = rand.Read(out) // never fails
	return k.id + ":" + base64.RawStdEncoding.EncodeToString(k.aead.Seal(out, out, plain, p.about(path)))
}

// open returns what was sealed at a path. Its errors don't say anything about the value.
func (p place) open(path, sealed string) ([]byte, error) {
	id, text, _ := strings.Cut(sealed, ":")
	box, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(box) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, errSealed
	}
	if p.ring == nil {
		return nil, nil
	}
	k, ok := p.ring.find(id)
	if !ok {
		return nil, fmt.Errorf("%w: it names key %q, which %s hasn't got", errSealed, id, fileKey)
	}
	plain, err := k.aead.Open(nil, box[:chacha20poly1305.NonceSizeX], box[chacha20poly1305.NonceSizeX:], p.about(path))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// about is the associated data of a value: where it lies. Each part has its length before it.
func (p place) about(path string) []byte {
	var out []byte
	for _, part := range []string{p.bucket, p.key, path} {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}

// isSealed reports whether a record's JSON has a sealed value in it: quotes within texts are escaped, and keys of ours that
// begin with a dollar get another one.
func isSealed(body []byte) bool { return bytes.Contains(body, []byte(`"`+keySealed+`"`)) }

// isOpen reports whether it has a secret in it that an earlier version left in the clear.
func isOpen(body []byte) bool {
	return bytes.Contains(body, []byte(`"`+keySecret+`"`)) || bytes.Contains(body, []byte(`"`+keyOpenTOTP+`"`))
}
