package provision

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The JSON form of what the guard decided by. Its names are part of the API.
type (
	evidenceJSON struct {
		Locked           bool   `json:"locked,omitempty"`
		State            string `json:"state"`
		Contradiction    bool   `json:"contradiction,omitempty"`
		Cert             string `json:"cert"`
		Token            string `json:"token"`
		Net              string `json:"net"`
		Claim            bool   `json:"claim,omitempty"`
		SiteKey          bool   `json:"site_key,omitempty"`
		Over             string `json:"over"`
		AutoEnrol        bool   `json:"enrol_by_cert,omitempty"`
		RemotePhone      bool   `json:"remote_phone,omitempty"`
		StaticIP         bool   `json:"static_ip,omitempty"`
		RelayTrusted     bool   `json:"relay_trusted,omitempty"`
		Booted           bool   `json:"booted,omitempty"`
		CleartextOK      bool   `json:"cleartext_ok,omitempty"`
		BudgetLeft       bool   `json:"budget_left,omitempty"`
		SitePolicyP1     bool   `json:"site_files,omitempty"`
		NeighbourTrusted bool   `json:"neighbour_trusted,omitempty"`
	}
	decisionJSON struct {
		Row    string `json:"row"`
		Public bool   `json:"public"`
		Site   bool   `json:"site"`
		Device bool   `json:"device"`
		Secret bool   `json:"secret"`
	}
)

// The names of levels and states, by their values.

func standingNames() []string {
	return []string{"new", "enrolled", "windowed", "provisioned", "suspicious", "retired"}
}
func tokenNames() []string     { return []string{"none", "valid", "replayed"} }
func netNames() []string       { return []string{"none", "neighbour", "lease", "confirmed", "port"} }
func certNames() []string      { return []string{"none", "claim", "factory", "own"} }
func transportNames() []string { return []string{"tftp", "http", "https"} }

// nameOf returns the name of a value.
func nameOf[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

// read sets a value by its name.
func read[T ~uint8](v *T, names []string, name string) error {
	i := slices.Index(names, name)
	if i < 0 {
		return fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}

// String returns the standing's name in the API.
func (s Standing) String() string { return nameOf(standingNames(), s) }

// String returns the state's name in the API.
func (s TokenState) String() string { return nameOf(tokenNames(), s) }

// String returns the level's name in the API.
func (l NetLevel) String() string { return nameOf(netNames(), l) }

// String returns the level's name in the API.
func (l CertLevel) String() string { return nameOf(certNames(), l) }

// String returns the transport's name in the API.
func (t Transport) String() string { return nameOf(transportNames(), t) }

func (ev Evidence) json() *evidenceJSON {
	return &evidenceJSON{
		ev.Locked, ev.State.String(), ev.Contradiction, ev.Cert.String(), ev.Token.String(), ev.Net.String(), ev.Claim, ev.SiteKey,
		ev.Over.String(), ev.AutoEnrol, ev.RemotePhone, ev.StaticIP, ev.RelayTrusted, ev.Booted, ev.CleartextOK, ev.BudgetLeft,
		ev.SitePolicyP1, ev.NeighbourTrusted,
	}
}

func (e *evidenceJSON) evidence() (Evidence, error) {
	ev := Evidence{
		Locked: e.Locked, Contradiction: e.Contradiction, Claim: e.Claim, SiteKey: e.SiteKey, AutoEnrol: e.AutoEnrol,
		RemotePhone: e.RemotePhone, StaticIP: e.StaticIP, RelayTrusted: e.RelayTrusted, Booted: e.Booted, CleartextOK: e.CleartextOK,
		BudgetLeft: e.BudgetLeft, SitePolicyP1: e.SitePolicyP1, NeighbourTrusted: e.NeighbourTrusted,
	}
	err := errors.Join(
		read(&ev.State, standingNames(), e.State), read(&ev.Cert, certNames(), e.Cert), read(&ev.Token, tokenNames(), e.Token),
		read(&ev.Net, netNames(), e.Net), read(&ev.Over, transportNames(), e.Over),
	)
	return ev, err
}

func (d Decision) json() *decisionJSON {
	return &decisionJSON{d.Row, d.May[ClassPublic], d.May[ClassSite], d.May[ClassDevice], d.May[ClassSecret]}
}

func (d *decisionJSON) decision() Decision {
	return Decision{d.Row, [4]bool{ClassPublic: d.Public, ClassSite: d.Site, ClassDevice: d.Device, ClassSecret: d.Secret}}
}
