package configs

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// SiteAll is what the clients of all networks are given.
type SiteAll struct {
	Options SiteOptions `yaml:"options"`
	Next    netip.Addr  `yaml:"next"`
	Sname   string      `yaml:"sname"`
	File    string      `yaml:"file"`
	Line    int         `yaml:"-"`
}

// SiteShared is what the networks of one link have in common.
type SiteShared struct {
	Name    string      `yaml:"name"`
	Options SiteOptions `yaml:"options"`
	Line    int         `yaml:"-"`
}

// SiteNetwork declares one network.
type SiteNetwork struct {
	Name            string            `yaml:"name"`
	Prefix          netip.Prefix      `yaml:"prefix"`
	Interface       string            `yaml:"interface"`
	Server          netip.Addr        `yaml:"server"`
	Relays          []netip.Addr      `yaml:"relays"`
	Shared          string            `yaml:"shared"`
	Only            SiteList          `yaml:"only"`
	Not             SiteList          `yaml:"not"`
	Pools           []SitePool        `yaml:"pools"`
	Reservations    []SiteReservation `yaml:"reservations"`
	Options         SiteOptions       `yaml:"options"`
	Next            netip.Addr        `yaml:"next"`
	Sname           string            `yaml:"sname"`
	File            string            `yaml:"file"`
	Lease           SiteLease         `yaml:"lease"`
	Authoritative   bool              `yaml:"authoritative"`
	ShortenAt       int               `yaml:"shorten_at"`
	NoAutoconfigure bool              `yaml:"no_autoconfigure"`
	Rivals          string            `yaml:"rivals"`    // left out: refuse
	Probe           bool              `yaml:"probe"`     // left out: true
	AutoAdd         string            `yaml:"auto_add"`  // left out: recognised
	Configure       bool              `yaml:"configure"` // left out: true
	Provisioning    SiteProvisioning  `yaml:"provisioning"`
	Line            int               `yaml:"-"`
}

func (n *SiteNetwork) setDefaults() {
	n.Rivals, n.Probe, n.AutoAdd, n.Configure = "refuse", true, "recognised", true
	n.Provisioning.Associate, n.Provisioning.RelayTrusted = true, true
}

// SiteProvisioning says what the phones of a network must prove to get files, and what is done by itself.
type SiteProvisioning struct {
	Guard            string   `yaml:"guard"`     // left out: balanced, or strict where no addresses are leased
	Associate        bool     `yaml:"associate"` // left out: true
	Ignore           SiteList `yaml:"ignore"`
	PluginsOff       SiteList `yaml:"plugins_off"`
	PluginsFirst     SiteList `yaml:"plugins_first"`
	NeighbourTrusted bool     `yaml:"neighbour_trusted"`
	RelayTrusted     bool     `yaml:"relay_trusted"` // left out: true
	CleartextOK      bool     `yaml:"cleartext_ok"`
	SiteFiles        bool     `yaml:"site_files"`
	NAT              bool     `yaml:"nat"`
	Tokens           bool     `yaml:"tokens"`
	HTTPS            bool     `yaml:"https"`
	EnrolByCert      bool     `yaml:"enrol_by_cert"`
	AddPerMinute     int      `yaml:"add_per_minute"` // left out: 1000; below 0: no bound
	AddMax           int      `yaml:"add_max"`        // left out: 10000; below 0: no bound
}

// SitePool is a range of addresses, written "192.0.2.100-192.0.2.199" or with keys.
type SitePool struct {
	First   netip.Addr   `yaml:"first"`
	Last    netip.Addr   `yaml:"last"`
	Exclude []netip.Addr `yaml:"exclude"`
	Only    SiteList     `yaml:"only"`
	Not     SiteList     `yaml:"not"`
	Options SiteOptions  `yaml:"options"`
	Edges   bool         `yaml:"edges"`
	Line    int          `yaml:"-"`
}

