package web

import (
	"net/http"

	"github.com/dialtone-project/dialtone/provision/access"
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
