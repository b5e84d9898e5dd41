package port

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// provd is a store of the ancestor's on its way to be configs and phones: one JSON document a file, in a folder that says
// of what.
type provd struct {
	*Found
	plugins []provision.PluginID
	configs map[string]document
	roles   map[provision.Role]string
	used    map[string]bool // configs that a device names
}

// document is one file.
type document struct {
	at
	id     string
	fields map[string]any
}

func readProvd(found *Found, files []File, plugins []provision.PluginID) error {
	r := provd{Found: found, plugins: plugins, configs: make(map[string]document), roles: make(map[provision.Role]string), used: make(map[string]bool)}
	var configs, devices []document
	for _, f := range files {
		p := at{f.Name, 1}
		kind := path.Base(path.Dir(path.Clean(f.Name)))
		if kind != "configs" && kind != "devices" {
			found.say(p, "setting", path.Base(f.Name), Dropped, "it is in neither of the folders devices and configs")
			continue
		}
		singular := map[string]string{"configs": "config", "devices": "phone"}[kind]
		fields, line, err := decodeDocument(f.Data)
		p.line = line
		if err != nil {
			found.say(p, singular, path.Base(f.Name), Wrong, "%s", err)
			continue
		}
		d := document{p, text(fields["id"]), fields}
		if d.id == "" {
			d.id = path.Base(f.Name)
		}
		if kind == "configs" {
			if first, twice := r.configs[d.id]; twice {
				found.say(p, singular, d.id, Wrong, "it stands in %s already", first.file)
				continue
			}
			r.configs[d.id] = d
			configs = append(configs, d)
		} else {
			devices = append(devices, d)
			r.used[text(fields["config"])] = true
		}
	}
	if len(configs)+len(devices) == 0 && !slices.ContainsFunc(found.Verdicts, func(v Verdict) bool { return v.Action == Wrong }) {
		return errors.New("there is no store of provd: it has the folders devices and configs")
	}
	for _, d := range configs {
		r.config(d)
	}
	seen := make(map[string]string)
	for _, d := range devices {
		r.device(d, seen)
	}
	return nil
}

// decodeDocument reads one JSON object. The line is where the error is.
func decodeDocument(data []byte) (fields map[string]any, line int, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err = d.Decode(&fields); err == nil && fields == nil {
		err = errors.New("it is no object")
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows its object")
		}
	}
	if err != nil {
		end := min(int(d.InputOffset()), len(data))
		return nil, 1 + bytes.Count(data[:end], []byte("\n")), fmt.Errorf("it is no JSON document: %w", err)
	}
	return fields, 1, nil
}

