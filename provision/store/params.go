package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dialtone-project/dialtone/provision"
)

// Parameters are JSON with two additions. A secret is an object with the one key keySealed, whose value is a ciphertext (see
// place), so that reading needs no vocabulary; before schema 6 it had the one key keySecret and was in the clear. A key
// that begins with a dollar gets a second one. Floats always have a point or an exponent, and numbers without are int64s.
const (
	keySealed = "$sealed"
	keySecret = "$secret"
)

// maxDepth bounds how deep parameters are nested; a map that contains itself ends there.
const maxDepth = 32

// encodeValue turns a parameter into what package json writes as said above. Path names it in errors.
func (p place) encodeValue(path string, v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s is nested more than %d deep: %w", path, maxDepth, provision.ErrInvalid)
	}
	switch v := v.(type) {
	case nil, bool, int, int64:
		return v, nil
	case string:
		return v, checkText(path, v)
	case provision.Secret:
		if p.ring == nil {
			return map[string]string{keySecret: v.Reveal()}, checkText(path, v.Reveal())
		}
		return map[string]string{keySealed: p.seal(path, []byte(v.Reveal()))}, checkText(path, v.Reveal())
	case float64:
		return encodeFloat(path, v)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			var err error
			if out[i], err = p.encodeValue(fmt.Sprintf("%s[%d]", path, i), x, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case provision.Params:
		return p.encodeMap(path, v, depth)
	case map[string]any:
		return p.encodeMap(path, v, depth)
	}
	return nil, fmt.Errorf("%s has type %T: %w", path, v, provision.ErrInvalid)
}

func (p place) encodeMap(path string, m map[string]any, depth int) (map[string]any, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string]any, len(m))
	for k, x := range m {
		at := path + "." + k
		if err := checkText(at, k); err != nil {
			return nil, err
		}
		if strings.HasPrefix(k, "$") {
			k = "$" + k
		}
		var err error
		if out[k], err = p.encodeValue(at, x, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func encodeFloat(path string, f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%s is not a number: %w", path, provision.ErrInvalid)
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.RawMessage(s), nil
}

// checkText refuses bytes that JSON would replace.
func checkText(path, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8 text: %w", path, provision.ErrInvalid)
	}
	return nil
}

// decodeMap reads what encodeMap wrote under a name.
func (p place) decodeMap(name string, b json.RawMessage) (map[string]any, error) {
	if len(b) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	r := restorer{place: p, path: []byte(name)}
	return r.restoreMap(m, 0)
}

// restorer knows where in the params it is.
type restorer struct {
	place
	path []byte
}

func (r *restorer) restoreMap(m map[string]any, depth int) (map[string]any, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		if name, ok := strings.CutPrefix(k, "$"); ok {
			if k = name; !strings.HasPrefix(k, "$") {
				return nil, fmt.Errorf("the key %q means nothing", "$"+name)
			}
		}
		up := len(r.path)
		r.path = append(append(r.path, '.'), k...)
		v, err := r.restoreValue(v, depth+1)
		r.path = r.path[:up]
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = v
	}
	return out, nil
}

func (r *restorer) restoreValue(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return v.Float64()
		}
		return v.Int64()
	case []any:
		for i, x := range v {
			up := len(r.path)
			r.path = append(strconv.AppendInt(append(r.path, '['), int64(i), 10), ']')
			var err error
			if v[i], err = r.restoreValue(x, depth+1); err != nil {
				return nil, err
			}
			r.path = r.path[:up]
		}
	case map[string]any:
		if s, ok := v[keySecret].(string); ok && len(v) == 1 {
			return provision.Secret(s), nil
		}
		if s, ok := v[keySealed].(string); ok && len(v) == 1 {
			plain, err := r.open(string(r.path), s)
			return provision.Secret(plain), err
		}
		return r.restoreMap(v, depth)
	}
	return v, nil
}
