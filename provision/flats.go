package provision

import (
	"context"
	"sync"
)

// DefaultFlats is how many bytes of flattened configs are kept if nothing else is said: enough for the phones that are
// starting at one time, each of which asks for several files. One with a few lines and two dozen keys takes 50 KB.
const DefaultFlats = 8 << 20

// Flats keep what devices' configs flatten to, those that were asked for last. One is used again only if no config has
// changed since, and the device has the same override. They hold secrets, in memory and nowhere else.
//
// [NewFlats] makes them; nil keeps nothing. They are safe for concurrent use.
type Flats struct {
	half int

	mu         sync.Mutex // guards what follows
	bytes      int        // of the young ones
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
	size       int

	once [2]sync.Once
	full [2]Params // complete, without and with secrets
}

// NewFlats returns some that hold about so many bytes; [DefaultFlats] if n isn't positive.
func NewFlats(n int) *Flats {
	if n <= 0 {
		n = DefaultFlats
	}
	return &Flats{half: n / 2, young: map[flatKey]*flat{}}
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
	f.size = f.weigh()
	if f.size > s.half {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, f)
}

// put makes a config one of those that were asked for last. When there are enough of them, those that weren't asked for
// since the last time that there were are forgotten. s.mu is held.
func (s *Flats) put(key flatKey, f *flat) {
	if s.bytes+f.size > s.half {
		s.old, s.young, s.bytes = s.young, make(map[flatKey]*flat, len(s.young)), 0
	}
	if f := s.young[key]; f != nil {
		s.bytes -= f.size
	}
	s.bytes += f.size
	s.young[key] = f
}

// weigh returns about what a flattened config takes in memory, its complete forms included, whether they are made yet or
// not.
func (f *flat) weigh() int {
	n := 3 * weight(f.res.Params, vocabulary)
	for path, id := range f.res.From {
		n += entryWeight + len(path) + len(id)
	}
	return n
}

// entryWeight is what an entry of a map of texts takes, with the room that maps leave empty.
const entryWeight = 48

// weight returns about what parameters take with every key that their level has.
func weight(m map[string]any, rows *level) int {
	n := entryWeight
	if rows != nil {
		n += entryWeight * len(rows.rows)
	}
	for key, v := range m {
		n += entryWeight + len(key) + valueWeight(key, v, rows)
	}
	return n
}

func valueWeight(key string, v any, rows *level) int {
	n := 16
	switch v := v.(type) {
	case string:
		n += len(v)
	case Secret:
		n += len(v)
	case []any:
		for _, x := range v {
			n += 16 + valueWeight("", x, nil)
		}
	default:
		entries, ok := asMap(v)
		if !ok {
			return n
		}
		var row *Param
		if rows != nil {
			row = rows.find(key)
		}
		if row == nil || row.Type != TypeTable {
			return n + weight(entries, nil)
		}
		for name, entry := range entries {
			n += entryWeight + len(name)
			if m, ok := asMap(entry); ok {
				n += weight(m, row.entry)
			}
		}
	}
	return n
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
