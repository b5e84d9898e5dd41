package golden

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// Result is how one golden request went. Err joins a [plugin.Fault] for each difference; nil: there is none.
type Result struct {
	File string
	Err  error
}

// Check runs a plugin's golden requests and joins what is wrong: it is what [plugin.Host] asks before a plugin comes
// into force. A plugin without golden requests passes.
func Check(ctx context.Context, p *plugin.Plugin) error {
	var errs []error
	for _, r := range Run(ctx, p) {
		errs = append(errs, r.Err)
	}
	return errors.Join(errs...)
}

// Run runs a plugin's golden requests in order of their names, each with the plugin and the others installed.
func Run(ctx context.Context, p *plugin.Plugin, others ...*plugin.Plugin) []Result {
	tests := p.Tests()
	results := make([]Result, 0, len(tests))
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		r := Result{File: "tests/" + name}
		req, err := Parse(r.File, tests[name])
		if err == nil {
			got := req.run(ctx, p, others)
			err = errors.Join(req.compare(got)...)
		}
		r.Err = err
		results = append(results, r)
	}
	return results
}

// Update runs a plugin's golden requests and rewrites, in its directory, what they expect to what came out. Comments,
// other sections, and what is right already stay. A file that can't be parsed is left alone and told of.
func Update(ctx context.Context, p *plugin.Plugin, dir string, others ...*plugin.Plugin) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("update golden requests: %w", err)
	}
	defer root.Close()
	var errs []error
	tests := p.Tests()
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		file := "tests/" + name
		req, err := Parse(file, tests[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got := req.run(ctx, p, others)
		if len(req.compare(got)) == 0 {
			continue
		}
		if err := root.WriteFile(file, req.updated(got), 0o640); err != nil {
			errs = append(errs, fmt.Errorf("update golden requests: %w", err))
		}
	}
	return errors.Join(errs...)
}

// outcome is what a golden request came to.
type outcome struct {
	*provision.Outcome
	kind string
	body []byte
	err  error // the body couldn't be read
}

// run sends the request through a pipeline of its own.
func (r *Request) run(ctx context.Context, p *plugin.Plugin, others []*plugin.Plugin) outcome {
	base := netip.MustParseAddr("192.0.2.1")
	set := []provision.Plugin{p.WithFirmware(r.firmware)}
	for _, o := range others {
		if o.ID() != p.ID() {
			set = append(set, o)
		}
	}
	store := provision.NewMemory()
	config := provision.ConfigID("")
	if r.config != nil {
		config = "golden"
		if _, err := store.PutConfig(ctx, provision.Config{ID: config, Role: provision.RoleDefault, Params: r.config}); err != nil {
			return outcome{Outcome: &provision.Outcome{Err: err}}
		}
	}
	for _, d := range r.devices {
		d.Config = config
		if _, err := store.PutDevice(ctx, d); err != nil {
			return outcome{Outcome: &provision.Outcome{Err: err}}
		}
	}
	pipeline := &provision.Pipeline{
		Leases: leases(r.leases), Devices: store, Configs: store, Plugins: fixed{provision.NewPluginSet(set...)},
		HTTP: func(netip.Addr) string { return "http://" + base.String() },
		// What a plugin makes of a request is tried here, not what a request must prove.
		PolicyFor: func(netip.Addr) provision.Policy {
			return provision.Policy{AutoAdd: provision.AddRecognised, Configure: true, Guard: provision.GuardLegacy}
		},
	}
	if r.request.Proto == provision.DHCP {
		o := pipeline.Observe(ctx, lease.Event{Seq: 1, At: time.Now(), Kind: lease.KindBound, Lease: r.leases[0]})
		return outcome{Outcome: o}
	}
	req := r.request
	req.Fields = maps.Clone(req.Fields)
	req.Local, req.Peer = base, netip.MustParseAddr("192.0.2.99")
	if len(r.leases) > 0 {
		req.Peer = r.leases[0].Addr
	}
	a, o := pipeline.Handle(ctx, &req)
	got := outcome{Outcome: o}
	if a != nil {
		got.kind = a.Type
		got.body, got.err = io.ReadAll(a.Body)
		got.err = errors.Join(got.err, a.Body.Close())
	}
	return got
}

