package provision

import (
	"slices"
	"strings"
	"sync"
)

// maxParts bounds how many parts of a set are remembered: one for each network that has plugins switched off.
const maxParts = 64

// partMemo remembers the parts of a set that networks see.
type partMemo struct {
	mu    sync.Mutex // guards byOff
	byOff map[string]*PluginSet
}

// without returns the set less some plugins.
func (s *PluginSet) without(off []PluginID) *PluginSet {
	if s == nil || len(off) == 0 {
		return s
	}
	var key strings.Builder
	for _, id := range off {
		key.WriteString(string(id))
		key.WriteByte(0)
	}
	s.parts.mu.Lock()
	defer s.parts.mu.Unlock()
	if part, ok := s.parts.byOff[key.String()]; ok {
		return part
	}
	part := NewPluginSet(slices.DeleteFunc(slices.Clone(s.all), func(p Plugin) bool { return slices.Contains(off, p.ID()) })...)
	if s.parts.byOff == nil || len(s.parts.byOff) >= maxParts {
		s.parts.byOff = make(map[string]*PluginSet)
	}
	s.parts.byOff[key.String()] = part
	return part
}
