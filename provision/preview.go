package provision

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Scene is all that phones' files are made of, as it is or as it might be.
type Scene struct {
	Devices []Device
	Configs ConfigReader
	Plugins *PluginSet
}

// Comparison finds out what a change would mean to the phones: it makes every file that the phones' plugins say they ask
// for, as it is before and after, and compares. Nothing is written and no phone is told.
//
// The files are made as for a phone that has proved who it is. A secret is in the files that are compared, but in
// nothing that comes of it: where a difference is shown, [secret:1f3a…] stands for it, the same text for the same
// secret and another for another within one comparison, and nowhere else.
type Comparison struct {
	Before, After Scene
	// Local gives our address as a device reaches us. Nil: none.
	Local func(*Device) netip.Addr
	// HTTP is like [Pipeline.HTTP].
	HTTP func(local netip.Addr) string
	// PolicyFor gives the policy of a device's network. Nil: plugins are associated.
	PolicyFor func(*Device) Policy
	// Diffs is how many files' differences are made at most, those of the first phones. Zero: [DefaultDiffs].
	Diffs int
}

// DefaultDiffs bounds what a comparison tells in full. The difference of a common config is mostly the same for all.
const DefaultDiffs = 200

// maxDiff bounds one difference, and what of a file is looked at for it, in bytes.
const (
	maxDiff     = 64 << 10
	maxDiffFile = 1 << 20
)

// FileChange is how a phone's file would change.
type FileChange string

// The changes.
const (
	FileChanged FileChange = "changed" // other bytes
	FileAdded   FileChange = "added"   // there was no such file
	FileRemoved FileChange = "removed" // there would be none
	FileBreaks  FileChange = "breaks"  // it could not be made any more
	FileMends   FileChange = "mends"   // it can't be made now, and could be
	FileBroken  FileChange = "broken"  // it can't be made now, and couldn't be then
)

// FileBlast is what would become of one file.
type FileBlast struct {
	Proto  Proto
	Path   string
	Change FileChange
	// Diff is the difference in the unified format, without secrets. Empty: there is none to show, see Note.
	Diff string
	Note string // why there is no or not all of the difference
	Err  string // why it can't be made, without secrets
}

// PhoneBlast is what would become of one phone. Its plugin and config are those that it would have.
type PhoneBlast struct {
	Device DeviceID
	HW     hwaddr.Addr
	Label  string
	Model  string
	Plugin PluginID
	Config ConfigID
	Files  []FileBlast
}

// Blast is what a change would mean to the phones.
type Blast struct {
	Phones  int          // that were compared
	Changed []PhoneBlast // those with files that would change or can't be made, by device
	// Files counts the files by their change.
	Files map[FileChange]int
}

// Run compares. It stops with ctx's error when that ends.
func (c *Comparison) Run(ctx context.Context) (Blast, error) {
	r := comparing{Comparison: c, pairs: pairs(c.Before.Devices, c.After.Devices)}
	r.before, r.after = newStage(c, c.Before), newStage(c, c.After)
	r.associate = c.Before.Plugins != c.After.Plugins
	if _, err := rand.Read(r.key[:]); err != nil {
		return Blast{}, fmt.Errorf("make a key for secrets: %w", err)
	}
	found := make([][]blasted, len(r.pairs))
	if err := each(ctx, len(r.pairs), func(i int) { found[i] = r.compare(ctx, &r.pairs[i]) }); err != nil {
		return Blast{}, err
	}
	b := Blast{Phones: len(r.pairs), Files: map[FileChange]int{}}
	var told []*blasted // whose difference is to be shown
	for i := range found {
		if len(found[i]) == 0 {
			continue
		}
		b.Changed = append(b.Changed, r.pairs[i].phone())
		for j := range found[i] {
			f := &found[i][j]
			f.at = len(b.Changed) - 1
			b.Files[f.Change]++
			told = append(told, f)
		}
	}
	limit := c.Diffs
	if limit == 0 {
		limit = DefaultDiffs
	}
	if err := each(ctx, len(told), func(i int) {
		if f := told[i]; i < limit {
			r.tell(ctx, f)
		} else {
			f.Note = "not shown: the first differences stand for the others"
		}
	}); err != nil {
		return Blast{}, err
	}
	for _, f := range told {
		b.Changed[f.at].Files = append(b.Changed[f.at].Files, f.FileBlast)
	}
	return b, nil
}

// each calls do with all numbers below n, as many at a time as there are processors, until ctx ends.
func each(ctx context.Context, n int, do func(int)) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

// pair is a device before and after; nil: it isn't there.
type pair struct{ before, after *Device }

