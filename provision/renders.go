package provision

import (
	"bytes"
	"container/list"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"
)

// DefaultRenders is how many bytes of rendered files are kept if nothing else is said.
const DefaultRenders = 32 << 20

// ConfigRev is a ConfigStore that can tell that its configs haven't changed.
type ConfigRev interface {
	ConfigStore
	// ConfigsRev returns another number after any change of any config than before. When a change is acknowledged, the
	// number is another already.
	ConfigsRev() uint64
}

// Renders keep files that were rendered from templates, those that were asked for last. A file is used again only if
// all that it was made of is as it was: the device with its override, the plugins, the configs, what the guard let
// through, our address as the phone sees it, and the day, since time zones' rules may change with it. No template has
// anything else to look at. Files with secrets are kept like others, in memory and nowhere else.
//
// [NewRenders] makes one; nil keeps nothing. They are safe for concurrent use.
type Renders struct {
	limit int

	mu    sync.Mutex // guards what follows
	bytes int
	order *list.List // of *rendered, the last used first
	byKey map[renderKey]*list.Element
}

// renderKey is what a file is kept under: one for each device and route, so that a newer one takes an older one's place.
type renderKey struct {
	device DeviceID
	route  Route
}

// rendered is a file, and what it was made of.
type rendered struct {
	key  renderKey
	from ingredients

	body     []byte
	hash     [32]byte
	mimeType string
	layers   map[string]ConfigID
	note     string // what there is to say of its config
}

// ingredients are all that a file is made of.
type ingredients struct {
	plugins  *PluginSet
	configs  uint64
	secrets  bool
	day      int64
	view     View // without its Params, which come from the configs and the override
	override Params
}

// same reports whether two are equal. The cheap ones come first.
func (x *ingredients) same(y *ingredients) bool {
	return x.plugins == y.plugins && x.configs == y.configs && x.secrets == y.secrets && x.day == y.day &&
		x.view.same(&y.view) && sameMap(x.override, y.override)
}

// same reports whether two views of one plugin are equal but for their Params. The Model is what the plugin says of the
// device's, so it is the same.
func (v *View) same(w *View) bool {
	return v.Base == w.Base && v.HTTP == w.HTTP && v.Token == w.Token && slices.Equal(v.Firmware, w.Firmware) && v.Device.same(&w.Device)
}

// same reports whether two devices are equal.
func (d *Device) same(e *Device) bool {
	return d.ID == e.ID && d.Rev == e.Rev && d.HW == e.HW && d.Serial == e.Serial && d.UUID == e.UUID && d.Vendor == e.Vendor &&
		d.Model == e.Model && d.Version == e.Version && d.Plugin == e.Plugin && d.Pinned == e.Pinned && d.Config == e.Config &&
		d.Label == e.Label && d.Created.Equal(e.Created) && d.Created.Location() == e.Created.Location() && d.Auto == e.Auto &&
		d.Network == e.Network && d.State == e.State && d.Remote == e.Remote && d.Static == e.Static && d.Port == e.Port &&
		sameMap(d.Override, e.Override) && sameMap(d.Options, e.Options)
}

func sameMap[M ~map[string]any](a, b M) bool { return len(a)+len(b) == 0 || reflect.DeepEqual(a, b) }

// NewRenders returns renders that hold so many bytes; [DefaultRenders] if n isn't positive.
func NewRenders(n int) *Renders {
	if n <= 0 {
		n = DefaultRenders
	}
	return &Renders{limit: n, order: list.New(), byKey: map[renderKey]*list.Element{}}
}

// ingredients completes what the request's file would be made of now, and reports whether it can be kept.
func (s *Renders) ingredients(r *passage) bool {
	configs, ok := r.configs.(ConfigRev)
	if s == nil || !ok || r.out.Route.Template == "" || r.device.ID == "" {
		return false
	}
	m := &r.made
	m.plugins, m.configs, m.secrets, m.day = r.plugins, configs.ConfigsRev(), r.out.Verdict.Secrets, time.Now().Unix()/86400
	m.override = r.device.Override
	return true
}

func (r *passage) renderKey() renderKey { return renderKey{r.device.ID, r.out.Route} }

// find returns the file that was made of the same as the request's would be; nil: there is none.
func (s *Renders) find(r *passage) *rendered {
	s.mu.Lock()
	e, ok := s.byKey[r.renderKey()]
	if !ok {
		s.mu.Unlock()
		return nil
	}
	s.order.MoveToFront(e)
	x := e.Value.(*rendered) // it never changes
	s.mu.Unlock()
	if !x.from.same(&r.made) {
		return nil
	}
	return x
}

// keep keeps a file, in place of the one that was made of something else.
func (s *Renders) keep(x *rendered) {
	if x.size() > s.limit/8 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byKey[x.key]; ok {
		s.drop(e)
	}
	s.byKey[x.key] = s.order.PushFront(x)
	for s.bytes += x.size(); s.bytes > s.limit; {
		s.drop(s.order.Back())
	}
}

// drop forgets a file. s.mu is held.
func (s *Renders) drop(e *list.Element) {
	x := s.order.Remove(e).(*rendered)
	delete(s.byKey, x.key)
	s.bytes -= x.size()
}

// size is about what it takes in memory.
func (x *rendered) size() int {
	n := 2048 + len(x.body) + len(x.note) // the device, the key and the maps' own entries
	for path := range x.layers {
		n += len(path) + 64
	}
	return n
}

// answer returns the file, ready to be sent.
func (x *rendered) answer() *Answer {
	return &Answer{Type: x.mimeType, Size: int64(len(x.body)), Hash: x.hash, Body: inMemory{bytes.NewReader(x.body)}}
}

// inMemory is a file in memory as an answer's body.
type inMemory struct{ *bytes.Reader }

// Close does nothing.
func (inMemory) Close() error { return nil }

// takeBody reads an answer's body, which it closes, and gives the answer a copy of it in its place.
func takeBody(a *Answer) ([]byte, error) {
	body := make([]byte, a.Size)
	_, err := io.ReadFull(a.Body, body)
	if cerr := a.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read a rendered file: %w", err)
	}
	a.Body = inMemory{bytes.NewReader(body)}
	return body, nil
}
