package provision

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Suppose returns the configs as they would be if some were put and some deleted.
func Suppose(below ConfigReader, put []Config, gone []ConfigID) ConfigReader {
	return &supposed{below: below, put: put, gone: gone}
}

type supposed struct {
	below ConfigReader
	put   []Config
	gone  []ConfigID
}

// Config implements [ConfigReader].
func (s *supposed) Config(ctx context.Context, id ConfigID) (Config, error) {
	for i := range s.put {
		if s.put[i].ID == id {
			return cloneConfig(s.put[i]), nil
		}
	}
	if slices.Contains(s.gone, id) {
		return Config{}, fmt.Errorf("config %s: %w", id, ErrNotFound)
	}
	return s.below.Config(ctx, id)
}

// ConfigByRole implements [ConfigReader].
func (s *supposed) ConfigByRole(ctx context.Context, role Role) (Config, error) {
	for i := range s.put {
		if role != RoleNone && s.put[i].Role == role {
			return cloneConfig(s.put[i]), nil
		}
	}
	c, err := s.below.ConfigByRole(ctx, role)
	if err != nil {
		return Config{}, err
	}
	if slices.Contains(s.gone, c.ID) || slices.ContainsFunc(s.put, func(x Config) bool { return x.ID == c.ID }) {
		return Config{}, fmt.Errorf("config of role %s: %w", role, ErrNotFound)
	}
	return c, nil
}

// lookedUp is what came of a look-up.
type lookedUp struct {
	config Config
	err    error
}

// readOnce remembers what it has read, for one use of configs that don't change meanwhile. Its configs are for reading.
type readOnce struct {
	below ConfigReader

	mu     sync.Mutex // guards what follows
	byID   map[ConfigID]lookedUp
	byRole map[Role]lookedUp
}

// Config implements [ConfigReader].
func (r *readOnce) Config(ctx context.Context, id ConfigID) (Config, error) {
	return remembered(ctx, r, r.byID, id, r.below.Config)
}

// ConfigByRole implements [ConfigReader].
func (r *readOnce) ConfigByRole(ctx context.Context, role Role) (Config, error) {
	return remembered(ctx, r, r.byRole, role, r.below.ConfigByRole)
}

func remembered[K comparable](ctx context.Context, r *readOnce, known map[K]lookedUp, key K, get func(context.Context, K) (Config, error)) (Config, error) {
	r.mu.Lock()
	x, ok := known[key]
	r.mu.Unlock()
	if !ok {
		x.config, x.err = get(ctx, key)
		r.mu.Lock()
		known[key] = x
		r.mu.Unlock()
	}
	return x.config, x.err
}
