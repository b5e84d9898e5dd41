package plugin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/render"
)

// ManifestFile is the name of the manifest in a plugin's directory.
const ManifestFile = "plugin.yaml"

// What a manifest may have. The most that the shipped plugins need is a tenth of it.
const (
	maxManifest = 256 << 10
	maxModels   = 500
	maxRules    = 500 // of each kind
)

// ParseManifest reads a plugin.yaml. The error joins a [Fault] for each thing that is wrong.
func ParseManifest(data []byte) (*Manifest, error) {
	d := &decoder{file: ManifestFile}
	if len(data) > maxManifest {
		return nil, &Fault{File: ManifestFile, Text: fmt.Sprintf("the file has %d bytes; %d is the most", len(data), maxManifest)}
	}
	m := &Manifest{Resync: Resync{Method: "none"}}
	if root := d.document(data); root != nil {
		d.manifest(root, m)
	}
	if err := errors.Join(d.faults...); err != nil {
		return nil, err
	}
	return m, nil
}

func (d *decoder) manifest(root *yaml.Node, m *Manifest) {
	format := ""
	d.mapping(root, "the manifest", keys{
		"format":   d.oneOf(&format, "format", "1"),
		"version":  d.text(&m.Version, "version"),
		"vendor":   d.text(&m.Vendor, "vendor"),
		"firmware": d.regexp(&m.Firmware, "firmware"),
		"models":   func(n *yaml.Node) { m.Models = d.models(n) },
		"extract": func(n *yaml.Node) {
			d.list(n, "extract", func(i int, v *yaml.Node) { m.Extract = append(m.Extract, d.extractRule(i, v)) })
		},
		"dhcp": func(n *yaml.Node) {
			d.list(n, "dhcp", func(i int, v *yaml.Node) { m.DHCP = append(m.DHCP, d.dhcpRule(i, v)) })
		},
		"routes": func(n *yaml.Node) {
			d.list(n, "routes", func(i int, v *yaml.Node) { m.Routes = append(m.Routes, d.routeRule(i, v)) })
		},
		"resync": func(n *yaml.Node) {
			d.mapping(n, "resync", keys{
				"method": d.oneOf(&m.Resync.Method, "resync.method", "sip-notify", "none"),
				"event":  d.text(&m.Resync.Event, "resync.event"),
			})
		},
		"boot": func(n *yaml.Node) {
			d.list(n, "boot", func(i int, v *yaml.Node) { m.Boot = append(m.Boot, d.bootStep(i, v)) })
		},
	})
	d.required(root.Line, "the manifest", map[string]bool{
		"format": format != "", "version": m.Version != "", "vendor": m.Vendor != "", "models": len(m.Models) > 0,
	})
	for _, n := range []int{len(m.Extract), len(m.DHCP), len(m.Routes), len(m.Boot)} {
		if n > maxRules {
			d.fault(root.Line, "a list of the manifest has %d entries; %d is the most", n, maxRules)
		}
	}
	for i, s := range m.Boot {
		for _, name := range s.Models {
			if m.Models[name] == nil {
				d.fault(s.Line, "boot[%d] names the model %q, which isn't under models%s", i, name, nearest(name, slices.Sorted(maps.Keys(m.Models))))
			}
		}
	}
}

// required notes which keys aren't there, unless other faults explain it.
func (d *decoder) required(line int, what string, have map[string]bool) {
	if len(d.faults) > 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if !have[k] {
			d.fault(line, "%s must have the key %s", what, k)
		}
	}
}

func (d *decoder) models(n *yaml.Node) map[string]map[string]any {
	models := make(map[string]map[string]any)
	d.entries(n, "models", func(k, v *yaml.Node) {
		what := "models." + k.Value
		if k.Value == "" || len(k.Value) > maxValue || strings.ContainsAny(k.Value, "/*{}") {
			d.fault(k.Line, "%q is no name for a model: it must be short and have no / * { }", k.Value)
			return
		}
		facts := make(map[string]any)
		models[k.Value] = facts
		d.entries(v, what, func(k, v *yaml.Node) {
			switch what := what + "." + k.Value; k.Value {
			case "lines", "function_keys", "expansion_modules":
				facts[k.Value] = int64(d.number(v, what, 16)) //nolint:gosec // 16 bits
			case "protocol":
				s := ""
				d.oneOf(&s, what, "sip", "sccp")(v)
				facts[k.Value] = s
			case "type":
				facts[k.Value], _ = d.scalar(v, what)
			default:
				facts[k.Value] = d.fact(v, what)
			}
		})
	})
	if len(models) > maxModels {
		d.fault(n.Line, "there are %d models; %d is the most", len(models), maxModels)
	}
	return models
}

