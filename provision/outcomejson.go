package provision

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// The JSON form of an outcome. Its names are part of the API; it has no config value and no body.
type (
	outcomeJSON struct {
		ID       uint64              `json:"id"`
		Status   Status              `json:"status"`
		Error    string              `json:"error,omitempty"`
		Took     float64             `json:"took_seconds"`
		Request  requestJSON         `json:"request"`
		Policy   policyJSON          `json:"policy"`
		Claims   []claimJSON         `json:"claims,omitempty"`
		Identity identityJSON        `json:"identity"`
		Evidence *evidenceJSON       `json:"evidence,omitempty"`
		Decision *decisionJSON       `json:"decision,omitempty"`
		Remarks  []string            `json:"remarks,omitempty"`
		Lookups  []string            `json:"lookups,omitempty"`
		Device   *deviceJSON         `json:"device,omitempty"`
		Created  bool                `json:"created,omitempty"`
		Sighted  bool                `json:"sighted,omitempty"`
		Changes  []changeJSON        `json:"changes,omitempty"`
		Scores   []scoreJSON         `json:"scores,omitempty"`
		Plugin   PluginID            `json:"plugin,omitempty"`
		Route    *routeJSON          `json:"route,omitempty"`
		Verdict  *verdictJSON        `json:"verdict,omitempty"`
		Layers   map[string]ConfigID `json:"layers,omitempty"`
		Answer   *answerJSON         `json:"answer,omitempty"`
		Steps    []stepJSON          `json:"steps"`
		Delivery *deliveryJSON       `json:"delivery,omitempty"`
	}
	requestJSON struct {
		Proto  Proto             `json:"proto"`
		At     time.Time         `json:"at"`
		Peer   string            `json:"peer,omitempty"`
		Local  string            `json:"local,omitempty"`
		MAC    hwaddr.Addr       `json:"mac,omitzero"`
		Path   string            `json:"path"`
		Raw    string            `json:"raw,omitempty"`
		Fields map[string]string `json:"fields,omitempty"`
		Head   bool              `json:"head,omitempty"`
		Event  string            `json:"event,omitempty"`
	}
	policyJSON struct {
		Network   string      `json:"network,omitempty"`
		AutoAdd   AutoAdd     `json:"auto_add"`
		Configure bool        `json:"configure"`
		Guard     GuardPolicy `json:"guard"`
		Foreign   bool        `json:"foreign,omitempty"`
		NAT       bool        `json:"nat,omitempty"`
		Associate bool        `json:"associate"`
		Ignore    []string    `json:"ignore,omitempty"`
		Off       []PluginID  `json:"plugins_off,omitempty"`
		First     []PluginID  `json:"plugins_first,omitempty"`
	}
	claimJSON struct {
		Attr   string `json:"attr"`
		Value  string `json:"value"`
		Source string `json:"source"`
		By     string `json:"by"`
	}
	conflictJSON struct {
		Won  claimJSON `json:"won"`
		Lost claimJSON `json:"lost"`
	}
	identityJSON struct {
		MAC       hwaddr.Addr    `json:"mac,omitzero"`
		Serial    string         `json:"sn,omitempty"`
		UUID      string         `json:"uuid,omitempty"`
		Vendor    string         `json:"vendor,omitempty"`
		Model     string         `json:"model,omitempty"`
		Version   string         `json:"version,omitempty"`
		Assurance string         `json:"assurance,omitempty"`
		Conflicts []conflictJSON `json:"conflicts,omitempty"`
	}
	deviceJSON struct {
		ID      DeviceID    `json:"id"`
		Label   string      `json:"label,omitempty"`
		MAC     hwaddr.Addr `json:"mac,omitzero"`
		Serial  string      `json:"sn,omitempty"`
		UUID    string      `json:"uuid,omitempty"`
		Vendor  string      `json:"vendor,omitempty"`
		Model   string      `json:"model,omitempty"`
		Version string      `json:"version,omitempty"`
		Plugin  PluginID    `json:"plugin,omitempty"`
		Pinned  bool        `json:"pinned,omitempty"`
		Config  ConfigID    `json:"config,omitempty"`
	}
	changeJSON struct {
		Field string `json:"field"`
		Old   string `json:"old"`
		New   string `json:"new"`
		Why   string `json:"why"`
	}
	scoreJSON struct {
		Plugin  PluginID `json:"plugin"`
		Support string   `json:"support"`
		Value   int      `json:"value"`
		Why     string   `json:"why,omitempty"`
	}
	routeJSON struct {
		Rule  string      `json:"rule"`
		Class string      `json:"class"`
		MAC   hwaddr.Addr `json:"mac,omitzero"`
	}
	verdictJSON struct {
		Allow   bool   `json:"allow"`
		Secrets bool   `json:"secrets"`
		Held    bool   `json:"held,omitempty"`
		Rule    string `json:"rule"`
		Why     string `json:"why"`
	}
	answerJSON struct {
		Type string `json:"type"`
		Size int64  `json:"size"`
		Hash string `json:"sha256"`
	}
	stepJSON struct {
		Stage string  `json:"stage"`
		Note  string  `json:"note"`
		Took  float64 `json:"took_seconds"`
	}
	deliveryJSON struct {
		Bytes int64   `json:"bytes"`
		Took  float64 `json:"took_seconds"`
		Error string  `json:"error,omitempty"`
	}
)