// text returns a value that is a text, else "".
func text(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

func (r *provd) config(d document) {
	if !r.keeps(d) {
		return
	}
	c := provision.Config{ID: provision.ConfigID(d.id), Transient: d.fields["transient"] == true}
	place := r.say(d.at, "config", d.id, Added, "")
	for _, k := range slices.Sorted(maps.Keys(d.fields)) {
		v := d.fields[k]
		part := func(a Action, text string) { r.say(d.at, "config key", d.id+"/"+k, a, "%s", text) }
		switch k {
		case "id", "transient":
		case "label", "displayname":
			if c.Label == "" {
				c.Label = text(v)
			}
		case "parent_ids":
			c.Parents = r.parents(d, v)
		case "raw_config":
			raw, ok := v.(map[string]any)
			if !ok {
				part(Dropped, "it is no object")
			}
			c.Params = r.params(d, raw)
		case "role":
			c.Role = r.role(d, text(v), c.Transient)
		case "deletable":
			if c.Locked = v == false; c.Locked {
				part(Renamed, "the config is locked")
			}
		case "configdevice":
			part(Dropped, "it repeats a parent")
		default:
			part(Dropped, "it isn't for the phones, but for the program that wrote it")
		}
	}
	r.Configs = append(r.Configs, Item[provision.Config]{c, place})
}

// keeps leaves out a config that would have gone with its last phone.
func (r *provd) keeps(d document) bool {
	if d.fields["transient"] != true || r.used[d.id] {
		return true
	}
	r.say(d.at, "config", d.id, Dropped, "it is transient, and no device uses it")
	return false
}

func (r *provd) parents(d document, v any) (out []provision.ConfigID) {
	list, ok := v.([]any)
	if !ok {
		r.say(d.at, "config key", d.id+"/parent_ids", Dropped, "it is no list")
	}
	for _, x := range list {
		id := text(x)
		parent, there := r.configs[id]
		var why string
		switch {
		case id == d.id:
			why = "it is the config itself"
		case !there:
			why = "there is no such config"
		case slices.Contains(out, provision.ConfigID(id)):
			why = "it stands there already"
		case parent.fields["transient"] == true:
			why = "it is transient, so others can't rest on it"
		default:
			out = append(out, provision.ConfigID(id))
			continue
		}
		r.say(d.at, "config key", d.id+"/parent_ids/"+id, Dropped, "%s", why)
	}
	return out
}

func (r *provd) role(d document, name string, transient bool) provision.Role {
	role := provision.Role(name)
	switch other, taken := r.roles[role]; {
	case name == "":
		return provision.RoleNone
	case role != provision.RoleAutocreate && role != provision.RoleDefault:
		r.say(d.at, "config key", d.id+"/role", Dropped, "there is no role %q", name)
	case transient:
		r.say(d.at, "config key", d.id+"/role", Dropped, "a transient config can't have a role")
	case taken:
		r.say(d.at, "config key", d.id+"/role", Dropped, "config %s has the role %s already", other, role)
	default:
		r.roles[role] = d.id
		return role
	}
	return provision.RoleNone
}

// ownAddress are the parameters that name the server which the phones are to leave.
func ownAddress(key string) bool {
	return key == "http_base_url" || key == "ip" || key == "http_port" || key == "tftp_port"
}

// params carries a raw config over: the ancestor's parameters have the same names and meanings here, but that it took
// numbers for texts and kept what it didn't know.
func (r *provd) params(d document, raw map[string]any) provision.Params {
	out := make(map[string]any, len(raw))
	part := func(key string, a Action, format string, args ...any) {
		r.say(d.at, "parameter", d.id+"/"+key, a, format, args...)
	}
	for _, k := range slices.Sorted(maps.Keys(raw)) {
		v := plain(raw[k], text(d.fields["X_type"]) == "device")
		switch {
		case v == nil && text(d.fields["X_type"]) == "device":
			part(k, Dropped, "it has no value")
		case ownAddress(k):
			part(k, Dropped, "it names the old server; phones are told of this one")
		case k == "_comment":
			out["X_comment"] = v
			part(k, Renamed, "X_comment")
		case k == "config_version":
			part(k, Dropped, "nothing ever used it")
		case strings.HasPrefix(k, "XX_"):
			part(k, Dropped, "plugins compute it anew")
		default:
			out[k] = v
		}
	}
	changed, cut := make(map[string]bool), make(map[string]bool)
	for range maxMends {
		faults := provision.ParamFaults(provision.CheckLayer(provision.Wrap(out)))
		if len(faults) == 0 {
			break
		}
		for _, f := range faults {
			top, _, _ := strings.Cut(f.Path, ".")
			changed[top] = true
			if like, ok := mend(out, f.Path); ok {
				part(strings.ReplaceAll(f.Path, ".", "/"), Carried, "as %s", like)
				continue
			}
			part(strings.ReplaceAll(f.Path, ".", "/"), Dropped, "%s", f.Text)
			if !remove(out, f.Path) {
				delete(out, top)
			}
			cut[path.Dir(strings.ReplaceAll(f.Path, ".", "/"))] = true
		}
	}
	// A line or key that has lost what it can't be without goes as a whole.
	for _, f := range provision.ParamFaults(provision.Check(provision.Wrap(out))) {
		entry := path.Dir(strings.ReplaceAll(f.Path, ".", "/"))
		if cut[entry] && remove(out, strings.ReplaceAll(entry, "/", ".")) {
			part(entry, Dropped, "without %s it is nothing", path.Base(strings.ReplaceAll(f.Path, ".", "/")))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(out)) {
		if _, there := raw[k]; there && !changed[k] {
			part(k, Carried, "")
		}
	}
	if len(provision.ParamFaults(provision.CheckLayer(provision.Wrap(out)))) > 0 {
		return nil // more faults than there are parameters: each has its verdict
	}
	return provision.Wrap(out)
}

// maxMends is how often parameters are checked again: one value may have several faults, one after the other.
const maxMends = 8

// plain is a JSON value in the types of parameters. Without nulls, keys of maps that are null are left out.
func plain(v any, withoutNulls bool) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		n, _ := x.Float64()
		return n
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			if y != nil || !withoutNulls {
				out[k] = plain(y, withoutNulls)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, y := range x {
			out[i] = plain(y, withoutNulls)
		}
		return out
	}
	return v
}

// inside returns the map that holds the last key of a path, and that key.
func inside(m map[string]any, at string) (map[string]any, string) {
	for {
		key, rest, more := strings.Cut(at, ".")
		if !more {
			return m, key
		}
		next, ok := m[key].(map[string]any)
		if !ok {
			return nil, ""
		}
		m, at = next, rest
	}
}

// mend turns a text into the number or truth value that it says, and the other way round, if the place takes that.
func mend(params map[string]any, at string) (as string, ok bool) {
	m, key := inside(params, at)
	if m == nil {
		return "", false
	}
	old, there := m[key]
	if !there {
		return "", false
	}
	var tries []any
	switch v := old.(type) {
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			tries = append(tries, n)
		}
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "1", "yes", "on":
			tries = append(tries, true)
		case "false", "0", "no", "off":
			tries = append(tries, false)
		}
		tries = append(tries, strings.TrimSpace(v), []any{v})
	case int64:
		tries = append(tries, strconv.FormatInt(v, 10))
		if v == 0 || v == 1 {
			tries = append(tries, v == 1)
		}
	}
	for _, try := range tries {
		m[key] = try
		faults := provision.ParamFaults(provision.CheckLayer(provision.Wrap(params)))
		if !slices.ContainsFunc(faults, func(f provision.ParamFault) bool { return strings.HasPrefix(f.Path, at) }) {
			return map[string]string{"int64": "a number", "bool": "true or false", "string": "a text", "[]interface {}": "a list"}[fmt.Sprintf("%T", try)], true
		}
	}
	m[key] = old
	return "", false
}

