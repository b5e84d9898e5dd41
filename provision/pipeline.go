package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// Pipeline takes requests through the stages. Its parts are set once, before its first use; then it is safe for
// concurrent use. Devices, Configs and Plugins must be there, all else may be nil.
type Pipeline struct {
	Leases     LeaseView     // nil: no lease is known
	Neighbours NeighbourView // nil: nobody is known
	// PolicyFor gives the policy for a peer. Nil: those that a plugin recognises are added and configured.
	PolicyFor func(netip.Addr) Policy
	Devices   DeviceStore
	Configs   ConfigStore
	Plugins   PluginSource
	Tokens    TokenView // nil: no path bears a token
	// TokenFor gives a device's present token; empty: it has none. Nil: nobody has.
	TokenFor func(hwaddr.Addr) string
	Gate     *Gate // nil: nothing is remembered between requests, and nobody waits for approval
	// Doubt reports whether a lease may be older than what was promised to clients, as after a restore. Nil: it
	// isn't.
	Doubt     func(lease.Lease, time.Time) bool
	Journal   *Journal   // nil: nothing is kept
	Sightings *Sightings // nil: who is not added is forgotten
	Renders   *Renders   // nil: every file is made anew
	Flats     *Flats     // nil: every config is flattened anew
	// HTTP gives the URL of our HTTP server, without a trailing slash, as a phone that reached us at local sees it.
	// Nil or empty: there is none.
	HTTP func(local netip.Addr) string
	// HTTPS gives that of our HTTPS server. Nil or empty: there is none.
	HTTPS    func(local netip.Addr) string
	Log      *slog.Logger // nil: silent
	Counters Counters

	passages sync.Pool // of *passage, empty but for their buffers
}

var _ Handler = (*Pipeline)(nil)

// Handle implements [Handler]. The request isn't changed. The outcome belongs to the journal: the caller may read it,
// at any time.
func (p *Pipeline) Handle(ctx context.Context, req *Request) (*Answer, *Outcome) {
	r := p.newPassage(req, p.Devices, p.Configs, p.PolicyFor)
	r.out.Request.ID = p.Journal.number(req.ID)
	r.sightings, r.renders, r.flats, r.counters = p.Sightings, p.Renders, p.Flats, &p.Counters
	if r.learn(ctx) {
		r.serve(ctx)
	}
	r.end()
	answer, out := r.answer, r.out
	p.recycle(r)
	p.publish(ctx, out)
	return answer, out
}

// Observe takes what a lease says of its client through the first three stages. It returns nil for events that say
// nothing of a client that holds an address: only those that it was bound, renewed or moved do.
func (p *Pipeline) Observe(ctx context.Context, ev lease.Event) *Outcome {
	switch ev.Kind {
	case lease.KindBound, lease.KindRenewed, lease.KindMoved:
	case lease.KindNone, lease.KindReleased, lease.KindDeclined, lease.KindExpired:
		return nil
	default:
		return nil
	}
	r := p.newPassage(&Request{
		Proto:  DHCP,
		At:     ev.At,
		Peer:   ev.Lease.Addr,
		HW:     ev.Lease.Client.HW,
		Event:  ev.Kind,
		Fields: clientFields(ev.Lease.Client, nil),
	}, p.Devices, p.Configs, p.PolicyFor)
	r.out.Request.ID = p.Journal.number(0)
	r.sightings = p.Sightings
	if r.learn(ctx) {
		r.observed(ctx, ev)
	}
	r.end()
	p.publish(ctx, r.out)
	return r.out
}

// observed takes in what a lease says beyond who its client is.
func (r *passage) observed(ctx context.Context, ev lease.Event) {
	if ev.Kind == lease.KindBound {
		r.gate.refill(r.device.ID)
	}
	other := r.gate.leased(ev)
	if other == "" || r.device.ID == "" {
		return
	}
	text := fmt.Sprintf("C5: %s was at port %s less than %s ago, and is at %s now", r.tie.hw, other, hopSpan, PortOf(ev.Lease.Client))
	r.remark("%s", text)
	r.alarm(AlarmClone, text)
	if err := r.suspect(ctx, r.device.ID, text); err != nil {
		r.out.Err = fmt.Errorf("%s: %w", stageUpdate, err)
	}
}

// Explain tells what a request would come to. It runs the code of Handle, but nothing is written, counted or logged.
// The caller closes the answer's body.
func (p *Pipeline) Explain(ctx context.Context, req *Request) (*Answer, *Outcome) {
	return p.explain(ctx, req, newOverlay(p.Devices, p.Configs), p.PolicyFor)
}

