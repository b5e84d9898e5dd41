package configs

import (
	"cmp"
	_ "embed"
	"errors"
	"time"
)

// Site is content for an empty state, as it is written in a file. Names and values that only other packages understand
// (MAC addresses, DHCP options, config parameters) are unchecked texts; Line is where in the file an item begins.
type Site struct {
	All      SiteAll       `yaml:"all_networks"`
	Classes  []SiteClass   `yaml:"classes"`
	Shared   []SiteShared  `yaml:"shared"`
	Networks []SiteNetwork `yaml:"networks"`
	Configs  []SiteConfig  `yaml:"configs"`
	Devices  []SiteDevice  `yaml:"devices"`
}

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
	// ID is left out where it follows from the MAC.
	ID      string    `yaml:"id"`
	State   string    `yaml:"state"` // left out: not confirmed, or as it is
	Remote  bool      `yaml:"remote"`
	Static  bool      `yaml:"static"`
	Port    string    `yaml:"port"`
	Auto    bool      `yaml:"auto"`
	Network string    `yaml:"network"`
	Created time.Time `yaml:"created"` // left out: when it is imported
	Line    int       `yaml:"-"`
}

//go:embed site.yaml
var siteFile []byte

//go:embed sandbox.yaml
var sandboxFile []byte

//go:embed network-example.yaml
var exampleFile []byte

// ExampleSite returns a site that shows all that can be declared of networks, with comments.
func ExampleSite() (name string, data []byte) {
	return "network-example.yaml (built in)", append([]byte(nil), exampleFile...)
}

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
	s.checkNetworks(d)
	s.checkConfigs(d)
	if err := errors.Join(d.errs...); err != nil {
		return Site{}, err
	}
	return s, nil
}

// ParseConfig reads a file with one config, in YAML or JSON. Its form is checked, with file and line; what it says isn't.
func ParseConfig(name string, data []byte) (SiteConfig, error) {
	var c SiteConfig
	_, err := decode(name, data, &c)
	return c, err
}

// ParseNetwork reads a file with one network, in the form that it has in a site file; one without a name gets that of id.
func ParseNetwork(name string, data []byte, id string) (SiteNetwork, error) {
	var n SiteNetwork
	n.setDefaults()
	d, err := decode(name, data, &n)
	if err != nil {
		return SiteNetwork{}, err
	}
	n.Name, n.Line = cmp.Or(n.Name, id), max(n.Line, 1)
	one := Site{Networks: []SiteNetwork{n}}
	one.checkNetworks(d)
	return n, errors.Join(d.errs...)
}

// ParseClass reads a file with one class, as [ParseNetwork] does one with a network.
func ParseClass(name string, data []byte, id string) (SiteClass, error) {
	var k SiteClass
	_, err := decode(name, data, &k)
	k.Name = cmp.Or(k.Name, id)
	return k, err
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
		case "base", "default", "autocreate":
			if other, ok := roles[c.Role]; ok {
				d.fault(c.Line, "config "+c.ID, "config %s has the role %s already; only one can", other, c.Role)
			}
			roles[c.Role] = c.ID
		default:
			d.fault(c.Line, "config "+c.ID, "role %q is unknown; use base, default, autocreate or none", c.Role)
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