// fixed is a set of plugins that stays.
type fixed struct{ set *provision.PluginSet }

// Plugins implements [provision.PluginSource].
func (f fixed) Plugins() *provision.PluginSet { return f.set }

// leases is a lease table that stays.
type leases []lease.Lease

// ByAddr implements [provision.LeaseView].
func (ls leases) ByAddr(addr netip.Addr) (lease.Lease, bool) {
	i := slices.IndexFunc(ls, func(l lease.Lease) bool { return l.Addr == addr })
	if i < 0 {
		return lease.Lease{}, false
	}
	return ls[i], true
}

// ByHW implements [provision.LeaseView].
func (ls leases) ByHW(hw hwaddr.Addr) []lease.Lease {
	var found []lease.Lease
	for _, l := range ls {
		if l.Client.HW == hw {
			found = append(found, l)
		}
	}
	return found
}

// status is the outcome's as a number of HTTP, with refusals told apart.
func (o outcome) status() string {
	switch o.Status() {
	case provision.StatusOK:
		return "200"
	case provision.StatusForbidden:
		return "403"
	case provision.StatusMissing, provision.StatusInvalid:
		return "404"
	case provision.StatusGone, provision.StatusFailed:
	}
	return "500"
}

// identity is the outcome's as key=value.
func (o outcome) identity() map[string]string {
	id := o.Identity
	pairs := make(map[string]string)
	for k, v := range map[string]string{
		provision.AttrMAC: id.HW.String(), provision.AttrSerial: id.Serial, provision.AttrUUID: id.UUID,
		provision.AttrVendor: id.Vendor, provision.AttrModel: id.Model, provision.AttrVersion: id.Version,
	} {
		if v != "" {
			pairs[k] = v
		}
	}
	return pairs
}

func format(pairs map[string]string) string {
	var parts []string
	for _, k := range append(identityKeys(), "plugin") {
		v, ok := pairs[k]
		if !ok {
			continue
		}
		if v == "" || strings.ContainsAny(v, " \"\\") || strconv.Quote(v) != `"`+v+`"` {
			v = strconv.Quote(v)
		}
		parts = append(parts, k+"="+v)
	}
	return strings.Join(parts, " ")
}

// compare returns the differences between what is wanted and what came out.
func (r *Request) compare(got outcome) []error {
	var faults []error
	fault := func(line int, format string, args ...any) {
		faults = append(faults, &plugin.Fault{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
	}
	if w := r.identity; w != nil {
		have := got.identity()
		if _, asked := w.pairs["plugin"]; asked {
			have["plugin"] = string(got.Plugin)
		}
		for _, k := range append(identityKeys(), "plugin") {
			if want, have := w.pairs[k], have[k]; want != have {
				fault(w.line, "%s is %q, wanted %q", k, have, want)
			}
		}
	}
	if w := r.answer; w != nil {
		w.compare(got, fault)
	}
	return faults
}

func (w *expectedAnswer) compare(got outcome, fault func(line int, format string, args ...any)) {
	switch status := got.status(); {
	case got.err != nil:
		fault(w.line, "the answer can't be read: %s", got.err)
	case status != w.status && got.Err != nil:
		fault(w.line, "the answer is %s, wanted %s: %s", status, w.status, got.Err)
	case status != w.status:
		fault(w.line, "the answer is %s, wanted %s", status, w.status)
	case status != "200":
	case w.kind != "" && w.kind != got.kind:
		fault(w.line, "the content type is %q, wanted %q", got.kind, w.kind)
	case w.exact != nil:
		w.compareExact(string(got.body), fault)
	default:
		w.compareLines(bodyLines(got.body), fault)
	}
}

// compareExact tells the first line that differs.
func (w *expectedAnswer) compareExact(body string, fault func(line int, format string, args ...any)) {
	// The last section of an archive always ends in a line break.
	if body == *w.exact || body+"\n" == *w.exact {
		return
	}
	have, want := strings.Split(body, "\n"), strings.Split(*w.exact, "\n")
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(have):
			fault(w.below+i, "the answer ends before its line %d, wanted %q", i+1, want[i])
		case i >= len(want):
			fault(w.below+i-1, "the answer goes on with line %d: %q", i+1, have[i])
		case have[i] != want[i]:
			fault(w.below+i, "line %d of the answer is %q, wanted %q", i+1, have[i], want[i])
		default:
			continue
		}
		return
	}
}

