package provision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Resolved is a config with all that it inherits.
type Resolved struct {
	Params Params
	// From tells for each value, by its path ("sip_lines.1.username"), which config it came from. Lists and empty maps
	// are values.
	From map[string]ConfigID
}

// The layers that are no configs, as they appear in provenance.
const (
	LayerDevice  ConfigID = "(device)"  // the device's own override
	LayerDefault ConfigID = "(default)" // the vocabulary's default
)

// Inherit flattens a config: its parents in order, each with its own parents first and each config at most once, then
// its own parameters on top. A map is merged into a map; anything else replaces what it meets, a list a list, too. So
// own values win over a later parent's, and those over an earlier one's.
//
// An unknown id is get's error; a missing parent or a circle is ErrInvalid, with the chain that leads to it. What Inherit
// returns shares nothing with what get returned.
func Inherit(get func(ConfigID) (Config, error), id ConfigID) (Resolved, error) {
	return InheritOver(get, "", id)
}

// InheritOver is Inherit over a base, which lies lowest, whether or not the config names it among its parents. An empty
// base or id is none.
func InheritOver(get func(ConfigID) (Config, error), base, id ConfigID) (Resolved, error) {
	f := flattening{get: get, done: map[ConfigID]bool{}, out: newResolved()}
	for _, id := range []ConfigID{base, id} {
		if id == "" {
			continue
		}
		if err := f.visit(id); err != nil {
			return Resolved{}, err
		}
	}
	return f.out, nil
}

func newResolved() Resolved { return Resolved{Params: Params{}, From: map[string]ConfigID{}} }

type flattening struct {
	get   func(ConfigID) (Config, error)
	done  map[ConfigID]bool
	chain []ConfigID // from the asked config down to the present one
	out   Resolved
}

func (f *flattening) visit(id ConfigID) error {
	if slices.Contains(f.chain, id) {
		return fmt.Errorf("config %s inherits from itself: %s: %w", id, chainText(append(f.chain, id)), ErrInvalid)
	}
	if f.done[id] {
		return nil
	}
	c, err := f.get(id)
	if err != nil {
		if len(f.chain) > 0 && errors.Is(err, ErrNotFound) {
			return fmt.Errorf("config %s is missing: %s: %w", id, chainText(append(f.chain, id)), ErrInvalid)
		}
		return fmt.Errorf("read config %s: %w", id, err)
	}
	f.chain = append(f.chain, id)
	for _, parent := range c.Parents {
		if err := f.visit(parent); err != nil {
			return err
		}
	}
	f.chain = f.chain[:len(f.chain)-1]
	f.done[id] = true
	f.out.lay(c.Params, id)
	return nil
}

func chainText(chain []ConfigID) string {
	parts := make([]string, len(chain))
	for i, id := range chain {
		parts[i] = string(id)
	}
	return strings.Join(parts, " → ")
}

// lay puts params on top of what r has.
func (r *Resolved) lay(params Params, from ConfigID) { r.merge(r.Params, params, "", from) }

func (r *Resolved) merge(dst, src map[string]any, prefix string, from ConfigID) {
	for key, v := range src {
		path := prefix + key
		upper, isMap := asMap(v)
		lower, wasMap := asMap(dst[key])
		if _, exists := dst[key]; exists && (!isMap || !wasMap) {
			r.forget(path)
		}
		switch {
		case !isMap:
			dst[key] = cloneValue(v)
			r.From[path] = from
		case wasMap:
			if len(upper) > 0 {
				delete(r.From, path) // the lower one may have been empty, and so a value
			}
			r.merge(lower, upper, path+".", from)
		default:
			fresh := make(map[string]any, len(upper))
			dst[key] = fresh
			if len(upper) == 0 {
				r.From[path] = from
			}
			r.merge(fresh, upper, path+".", from)
		}
	}
}

// forget drops the provenance of a value and of what lies beneath it.
func (r *Resolved) forget(path string) {
	delete(r.From, path)
	for p := range r.From {
		if strings.HasPrefix(p, path) && strings.HasPrefix(p[len(path):], ".") {
			delete(r.From, p)
		}
	}
}

// asMap returns v as a map; false if it isn't one. A nil map is one.
func asMap(v any) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case Params:
		return m, true
	}
	return nil, false
}

// Clone returns a copy that shares no map and no list with p. Nil stays nil. Nested maps become map[string]any.
func (p Params) Clone() Params {
	if p == nil {
		return nil
	}
	out := make(Params, len(p))
	for k, v := range p {
		out[k] = cloneValue(v)
	}
	return out
}

func cloneValue(v any) any {
	if m, ok := asMap(v); ok {
		return map[string]any(Params(m).Clone())
	}
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, x := range list {
			out[i] = cloneValue(x)
		}
		return out
	}
	return v
}