// fact reads a text, number or bool as what it is.
func (d *decoder) fact(n *yaml.Node, what string) any {
	s, ok := d.scalar(n, what)
	if !ok {
		return nil
	}
	switch n.Tag {
	case "!!int":
		if i, err := strconv.ParseInt(s, 0, 64); err == nil {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	}
	return s
}

// fields are the request's fields that extract rules may look at.
func fields() []string {
	return []string{
		provision.FieldPath, provision.FieldUserAgent, provision.FieldHost, provision.FieldMethod, provision.FieldVendorClass,
		provision.FieldUserClass, provision.FieldHostname, provision.FieldParams, provision.FieldClientID, provision.FieldTLSName,
		provision.FieldMAC,
	}
}

// attrs are what claims may be about.
func attrs() []string {
	return []string{
		provision.AttrMAC, provision.AttrSerial, provision.AttrUUID, provision.AttrVendor, provision.AttrModel, provision.AttrVersion,
	}
}

func (d *decoder) extractRule(i int, n *yaml.Node) ExtractRule {
	r := ExtractRule{Line: n.Line, Set: make(map[string]string), Map: make(map[string]map[string]string)}
	what := fmt.Sprintf("extract[%d]", i)
	attr := func(k *yaml.Node, in string) bool {
		ok := slices.Contains(attrs(), k.Value)
		if !ok {
			d.fault(k.Line, "%s.%s names %q, which isn't one of %s", what, in, k.Value, strings.Join(attrs(), ", "))
		}
		return ok
	}
	d.mapping(n, what, keys{
		"field":  d.oneOf(&r.Field, what+".field", fields()...),
		"regexp": d.regexp(&r.Regexp, what+".regexp"),
		"set": func(n *yaml.Node) {
			d.entries(n, what+".set", func(k, v *yaml.Node) {
				if attr(k, "set") {
					r.Set[k.Value], _ = d.scalar(v, what+".set."+k.Value)
				}
			})
		},
		"map": func(n *yaml.Node) {
			d.entries(n, what+".map", func(k, v *yaml.Node) {
				if !attr(k, "map") {
					return
				}
				to := make(map[string]string)
				d.entries(v, what+".map."+k.Value, func(k, v *yaml.Node) { to[k.Value], _ = d.scalar(v, what+".map") })
				r.Map[k.Value] = to
			})
		},
	})
	d.required(n.Line, what, map[string]bool{"field": r.Field != "", "regexp": r.Regexp != nil})
	if r.Regexp != nil && len(r.Set) == 0 && !slices.ContainsFunc(attrs(), func(a string) bool { return r.Regexp.SubexpIndex(a) > 0 }) && r.Field == provision.FieldPath {
		d.fault(n.Line, "%s claims nothing: its regexp has no group such as (?P<mac>…), and it has no set", what)
	}
	if r.Regexp != nil {
		d.checkGroups(n.Line, what, &r)
	}
	return r
}

// checkGroups refuses ${names} in set that the regexp doesn't have: Expand would put nothing in their place.
func (d *decoder) checkGroups(line int, what string, r *ExtractRule) {
	names := r.Regexp.SubexpNames()
	for _, attr := range slices.Sorted(maps.Keys(r.Set)) {
		for rest := r.Set[attr]; ; {
			_, after, ok := strings.Cut(rest, "$")
			if !ok {
				break
			}
			if after, ok = strings.CutPrefix(after, "$"); ok {
				rest = after
				continue
			}
			name, tail, ok := strings.Cut(strings.TrimPrefix(after, "{"), "}")
			if !strings.HasPrefix(after, "{") || !ok {
				d.fault(line, "%s.set.%s: write groups as ${name}, and a dollar as $$", what, attr)
				break
			}
			if n, err := strconv.Atoi(name); (err != nil || n >= len(names)) && !slices.Contains(names, name) {
				d.fault(line, "%s.set.%s: the regexp has no group %q", what, attr, name)
			}
			rest = tail
		}
	}
}

func (d *decoder) dhcpRule(i int, n *yaml.Node) DHCPRule {
	r := DHCPRule{Line: n.Line}
	what := fmt.Sprintf("dhcp[%d]", i)
	d.mapping(n, what, keys{
		"vendor_class": d.texts(&r.VendorClass, what+".vendor_class"),
		"options": func(n *yaml.Node) {
			d.entries(n, what+".options", func(k, v *yaml.Node) {
				r.Options = append(r.Options, d.dhcpOption(k, v, what+".options."+k.Value))
			})
		},
		"force": d.flag(&r.Force, what+".force"),
		"next":  d.text(&r.Next, what+".next"),
		"file":  d.text(&r.File, what+".file"),
		"sname": d.text(&r.Sname, what+".sname"),
	})
	d.required(n.Line, what, map[string]bool{"vendor_class": len(r.VendorClass) > 0})
	return r
}

func (d *decoder) dhcpOption(k, v *yaml.Node, what string) DHCPOption {
	o := DHCPOption{Key: k.Value, Line: k.Line}
	// Any option takes hex:, so this checks only the key.
	opt, err := network.ParseOption(k.Value, "hex:00")
	if err != nil {
		d.fault(k.Line, "%s: %s", what, err)
		return o
	}
	if v.Kind != yaml.MappingNode {
		var parts []string
		d.texts(&parts, what)(v)
		o.Text = strings.Join(parts, ",")
		return o
	}
	if opt.Code != 43 {
		d.fault(v.Line, "%s: only option 43 can have sub-options; write its bytes as 'hex:…'", what)
		return o
	}
	d.entries(v, what, func(k, v *yaml.Node) {
		s := SubOption{Code: uint8(d.number(k, what, 8)), Line: k.Line} //nolint:gosec // 8 bits
		if s.Code == 0 || s.Code == 255 {
			d.fault(k.Line, "%s: a sub-option's number is 1 to 254 (RFC 2132 §8.4)", what)
		}
		s.Text, _ = d.scalar(v, what)
		switch v.Tag {
		case "!!int":
			s.Text = "uint8:" + s.Text
		case "!!bool":
			s.Text = "uint8:0"
			var b bool
			if v.Decode(&b) == nil && b {
				s.Text = "uint8:1"
			}
		}
		o.Sub = append(o.Sub, s)
	})
	return o
}

func (d *decoder) routeRule(i int, n *yaml.Node) RouteRule {
	r := RouteRule{Line: n.Line}
	what := fmt.Sprintf("routes[%d]", i)
	kinds := make([]string, 0, 4)
	for _, k := range render.Kinds() {
		kinds = append(kinds, string(k))
	}
	ways := 0
	d.mapping(n, what, keys{
		"path":     d.texts(&r.Paths, what+".path"),
		"template": func(n *yaml.Node) { ways++; d.text(&r.Template, what+".template")(n) },
		"file":     func(n *yaml.Node) { ways++; d.text(&r.File, what+".file")(n) },
		"firmware": func(n *yaml.Node) {
			ways++
			r.Firmware, r.File = true, "{name}"
			if n.Tag != "!!bool" {
				d.text(&r.File, what+".firmware")(n)
			} else if d.flag(&r.Firmware, what)(n); !r.Firmware {
				d.fault(n.Line, "%s.firmware: leave it out instead of false", what)
			}
		},
		"kind":  d.oneOf(&r.Kind, what+".kind", kinds...),
		"class": d.oneOf(&r.Class, what+".class", "public", "site", "device", "secret"),
		"type":  d.text(&r.Type, what+".type"),
	})
	d.required(n.Line, what, map[string]bool{"path": len(r.Paths) > 0})
	switch {
	case ways != 1:
		d.fault(n.Line, "%s must have exactly one of template, file, firmware", what)
	case r.Template != "":
		d.required(n.Line, what, map[string]bool{"kind": r.Kind != "", "class": r.Class != ""})
	case r.Kind != "":
		d.fault(n.Line, "%s: only templates have a kind", what)
	}
	for _, p := range r.Paths {
		if err := checkPattern(p); err != nil {
			d.fault(n.Line, "%s.path %q: %s", what, p, err)
		}
	}
	return r
}

func (d *decoder) bootStep(i int, n *yaml.Node) BootStep {
	s := BootStep{Line: n.Line}
	what := fmt.Sprintf("boot[%d]", i)
	d.mapping(n, what, keys{
		"ask":          d.oneOf(&s.Ask, what+".ask", "dhcp", "tftp", "http"),
		"models":       d.texts(&s.Models, what+".models"),
		"vendor_class": d.text(&s.VendorClass, what+".vendor_class"),
		"options": func(n *yaml.Node) {
			d.list(n, what+".options", func(_ int, v *yaml.Node) {
				s.Options = append(s.Options, uint8(d.number(v, what+".options", 8))) //nolint:gosec // 8 bits
			})
		},
		"path":       d.text(&s.Path, what+".path"),
		"user_agent": d.text(&s.UserAgent, what+".user_agent"),
		"port":       func(n *yaml.Node) { s.Port = uint16(d.number(n, what+".port", 16)) }, //nolint:gosec // 16 bits
		"required":   d.flag(&s.Required, what+".required"),
		"if_missing": d.flag(&s.IfMissing, what+".if_missing"),
	})
	d.required(n.Line, what, map[string]bool{"ask": s.Ask != "", "path": s.Path != "" || s.Ask == "dhcp"})
	switch {
	case s.Ask == "dhcp" && s.Path != "":
		d.fault(n.Line, "%s: a dhcp step has no path", what)
	case s.Ask != "dhcp" && (s.VendorClass != "" || s.Options != nil):
		d.fault(n.Line, "%s: only a dhcp step has a vendor_class and options", what)
	}
	return s
}
