package trace

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// maxFetches bounds the files that are remembered of one device, so that a phone that makes up names fills nothing.
const maxFetches = 32

// Fetch is the last time that a device was sent a file.
type Fetch struct {
	Path      string
	Proto     provision.Proto
	UserAgent string
	Hash      [32]byte // SHA-256 of what it was sent
	At        time.Time
	Request   uint64 // ID of the request
}

// fetches remember what each device was sent last. The zero value is empty.
type fetches struct {
	mu       sync.RWMutex // guards what follows
	byDevice map[provision.DeviceID][]Fetch
}

// note takes in an outcome. Only whole files count, and not the vendor's own: those are the same for all.
func (f *fetches) note(o *provision.Outcome) {
	if o.Err != nil || o.Device.ID == "" || o.Route.Rule == "" || o.Route.Class == provision.ClassPublic || o.Request.Head {
		return
	}
	if d := o.Delivery; d == nil || d.Err != nil || d.Bytes < o.Size {
		return
	}
	f.add(o.Device.ID, Fetch{
		Path: o.Request.Path, Proto: o.Request.Proto, UserAgent: o.Request.Fields[provision.FieldUserAgent],
		Hash: o.Hash, At: o.Request.At, Request: o.Request.ID,
	})
}

// add remembers a fetch, unless a later one of the same file is known, or as many later ones as are remembered.
func (f *fetches) add(id provision.DeviceID, x Fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byDevice == nil {
		f.byDevice = make(map[provision.DeviceID][]Fetch)
	}
	list := f.byDevice[id]
	at := slices.IndexFunc(list, func(y Fetch) bool { return y.Path == x.Path })
	if at < 0 {
		if len(list) < maxFetches {
			f.byDevice[id] = append(list, x)
			return
		}
		at = 0 // the oldest
		for i := range list {
			if list[i].Request < list[at].Request {
				at = i
			}
		}
	}
	if list[at].Request <= x.Request {
		list[at] = x
	}
}

// has reports whether a fetch of a file is remembered. It may say no of one whose names have backslashes in JSON.
func (f *fetches) has(id, path []byte) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.ContainsFunc(f.byDevice[provision.DeviceID(id)], func(x Fetch) bool { return x.Path == string(path) })
}

// recall takes in what the files say, which is why a start doesn't wait for it. They are read from their end, and a phone
// mostly fetches the same files again and again: what is about one of those is passed over unread.
func (l *Log) recall(ctx context.Context) {
	known := func(line []byte) bool {
		id, path := quoted(line, ofDevice), quoted(line, ofPath)
		return id != nil && path != nil && l.fetches.has(id[1:len(id)-1], path[1:len(path)-1])
	}
	err := l.scan(ctx, []byte(`"answer":`), known, func(o *provision.Outcome) bool {
		l.fetches.note(o)
		return true
	})
	if err != nil && ctx.Err() == nil {
		l.log().WarnContext(ctx, "what phones fetched before the start isn't known", "err", err)
	}
}

// Fetched returns what a device was last sent, file by file, as far back as the trace reaches.
func (l *Log) Fetched(id provision.DeviceID) []Fetch {
	l.fetches.mu.RLock()
	defer l.fetches.mu.RUnlock()
	list := slices.Clone(l.fetches.byDevice[id])
	slices.SortFunc(list, func(a, b Fetch) int { return cmp.Compare(a.Path, b.Path) })
	return list
}
