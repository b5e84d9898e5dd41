package provision

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// StatusOf returns what an error makes of a request; nil is StatusOK.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.Is(err, ErrNotFound):
		return StatusMissing
	case errors.Is(err, ErrForbidden):
		return StatusForbidden
	case errors.Is(err, ErrInvalid):
		return StatusInvalid
	case errors.Is(err, context.Canceled):
		return StatusGone
	}
	return StatusFailed
}

// maxCountedPlugins bounds the plugins that are counted each alone; more are counted as none.
const maxCountedPlugins = 1000

//nolint:gochecknoglobals // constants
var (
	countedProtos   = [...]Proto{DHCP, TFTP, HTTP, SIP}
	countedStatuses = [...]Status{StatusOK, StatusMissing, StatusForbidden, StatusInvalid, StatusGone, StatusFailed}
	countedKinds    = [...]string{AttrMAC, AttrSerial, AttrUUID}
)

// The ends of an identification.
const (
	identifiedKnown   = iota // a device that we have
	identifiedCreated        // one that was added
	identifiedSighted        // one that was not, but is remembered
	identifiedNone           // nobody
	identifiedEnds
)

// Counters count outcomes since the start. The zero value is ready; they are safe for concurrent use.
type Counters struct {
	plugins    atomic.Pointer[map[PluginID]*pluginCounters] // the map never changes; another takes its place
	adding     sync.Mutex                                   // held while that is done
	none       pluginCounters                               // of requests that no plugin was found for
	created    atomic.Uint64
	sighted    atomic.Uint64
	identified [SourceCert + 1][identifiedEnds]atomic.Uint64
	mismatch   [len(countedKinds)]atomic.Uint64
	withheld   [len(guardTable)]atomic.Uint64 // by row of the guard's table
	moved      atomic.Uint64                  // withheld because of the switch port
	took       Histogram
}

// pluginCounters are those of one plugin.
type pluginCounters struct {
	outcomes [len(countedProtos)][len(countedStatuses)]atomic.Uint64
	render   Histogram
	errors   atomic.Uint64
}

// Count is how many requests of a protocol, which a plugin answered, came to a status.
type Count struct {
	Proto  Proto
	Plugin PluginID // empty: no plugin was found
	Status Status
	N      uint64
}

// of returns the counters of a plugin.
func (c *Counters) of(id PluginID) *pluginCounters {
	if id == "" {
		return &c.none
	}
	if m := c.plugins.Load(); m != nil {
		if p := (*m)[id]; p != nil {
			return p
		}
	}
	c.adding.Lock()
	defer c.adding.Unlock()
	next := make(map[PluginID]*pluginCounters)
	if m := c.plugins.Load(); m != nil {
		switch p := (*m)[id]; {
		case p != nil:
			return p
		case len(*m) >= maxCountedPlugins:
			return &c.none
		}
		maps.Copy(next, *m)
	}
	p := new(pluginCounters)
	next[id] = p
	c.plugins.Store(&next)
	return p
}

func (c *Counters) add(o *Outcome) {
	p, s := slices.Index(countedProtos[:], o.Request.Proto), slices.Index(countedStatuses[:], o.Status())
	if p >= 0 && s >= 0 {
		c.of(o.Plugin).outcomes[p][s].Add(1)
	}
	end := identifiedNone
	switch {
	case o.Created:
		c.created.Add(1)
		end = identifiedCreated
	case o.Sighted:
		c.sighted.Add(1)
		end = identifiedSighted
	case o.Device.ID != "":
		end = identifiedKnown
	}
	c.identified[min(o.Identity.Assurance, SourceCert)][end].Add(1)
	c.contradicted(o.Identity.Conflicts)
	c.kept(o)
	c.took.Observe(o.Took())
}

// contradicted counts a request once for each attribute that it contradicts something in.
func (c *Counters) contradicted(conflicts []Conflict) {
	for k, kind := range countedKinds {
		if slices.ContainsFunc(conflicts, func(x Conflict) bool { return x.Won.Attr == kind }) {
			c.mismatch[k].Add(1)
		}
	}
}

