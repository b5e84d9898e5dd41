package provision

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// UnmarshalJSON reads what [Outcome.MarshalJSON] wrote. Errors keep their text and their kind; what isn't in the JSON
// form, such as the names of templates, is empty.
func (o *Outcome) UnmarshalJSON(data []byte) error { return new(OutcomeReader).Read(data, o) }

// OutcomeReader reads outcomes of which there are many: what they have in common, such as the layers of a config, is in
// memory once, as it is of outcomes that the pipeline makes. The zero value is ready. It isn't safe for concurrent use.
type OutcomeReader struct {
	layers map[string]map[string]ConfigID // by their JSON text
	words  map[string]string
}

// Read reads an outcome as [Outcome.UnmarshalJSON] does. If there is an error, o is as it was.
func (m *OutcomeReader) Read(data []byte, o *Outcome) error {
	var in struct {
		outcomeJSON

		Layers json.RawMessage `json:"layers"` // in place of those in outcomeJSON
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	layers, err := m.layersOf(in.Layers)
	if err != nil {
		return fmt.Errorf("outcome %d: %w", in.ID, err)
	}
	req, err := in.Request.request(in.ID)
	if err != nil {
		return fmt.Errorf("outcome %d: %w", in.ID, err)
	}
	policy, err := in.Policy.policy()
	if err != nil {
		return fmt.Errorf("outcome %d: %w", in.ID, err)
	}
	id, err := in.Identity.identity()
	if err != nil {
		return fmt.Errorf("outcome %d: %w", in.ID, err)
	}
	out := Outcome{
		Request: req, Policy: policy, Remarks: in.Remarks, Identity: id, Lookups: in.Lookups, Created: in.Created, Sighted: in.Sighted,
		Plugin: in.Plugin, Layers: layers, Err: errorOf(in.Status, in.Error),
	}
	for _, c := range in.Claims {
		claim, err := c.claim()
		if err != nil {
			return fmt.Errorf("outcome %d: %w", in.ID, err)
		}
		out.Claims = append(out.Claims, claim)
	}
	for _, c := range in.Changes {
		out.Changes = append(out.Changes, Change(c))
	}
	for _, s := range in.Scores {
		out.Scores = append(out.Scores, Score{s.Plugin, Support(s.Value), s.Why})
	}
	for _, s := range in.Steps {
		out.Steps = append(out.Steps, Step{s.Stage, s.Note, seconds(s.Took)})
	}
	if d := in.Device; d != nil {
		out.Device = Device{
			ID: d.ID, Label: d.Label, HW: d.MAC, Serial: d.Serial, UUID: d.UUID, Vendor: d.Vendor, Model: d.Model,
			Version: d.Version, Plugin: d.Plugin, Pinned: d.Pinned, Config: d.Config,
		}
	}
	if r := in.Route; r != nil {
		out.Route.Rule, out.Route.HW = r.Rule, r.MAC
		if out.Route.Class, err = parseClass(r.Class); err != nil {
			return fmt.Errorf("outcome %d: %w", in.ID, err)
		}
	}
	if in.Evidence != nil && in.Decision != nil {
		out.Decision = in.Decision.decision()
		if out.Evidence, err = in.Evidence.evidence(); err != nil {
			return fmt.Errorf("outcome %d: %w", in.ID, err)
		}
	}
	if in.Verdict != nil {
		out.Verdict = Verdict(*in.Verdict)
	}
	if a := in.Answer; a != nil {
		out.Type, out.Size = a.Type, a.Size
		if n, err := hex.Decode(out.Hash[:], []byte(a.Hash)); err != nil || n != len(out.Hash) {
			return fmt.Errorf("outcome %d: sha256 %q is none", in.ID, a.Hash)
		}
	}
	if d := in.Delivery; d != nil {
		out.Delivery = &Delivery{Bytes: d.Bytes, Took: seconds(d.Took), Err: errorOf(StatusFailed, d.Error)}
	}
	m.share(&out)
	*o = out
	return nil
}

// layersOf returns what the JSON text says, for the same text always the same map: nobody writes to it.
func (m *OutcomeReader) layersOf(text []byte) (map[string]ConfigID, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if layers, ok := m.layers[string(text)]; ok {
		return layers, nil
	}
	var layers map[string]ConfigID
	if err := json.Unmarshal(text, &layers); err != nil {
		return nil, err
	}
	if m.layers == nil {
		m.layers = make(map[string]map[string]ConfigID)
	}
	m.layers[string(text)] = layers
	return layers, nil
}

// share replaces the texts that outcomes are likely to have in common by those of earlier ones.
func (m *OutcomeReader) share(o *Outcome) {
	if m.words == nil {
		m.words = make(map[string]string)
	}
	for i := range o.Claims {
		c := &o.Claims[i]
		shareWords(m, &c.Attr, &c.Value, &c.By)
	}
	for i := range o.Scores {
		shareWords(m, &o.Scores[i].Plugin)
		shareWords(m, &o.Scores[i].Why)
	}
	for i := range o.Steps {
		shareWords(m, &o.Steps[i].Stage, &o.Steps[i].Note)
	}
	for k, v := range o.Request.Fields {
		o.Request.Fields[m.word(k)] = m.word(v)
	}
	d, id := &o.Device, &o.Identity
	shareWords(m, &d.Serial, &d.UUID, &d.Vendor, &d.Model, &d.Version, &d.Label, &id.Serial, &id.UUID, &id.Vendor, &id.Model, &id.Version)
	shareWords(m, &o.Request.Path, &o.Request.Raw, &o.Policy.Network, &o.Route.Rule, &o.Verdict.Rule, &o.Verdict.Why, &o.Type)
	shareWords(m, &o.Plugin, &d.Plugin)
	shareWords(m, &d.ID)
	shareWords(m, &d.Config)
	shareWords(m, &o.Request.Proto)
	for i := range o.Lookups {
		shareWords(m, &o.Lookups[i])
	}
}

func shareWords[S ~string](m *OutcomeReader, words ...*S) {
	for _, w := range words {
		*w = S(m.word(string(*w)))
	}
}

func (m *OutcomeReader) word(s string) string {
	if w, ok := m.words[s]; ok {
		return w
	}
	m.words[s] = s
	return s
}

func (r *requestJSON) request(id uint64) (Request, error) {
	out := Request{ID: id, Proto: r.Proto, At: r.At, HW: r.MAC, Path: r.Path, Raw: r.Raw, Fields: r.Fields, Head: r.Head}
	var err error
	if out.Event, err = parseEvent(r.Event); err != nil {
		return Request{}, err
	}
	if out.Peer, err = parseAddr(r.Peer); err != nil {
		return Request{}, err
	}
	out.Local, err = parseAddr(r.Local)
	return out, err
}

func (p *policyJSON) policy() (Policy, error) {
	out := Policy{
		Network: p.Network, AutoAdd: p.AutoAdd, Configure: p.Configure, Guard: p.Guard, Foreign: p.Foreign, NAT: p.NAT,
		NoAssociate: !p.Associate, PluginsOff: p.Off, PluginsFirst: p.First,
	}
	for _, name := range p.Ignore {
		s, err := parseSource(name)
		if err != nil {
			return Policy{}, err
		}
		out.Ignore = append(out.Ignore, s)
	}
	return out, nil
}

func (c *claimJSON) claim() (Claim, error) {
	s, err := parseSource(c.Source)
	return Claim{c.Attr, c.Value, s, c.By}, err
}

func (id *identityJSON) identity() (Identity, error) {
	out := Identity{HW: id.MAC, Serial: id.Serial, UUID: id.UUID, Vendor: id.Vendor, Model: id.Model, Version: id.Version}
	var err error
	if id.Assurance != "" {
		if out.Assurance, err = parseSource(id.Assurance); err != nil {
			return Identity{}, err
		}
	}
	for _, x := range id.Conflicts {
		won, err := x.Won.claim()
		if err != nil {
			return Identity{}, err
		}
		lost, err := x.Lost.claim()
		if err != nil {
			return Identity{}, err
		}
		out.Conflicts = append(out.Conflicts, Conflict{won, lost})
	}
	return out, nil
}

// told is an error that was read back: another process's text, and its kind.
type told struct {
	text string
	kind error // nil: a failure of ours
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.kind }

// errorOf returns the error that has this text and comes to this status; nil if there was none.
func errorOf(s Status, text string) error {
	if text == "" {
		return nil
	}
	switch s {
	case StatusMissing:
		return told{text, ErrNotFound}
	case StatusForbidden:
		return told{text, ErrForbidden}
	case StatusInvalid:
		return told{text, ErrInvalid}
	case StatusGone:
		return told{text, context.Canceled}
	case StatusOK, StatusFailed:
	}
	return told{text, nil}
}

func parseAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

func parseSource(name string) (Source, error) {
	for s := SourceNone; s <= SourceCert; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return SourceNone, fmt.Errorf("source %q is unknown", name)
}

func parseEvent(name string) (lease.Kind, error) {
	for k := lease.KindNone; k <= lease.KindExpired; k++ {
		if eventText(k) == name {
			return k, nil
		}
	}
	return lease.KindNone, fmt.Errorf("event %q is unknown", name)
}

func parseClass(name string) (Class, error) {
	for c := ClassSecret; c <= ClassPublic; c++ {
		if c.String() == name {
			return c, nil
		}
	}
	return ClassSecret, fmt.Errorf("class %q is unknown", name)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
