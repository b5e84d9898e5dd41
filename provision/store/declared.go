package store

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

type (
	// declaredRecord is what an array of networkRecord was before there was more than networks.
	declaredRecord struct {
		Options  []optionRecord  `json:"options,omitempty"`
		Next     netip.Addr      `json:"next,omitzero"`
		Sname    string          `json:"sname,omitempty"`
		File     string          `json:"file,omitempty"`
		Classes  []classRecord   `json:"classes,omitempty"`
		Shared   []sharedRecord  `json:"shared,omitempty"`
		Networks []networkRecord `json:"networks,omitempty"`
	}
	classRecord struct {
		ID      network.ClassID `json:"id"`
		Match   []matchRecord   `json:"match,omitempty"`
		Refuse  bool            `json:"refuse,omitempty"`
		Options []optionRecord  `json:"options,omitempty"`
		NUL     bool            `json:"nul,omitempty"`
		ToAll   bool            `json:"broadcast,omitempty"`
		Lease   lifetimeRecord  `json:"lease,omitzero"`
		Next    netip.Addr      `json:"next,omitzero"`
		Sname   string          `json:"sname,omitempty"`
		File    string          `json:"file,omitempty"`
	}
	matchRecord struct {
		VendorClass []string                  `json:"vendor_class,omitempty"`
		UserClass   []string                  `json:"user_class,omitempty"`
		ClientID    []string                  `json:"client_id,omitempty"`
		Hostname    []string                  `json:"hostname,omitempty"`
		Circuit     []string                  `json:"circuit,omitempty"`
		Remote      []string                  `json:"remote,omitempty"`
		Interface   []string                  `json:"interface,omitempty"`
		Vendor      []string                  `json:"vendor,omitempty"`
		MAC         []string                  `json:"mac,omitempty"`
		Relay       []netip.Prefix            `json:"relay,omitempty"`
		Local       network.Tri               `json:"local,omitempty"`
		Known       network.Tri               `json:"known,omitempty"`
		Asks        []uint8                   `json:"asks,omitempty"`
		Options     []network.OptionMatch     `json:"options,omitempty"`
		Enterprise  []network.EnterpriseMatch `json:"enterprise,omitempty"`
		In          []network.ClassID         `json:"in,omitempty"`
		Not         []network.ClassID         `json:"not,omitempty"`
	}
	sharedRecord struct {
		Name    string         `json:"name"`
		Options []optionRecord `json:"options,omitempty"`
	}
	networkRecord struct {
		ID              network.ID          `json:"id"`
		Prefix          netip.Prefix        `json:"prefix"`
		Interface       string              `json:"interface,omitempty"`
		Server          netip.Addr          `json:"server,omitzero"`
		Relays          []netip.Addr        `json:"relays,omitempty"`
		Pools           []poolRecord        `json:"pools,omitempty"`
		Reservations    []reservationRecord `json:"reservations,omitempty"`
		Options         []optionRecord      `json:"options,omitempty"`
		Lease           lifetimeRecord      `json:"lease,omitzero"`
		Authoritative   bool                `json:"authoritative,omitempty"`
		ShortenAt       int                 `json:"shorten_at,omitempty"`
		NoAutoconfigure bool                `json:"no_autoconfigure,omitempty"`
		Rivals          network.Rivals      `json:"rivals,omitempty"`
		Probe           bool                `json:"probe,omitempty"`
		AutoAdd         network.AutoAdd     `json:"auto_add,omitempty"`
		Configure       bool                `json:"configure,omitempty"`
		Shared          string              `json:"shared,omitempty"`
		Only            []network.ClassID   `json:"only,omitempty"`
		Not             []network.ClassID   `json:"not,omitempty"`
		Next            netip.Addr          `json:"next,omitzero"`
		Sname           string              `json:"sname,omitempty"`
		File            string              `json:"file,omitempty"`
		Provisioning    provisioningRecord  `json:"provisioning,omitzero"`
	}
	provisioningRecord struct {
		Guard            network.Guard `json:"guard,omitempty"`
		KeepPlugins      bool          `json:"keep_plugins,omitempty"`
		Ignore           []string      `json:"ignore,omitempty"`
		PluginsOff       []string      `json:"plugins_off,omitempty"`
		PluginsFirst     []string      `json:"plugins_first,omitempty"`
		NeighbourTrusted bool          `json:"neighbour_trusted,omitempty"`
		RelaysDistrusted bool          `json:"relays_distrusted,omitempty"`
		CleartextOK      bool          `json:"cleartext_ok,omitempty"`
		SiteFiles        bool          `json:"site_files,omitempty"`
		NAT              bool          `json:"nat,omitempty"`
		Tokens           bool          `json:"tokens,omitempty"`
		HTTPS            bool          `json:"https,omitempty"`
		EnrolByCert      bool          `json:"enrol_by_cert,omitempty"`
		AddPerMinute     int           `json:"add_per_minute,omitempty"`
		AddMax           int           `json:"add_max,omitempty"`
	}
	poolRecord struct {
		First   netip.Addr        `json:"first"`
		Last    netip.Addr        `json:"last"`
		Exclude []netip.Addr      `json:"exclude,omitempty"`
		Only    []network.ClassID `json:"only,omitempty"`
		Not     []network.ClassID `json:"not,omitempty"`
		Options []optionRecord    `json:"options,omitempty"`
		Edges   bool              `json:"edges,omitempty"`
	}
	reservationRecord struct {
		HW       hwaddr.Addr    `json:"mac,omitzero"`
		ClientID []byte         `json:"client_id,omitempty"`
		Circuit  []byte         `json:"circuit,omitempty"`
		Remote   []byte         `json:"remote,omitempty"`
		Addr     netip.Addr     `json:"addr"`
		Hostname string         `json:"hostname,omitempty"`
		Options  []optionRecord `json:"options,omitempty"`
		Lease    lifetimeRecord `json:"lease,omitzero"`
		Next     netip.Addr     `json:"next,omitzero"`
		Sname    string         `json:"sname,omitempty"`
		File     string         `json:"file,omitempty"`
	}
	optionRecord struct {
		Code  uint8  `json:"code"`
		Data  []byte `json:"data,omitempty"`
		Force bool   `json:"force,omitempty"`
		Never bool   `json:"never,omitempty"`
	}
	lifetimeRecord struct { // nanoseconds
		Default time.Duration `json:"default,omitempty"`
		Min     time.Duration `json:"min,omitempty"`
		Max     time.Duration `json:"max,omitempty"`
		Renew   time.Duration `json:"renew,omitempty"`
		Rebind  time.Duration `json:"rebind,omitempty"`
	}
)