// kept counts a request for a file with secrets that the guard let none of out.
func (c *Counters) kept(o *Outcome) {
	v := &o.Verdict
	if o.Route.Class != ClassSecret || v.Secrets || v.Rule == "" {
		return
	}
	if o.Decision.May[ClassSecret] {
		c.moved.Add(1)
		return
	}
	for i := range guardTable {
		if guardTable[i].id == v.Rule {
			c.withheld[i].Add(1)
			return
		}
	}
}

// Took returns how long requests were worked on, as [Histogram.Took] does.
func (c *Counters) Took() (buckets []TookBucket, sum time.Duration) { return c.took.Took() }

// Mismatched returns how many requests contradicted themselves, or what was known of who sent them, by the attribute that
// they did so in.
func (c *Counters) Mismatched() map[string]uint64 {
	out := make(map[string]uint64, len(countedKinds))
	for i, kind := range countedKinds {
		out[kind] = c.mismatch[i].Load()
	}
	return out
}

// Withheld returns how many files with secrets were refused or sent without them, by the row of the guard's table that said
// so; "port" where the table would have let them out, but not at that switch port.
func (c *Counters) Withheld() map[string]uint64 {
	out := map[string]uint64{"port": c.moved.Load()}
	for i := range guardTable {
		out[guardTable[i].id] = c.withheld[i].Load()
	}
	return out
}

// Identified is how many requests, of which the strongest claim about who asks had a source, were found to be of a device
// that is known, was created, was only sighted, or of none.
type Identified struct {
	Source Source
	End    string // known created sighted none
	N      uint64
}

// Identified returns a count for every source and end, zeros included, always in the same order.
func (c *Counters) Identified() (list []Identified) {
	names := [identifiedEnds]string{"known", "created", "sighted", "none"}
	for s := range c.identified {
		for e, name := range names {
			list = append(list, Identified{Source(s), name, c.identified[s][e].Load()})
		}
	}
	return list
}

// Outcomes returns a count for every protocol and status without a plugin, zeros included, and then those of each plugin
// that aren't zero; always in the same order.
func (c *Counters) Outcomes() []Count {
	out := c.none.counts("")
	for _, p := range c.counted() {
		out = append(out, slices.DeleteFunc(p.counts(p.id), func(x Count) bool { return x.N == 0 })...)
	}
	return out
}

func (p *pluginCounters) counts(id PluginID) []Count {
	out := make([]Count, 0, len(countedProtos)*len(countedStatuses))
	for i, proto := range countedProtos {
		for k, status := range countedStatuses {
			out = append(out, Count{proto, id, status, p.outcomes[i][k].Load()})
		}
	}
	return out
}

// countedPlugin is a plugin with its counters.
type countedPlugin struct {
	id PluginID
	*pluginCounters
}

// counted returns the plugins that were counted, by their IDs.
func (c *Counters) counted() (list []countedPlugin) {
	if m := c.plugins.Load(); m != nil {
		for id, p := range *m {
			list = append(list, countedPlugin{id, p})
		}
	}
	slices.SortFunc(list, func(a, b countedPlugin) int { return cmp.Compare(a.id, b.id) })
	return list
}

// rendered counts that a plugin has made a file of a template, or failed to; not that it was stopped because nobody waits
// for it any more. Nil doesn't count.
func (c *Counters) rendered(id PluginID, took time.Duration, err error) {
	if c == nil {
		return
	}
	if errors.Is(err, context.Canceled) {
		return // it was stopped: neither how long nor how well is known
	}
	p := c.of(id)
	p.render.Observe(took)
	if err != nil {
		p.errors.Add(1)
	}
}

// Rendering is how a plugin's templates were rendered: how long it took, and how often it failed.
type Rendering struct {
	Plugin PluginID
	Took   *Histogram
	Errors uint64
}

// Renderings returns them, by the plugins' IDs. Files that were kept and not made anew are in none.
func (c *Counters) Renderings() (list []Rendering) {
	for _, p := range c.counted() {
		list = append(list, Rendering{p.id, &p.render, p.errors.Load()})
	}
	return list
}

// Created returns how many devices were added by their own requests.
func (c *Counters) Created() uint64 { return c.created.Load() }

// Sighted returns how many requests came from devices that weren't added.
func (c *Counters) Sighted() uint64 { return c.sighted.Load() }