// ExplainBy is Explain as if the policies were others.
func (p *Pipeline) ExplainBy(ctx context.Context, req *Request, policy func(netip.Addr) Policy) (*Answer, *Outcome) {
	return p.explain(ctx, req, newOverlay(p.Devices, p.Configs), policy)
}

// ExplainAs is Explain as if a device's record were another one.
func (p *Pipeline) ExplainAs(ctx context.Context, req *Request, d Device) (*Answer, *Outcome) {
	o := newOverlay(p.Devices, p.Configs)
	o.top.mu.Lock()
	o.top.setDevice(d)
	o.top.mu.Unlock()
	return p.explain(ctx, req, o, p.PolicyFor)
}

func (p *Pipeline) explain(ctx context.Context, req *Request, o *overlay, policy func(netip.Addr) Policy) (*Answer, *Outcome) {
	r := p.newPassage(req, o, o, policy)
	r.dry = true
	if r.learn(ctx) {
		r.serve(ctx)
	}
	r.end()
	return r.answer, r.out
}

// Adopt makes a device of a sighting, as an administrator's decision: the network's policy isn't asked. The outcome's
// Err is ErrNotFound if there is no such sighting.
func (p *Pipeline) Adopt(ctx context.Context, key string) *Outcome {
	s, ok := p.Sightings.Get(key)
	if !ok {
		return &Outcome{Err: fmt.Errorf("sighting %s: %w", key, ErrNotFound)}
	}
	r := p.newPassage(&s.Last, p.Devices, p.Configs, p.PolicyFor)
	r.sightings = p.Sightings
	r.adopt = true
	defer func() { p.Gate.Settle(r.device.ID) }()
	r.out.Identity = s.Identity
	r.out.Identity.Conflicts = nil // the administrator has settled them
	_ = r.stage(ctx, stageRetrieve, r.retrieve) && r.stage(ctx, stageUpdate, r.update)
	r.end()
	return r.out
}

// Delivered implements [Handler].
func (p *Pipeline) Delivered(id uint64, d Delivery) { p.Journal.Delivered(id, d) }

// publish is the one place where an outcome leaves the pipeline: to the journal and its subscribers, the log and the
// counters.
func (p *Pipeline) publish(ctx context.Context, o *Outcome) {
	p.Counters.add(o)
	p.Journal.add(o)
	if p.Log == nil || !p.Log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0) // each is from here: no need to find out
	line.AddAttrs(
		slog.String("proto", string(o.Request.Proto)),
		slog.String("mac", o.Identity.HW.String()),
		slog.String("ip", addrText(o.Request.Peer)),
		slog.String("device", string(o.Device.ID)),
		slog.String("plugin", string(o.Plugin)),
		slog.String("path", o.Request.Path),
		slog.String("rule", o.Route.Rule),
		slog.String("status", string(o.Status())),
		slog.Duration("took", o.Took()),
	)
	if o.Err != nil {
		line.AddAttrs(slog.String("err", o.Err.Error()))
	}
	_ = p.Log.Handler().Handle(ctx, line) // as a Logger does: who would hear of it?
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// The names of the stages.
const (
	stageExtract  = "extract"
	stageRetrieve = "retrieve"
	stageUpdate   = "update"
	stageRoute    = "route"
	stageGuard    = "guard"
	stageAnswer   = "answer"

	maxStages = 6
)

// maxNotes is how large a buffer may be that is kept for the next request's notes.
const maxNotes = 8 << 10

// passage is one request on its way through the stages.
type passage struct {
	leases     LeaseView
	neighbours NeighbourView
	devices    DeviceStore
	configs    ConfigStore
	sightings  *Sightings // nil in Explain
	renders    *Renders   // nil in Explain, too
	flats      *Flats     // so is this
	counters   *Counters  // and this
	plugins    *PluginSet
	http       func(netip.Addr) string
	https      func(netip.Addr) string
	tokenFor   func(hwaddr.Addr) string
	gate       *Gate
	doubt      func(lease.Lease, time.Time) bool
	adopt      bool // an administrator adds the device
	dry        bool // nothing is remembered: it is only explained

	out     *Outcome
	answer  *Answer
	device  Device   // with its Override; no ID: none. Rev 0: to be added
	known   Identity // the request's identity, completed by the device's record
	foreign []string // keys of the request that another device has
	stored  Device   // as lookup found it, before the request taught it anything
	tie     tie
	token   bearing
	locked  bool   // the request's source
	dispute string // what contradicts itself
	// pretence is what a device says too often that it is (rule C1); suspicious: that itself makes it so.
	pretence   string
	suspicious bool
	made       ingredients

	clock time.Time // when the last stage ended
	notes []byte    // of all stages, one after the other
	begin int       // where the present stage's begin
	ends  []int     // where those of the stages before it end
}