func remove(params map[string]any, at string) bool {
	m, key := inside(params, at)
	if m == nil {
		return false
	}
	if _, there := m[key]; !there {
		return false
	}
	delete(m, key)
	return true
}

// device carries a device over. Seen has what the ones before it are known by, and where.
func (r *provd) device(d document, seen map[string]string) {
	x := provision.Device{
		ID: provision.DeviceID(d.id), Serial: text(d.fields["sn"]), UUID: text(d.fields["uuid"]), Vendor: text(d.fields["vendor"]),
		Model: text(d.fields["model"]), Version: text(d.fields["version"]), Label: text(d.fields["description"]),
		Auto: d.fields["added"] == "auto", State: provision.StateEnrolled,
	}
	if why := r.identity(d, &x, seen); why != "" {
		r.say(d.at, "phone", d.id, Wrong, "%s", why)
		return
	}
	place := r.say(d.at, "phone", d.id, Added, "")
	for _, k := range slices.Sorted(maps.Keys(d.fields)) {
		v := d.fields[k]
		part := func(a Action, format string, args ...any) { r.say(d.at, "phone key", d.id+"/"+k, a, format, args...) }
		switch k {
		case "id", "mac", "sn", "uuid", "vendor", "model", "version", "added":
		case "description":
			if v != nil && v != "" {
				part(Renamed, "its label")
			}
		case "ip":
			part(Dropped, "who has which address is the lease table's to say")
		case "configured", "is_new", "remote_state_sip_username":
			part(Dropped, "it is observed anew")
		case "tenant_uuid":
			part(Dropped, "there are no tenants")
		case "options":
			x.Options, _ = plain(v, true).(map[string]any)
		case "config":
			if c, there := r.configs[text(v)]; there {
				x.Config = provision.ConfigID(c.id)
			} else if v != nil && v != "" {
				part(Dropped, "there is no config %q", text(v))
			}
		case "plugin":
			r.plugin(&x, text(v), part)
		default:
			part(Dropped, "nothing here uses it")
		}
	}
	r.Phones = append(r.Phones, Item[provision.Device]{x, place})
}

// identity reads by what the device is known, and returns why it can't be.
func (r *provd) identity(d document, x *provision.Device, seen map[string]string) string {
	if mac := text(d.fields["mac"]); mac != "" {
		hw, err := hwaddr.Parse(mac)
		switch {
		case err != nil:
			return err.Error()
		case hw.IsGroup():
			return hw.String() + " is the address of a group, not of a phone"
		}
		x.HW = hw
	}
	keys := []string{"id " + d.id}
	for name, v := range map[string]string{"mac": x.HW.String(), "sn": x.Serial, "uuid": x.UUID} {
		if v != "" && (name != "mac" || !x.HW.IsZero()) {
			keys = append(keys, name+" "+v)
		}
	}
	if len(keys) == 1 {
		return "it has no mac, sn or uuid by which it could be known again"
	}
	slices.Sort(keys)
	for _, k := range keys {
		if other, twice := seen[k]; twice {
			return k + " is that of " + other + " already"
		}
	}
	for _, k := range keys {
		seen[k] = d.file
	}
	return ""
}

// plugin names the plugin of ours that is for the same phones: of the same vendor, and the firmware's version if there are
// several. Who would otherwise choose is the phone's first request.
func (r *provd) plugin(x *provision.Device, old string, part func(Action, string, ...any)) {
	if old == "" {
		return
	}
	if slices.Contains(r.plugins, provision.PluginID(old)) {
		x.Plugin = provision.PluginID(old)
		return
	}
	_, rest, ok := strings.Cut(old, "-") // wazo-…, xivo-…
	if !ok {
		rest = old
	}
	words := strings.FieldsFunc(strings.ToLower(rest), func(r rune) bool { return r == '-' || r == '_' })
	best, most, twice := provision.PluginID(""), 0, false
	for _, id := range r.plugins {
		theirs := strings.FieldsFunc(strings.ToLower(string(id)), func(r rune) bool { return r == '-' || r == '_' })
		if len(words) == 0 || len(theirs) == 0 || words[0] != theirs[0] {
			continue
		}
		n := 0
		for _, w := range words {
			if slices.Contains(theirs, w) {
				n++
			}
		}
		if n == most {
			twice = true
		} else if n > most {
			best, most, twice = id, n, false
		}
	}
	switch {
	case best == "":
		part(Dropped, "there is no plugin for the phones of %s; install one, and the phone's next request chooses it", old)
	case twice || most == 1 && len(words) > 1:
		part(Dropped, "no plugin is the same as %s; the phone's next request chooses one", old)
	default:
		x.Plugin = best
		part(Renamed, "%s", best)
	}
}