func pairs(before, after []Device) []pair {
	byID := make(map[DeviceID]int, len(before))
	list := make([]pair, 0, len(before))
	for i := range before {
		byID[before[i].ID] = i
		list = append(list, pair{before: &before[i]})
	}
	for i := range after {
		if j, ok := byID[after[i].ID]; ok {
			list[j].after = &after[i]
		} else {
			list = append(list, pair{after: &after[i]})
		}
	}
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(string(a.any().ID), string(b.any().ID)) })
	return list
}

func (p *pair) any() *Device {
	if p.after != nil {
		return p.after
	}
	return p.before
}

func (p *pair) phone() PhoneBlast {
	d := p.any()
	return PhoneBlast{Device: d.ID, HW: d.HW, Label: d.Label, Model: d.Model, Plugin: d.Plugin, Config: d.Config}
}

// comparing is a comparison at work.
type comparing struct {
	*Comparison
	pairs         []pair
	before, after *stage
	associate     bool // the plugins differ, so devices may get another
	key           [32]byte
}

// blasted is a file that isn't as it was.
type blasted struct {
	FileBlast
	at            int // in the blast's phones
	before, after *Device
	broken        bool // it can't be made afterwards
}

// compare returns the files of a device that would change. Those of a device for which nothing has changed aren't made.
func (r *comparing) compare(ctx context.Context, p *pair) []blasted {
	if r.associate {
		p.before, p.after = r.before.associated(p.before), r.after.associated(p.after)
	}
	var found []blasted
	note := func(proto Proto, path string, x, y made) {
		if change := changeOf(x, y); change != "" {
			found = append(found, blasted{
				FileBlast: FileBlast{Proto: proto, Path: path, Change: change}, before: p.before, after: p.after, broken: y.err != nil,
			})
		}
	}
	if !r.same(ctx, p) {
		for _, step := range steps(r.before.boot(p.before), r.after.boot(p.after)) {
			note(step.Proto, step.Path, r.before.make(ctx, p.before, step, nil), r.after.make(ctx, p.after, step, nil))
		}
	}
	return found
}

// same reports whether all that a device's files are made of is the same before and after.
func (r *comparing) same(ctx context.Context, p *pair) bool {
	if p.before == nil || p.after == nil || !reflect.DeepEqual(p.before, p.after) {
		return false
	}
	x, _ := r.Before.Plugins.Get(p.before.Plugin)
	y, _ := r.After.Plugins.Get(p.after.Plugin)
	if x != y {
		return false
	}
	if x == nil {
		return true
	}
	for _, class := range []Class{ClassSecret, ClassSite} {
		a, aerr := r.before.resolve(ctx, p.before, class)
		b, berr := r.after.resolve(ctx, p.after, class)
		switch {
		case errors.Is(aerr, ErrNotFound) && errors.Is(berr, ErrNotFound): // it has no config
		case aerr != nil || berr != nil || !reflect.DeepEqual(a.res.Params, b.res.Params):
			return false
		}
		if p.before.Config != "" {
			break // files of all classes are made of that
		}
	}
	return true
}

// steps are the files that either asks for, each once.
func steps(before, after []BootStep) []BootStep {
	var list []BootStep
	for _, s := range slices.Concat(before, after) {
		if s.Path != "" && !slices.ContainsFunc(list, func(x BootStep) bool { return x.Proto == s.Proto && x.Path == s.Path }) {
			list = append(list, s)
		}
	}
	return list
}

// made is a file that was made, or what came of the attempt. The zero value: there is no such file.
type made struct {
	there bool
	class Class
	size  int64
	hash  [32]byte
	text  []byte // only if secrets are masked
	err   error
}

func changeOf(x, y made) FileChange {
	switch {
	case x.err != nil && y.err != nil:
		return FileBroken
	case y.err != nil:
		return FileBreaks
	case x.err != nil:
		return FileMends
	case x.there == y.there && x.hash == y.hash:
		return ""
	case !x.there:
		return FileAdded
	case !y.there:
		return FileRemoved
	}
	return FileChanged
}

// tell adds to a file what is to be shown of it.
func (r *comparing) tell(ctx context.Context, f *blasted) {
	step := BootStep{Proto: f.Proto, Path: f.Path}
	x, y := r.before.make(ctx, f.before, step, r.key[:]), r.after.make(ctx, f.after, step, r.key[:])
	switch {
	case f.broken && y.err != nil:
		f.Err = oneLine(y.err)
	case f.broken:
		f.Err = "it can't be made with its secrets, but could be without"
	case y.err != nil || x.err != nil && f.Change == FileChanged:
		f.Note = "the difference can't be shown without secrets"
	case !isText(x.text) || !isText(y.text):
		f.Note = "it is no text, or too long to be shown"
	case f.Change == FileMends && x.err != nil:
		f.Note = "it can't be made now: " + oneLine(x.err)
	default:
		f.Diff = Unified(string(x.text), string(y.text))
		if f.Diff == "" {
			f.Note = "only a part of a secret that the file has in another form"
		}
		if len(f.Diff) > maxDiff {
			cut := strings.LastIndexByte(f.Diff[:maxDiff], '\n') + 1
			f.Diff, f.Note = f.Diff[:cut], "the rest of the difference isn't shown"
		}
	}
}

