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

// Parameters are JSON with two additions. A secret is an object with the one key keySecret, so that reading needs no
// vocabulary (and that it is told from plain text in the file: the place for encryption, should it come). A key that
// begins with a dollar gets a second one. Floats always have a point or an exponent, and numbers without are int64s.
const keySecret = "$secret"

// maxDepth bounds how deep parameters are nested; a map that contains itself ends there.
const maxDepth = 32

// encodeValue turns a parameter into what package json writes as said above. Path names it in errors.
func encodeValue(path string, v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s is nested more than %d deep: %w", path, maxDepth, provision.ErrInvalid)
	}
	switch v := v.(type) {
	case nil, bool, int, int64:
		return v, nil
	case string:
		return v, checkText(path, v)
	case provision.Secret:
		return map[string]string{keySecret: v.Reveal()}, checkText(path, v.Reveal())
	case float64:
		return encodeFloat(path, v)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			var err error
			if out[i], err = encodeValue(fmt.Sprintf("%s[%d]", path, i), x, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case provision.Params:
		return encodeMap(path, v, depth)
	case map[string]any:
		return encodeMap(path, v, depth)
	}
	return nil, fmt.Errorf("%s has type %T: %w", path, v, provision.ErrInvalid)
}

func encodeMap(path string, m map[string]any, depth int) (map[string]any, error) {
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
		if out[k], err = encodeValue(at, x, depth+1); err != nil {
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

// decodeMap reads what encodeMap wrote.
func decodeMap(b json.RawMessage) (map[string]any, error) {
	if len(b) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	return restoreMap(m, 0)
}

func restoreMap(m map[string]any, depth int) (map[string]any, error) {
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
		v, err := restoreValue(v, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = v
	}
	return out, nil
}

func restoreValue(v any, depth int) (any, error) {
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
			var err error
			if v[i], err = restoreValue(x, depth+1); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if s, ok := v[keySecret].(string); ok && len(v) == 1 {
			return provision.Secret(s), nil
		}
		return restoreMap(v, depth)
	}
	return v, nil
}
