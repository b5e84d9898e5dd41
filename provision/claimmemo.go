package provision

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// maxRecalled bounds how many requests' claims a set of plugins remembers: those of the phones that are starting at one
// time. What a scan makes up takes the place of older ones.
const maxRecalled = 2048

// claimMemo remembers what the plugins' rules find in requests. Rules see nothing but a request's fields, and the plugins
// of a set never change, so neither does that.
type claimMemo struct {
	mu       sync.RWMutex // guards byFields
	byFields map[string]*recalled
}

// recalled is what the rules find in requests with the same fields.
type recalled struct {
	found []Claim // nobody changes them
	last  atomic.Pointer[conclusion]
}

// conclusion is what was concluded from such claims and others.
type conclusion struct {
	own    []Claim  // those of no plugin
	ignore []Source // that don't count in the request's network
	claims []Claim  // all that count
	id     Identity
}

// recall returns what the rules find in a request. Nil: that must be found out each time, since a plugin is no [Ruled]
// one, or its rules panic.
func (s *PluginSet) recall(req *Request) *recalled {
	if s == nil || len(s.index.always) > 0 {
		return nil
	}
	var room [512]byte
	key := room[:0]
	for i := range s.index.fields {
		value := req.Field(s.index.fields[i].field)
		key = append(binary.AppendUvarint(key, uint64(len(value))), value...)
	}
	if len(key) > len(room) {
		return nil // no phone says as much
	}
	s.claims.mu.RLock()
	m := s.claims.byFields[string(key)]
	s.claims.mu.RUnlock()
	if m != nil {
		return m
	}
	found, panics := s.Extract(nil, req)
	if len(panics) > 0 {
		return nil
	}
	m = &recalled{found: found}
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	if s.claims.byFields == nil || len(s.claims.byFields) >= maxRecalled {
		s.claims.byFields = make(map[string]*recalled)
	}
	s.claims.byFields[string(key)] = m
	return m
}

// concluded returns what was concluded from the plugins' claims together with these; nil: it must be found out.
func (m *recalled) concluded(own []Claim, ignore []Source) *conclusion {
	if m == nil {
		return nil
	}
	if c := m.last.Load(); c != nil && slices.Equal(c.own, own) && slices.Equal(c.ignore, ignore) {
		return c
	}
	return nil
}
