package provision

import (
	"context"
	"sync"
)

// DefaultFlats is how many flattened configs are kept if nothing else is said: enough for the phones that are starting
// at one time, each of which asks for several files.
const DefaultFlats = 512

// Flats keep what devices' configs flatten to, those that were asked for last. One is used again only if no config has
// changed since, and the device has the same override. They hold secrets, in memory and nowhere else.
//
// [NewFlats] makes them; nil keeps nothing. They are safe for concurrent use.
type Flats struct {
	half int

	mu         sync.Mutex // guards what follows
	young, old map[flatKey]*flat
}

// flatKey is what a flattened config is kept under: devices without an override share that of their config.
type flatKey struct {
	config ConfigID // empty: the one with the role default, or none
	device DeviceID // only if it has an override
	site   bool     // for files of class site
}

// flat is what [Resolve] gave, and what it gave that of. Nobody changes it.
type flat struct {
	rev        uint64
	override   Params
	res        Resolved
	incomplete error

	once [2]sync.Once
	full [2]Params // complete, without and with secrets
}

// NewFlats returns some that keep n configs, or up to twice as many if they are asked for again and again;
// [DefaultFlats] if n isn't positive.
func NewFlats(n int) *Flats {
	if n <= 0 {
		n = DefaultFlats
	}
	return &Flats{half: n, young: map[flatKey]*flat{}}
}

// resolve is [Resolve], if no config has changed from one call with the same rev to the next.
func (s *Flats) resolve(ctx context.Context, configs ConfigReader, rev uint64, d *Device, class Class) (*flat, error) {
	if s == nil {
		return resolveFlat(ctx, configs, d, class)
	}
	key := flatKey{config: d.Config}
	if d.Config == "" {
		key.site = class == ClassSite
	}
	if len(d.Override) > 0 {
		key.device = d.ID
	}
	if f := s.find(key); f != nil && f.rev == rev && sameMap(f.override, d.Override) {
		return f, nil
	}
	f, err := resolveFlat(ctx, configs, d, class)
	if err != nil {
		return nil, err
	}
	f.rev, f.override = rev, d.Override
	s.keep(key, f)
	return f, nil
}

func resolveFlat(ctx context.Context, configs ConfigReader, d *Device, class Class) (*flat, error) {
	res, incomplete, err := Resolve(ctx, configs, d, class)
	return &flat{res: res, incomplete: incomplete}, err
}

func (s *Flats) find(key flatKey) *flat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.young[key]; f != nil {
		return f
	}
	f := s.old[key]
	if f != nil {
		s.put(key, f)
	}
	return f
}

func (s *Flats) keep(key flatKey, f *flat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, f)
}

// put makes a config one of those that were asked for last. When there are enough of them, those that weren't asked for
// since the last time that there were are forgotten. s.mu is held.
func (s *Flats) put(key flatKey, f *flat) {
	if len(s.young) >= s.half {
		s.old, s.young = s.young, make(map[flatKey]*flat, s.half)
	}
	s.young[key] = f
}

// complete returns the parameters as templates see them: every key of the vocabulary is there, and the secrets are, or
// are empty. They must not be changed.
func (f *flat) complete(secrets bool) Params {
	i := 0
	if secrets {
		i = 1
	}
	f.once[i].Do(func() { f.full[i] = Complete(reveal(f.res.Params, secrets)) })
	return f.full[i]
}
