package provision

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Explain writes for people how the outcome came about, stage by stage. Text from outside is quoted where it isn't plain.
// No value of a config is in it.
func (o *Outcome) Explain(w io.Writer) error {
	var b bytes.Buffer
	e := explainer{w: tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)}
	e.request(o)
	for _, s := range o.Steps {
		e.line("%s (%s)", s.Stage, s.Took.Round(time.Microsecond))
		e.note(s.Note)
		switch s.Stage {
		case stageExtract:
			e.extract(o)
		case stageRetrieve:
			e.retrieve(o)
		case stageUpdate:
			e.update(o)
		case stageRoute:
			e.evidence(o)
		case stageGuard:
			e.field("verdict", "%s by row %s", verdictText(o.Verdict), o.Verdict.Rule)
		case stageAnswer:
			for _, path := range slices.SortedFunc(maps.Keys(o.Layers), CompareVersions) {
				e.field("layer", "%s\tfrom %s", Printable(path), Printable(string(o.Layers[path])))
			}
		}
	}
	e.result(o)
	if err := e.w.Flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

type explainer struct{ w *tabwriter.Writer }

// line writes a line of its own. The buffer under the tabwriter doesn't fail.
func (e *explainer) line(format string, args ...any) {
	_, _ = fmt.Fprintf(e.w, format+"\n", args...)
}

// field writes a line of a stage; tabs separate its columns.
func (e *explainer) field(name, format string, args ...any) {
	e.line("  %s\t"+format, append([]any{name}, args...)...)
}

func (e *explainer) note(note string) {
	if note != "" {
		e.line("  %s", plain(note))
	}
}

// plain replaces what a terminal would act on. It is for sentences, which may quote what a plugin found in a request.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
}

func (e *explainer) request(o *Outcome) {
	r := &o.Request
	e.line("request %d: %s %s from %s", r.ID, strings.ToUpper(string(r.Proto)), pathText(r), cmp.Or(addrText(r.Peer), "nowhere"))
	if r.Raw != "" && r.Raw != r.Path {
		e.field("as asked", "%s", strconv.Quote(r.Raw))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		e.field(name, "%s", Printable(r.Fields[name]))
	}
	does := "doesn't configure"
	if o.Policy.Configure {
		does = "configures"
	}
	e.field("network", "%s adds %s devices and %s them", cmp.Or(o.Policy.Network, "(none)"), addText(o.Policy.AutoAdd), does)
	e.policy(&o.Policy)
}

func pathText(r *Request) string {
	if r.Path == "" && r.Proto == DHCP {
		return "lease"
	}
	return "/" + Printable(r.Path)
}

func addText(a AutoAdd) string {
	switch a {
	case AddAny:
		return "any"
	case AddOff:
		return "no"
	case AddRecognised:
	}
	return "recognised"
}

func (e *explainer) extract(o *Outcome) {
	for _, c := range slices.SortedStableFunc(slices.Values(o.Claims), func(a, b Claim) int {
		return cmp.Or(cmp.Compare(attrOrder(a.Attr), attrOrder(b.Attr)), compareClaims(a, b))
	}) {
		e.field("claim", "%s %s\t%s\t%s", c.Attr, Printable(c.Value), c.Source, Printable(c.By))
	}
	id := &o.Identity
	for _, f := range [...]struct {
		name, value string
		by          Source
	}{
		{AttrMAC, id.HW.String(), id.Assurance},
		{AttrSerial, id.Serial, SourceNone},
		{AttrUUID, id.UUID, SourceNone},
		{AttrVendor, id.Vendor, id.VendorBy},
		{AttrModel, id.Model, id.ModelBy},
		{AttrVersion, id.Version, id.VersionBy},
	} {
		switch {
		case f.value == "":
		case f.by == SourceNone:
			e.field("concluded", "%s %s", f.name, Printable(f.value))
		default:
			e.field("concluded", "%s %s\t%s", f.name, Printable(f.value), f.by)
		}
	}
}

func attrOrder(attr string) int {
	return slices.Index([]string{AttrMAC, AttrSerial, AttrUUID, AttrVendor, AttrModel, AttrVersion}, attr)
}

func (e *explainer) retrieve(o *Outcome) {
	for _, l := range o.Lookups {
		e.field("look-up", "%s", plain(l))
	}
}

func (e *explainer) update(o *Outcome) {
	for _, c := range o.Changes {
		e.field("change", "%s\t%s → %s\t%s", c.Field, textOr(c.Old, "unknown"), textOr(c.New, "unknown"), plain(c.Why))
	}
	for _, s := range o.Scores {
		e.field("score", "%s\t%s\t%s", s.Plugin, s.Support, plain(s.Why))
	}
	if o.Device.ID != "" {
		e.field("device", "%s: plugin %s, config %s", Printable(string(o.Device.ID)),
			textOr(string(o.Device.Plugin), "none"), textOr(string(o.Device.Config), "none"))
	}
}

func textOr(s, none string) string {
	if s == "" {
		return none
	}
	return Printable(s)
}

func verdictText(v Verdict) string {
	switch {
	case v.Held:
		return "held for approval"
	case !v.Allow:
		return "refused"
	case v.Secrets:
		return "allowed, with secrets"
	}
	return "allowed, without secrets"
}

func (e *explainer) result(o *Outcome) {
	switch {
	case o.Err != nil:
		e.line("result: %s: %s", o.Status(), plain(oneLine(o.Err)))
	case o.Route.Rule == "":
		e.line("result: %s", o.Status())
	default:
		e.line("result: %s, %d bytes of %s, sha256 %x", o.Status(), o.Size, textOr(o.Type, "unknown type"), o.Hash)
	}
	if d := o.Delivery; d != nil {
		how := "complete"
		if d.Err != nil {
			how = plain(oneLine(d.Err))
		}
		e.line("delivery: %d bytes in %s, %s", d.Bytes, d.Took.Round(time.Microsecond), how)
	}
}
