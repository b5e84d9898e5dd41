package web

import (
	"net/http"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// Rule is a row of the rules, for tests.
type Rule struct {
	Name    string
	Needs   access.Scope
	Changes bool
	Anybody bool // also who isn't signed in
	Own     bool // what is one's own
}

// Rules returns the rules, for tests.
func Rules() map[string]Rule {
	all := make(map[string]Rule)
	for pattern, r := range rules() {
		all[pattern] = Rule{r.name, r.needs, r.does != looks, r.needs == anybody, r.needs == signedIn}
	}
	return all
}

// Nearby is nearby, for tests.
var Nearby = nearby

// ConsoleHandler is consoleHandler, for tests.
func (s *Server) ConsoleHandler() (http.Handler, error) { return s.consoleHandler() }

// WriteMetrics is writeMetrics, for tests.
var WriteMetrics = writeMetrics

// Bounds of the events, for tests.
const (
	KeptEvents = keptEvents
	MaxPerUser = maxPerUser
)

// LeaseEvent is leaseEvent, for tests.
var LeaseEvent = leaseEvent

// Bus is a bus, for tests.
type Bus struct{ *bus }

// NewBus returns one.
func NewBus() Bus { return Bus{newBus(time.Now())} }

// Publish is publish.
func (b Bus) Publish(needs access.Scope, e api.Event) { b.publish(needs, e) }

// Gap is gap.
func (b Bus) Gap() { b.gap() }

// After is after, of which the numbers.
func (b Bus) After(number uint64) (numbers []uint64, lost uint64) {
	list, lost := b.after(number)
	for _, e := range list {
		numbers = append(numbers, e.number)
	}
	return numbers, lost
}

// Answers are answers, for tests.
type Answers struct{ answers }

// Give begins and ends an answer of that size; it reports whether there was none before.
func (s *Answers) Give(key string, size int, now time.Time) (first bool) {
	k := answerKey{"desk", key}
	a, first := s.begin(k, [32]byte{}, now)
	if first {
		a.status, a.body = http.StatusOK, make([]byte, size)
		s.end(k, a)
	}
	return first
}

// Kept is how many answers are kept, and their size.
func (s *Answers) Kept() (n, bytes int) { return len(s.byKey), s.bytes }

// Bounds of the answers, for tests.
const (
	KeptAnswers     = keptAnswers
	KeptAnswerBytes = keptAnswerBytes
)
