package provision

import "container/list"

// recent is a map that forgets what was touched longest ago when it is full. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	limit int
	order *list.List // of recentEntry[K, V], latest first
	byKey map[K]*list.Element
}

type recentEntry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, order: list.New(), byKey: make(map[K]*list.Element)}
}

// get returns what is kept under a key, without touching it.
func (r *recent[K, V]) get(key K) (v V, ok bool) {
	e, ok := r.byKey[key]
	if !ok {
		return v, false
	}
	return e.Value.(recentEntry[K, V]).value, true
}

// put keeps a value and touches it.
func (r *recent[K, V]) put(key K, v V) {
	if e, ok := r.byKey[key]; ok {
		e.Value = recentEntry[K, V]{key, v}
		r.order.MoveToFront(e)
		return
	}
	if r.order.Len() >= r.limit {
		r.drop(r.order.Back().Value.(recentEntry[K, V]).key)
	}
	r.byKey[key] = r.order.PushFront(recentEntry[K, V]{key, v})
}

func (r *recent[K, V]) drop(key K) {
	if e, ok := r.byKey[key]; ok {
		r.order.Remove(e)
		delete(r.byKey, key)
	}
}

// each goes through the keys and values, the latest first.
func (r *recent[K, V]) each(yield func(K, V) bool) {
	for e := r.order.Front(); e != nil; e = e.Next() {
		x := e.Value.(recentEntry[K, V])
		if !yield(x.key, x.value) {
			return
		}
	}
}

// all returns the values, the latest first.
func (r *recent[K, V]) all() []V {
	out := make([]V, 0, r.order.Len())
	for e := r.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(recentEntry[K, V]).value)
	}
	return out
}