// SiteLease bounds how long leases last. Zero: left out.
type SiteLease struct {
	Default time.Duration `yaml:"default"`
	Min     time.Duration `yaml:"min"`
	Max     time.Duration `yaml:"max"`
	Renew   time.Duration `yaml:"renew"`
	Rebind  time.Duration `yaml:"rebind"`
}

// SiteReservation keeps an address for a device.
type SiteReservation struct {
	MAC      string      `yaml:"mac"`
	ClientID string      `yaml:"client_id"`
	Circuit  string      `yaml:"circuit"`
	Remote   string      `yaml:"remote"`
	IP       netip.Addr  `yaml:"ip"`
	Hostname string      `yaml:"hostname"`
	Options  SiteOptions `yaml:"options"`
	Lease    SiteLease   `yaml:"lease"`
	Next     netip.Addr  `yaml:"next"`
	Sname    string      `yaml:"sname"`
	File     string      `yaml:"file"`
	Line     int         `yaml:"-"`
}

// SiteClass is a class of clients.
type SiteClass struct {
	Name    string      `yaml:"name"`
	Match   SiteMatches `yaml:"match"`
	Refuse  bool        `yaml:"refuse"`
	Options SiteOptions `yaml:"options"`
	NUL     bool        `yaml:"nul"`
	ToAll   bool        `yaml:"broadcast"`
	Lease   SiteLease   `yaml:"lease"`
	Next    netip.Addr  `yaml:"next"`
	Sname   string      `yaml:"sname"`
	File    string      `yaml:"file"`
	Line    int         `yaml:"-"`
}

// SiteMatch has the conditions of a class. Empty fields are none.
type SiteMatch struct {
	VendorClass SiteList     `yaml:"vendor_class"`
	UserClass   SiteList     `yaml:"user_class"`
	ClientID    SiteList     `yaml:"client_id"`
	Hostname    SiteList     `yaml:"hostname"`
	Circuit     SiteList     `yaml:"circuit"`
	Remote      SiteList     `yaml:"remote"`
	Interface   SiteList     `yaml:"interface"`
	Vendor      SiteList     `yaml:"vendor"`
	MAC         SiteList     `yaml:"mac"`
	Relay       SiteList     `yaml:"relay"`
	LocalMAC    SiteBool     `yaml:"local_mac"`
	Known       SiteBool     `yaml:"known"`
	Asks        SiteList     `yaml:"asks"`
	Options     SitePatterns `yaml:"options"`
	Enterprise  SitePatterns `yaml:"enterprise"`
	In          SiteList     `yaml:"in"`
	Not         SiteList     `yaml:"not"`
	Line        int          `yaml:"-"`
}

// SiteMatches are alternatives: a list, or one without its brackets.
type SiteMatches []SiteMatch

// SiteList is a list of texts, or one without its brackets.
type SiteList []string

// SiteBool is "true", "false" or, left out, empty.
type SiteBool string

// SitePattern is a pattern of what a client says of something; Any: it may say what it likes.
type SitePattern struct {
	Key, Pattern string
	Any          bool
}

// SitePatterns are keys with patterns, or only keys.
type SitePatterns []SitePattern

// SiteOption is one DHCP option: its number or name, and its value. The items of a list are joined with commas,
// sub-options stand one a line. Always: it is sent unasked; Never: it is not sent, and may lack a value.
type SiteOption struct {
	Key, Value    string
	Always, Never bool
	Line          int
}

// SiteOptions are DHCP options in the order of the file, where they are keys with values.
type SiteOptions []SiteOption

