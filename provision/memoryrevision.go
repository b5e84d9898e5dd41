package provision

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Configs returns all configs, by ID.
func (m *Memory) Configs(context.Context) ([]Config, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]Config, 0, len(m.configs))
	for _, id := range slices.Sorted(maps.Keys(m.configs)) {
		list = append(list, cloneConfig(m.configs[id]))
	}
	return list, nil
}

// PutConfigBy implements [RevisionStore].
func (m *Memory) PutConfigBy(_ context.Context, c Config, by Author) (Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.admitConfig(c); err != nil {
		return Config{}, err
	}
	if now, ok := m.configs[c.ID]; ok && reflect.DeepEqual(now, cloneConfig(c)) {
		return cloneConfig(now), nil
	}
	c = m.setConfig(c)
	m.revise(c, by, false)
	return c, nil
}

// DeleteConfigBy implements [RevisionStore].
func (m *Memory) DeleteConfigBy(_ context.Context, id ConfigID, by Author) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.configs[id]
	switch {
	case !ok:
		return fmt.Errorf("delete config %s: %w", id, ErrNotFound)
	case c.Locked:
		return fmt.Errorf("delete config %s, which is locked: %w", id, ErrForbidden)
	case m.used(id):
		return fmt.Errorf("delete config %s, which is used: %w", id, ErrConflict)
	}
	m.removeConfig(c, by)
	return nil
}

// used reports whether a device or another config uses a config. m.mu is held.
func (m *Memory) used(id ConfigID) bool {
	for _, d := range m.devices {
		if d.Config == id {
			return true
		}
	}
	for _, c := range m.configs {
		if slices.Contains(c.Parents, id) {
			return true
		}
	}
	return false
}

// abandon deletes a transient config that nobody uses any more. m.mu is held.
func (m *Memory) abandon(id ConfigID) {
	if c, ok := m.configs[id]; ok && c.Transient && !c.Locked && !m.used(id) {
		m.removeConfig(c, Author{Who: BySystem})
	}
}

func (m *Memory) removeConfig(c Config, by Author) {
	delete(m.configs, c.ID)
	m.rev++
	if c.Transient {
		delete(m.revisions, c.ID)
		return
	}
	m.revise(c, by, true)
}

// revise adds a revision. m.mu is held.
func (m *Memory) revise(c Config, by Author, deleted bool) {
	list := m.revisions[c.ID]
	r := Revision{Config: c.ID, Number: 1, At: time.Now(), By: by, Deleted: deleted, State: cloneConfig(c)}
	if len(list) > 0 {
		r.Number = list[len(list)-1].Number + 1
	}
	list = append(list, r)
	if m.revisions == nil {
		m.revisions = map[ConfigID][]Revision{}
	}
	m.revisions[c.ID] = list[max(0, len(list)-MaxRevisions):]
}

// Revisions implements [RevisionStore].
func (m *Memory) Revisions(_ context.Context, id ConfigID) ([]Revision, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := slices.Clone(m.revisions[id])
	if len(list) == 0 {
		return nil, fmt.Errorf("revisions of config %s: %w", id, ErrNotFound)
	}
	for i := range list {
		list[i].State = cloneConfig(list[i].State)
	}
	slices.Reverse(list)
	return list, nil
}
