package provision_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

type configs map[provision.ConfigID]provision.Config

func (c configs) get(id provision.ConfigID) (provision.Config, error) {
	if x, ok := c[id]; ok {
		return x, nil
	}
	return provision.Config{}, fmt.Errorf("config %s: %w", id, provision.ErrNotFound)
}

func config(parents string, params provision.Params) provision.Config {
	c := provision.Config{Params: params}
	for p := range strings.FieldsSeq(parents) {
		c.Parents = append(c.Parents, provision.ConfigID(p))
	}
	return c
}

func TestInherit(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	for _, c := range []struct {
		name    string
		configs configs
		want    provision.Params
		from    map[string]provision.ConfigID
	}{
		{"own over later over earlier", configs{
			"x": config("a b", provision.Params{"own": "x"}),
			"a": config("", provision.Params{"own": "a", "late": "a", "early": "a"}),
			"b": config("", provision.Params{"own": "b", "late": "b"}),
		}, provision.Params{"own": "x", "late": "b", "early": "a"}, map[string]provision.ConfigID{"own": "x", "late": "b", "early": "a"}},
		{"a diamond's ancestor once, at its first visit", configs{
			"x": config("a b", nil), "a": config("top", provision.Params{"k": "a"}), "b": config("top", nil),
			"top": config("", provision.Params{"k": "top"}),
		}, provision.Params{"k": "a"}, map[string]provision.ConfigID{"k": "a"}},
		{
			"maps merge, lists replace",
			configs{
				"x": config("a", provision.Params{"m": m{"2": m{"n": "x"}}, "l": []any{"x"}}),
				"a": config("", provision.Params{"m": m{"1": m{"n": "a"}, "2": m{"n": "a", "o": "a"}}, "l": []any{"a", "b"}}),
			},
			provision.Params{"m": m{"1": m{"n": "a"}, "2": m{"n": "x", "o": "a"}}, "l": []any{"x"}},
			map[string]provision.ConfigID{"m.1.n": "a", "m.2.n": "x", "m.2.o": "a", "l": "x"},
		},
		{"nil unsets, and a text replaces a map", configs{
			"x": config("a", provision.Params{"n": nil, "m": "text"}),
			"a": config("", provision.Params{"n": "a", "m": m{"k": "a"}, "mm": "other"}),
		}, provision.Params{"n": nil, "m": "text", "mm": "other"}, map[string]provision.ConfigID{"n": "x", "m": "x", "mm": "a"}},
		{"empty maps", configs{
			"x": config("a", provision.Params{"m": m{}, "n": m{"k": "x"}}),
			"a": config("", provision.Params{"m": m{"k": "a"}, "n": m{}}),
		}, provision.Params{"m": m{"k": "a"}, "n": m{"k": "x"}}, map[string]provision.ConfigID{"m.k": "a", "n.k": "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := provision.Inherit(c.configs.get, "x")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(provision.Resolved{Params: c.want, From: c.from}, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestInheritFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		configs configs
		kind    error
		text    string
	}{
		{"unknown", configs{}, provision.ErrNotFound, "x"},
		{"missing parent", configs{"x": config("a", nil), "a": config("b", nil)}, provision.ErrInvalid, "x → a → b"},
		{"itself", configs{"x": config("x", nil)}, provision.ErrInvalid, "x → x"},
		{"circle", configs{"x": config("a", nil), "a": config("b", nil), "b": config("a", nil)}, provision.ErrInvalid, "x → a → b → a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := provision.Inherit(c.configs.get, "x")
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error = %v, want %v with %q", err, c.kind, c.text)
			}
			if !errors.Is(c.kind, provision.ErrNotFound) && errors.Is(err, provision.ErrNotFound) {
				t.Errorf("error %v looks like a missing config", err)
			}
		})
	}
}

func drawParams(t *rapid.T, depth int, label string) map[string]any {
	out := map[string]any{}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(t, label) {
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case kind == 0:
			out[key] = nil
		case kind == 1:
			out[key] = []any{rapid.String().Draw(t, "item")}
		case kind > 2 && depth > 0:
			out[key] = drawParams(t, depth-1, label+"."+key)
		default:
			out[key] = rapid.Int64().Draw(t, "number")
		}
	}
	return out
}

// Flattening what is flat changes nothing; every value has one origin; nobody's params are changed.
func TestInheritProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ids := []provision.ConfigID{"0", "1", "2", "3", "4"}
		all, copies := configs{}, map[provision.ConfigID]provision.Params{}
		for i, id := range ids { // parents have lesser numbers, so there is no circle
			c := provision.Config{ID: id, Params: drawParams(t, 2, "params")}
			if i > 0 {
				c.Parents = rapid.SliceOfNDistinct(rapid.SampledFrom(ids[:i]), 0, i, rapid.ID).Draw(t, "parents")
			}
			all[id], copies[id] = c, c.Params.Clone()
		}
		once, err := provision.Inherit(all.get, "4")
		if err != nil {
			t.Fatal(err)
		}
		twice, err := provision.Inherit(configs{"4": {ID: "4", Params: once.Params}}.get, "4")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(once.Params, twice.Params); diff != "" {
			t.Fatalf("flattening twice:\n%s", diff)
		}
		var paths []string
		leaves(once.Params, "", func(p string) { paths = append(paths, p) })
		if len(paths) != len(once.From) {
			t.Fatalf("paths %v, origins %v", paths, once.From)
		}
		for _, p := range paths {
			if _, ok := once.From[p]; !ok {
				t.Fatalf("%s has no origin: %v", p, once.From)
			}
		}
		for _, v := range once.Params {
			if list, ok := v.([]any); ok {
				list[0] = "scribbled" // the result is the caller's
			}
		}
		for id, c := range all {
			if diff := cmp.Diff(copies[id], c.Params); diff != "" {
				t.Fatalf("config %s was changed:\n%s", id, diff)
			}
		}
		// Own values win.
		for k, v := range all["4"].Params {
			_, isMap := v.(map[string]any)
			_, isList := v.([]any)
			if !isMap && !isList && !cmp.Equal(v, once.Params[k]) {
				t.Fatalf("%s = %v, want the config's own %v", k, once.Params[k], v)
			}
		}
	})
}

func leaves(m map[string]any, prefix string, yield func(string)) {
	for k := range maps.Keys(m) {
		if sub, ok := m[k].(map[string]any); ok && len(sub) > 0 {
			leaves(sub, prefix+k+".", yield)
		} else {
			yield(prefix + k)
		}
	}
}