// MarshalJSON writes the outcome as the API shows it: what [Outcome.Explain] tells, for programs.
func (o *Outcome) MarshalJSON() ([]byte, error) {
	r := &o.Request
	out := outcomeJSON{
		ID: r.ID, Status: o.Status(), Error: errText(o.Err), Took: o.Took().Seconds(),
		Request: requestJSON{
			Proto: r.Proto, At: r.At, Peer: addrText(r.Peer), Local: addrText(r.Local), MAC: r.HW,
			Path: r.Path, Raw: r.Raw, Fields: r.Fields, Head: r.Head, Event: eventText(r.Event),
		},
		Policy:   o.Policy.json(),
		Identity: o.Identity.json(),
		Lookups:  o.Lookups, Created: o.Created, Sighted: o.Sighted,
		Plugin: o.Plugin, Layers: o.Layers,
	}
	if o.Decision.Row != "" {
		out.Evidence, out.Decision = o.Evidence.json(), o.Decision.json()
	}
	out.Remarks = o.Remarks
	for _, c := range o.Claims {
		out.Claims = append(out.Claims, c.json())
	}
	for _, c := range o.Changes {
		out.Changes = append(out.Changes, changeJSON(c))
	}
	for _, s := range o.Scores {
		out.Scores = append(out.Scores, scoreJSON{s.Plugin, s.Support.String(), int(s.Support), s.Why})
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, stepJSON{s.Stage, s.Note, s.Took.Seconds()})
	}
	if d := &o.Device; d.ID != "" {
		out.Device = &deviceJSON{
			ID: d.ID, Label: d.Label, MAC: d.HW, Serial: d.Serial, UUID: d.UUID, Vendor: d.Vendor, Model: d.Model,
			Version: d.Version, Plugin: d.Plugin, Pinned: d.Pinned, Config: d.Config,
		}
	}
	if o.Route.Rule != "" {
		out.Route = &routeJSON{o.Route.Rule, o.Route.Class.String(), o.Route.HW}
	}
	if o.Verdict.Rule != "" {
		v := verdictJSON(o.Verdict)
		out.Verdict = &v
	}
	if o.Err == nil && o.Route.Rule != "" {
		out.Answer = &answerJSON{o.Type, o.Size, hex.EncodeToString(o.Hash[:])}
	}
	if d := o.Delivery; d != nil {
		out.Delivery = &deliveryJSON{d.Bytes, d.Took.Seconds(), errText(d.Err)}
	}
	return json.Marshal(out)
}

func (p *Policy) json() policyJSON {
	out := policyJSON{
		Network: p.Network, AutoAdd: p.AutoAdd, Configure: p.Configure, Guard: cmp.Or(p.Guard, GuardBalanced), Foreign: p.Foreign,
		NAT: p.NAT, Associate: !p.NoAssociate, Off: p.PluginsOff, First: p.PluginsFirst,
	}
	for _, s := range p.Ignore {
		out.Ignore = append(out.Ignore, s.String())
	}
	return out
}

func (c Claim) json() claimJSON { return claimJSON{c.Attr, c.Value, c.Source.String(), c.By} }

func (id *Identity) json() identityJSON {
	out := identityJSON{
		MAC: id.HW, Serial: id.Serial, UUID: id.UUID, Vendor: id.Vendor, Model: id.Model, Version: id.Version,
	}
	if id.Assurance != SourceNone {
		out.Assurance = id.Assurance.String()
	}
	for _, x := range id.Conflicts {
		out.Conflicts = append(out.Conflicts, conflictJSON{x.Won.json(), x.Lost.json()})
	}
	return out
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// eventText names what happened to a lease; empty for a request that is none.
func eventText(k lease.Kind) string {
	if k == lease.KindNone {
		return ""
	}
	return k.String()
}
