package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// Bounds of the events.
const (
	keptEvents    = 2048                   // of the past, for who comes back
	maxListeners  = 256                    // in all …
	maxPerUser    = 64                     // … and of one user
	eventBatch    = 128                    // events that one listener is sent at a time
	eventPause    = 250 * time.Millisecond // before a listener is sent more …
	eventStorm    = time.Second            // … and where more comes than it can be sent
	eventCheck    = time.Second            // how often a listener's right to listen is looked at
	eventBeat     = 15 * time.Second       // between signs of life
	eventPatience = 10 * time.Second       // for a listener to take what it is sent
)

// event is one of the bus. It is written out when the first listener wants it: in a storm most never are.
type event struct {
	number uint64
	needs  access.Scope
	body   api.Event

	once sync.Once
	data []byte
}

// frame returns the event as it is sent. The ID's first part tells this run of the program from others.
func (e *event) frame(epoch string) []byte {
	e.once.Do(func() {
		data, err := json.Marshal(e.body)
		if err != nil {
			data = []byte("{}") // a time beyond the year 9999
		}
		e.data = fmt.Appendf(nil, "id: %s-%d\nevent: %s\ndata: %s\n\n", epoch, e.number, e.body.Topic, data)
	})
	return e.data
}

// bus keeps the last events and wakes who listens. Publishing costs the same however many listen and however slow they are:
// they come for the events, and who comes too late has missed some.
type bus struct {
	epoch string
	ended chan struct{} // closed when the server stops

	mu        sync.Mutex // guards what follows
	ring      []*event   // the oldest is at next once it is full
	next      int
	last      uint64        // number of the newest
	wake      chan struct{} // closed by the next event; nil: nobody waits for it
	listeners map[string]int
	count     int
	missed    uint64
}

func newBus(now time.Time) *bus {
	return &bus{
		epoch: strconv.FormatInt(now.UnixNano(), 36), ended: make(chan struct{}),
		ring: make([]*event, 0, keptEvents), listeners: make(map[string]int),
	}
}

// publish tells of an event to who has a right.
func (b *bus) publish(needs access.Scope, body api.Event) {
	if body.At.IsZero() {
		body.At = time.Now()
	}
	e := &event{needs: needs, body: body}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	e.number = b.last
	if len(b.ring) < cap(b.ring) {
		b.ring = append(b.ring, e)
	} else {
		b.ring[b.next] = e
		b.next = (b.next + 1) % len(b.ring)
	}
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// gap says that events were lost before they came here: whoever listens has missed some.
func (b *bus) gap() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.ring, b.next = b.ring[:0], 0
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// after returns the events after a number, the oldest first, and how many of them are lost.
func (b *bus) after(number uint64) (list []*event, lost uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number >= b.last {
		return nil, 0
	}
	n := b.last - number
	if kept := uint64(len(b.ring)); n > kept {
		lost, n = n-kept, kept
		b.missed += lost
	}
	list = make([]*event, 0, min(n, 4*eventBatch))
	size := len(b.ring)
	for i := size - int(n); i < size && len(list) < cap(list); i++ { //nolint:gosec // at most the ring's size
		list = append(list, b.ring[(b.next+i)%size])
	}
	return list, lost
}

// waiting returns a channel that is closed when there is an event after a number.
func (b *bus) waiting(number uint64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number < b.last {
		c := make(chan struct{})
		close(c)
		return c
	}
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}

func (b *bus) newest() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// enter counts a listener in, or says that there are too many.
func (b *bus) enter(who string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= maxListeners || b.listeners[who] >= maxPerUser {
		return false
	}
	b.count++
	b.listeners[who]++
	return true
}

func (b *bus) leave(who string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count--
	if b.listeners[who]--; b.listeners[who] == 0 {
		delete(b.listeners, who)
	}
}

// position reads a Last-Event-ID. known is false for one of another run, or of nobody.
func (b *bus) position(id string) (number uint64, known bool) {
	epoch, n, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(n, 10, 64)
	if err != nil || epoch != b.epoch || number > b.newest() {
		return 0, false
	}
	return number, true
}

func (b *bus) metrics() []Metric {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []Metric{
		One("dialtone_events_total", "Events that listeners are told of.", Counter, float64(b.last)),
		One("dialtone_events_subscribers", "Listeners for events.", Gauge, float64(b.count)),
		One("dialtone_events_dropped_total", "Events that listeners missed because they were too slow or came back too late.", Counter, float64(b.missed)),
	}
}

// parseTopics reads a list with commas; nil is all.
func parseTopics(s string) (topics []api.EventTopic, err error) {
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		t := api.EventTopic(name)
		if !t.Valid() {
			return nil, bodyError{{Pointer: "/topics", Detail: fmt.Sprintf("%q is no topic; openapi.yaml lists them", name)}}
		}
		topics = append(topics, t)
	}
	return topics, nil
}

// concerns reports whether a listener is to have an event.
func (e *event) concerns(a access.Actor, topics []api.EventTopic) bool {
	return a.May(e.needs) == nil && (topics == nil || slices.Contains(topics, e.body.Topic))
}
