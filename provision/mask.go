package provision

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// maskValue returns a copy in which a text stands for each secret that isn't empty.
func maskValue(v any, key []byte) any {
	if m, ok := asMap(v); ok {
		out := make(map[string]any, len(m))
		for k, x := range m {
			out[k] = maskValue(x, key)
		}
		return out
	}
	switch v := v.(type) {
	case Secret:
		if v == "" {
			return v
		}
		return Secret(maskedBy(key, v))
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = maskValue(x, key)
		}
		return out
	}
	return v
}

// maskedBy returns a text that tells a secret from others but says nothing of it without the key. With an empty key it is the
// same for all.
func maskedBy(key []byte, s Secret) string {
	if len(key) == 0 {
		return s.String()
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s.Reveal()))
	return "[secret:" + hex.EncodeToString(h.Sum(nil)[:6]) + "]"
}