// checkNetworks checks what every network, class and link has.
func (s *Site) checkNetworks(d *decoder) {
	for _, k := range s.Classes {
		if k.Name == "" {
			d.fault(k.Line, "class", "it has no name; give it one, such as phones")
		}
	}
	for _, l := range s.Shared {
		if l.Name == "" {
			d.fault(l.Line, "shared", "it has no name; give it that which its networks say under shared")
		}
	}
	for _, n := range s.Networks {
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
			if r.MAC+r.ClientID+r.Circuit+r.Remote == "" || !r.IP.IsValid() {
				d.fault(r.Line, where, "the reservation needs ip, and mac, client_id, circuit or remote")
			}
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

func (m *SiteMatches) readNode(d *decoder, n *yaml.Node, path string) {
	type list []SiteMatch // without this method
	if n.Kind == yaml.MappingNode {
		*m = make(SiteMatches, 1)
		d.structure(n, reflect.ValueOf(&(*m)[0]).Elem(), path)
		return
	}
	var l list
	d.slice(n, reflect.ValueOf(&l).Elem(), path)
	*m = SiteMatches(l)
}

func (l *SiteList) readNode(d *decoder, n *yaml.Node, path string) { *l = d.texts(n, path) }

// texts reads a text, or a list of texts.
func (d *decoder) texts(n *yaml.Node, path string) []string {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		if s, ok := d.scalar(item, path); ok && d.usable(item, path) {
			out = append(out, s)
		}
	}
	return out
}

func (b *SiteBool) readNode(d *decoder, n *yaml.Node, path string) {
	s, ok := d.scalar(n, path)
	if ok && s != "true" && s != "false" {
		d.fault(n.Line, path, "%q is neither true nor false", s)
		return
	}
	*b = SiteBool(s)
}

func (l *SitePatterns) readNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		for _, key := range d.texts(n, path) {
			*l = append(*l, SitePattern{Key: key, Any: true})
		}
		return
	}
	d.mapping(n, path, func(key, value *yaml.Node, at string) {
		if !d.usable(value, at) {
			return
		}
		for _, pattern := range d.texts(value, at) {
			*l = append(*l, SitePattern{Key: key.Value, Pattern: pattern})
		}
	})
}

func (o *SiteOptions) readNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, func(key, value *yaml.Node, at string) {
		if !d.usable(value, at) {
			return
		}
		opt := SiteOption{Key: key.Value, Line: key.Line}
		if value.Kind == yaml.MappingNode && !numbered(value) {
			var flags struct {
				Value  optionValue `yaml:"value"`
				Always bool        `yaml:"always"`
				Never  bool        `yaml:"never"`
			}
			d.structure(value, reflect.ValueOf(&flags).Elem(), at)
			opt.Value, opt.Always, opt.Never = string(flags.Value), flags.Always, flags.Never
		} else {
			opt.Value = d.optionValue(value, at)
		}
		*o = append(*o, opt)
	})
}

// optionValue is an option's value as [SiteOption] has it.
type optionValue string

func (v *optionValue) readNode(d *decoder, n *yaml.Node, path string) {
	*v = optionValue(d.optionValue(n, path))
}

// numbered reports whether a mapping's keys are numbers: sub-options, or enterprises.
func numbered(n *yaml.Node) bool {
	if len(n.Content) == 0 {
		return false
	}
	_, err := strconv.Atoi(n.Content[0].Value)
	return err == nil
}

func (d *decoder) optionValue(n *yaml.Node, path string) string {
	if n.Kind == yaml.MappingNode {
		return strings.Join(d.subOptions(n, path, "", 2), "\n")
	}
	return strings.Join(d.texts(n, path), ",")
}

// subOptions returns a line for each sub-option, with the numbers on the way to it; depth is how many there may be.
func (d *decoder) subOptions(n *yaml.Node, path, way string, depth int) (lines []string) {
	d.mapping(n, path, func(key, value *yaml.Node, at string) {
		if !d.usable(value, at) {
			return
		}
		if value.Kind == yaml.MappingNode && depth > 1 {
			lines = append(lines, d.subOptions(value, at, way+key.Value+" ", depth-1)...)
			return
		}
		s, ok := d.scalar(value, at)
		if ok && strings.Contains(s, "\n") {
			d.fault(value.Line, at, "a sub-option's value is one line")
			return
		}
		lines = append(lines, way+key.Value+" "+s)
	})
	return lines
}