func (w *expectedAnswer) compareLines(body []string, fault func(line int, format string, args ...any)) {
	at := 0
	for _, e := range w.lines {
		if e.not {
			if i := slices.IndexFunc(body, func(l string) bool { return strings.Contains(l, e.text) }); i >= 0 {
				fault(e.line, "line %d of the answer has what it must not have: %q", i+1, body[i])
			}
			continue
		}
		if i := slices.Index(body[at:], e.text); i >= 0 {
			at += i + 1
			continue
		}
		switch i, j := slices.Index(body, e.text), alike(body, e.text); {
		case i >= 0:
			fault(e.line, "the answer has %q, but in line %d, before what stands above it here", e.text, i+1)
		case j >= 0:
			fault(e.line, "line %d of the answer is %q, wanted %q", j+1, body[j], e.text)
		default:
			fault(e.line, "no line of the answer is %q", e.text)
		}
	}
}

func bodyLines(body []byte) []string {
	all := strings.Split(string(bytes.TrimRight(body, "\r\n")), "\n")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// alike returns the line that sets the same thing: with the same text before its first colon, equals sign or the end of
// its first tag. −1: none.
func alike(body []string, text string) int {
	key := func(s string) string {
		if i := strings.IndexAny(s, ":=>"); i >= 0 {
			return strings.TrimSpace(s[:i])
		}
		return ""
	}
	k := key(text)
	if k == "" {
		return -1
	}
	return slices.IndexFunc(body, func(l string) bool { return key(l) == k })
}

// updated returns the file with its wants as they came out.
func (r *Request) updated(got outcome) []byte {
	a := &txtar.Archive{Comment: r.archive.Comment, Files: slices.Clone(r.archive.Files)}
	for i := range a.Files {
		switch f := &a.Files[i]; f.Name {
		case "identity":
			pairs := got.identity()
			if _, asked := r.identity.pairs["plugin"]; asked {
				pairs["plugin"] = string(got.Plugin)
			}
			f.Data = []byte(format(pairs) + "\n")
		case "answer":
			f.Data = []byte(r.answer.updated(got))
		}
	}
	return txtar.Format(a)
}

func (w *expectedAnswer) updated(got outcome) string {
	var b strings.Builder
	b.WriteString(got.status())
	if got.status() != "200" {
		return b.String() + "\n"
	}
	b.WriteString(" " + got.kind + "\n")
	if w.exact != nil || w.status != "200" && len(w.lines) == 0 {
		return b.String() + "=== exact\n" + string(got.body)
	}
	body := bodyLines(got.body)
	at := 0
	for _, e := range w.lines {
		text := e.text
		switch i := slices.Index(body[at:], text); {
		case e.not && slices.ContainsFunc(body, func(l string) bool { return strings.Contains(l, text) }):
			continue
		case e.not:
			text = "not: " + text
		case i >= 0:
			at += i + 1
		default:
			j := alike(body[at:], text)
			if j < 0 {
				continue
			}
			text = body[at+j]
			at += j + 1
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}