func isText(b []byte) bool { return len(b) <= maxDiffFile && !bytes.ContainsRune(b, 0) }

// stage is a scene in use. Each config is read once.
type stage struct {
	*Comparison
	scene   Scene
	configs ConfigReader
	flats   *Flats
}

func newStage(c *Comparison, s Scene) *stage {
	return &stage{
		Comparison: c, scene: s, configs: &readOnce{below: s.Configs, byID: map[ConfigID]lookedUp{}, byRole: map[Role]lookedUp{}},
		flats: NewFlats(flatsAtOnce),
	}
}

// flatsAtOnce is how many bytes of flattened configs a comparison keeps: those of the phones that are just compared, and some
// that many share.
const flatsAtOnce = 2 << 20

// resolve flattens what the device is configured with. The scene doesn't change.
func (s *stage) resolve(ctx context.Context, d *Device, class Class) (*flat, error) {
	return s.flats.resolve(ctx, s.configs, 0, d, class)
}

// associated returns the device as its next request would leave it, with the plugin that supports it best.
func (s *stage) associated(d *Device) *Device {
	if d == nil {
		return nil
	}
	policy := Policy{}
	if s.PolicyFor != nil {
		policy = s.PolicyFor(d)
	}
	r := &passage{plugins: s.scene.Plugins.without(policy.PluginsOff), out: &Outcome{Policy: policy}}
	r.out.Scores = r.plugins.Scores(complete(Identity{}, d))
	u := improvement{passage: r, Device: *d}
	if u.associate(); u.Plugin == d.Plugin {
		return d
	}
	u.Rev++
	return &u.Device
}

func (s *stage) boot(d *Device) []BootStep {
	if d == nil {
		return nil
	}
	p, ok := s.scene.Plugins.Get(d.Plugin)
	if !ok {
		return nil
	}
	b, ok := p.(Booter)
	if !ok {
		return nil
	}
	steps, _ := safely(func() []BootStep { return b.BootOrder(*d) })
	return steps
}

// make makes a file that a device asks for. With a key, be it empty, secrets are masked by it and the text is kept.
func (s *stage) make(ctx context.Context, d *Device, step BootStep, key []byte) made {
	if d == nil {
		return made{}
	}
	p, ok := s.scene.Plugins.Get(d.Plugin)
	if !ok {
		return made{}
	}
	m, fault := safely(func() made { return s.answer(ctx, p, d, step, key) })
	if fault != nil {
		return made{err: fmt.Errorf("plugin %s panicked", p.ID())}
	}
	if errors.Is(m.err, ErrNotFound) {
		return made{}
	}
	return m
}

func (s *stage) answer(ctx context.Context, p Plugin, d *Device, step BootStep, key []byte) made {
	req := &Request{Proto: step.Proto, Path: step.Path, HW: d.HW}
	route, ok := p.Route(req, complete(Identity{}, d))
	if !ok || !route.HW.IsZero() && route.HW != d.HW {
		return made{}
	}
	view := &View{Device: *d, Firmware: p.Firmware()}
	view.Device.Override = nil
	view.Model, _ = p.Model(d.Model)
	if s.Local != nil {
		local := s.Local(d)
		view.Base, view.HTTP = addrText(local), httpURL(s.HTTP, local)
	}
	f := &flat{}
	if route.Template != "" && route.Class != ClassPublic {
		var err error
		if f, err = s.resolve(ctx, d, route.Class); err != nil {
			return made{err: err}
		}
	}
	params := f.res.Params
	if key == nil {
		view.Params = f.complete(route.Class == ClassSecret)
	} else {
		params = maskValue(map[string]any(params), key).(map[string]any) //nolint:forcetypeassert // a map's is one
		view.Params = Complete(reveal(params, route.Class == ClassSecret))
	}
	a, err := p.Answer(ctx, route, view)
	if err != nil {
		return made{err: withoutSecrets(err, params)}
	}
	m := made{there: true, class: route.Class, size: a.Size, hash: a.Hash}
	if key != nil {
		m.text, m.err = io.ReadAll(io.LimitReader(a.Body, maxDiffFile+1))
	}
	if err := a.Body.Close(); err != nil {
		m.err = err
	}
	return m
}
