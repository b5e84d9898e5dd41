package plugin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/render"
)

// Plugin is a loaded plugin. It is immutable and safe for concurrent use; [Load] makes it.
type Plugin struct {
	id       provision.PluginID
	manifest *Manifest
	parts    *parts
	origins  map[string]string // by template: its file

	rules     []provision.Rule
	routes    []provision.Route // by the manifest's index, Rule without its pattern
	literal   map[string]*pattern
	patterns  []*pattern // the others, most specific first
	templates *render.Set
	files     tree
	firmware  tree
	installed []string // its names, sorted
	dhcp      []dhcpRule
	dhcpTexts *render.Set
}

var _ provision.Ruled = (*Plugin)(nil)

// ID implements [provision.Plugin].
func (p *Plugin) ID() provision.PluginID { return p.id }

// Manifest returns what the manifest says. The caller must not change it.
func (p *Plugin) Manifest() *Manifest { return p.manifest }

// Boot returns what a phone of this kind does, in order. The caller must not change it.
func (p *Plugin) Boot() []BootStep { return p.manifest.Boot }

// Models returns the names of the models, sorted.
func (p *Plugin) Models() []string { return slices.Sorted(maps.Keys(p.manifest.Models)) }

// Model implements [provision.Plugin]. The caller must not change the map.
func (p *Plugin) Model(name string) (map[string]any, bool) {
	m, ok := p.manifest.Models[name]
	return m, ok
}

// Resync implements [provision.Plugin].
func (p *Plugin) Resync() provision.ResyncMethod { return provision.ResyncMethod(p.manifest.Resync) }

// Firmware implements [provision.Plugin]. The caller must not change the slice.
func (p *Plugin) Firmware() []string { return p.installed }

// FirmwareFile is a file of firmware that is installed for a plugin.
type FirmwareFile struct {
	Name string
	Size int64 // bytes
	Hash [sha256.Size]byte
}

func (p *Plugin) firmwareFiles() []FirmwareFile {
	files := make([]FirmwareFile, len(p.installed))
	for i, name := range p.installed {
		b := p.firmware[name]
		files[i] = FirmwareFile{name, b.size, b.hash}
	}
	return files
}

// Tests returns the golden requests of the plugin's directory by name, such as "new.txtar".
func (p *Plugin) Tests() map[string][]byte {
	tests := make(map[string][]byte)
	for name, b := range p.parts.own {
		if test, ok := strings.CutPrefix(name, "tests/"); ok && path.Ext(name) == ".txtar" {
			tests[test] = b.data
		}
	}
	return tests
}

// WithFirmware returns a copy of the plugin whose installed firmware is these files: for golden requests, which bring
// stand-ins for what only the vendor may hand out.
func (p *Plugin) WithFirmware(files map[string][]byte) *Plugin {
	q := *p
	q.firmware = make(tree, len(files))
	for name, data := range files {
		q.firmware[name] = newBlob(data)
	}
	q.installed = slices.Sorted(maps.Keys(q.firmware))
	return &q
}

func (p *Plugin) templateNames() []string { return slices.Sorted(maps.Keys(p.origins)) }

// Support implements [provision.Plugin].
func (p *Plugin) Support(id provision.Identity) (provision.Support, string) {
	_, listed := p.manifest.Models[id.Model]
	switch {
	case id.Vendor == "" || id.VendorBy == provision.SourceNone:
		return provision.SupportUnknown, "the vendor isn't known"
	case id.Vendor != p.manifest.Vendor:
		return provision.SupportImprobable, "the vendor is " + id.Vendor
	case id.Model != "" && !listed:
		return provision.SupportImprobable, "it knows no model " + id.Model
	case id.VendorBy <= provision.SourceGuess:
		// Anybody can ask for a file that many phones share.
		return provision.SupportUnknown, "the vendor is a guess"
	case id.Model == "":
		return provision.SupportProbable, "its vendor"
	case id.ModelBy <= provision.SourceGuess:
		return provision.SupportProbable, "its vendor; the model is a guess"
	case id.Version == "":
		return provision.SupportComplete, "its model"
	case p.manifest.Firmware == nil || p.manifest.Firmware.MatchString(id.Version):
		return provision.SupportExact, "its model and firmware"
	}
	return provision.SupportIncomplete, "its model with other firmware"
}

// compileRoute makes what all requests of a route have in common.
func (p *Plugin) compileRoute(r *RouteRule) provision.Route {
	route := provision.Route{
		Template: r.Template, File: r.File, Firmware: r.Firmware, Kind: r.Kind, Type: r.Type, Class: provision.ClassPublic,
	}
	switch r.Class {
	case "site":
		route.Class = provision.ClassSite
	case "device":
		route.Class = provision.ClassDevice
	case "secret":
		route.Class = provision.ClassSecret
	}
	return route
}

// Route implements [provision.Plugin].
func (p *Plugin) Route(req *provision.Request, _ provision.Identity) (provision.Route, bool) {
	if c := p.literal[req.Path]; c != nil {
		return p.routed(c, req.Path), true
	}
	for _, c := range p.patterns {
		if hw, ok := c.match(req.Path); ok {
			r := p.routed(c, req.Path)
			r.HW = hw
			return r, true
		}
	}
	return provision.Route{}, false
}

func (p *Plugin) routed(c *pattern, asked string) provision.Route {
	r := p.routes[c.rule]
	r.Rule = c.name
	if r.Template == "" && strings.Contains(r.File, "{") {
		r.File = strings.NewReplacer("{name}", path.Base(asked), "{path}", asked).Replace(r.File)
	}
	if r.Type == "" {
		r.Type = contentType(asked)
	}
	return r
}

// Answer implements [provision.Plugin]. Templates and small files come from what was read at load; an error of a
// template is a [Fault].
func (p *Plugin) Answer(ctx context.Context, r provision.Route, view *provision.View) (*provision.Answer, error) {
	switch {
	case r.Template != "":
		v := *view
		v.Device.Override = nil // may hold secrets that the guard withholds
		out, err := p.templates.Render(ctx, r.Template, render.Kind(r.Kind), v)
		if err != nil {
			return nil, templateFault(err, func(name string) string { return p.origins[name] })
		}
		b := &blob{data: out.Data, size: int64(len(out.Data)), hash: out.Hash}
		return b.open(r.Type)
	case r.Firmware:
		return serve(p.firmware, r, "firmware")
	}
	return serve(p.files, r, "file")
}

func serve(t tree, r provision.Route, what string) (*provision.Answer, error) {
	b := t[r.File]
	if b == nil {
		return nil, fmt.Errorf("%s %s: %w", what, r.File, provision.ErrNotFound)
	}
	return b.open(r.Type)
}