func encodeDeclared(d network.Declared) ([]byte, error) {
	r := declaredRecord{Options: encodeOptions(d.Options), Next: d.Next, Sname: d.Sname, File: d.File}
	texts := []string{d.Sname, d.File}
	for _, k := range d.Classes {
		rec := classRecord{
			ID: k.ID, Refuse: k.Refuse, Options: encodeOptions(k.Options), NUL: k.NUL,
			ToAll: k.Broadcast, Lease: lifetimeRecord(k.Lease), Next: k.Next, Sname: k.Sname, File: k.File,
		}
		texts = append(texts, k.Sname, k.File)
		for i := range k.Match {
			rec.Match = append(rec.Match, matchRecord(k.Match[i]))
			texts = append(texts, matchTexts(&k.Match[i])...)
		}
		r.Classes = append(r.Classes, rec)
	}
	for _, l := range d.Shared {
		r.Shared = append(r.Shared, sharedRecord{l.Name, encodeOptions(l.Options)})
		texts = append(texts, l.Name)
	}
	for i := range d.Networks {
		n := &d.Networks[i]
		r.Networks = append(r.Networks, encodeNetwork(n))
		texts = append(texts, string(n.ID), n.Interface, n.Shared, n.Sname, n.File)
		texts = append(append(texts, n.Provisioning.PluginsOff...), n.Provisioning.PluginsFirst...)
		for _, v := range n.Reservations {
			texts = append(texts, v.Hostname, v.Sname, v.File)
		}
	}
	for _, s := range texts { // JSON would silently change what isn't UTF-8
		if err := checkText(fmt.Sprintf("%q", s), s); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(r)
	if err == nil && len(body) > maxNetworks {
		err = fmt.Errorf("they take more than %d bytes: %w", maxNetworks, provision.ErrInvalid)
	}
	return body, err
}

// matchTexts returns all patterns of a match.
func matchTexts(m *network.Match) (out []string) {
	for _, list := range [][]string{
		m.VendorClass, m.UserClass, m.ClientID, m.Hostname, m.Circuit, m.Remote, m.Interface, m.Vendor, m.MAC,
	} {
		out = append(out, list...)
	}
	for _, o := range m.Options {
		out = append(out, o.Pattern)
	}
	for _, e := range m.Enterprise {
		out = append(out, e.Pattern)
	}
	return out
}

func encodeNetwork(n *network.Network) networkRecord {
	r := networkRecord{
		ID: n.ID, Prefix: n.Prefix, Interface: n.Interface, Server: n.Server, Relays: n.Relays, Options: encodeOptions(n.Options),
		Lease: lifetimeRecord(n.Lease), Authoritative: n.Authoritative,
		ShortenAt: n.ShortenAt, NoAutoconfigure: n.NoAutoconfigure, Rivals: n.Rivals, Probe: n.Probe, AutoAdd: n.AutoAdd, Configure: n.Configure,
		Shared: n.Shared, Only: n.Only, Not: n.Not, Next: n.Next, Sname: n.Sname, File: n.File,
		Provisioning: provisioningRecord(n.Provisioning),
	}
	for _, p := range n.Pools {
		r.Pools = append(r.Pools, poolRecord{p.First, p.Last, p.Exclude, p.Only, p.Not, encodeOptions(p.Options), p.Edges})
	}
	for _, v := range n.Reservations {
		r.Reservations = append(r.Reservations, reservationRecord{
			v.HW, []byte(v.ClientID), []byte(v.Circuit), []byte(v.Remote), v.Addr, v.Hostname, encodeOptions(v.Options),
			lifetimeRecord(v.Lease), v.Next, v.Sname, v.File,
		})
	}
	return r
}

func decodeDeclared(body []byte) (network.Declared, error) {
	var r declaredRecord
	to := any(&r)
	if len(body) > 0 && body[0] == '[' {
		to = &r.Networks
	}
	if err := json.Unmarshal(body, to); err != nil {
		return network.Declared{}, err
	}
	d := network.Declared{Options: decodeOptions(r.Options), Next: r.Next, Sname: r.Sname, File: r.File}
	for _, k := range r.Classes {
		class := network.Class{
			ID: k.ID, Refuse: k.Refuse, Options: decodeOptions(k.Options), NUL: k.NUL, Broadcast: k.ToAll,
			Lease: network.Lifetime(k.Lease), Next: k.Next, Sname: k.Sname, File: k.File,
		}
		for _, m := range k.Match {
			class.Match = append(class.Match, network.Match(m))
		}
		d.Classes = append(d.Classes, class)
	}
	for _, l := range r.Shared {
		d.Shared = append(d.Shared, network.Shared{Name: l.Name, Options: decodeOptions(l.Options)})
	}
	for _, n := range r.Networks {
		d.Networks = append(d.Networks, decodeNetwork(n))
	}
	return d, nil
}

func decodeNetwork(r networkRecord) network.Network {
	n := network.Network{
		ID: r.ID, Prefix: r.Prefix, Interface: r.Interface, Server: r.Server, Relays: r.Relays, Options: decodeOptions(r.Options),
		Lease: network.Lifetime(r.Lease), Authoritative: r.Authoritative,
		ShortenAt: r.ShortenAt, NoAutoconfigure: r.NoAutoconfigure, Rivals: r.Rivals, Probe: r.Probe, AutoAdd: r.AutoAdd, Configure: r.Configure,
		Shared: r.Shared, Only: r.Only, Not: r.Not, Next: r.Next, Sname: r.Sname, File: r.File,
		Provisioning: network.Provisioning(r.Provisioning),
	}
	for _, p := range r.Pools {
		n.Pools = append(n.Pools, network.Pool{
			First: p.First, Last: p.Last, Exclude: p.Exclude, Only: p.Only, Not: p.Not, Options: decodeOptions(p.Options), Edges: p.Edges,
		})
	}
	for _, v := range r.Reservations {
		n.Reservations = append(n.Reservations, network.Reservation{
			HW: v.HW, ClientID: string(v.ClientID), Circuit: string(v.Circuit), Remote: string(v.Remote), Addr: v.Addr,
			Hostname: v.Hostname, Options: decodeOptions(v.Options), Lease: network.Lifetime(v.Lease),
			Next: v.Next, Sname: v.Sname, File: v.File,
		})
	}
	return n
}

func encodeOptions(options []network.Option) (out []optionRecord) {
	for _, o := range options {
		out = append(out, optionRecord(o))
	}
	return out
}

func decodeOptions(records []optionRecord) (out []network.Option) {
	for _, r := range records {
		out = append(out, network.Option(r))
	}
	return out
}