func (p *Pipeline) newPassage(req *Request, devices DeviceStore, configs ConfigStore, policy func(netip.Addr) Policy) *passage {
	r, ok := p.passages.Get().(*passage)
	if !ok {
		r = &passage{notes: make([]byte, 0, 512), ends: make([]int, 0, maxStages)}
	}
	r.leases, r.neighbours = p.Leases, p.Neighbours
	r.devices, r.configs = devices, configs
	r.plugins = p.Plugins.Plugins()
	r.http, r.https, r.tokenFor = p.HTTP, p.HTTPS, p.TokenFor
	r.gate, r.doubt = p.Gate, p.Doubt
	r.clock = time.Now()
	r.out = &Outcome{Request: *req, Steps: make([]Step, 0, maxStages)}
	r.out.Request.Peer = req.Peer.Unmap()
	if r.out.Request.At.IsZero() {
		r.out.Request.At = r.clock
	}
	r.out.Policy = Policy{AutoAdd: AddRecognised, Configure: true}
	if policy != nil {
		r.out.Policy = policy(r.out.Request.Peer)
	}
	r.plugins = r.plugins.without(r.out.Policy.PluginsOff)
	r.cutToken(p.Tokens)
	return r
}

// recycle takes a passage for another request. Its outcome and answer are others' from now on; nobody else may have it.
func (p *Pipeline) recycle(r *passage) {
	if cap(r.notes) > maxNotes {
		return // a request of which there was much to say
	}
	*r = passage{notes: r.notes[:0], ends: r.ends[:0]}
	p.passages.Put(r)
}

// learn runs the stages that every request goes through, and reports whether all went well.
func (r *passage) learn(ctx context.Context) bool {
	return r.stage(ctx, stageExtract, r.extract) &&
		r.stage(ctx, stageRetrieve, r.retrieve) &&
		r.stage(ctx, stageUpdate, r.update)
}

// serve runs the stages of a request that wants an answer.
func (r *passage) serve(ctx context.Context) {
	r.weigh(ctx)
	if r.stage(ctx, stageRoute, r.route) && r.stage(ctx, stageGuard, r.guard) && r.stage(ctx, stageAnswer, r.respond) {
		r.fetched(ctx)
	}
	if err := r.distrust(ctx); err != nil {
		r.remark("the device can't be marked as suspicious: %s", err)
	}
}

// stage runs one stage and writes down its step. It reports whether the request may go on.
func (r *passage) stage(ctx context.Context, name string, run func(context.Context) error) bool {
	r.begin = len(r.notes)
	err := ctx.Err()
	if err == nil {
		err = run(ctx)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = goneError{}
	}
	if err != nil {
		r.out.Err = fmt.Errorf("%s: %w", name, err)
		if len(r.note()) == 0 {
			r.say("%s", err)
		}
	}
	now := time.Now()
	r.out.Steps = append(r.out.Steps, Step{Stage: name, Took: now.Sub(r.clock)})
	r.ends = append(r.ends, len(r.notes))
	r.clock = now
	return err == nil
}

// end gives the steps their notes. They share one string, which is as long as it must be, since outcomes are kept.
func (r *passage) end() {
	all, from := string(r.notes), 0
	for i, to := range r.ends {
		r.out.Steps[i].Note = all[from:to]
		from = to
	}
}

// note is what was said in the present stage. It is valid until more is said.
func (r *passage) note() []byte { return r.notes[r.begin:] }

// unsay drops what was said in the present stage.
func (r *passage) unsay() { r.notes = r.notes[:r.begin] }

// say adds a sentence to the step's note.
func (r *passage) say(format string, args ...any) {
	if len(r.note()) > 0 {
		r.notes = append(r.notes, "; "...)
	}
	if len(args) == 0 {
		r.notes = append(r.notes, format...)
		return
	}
	r.notes = fmt.Appendf(r.notes, format, args...)
}

// tell adds a sentence that is ready but for being put together. It is for those that every request has.
func (r *passage) tell(parts ...string) {
	if len(r.note()) > 0 {
		r.notes = append(r.notes, "; "...)
	}
	for _, p := range parts {
		r.notes = append(r.notes, p...)
	}
}
