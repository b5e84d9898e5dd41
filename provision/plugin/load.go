package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/render"
)

// Dirs are where a plugin's parts lie. Use the FS of an [os.Root] for folders of the disk. Overlay and Firmware may be
// nil.
type Dirs struct {
	Plugin   fs.FS // the plugin's directory
	Overlay  fs.FS // the site's templates/ and files/ for it
	Firmware fs.FS // its installed firmware
}

// Load makes a plugin of its directory. It writes nothing and keeps nothing open but, for files of over a mebibyte, the
// file systems that it was given. The error joins a [Fault] for everything that is wrong.
func Load(id provision.PluginID, dirs Dirs) (*Plugin, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	parts, err := readParts(dirs, nil)
	if err != nil {
		return nil, err
	}
	return build(id, parts)
}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkID(id provision.PluginID) error {
	if !validID.MatchString(string(id)) {
		return &Fault{Text: fmt.Sprintf("%q is no name for a plugin's folder: use letters, digits, dots, dashes", id)}
	}
	return nil
}

// parts is all that a plugin is made of, read.
type parts struct {
	own, overlay, firmware tree
}

// readParts reads the directories. Large files that old has, unchanged, aren't read again.
func readParts(dirs Dirs, old *parts) (*parts, error) {
	if old == nil {
		old = &parts{}
	}
	p := &parts{}
	var errs [3]error
	p.own, errs[0] = readTree(dirs.Plugin, "", func(name string) bool {
		return name == ManifestFile || inFolder(name) || strings.HasPrefix(name, "tests/")
	}, old.own)
	if dirs.Overlay != nil {
		p.overlay, errs[1] = readTree(dirs.Overlay, "overlays/", inFolder, old.overlay)
	}
	if dirs.Firmware != nil {
		p.firmware, errs[2] = readTree(dirs.Firmware, "firmware/", func(string) bool { return true }, old.firmware)
	}
	return p, errors.Join(errs[:]...)
}

func inFolder(name string) bool {
	return strings.HasPrefix(name, "templates/") || strings.HasPrefix(name, "files/")
}

// same reports whether two readings found the same.
func (p *parts) same(q *parts) bool {
	return p.own.sum() == q.own.sum() && p.overlay.sum() == q.overlay.sum() && p.firmware.sum() == q.firmware.sum()
}

// build makes a plugin of what was read.
func build(id provision.PluginID, from *parts) (*Plugin, error) {
	manifest := from.own[ManifestFile]
	if manifest == nil {
		return nil, &Fault{File: ManifestFile, Text: "there is no such file; a plugin begins with it"}
	}
	m, err := ParseManifest(manifest.data)
	if err != nil {
		return nil, err
	}
	p := &Plugin{id: id, manifest: m, parts: from, files: make(tree), firmware: from.firmware, installed: slices.Sorted(maps.Keys(from.firmware))}
	var errs []error
	sources := p.collect(&errs)
	p.templates, err = render.Parse(sources)
	errs = append(errs, templateFault(err, func(name string) string { return p.origins[name] }))
	p.buildExtract()
	errs = append(errs, p.buildRoutes(), p.buildDHCP())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// collect sorts the files into templates and what is served as it is; an overlay's stand in the place of the plugin's.
func (p *Plugin) collect(errs *[]error) []render.Source {
	p.origins = make(map[string]string)
	texts := make(map[string]string)
	for _, layer := range []struct {
		name string
		tree tree
	}{{"", p.parts.own}, {"overlays/", p.parts.overlay}} {
		for name, b := range layer.tree {
			if served, ok := strings.CutPrefix(name, "files/"); ok {
				p.files[served] = b
			}
			t, ok := strings.CutPrefix(name, "templates/")
			if !ok {
				continue
			}
			if path.Ext(t) != ".tmpl" {
				*errs = append(*errs, &Fault{File: layer.name + name, Text: "templates end in .tmpl; rename it, or move it to files/"})
				continue
			}
			if b.size > maxTemplate {
				*errs = append(*errs, &Fault{File: layer.name + name, Text: fmt.Sprintf("a template has at most %d KiB", maxTemplate>>10)})
				continue
			}
			texts[t], p.origins[t] = string(b.data), layer.name+name
		}
	}
	sources := make([]render.Source, 0, len(texts))
	for _, t := range slices.Sorted(maps.Keys(texts)) {
		sources = append(sources, render.Source{Name: t, Text: texts[t]})
	}
	return sources
}

// buildRoutes compiles the patterns and checks that what the routes name is there.
func (p *Plugin) buildRoutes() error {
	var errs []error
	names := slices.Collect(maps.Keys(p.manifest.Models))
	// RE2 takes the first alternative that leads to a match of the whole, so their order doesn't matter.
	for i, n := range names {
		names[i] = regexp.QuoteMeta(n)
	}
	slices.Sort(names)
	models := strings.Join(names, "|")
	p.literal = make(map[string]*pattern)
	seen := make(map[string]int)
	for i := range p.manifest.Routes {
		r := &p.manifest.Routes[i]
		bad := func(format string, args ...any) {
			errs = append(errs, &Fault{File: ManifestFile, Line: r.Line, Text: fmt.Sprintf("routes[%d]", i) + fmt.Sprintf(format, args...)})
		}
		for _, text := range r.Paths {
			if line, twice := seen[text]; twice {
				bad(".path: %q stands in the route of line %d already, which always wins", text, line)
				continue
			}
			seen[text] = r.Line
			c, err := compilePattern(text, i, models)
			if err != nil {
				bad(".path: %s", err)
				continue
			}
			if c.rank == 0 {
				p.literal[text] = c
			} else {
				p.patterns = append(p.patterns, c)
			}
		}
		switch {
		case r.Template != "":
			if p.templates != nil && !p.templates.Has(r.Template) {
				bad(": there is no templates/%s%s", r.Template, nearest(r.Template, p.templateNames()))
			}
		default:
			if err := checkName(r.File); err != nil {
				bad(": %q %s", r.File, err)
			} else if !r.Firmware && !strings.Contains(r.File, "{") && p.files[r.File] == nil {
				bad(": there is no files/%s%s", r.File, nearest(r.File, slices.Collect(maps.Keys(p.files))))
			}
		}
		p.routes = append(p.routes, p.compileRoute(r))
	}
	sortPatterns(p.patterns)
	return errors.Join(errs...)
}

// checkName reports what is wrong with the name of a file to serve, which may have {name} and {path}.
func checkName(name string) error {
	plain := strings.NewReplacer("{name}", "n", "{path}", "p").Replace(name)
	if strings.ContainsAny(plain, "{}") {
		return errors.New("has braces other than {name} and {path}")
	}
	if !fs.ValidPath(plain) || plain == "." || strings.Contains(plain, `\`) {
		return errors.New("is no path below the folder")
	}
	return nil
}
