package configs

import (
	_ "embed"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Site is content for an empty state, as it is written in a file. Names and values that only other packages understand
// (MAC addresses, DHCP options, config parameters) are unchecked texts; Line is where in the file an item begins.
type Site struct {
	Networks []SiteNetwork `yaml:"networks"`
	Configs  []SiteConfig  `yaml:"configs"`
	Devices  []SiteDevice  `yaml:"devices"`
}

// SiteNetwork declares one network.
type SiteNetwork struct {
	Name          string            `yaml:"name"`
	Prefix        netip.Prefix      `yaml:"prefix"`
	Interface     string            `yaml:"interface"`
	Server        netip.Addr        `yaml:"server"`
	Relays        []netip.Addr      `yaml:"relays"`
	Pools         []SitePool        `yaml:"pools"`
	Reservations  []SiteReservation `yaml:"reservations"`
	Options       SiteOptions       `yaml:"options"`
	Lease         SiteLease         `yaml:"lease"`
	Authoritative bool              `yaml:"authoritative"`
	Probe         bool              `yaml:"probe"`     // left out: true
	AutoAdd       string            `yaml:"auto_add"`  // left out: recognised
	Configure     bool              `yaml:"configure"` // left out: true
	Line          int               `yaml:"-"`
}

func (n *SiteNetwork) setDefaults() { n.Probe, n.AutoAdd, n.Configure = true, "recognised", true }

// SitePool is a range of addresses, written "192.0.2.100-192.0.2.199" or with the keys first, last and exclude.
type SitePool struct {
	First   netip.Addr   `yaml:"first"`
	Last    netip.Addr   `yaml:"last"`
	Exclude []netip.Addr `yaml:"exclude"`
	Line    int          `yaml:"-"`
}

// SiteLease bounds how long leases last. Zero: left out.
type SiteLease struct {
	Default time.Duration `yaml:"default"`
	Min     time.Duration `yaml:"min"`
	Max     time.Duration `yaml:"max"`
}

// SiteReservation keeps an address for a device.
type SiteReservation struct {
	MAC      string      `yaml:"mac"`
	IP       netip.Addr  `yaml:"ip"`
	Hostname string      `yaml:"hostname"`
	Options  SiteOptions `yaml:"options"`
	Line     int         `yaml:"-"`
}

// SiteOption is one DHCP option: its number or name, and its value. The items of a list are joined with commas.
type SiteOption struct {
	Key, Value string
	Line       int
}

// SiteOptions are DHCP options in the order of the file, where they are keys with values.
type SiteOptions []SiteOption

// SiteConfig is one config.
type SiteConfig struct {
	ID        string         `yaml:"id"`
	Label     string         `yaml:"label"`
	Parents   []string       `yaml:"parents"`
	Role      string         `yaml:"role"`
	Params    map[string]any `yaml:"params"` // of strings, bools, int64s, float64s, []any and map[string]any; secrets, too, are strings
	Transient bool           `yaml:"transient"`
	Locked    bool           `yaml:"locked"`
	Line      int            `yaml:"-"`
}

// SiteDevice is one phone.
type SiteDevice struct {
	MAC      string         `yaml:"mac"`
	SN       string         `yaml:"sn"`
	UUID     string         `yaml:"uuid"`
	Vendor   string         `yaml:"vendor"`
	Model    string         `yaml:"model"`
	Version  string         `yaml:"version"`
	Plugin   string         `yaml:"plugin"`
	Pinned   bool           `yaml:"pinned"`
	Config   string         `yaml:"config"`
	Label    string         `yaml:"label"`
	Override map[string]any `yaml:"override"` // like Params of a SiteConfig
	Options  map[string]any `yaml:"options"`
	Line     int            `yaml:"-"`
}

//go:embed site.yaml
var siteFile []byte

//go:embed sandbox.yaml
var sandboxFile []byte

// DefaultSite returns the content that an appliance starts with, and the name and text of its file.
func DefaultSite() (name string, data []byte) {
	return "site.yaml (built in)", append([]byte(nil), siteFile...)
}

// SandboxSite returns the content of the sandbox, and the name and text of its file.
func SandboxSite() (name string, data []byte) {
	return "sandbox.yaml (built in)", append([]byte(nil), sandboxFile...)
}

// ParseSite reads a site file; name is for messages. The error joins all faults, each with file and line.
func ParseSite(name string, data []byte) (Site, error) {
	var s Site
	d, err := decode(name, data, &s)
	if err != nil {
		return Site{}, err
	}
	for _, n := range s.Networks {
		n.check(d)
	}
	s.checkConfigs(d)
	if err := errors.Join(d.errs...); err != nil {
		return Site{}, err
	}
	return s, nil
}

func (n *SiteNetwork) check(d *decoder) {
	where := "network " + n.Name
	if n.Name == "" {
		d.fault(n.Line, "network", "it has no name; give it one, such as voice")
		where = "network without a name"
	}
	if !n.Prefix.IsValid() {
		d.fault(n.Line, where, "it has no prefix; give it one, such as 192.0.2.0/24")
	}
	for _, p := range n.Pools {
		if !p.First.IsValid() || !p.Last.IsValid() {
			d.fault(p.Line, where, "the pool lacks an end; give it first and last")
		}
	}
	for _, r := range n.Reservations {
		if r.MAC == "" || !r.IP.IsValid() {
			d.fault(r.Line, where, "the reservation needs both mac and ip")
		}
	}
}

// checkConfigs checks what names what. A site is imported into an empty state, so all that it names is in it.
func (s *Site) checkConfigs(d *decoder) {
	lines, roles := make(map[string]int), make(map[string]string)
	for _, c := range s.Configs {
		switch {
		case c.ID == "":
			d.fault(c.Line, "config", "it has no id; give it one, such as base")
		case lines[c.ID] > 0:
			d.fault(c.Line, "config "+c.ID, "there is another one with that id in line %d; rename one", lines[c.ID])
		}
		lines[c.ID] = c.Line
		switch c.Role {
		case "":
			continue
		case "default", "autocreate":
			if other, ok := roles[c.Role]; ok {
				d.fault(c.Line, "config "+c.ID, "config %s has the role %s already; only one can", other, c.Role)
			}
			roles[c.Role] = c.ID
		default:
			d.fault(c.Line, "config "+c.ID, "role %q is unknown; use default, autocreate or none", c.Role)
		}
	}
	for _, c := range s.Configs {
		for _, p := range c.Parents {
			if lines[p] == 0 {
				d.fault(c.Line, "config "+c.ID, "its parent %q is not in this file", p)
			}
		}
	}
	for _, v := range s.Devices {
		if v.MAC == "" && v.SN == "" && v.UUID == "" {
			d.fault(v.Line, "device", "it needs a mac, an sn (serial number) or a uuid to be recognised by")
		}
		if v.Config != "" && lines[v.Config] == 0 {
			d.fault(v.Line, "device "+v.MAC, "its config %q is not in this file", v.Config)
		}
	}
}

func (p *SitePool) readNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode {
		type keys SitePool // without this method
		var k keys
		d.structure(n, reflect.ValueOf(&k).Elem(), path)
		*p = SitePool(k)
		return
	}
	p.Line = n.Line
	first, last, ok := strings.Cut(n.Value, "-")
	var err1, err2 error
	p.First, err1 = netip.ParseAddr(strings.TrimSpace(first))
	p.Last, err2 = netip.ParseAddr(strings.TrimSpace(last))
	if !ok || err1 != nil || err2 != nil || !p.First.Is4() || !p.Last.Is4() {
		d.fault(n.Line, path, "%q is not a range such as 192.0.2.100-192.0.2.199", n.Value)
	}
}

func (o *SiteOptions) readNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, func(key, value *yaml.Node, at string) {
		if !d.usable(value, at) {
			return
		}
		items := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			items = value.Content
		}
		texts := make([]string, 0, len(items))
		for _, item := range items {
			if s, ok := d.scalar(item, at); ok && d.usable(item, at) {
				texts = append(texts, s)
			}
		}
		*o = append(*o, SiteOption{Key: key.Value, Value: strings.Join(texts, ","), Line: key.Line})
	})
}
