package plugin

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision/render"
)

// bootData is what the texts of dhcp rules see.
type bootData struct {
	Base, HTTP, TFTP, MAC, VendorClass string
	Token                              string // the client's own, which HTTP has already; empty: it has none
}

// dhcpRule is a rule whose texts are templates of the plugin's dhcpTexts by these names; empty: none.
type dhcpRule struct {
	*DHCPRule
	index             int
	next, file, sname string
	options           []dhcpOption
}

type dhcpOption struct {
	key  string
	code uint8
	text string
	sub  []subOption
}

type subOption struct {
	code uint8
	text string
}

// buildDHCP parses the texts and tries each with made-up data, so that most faults show at load.
func (p *Plugin) buildDHCP() error {
	var sources []render.Source
	lines := make(map[string]int)
	add := func(name, text string, line int) string {
		if text == "" {
			return ""
		}
		sources = append(sources, render.Source{Name: name, Text: text})
		lines[name] = line
		return name
	}
	for i := range p.manifest.DHCP {
		r := &p.manifest.DHCP[i]
		what := fmt.Sprintf("dhcp[%d].", i)
		c := dhcpRule{
			DHCPRule: r, index: i,
			next: add(what+"next", r.Next, r.Line), file: add(what+"file", r.File, r.Line), sname: add(what+"sname", r.Sname, r.Line),
		}
		for _, o := range r.Options {
			opt, err := network.ParseOption(o.Key, "hex:00")
			if err != nil {
				return &Fault{File: ManifestFile, Line: o.Line, Text: err.Error()}
			}
			name := what + "options." + o.Key
			lines[name] = o.Line
			d := dhcpOption{key: o.Key, code: opt.Code, text: add(name, o.Text, o.Line)}
			for _, s := range o.Sub {
				d.sub = append(d.sub, subOption{s.Code, add(fmt.Sprintf("%s.%d", name, s.Code), s.Text, s.Line)})
			}
			c.options = append(c.options, d)
		}
		p.dhcp = append(p.dhcp, c)
	}
	fault := func(err error) error {
		if e, ok := errors.AsType[*render.Error](err); ok {
			return &Fault{File: ManifestFile, Line: lines[e.Template], Text: e.Template + ": " + e.Text}
		}
		return err
	}
	var err error
	if p.dhcpTexts, err = render.Parse(sources); err != nil {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			var faults []error
			for _, e := range many.Unwrap() {
				faults = append(faults, fault(e))
			}
			return errors.Join(faults...)
		}
		return fault(err)
	}
	data := bootData{
		Base: "192.0.2.1", HTTP: "http://192.0.2.1:8667", TFTP: "tftp://192.0.2.1", MAC: "00:00:5e:00:53:01", VendorClass: "x",
	}
	var faults []error
	for i := range p.dhcp {
		p.dhcp[i].apply(context.Background(), p.dhcpTexts, data, &network.Boot{}, func(name string, err error) {
			if e, ok := errors.AsType[*render.Error](err); ok {
				name, err = e.Template, errors.New(e.Text)
			}
			faults = append(faults, &Fault{File: ManifestFile, Line: lines[name], Text: fmt.Sprintf("%s: %s", name, err)})
		})
	}
	return errors.Join(faults...)
}

// matches reports whether the rule is for a client of that vendor class.
func (r *dhcpRule) matches(class string) bool {
	return slices.ContainsFunc(r.VendorClass, func(g string) bool { return glob(g, class) })
}

// apply lays the rule over b. What can't be made is left out and told to bad, with the name of its text.
func (r *dhcpRule) apply(ctx context.Context, texts *render.Set, data bootData, b *network.Boot, bad func(name string, err error)) {
	value := func(name string) string {
		if name == "" {
			return ""
		}
		out, err := texts.Render(ctx, name, render.Line, data)
		if err != nil {
			bad(name, err)
			return ""
		}
		return strings.TrimSpace(string(out.Data))
	}
	if s := value(r.next); s != "" {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			b.Next = a
		} else {
			bad(r.next, fmt.Errorf("%q is not an IPv4 address", s))
		}
	}
	// RFC 2131 §2: the header's fields end in a NUL.
	for _, f := range []struct {
		name string
		max  int
		dst  *string
	}{{r.file, 127, &b.File}, {r.sname, 63, &b.Sname}} {
		switch s := value(f.name); {
		case len(s) > f.max:
			bad(f.name, fmt.Errorf("%d bytes are too many; %d is the most", len(s), f.max))
		case s != "":
			*f.dst = s
		}
	}
	for _, o := range r.options {
		opt := network.Option{Code: o.code}
		var err error
		if o.sub == nil {
			s := value(o.text)
			if s == "" {
				continue
			}
			opt, err = network.ParseOption(o.key, s)
		} else {
			opt.Data, err = encodeSubs(o.sub, value)
		}
		if err != nil {
			bad(o.nameFor(r.index), err)
			continue
		}
		if len(opt.Data) > 0 {
			opt.Force = r.Force
			b.Options = network.Merge(b.Options, []network.Option{opt})
		}
	}
}

func (o *dhcpOption) nameFor(rule int) string {
	if o.text != "" {
		return o.text
	}
	return fmt.Sprintf("dhcp[%d].options.%s", rule, o.key)
}

// encodeSubs writes encapsulated sub-options (RFC 2132 §8.4), those that render to nothing left out.
func encodeSubs(subs []subOption, value func(name string) string) ([]byte, error) {
	var b []byte
	for _, s := range subs {
		text := value(s.text)
		if text == "" {
			continue
		}
		data, err := encodeSub(text)
		if err == nil && len(data) > 255 {
			err = fmt.Errorf("%d bytes are too many; 255 is the most", len(data))
		}
		if err != nil {
			return nil, fmt.Errorf("sub-option %d: %w", s.code, err)
		}
		b = append(append(b, s.code, byte(len(data))), data...) //nolint:gosec // at most 255
	}
	return b, nil
}

// encodeSub encodes a sub-option's text by the hint at its front.
func encodeSub(text string) ([]byte, error) {
	hint, rest, _ := strings.Cut(text, ":")
	switch hint {
	case "text":
		return []byte(rest), nil
	case "hex":
		b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(rest))
		if err != nil {
			return nil, fmt.Errorf("%q is not hexadecimal digits", rest)
		}
		return b, nil
	case "addr":
		a, err := netip.ParseAddr(rest)
		if err != nil || !a.Is4() {
			return nil, fmt.Errorf("%q is not an IPv4 address", rest)
		}
		return a.AsSlice(), nil
	case "uint8", "uint16", "uint32":
		bits, _ := strconv.Atoi(hint[4:]) // one of three
		n, err := strconv.ParseUint(rest, 0, bits)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number of %d bits", rest, bits)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n))[4-bits/8:], nil //nolint:gosec // at most 32 bits
	}
	return []byte(text), nil
}

// Vendor returns the vendor of the newest plugin that has DHCP options for clients of that kind; empty if none has.
func (h *Host) Vendor(c lease.Client) string {
	class := strings.TrimRight(c.VendorClass, "\x00")
	if class == "" {
		return ""
	}
	vendor := ""
	for _, p := range h.All() {
		if slices.ContainsFunc(p.dhcp, func(r dhcpRule) bool { return r.matches(class) }) {
			vendor = p.manifest.Vendor
		}
	}
	return vendor
}

// boot lays what the plugin tells a client over b. Rules are applied in the manifest's order.
func (p *Plugin) boot(ctx context.Context, c lease.Client, data bootData, b *network.Boot, bad func(name string, err error)) {
	class := strings.TrimRight(c.VendorClass, "\x00")
	if class == "" {
		return
	}
	data.VendorClass, data.MAC = class, c.HW.String()
	for i := range p.dhcp {
		if p.dhcp[i].matches(class) {
			p.dhcp[i].apply(ctx, p.dhcpTexts, data, b, bad)
		}
	}
}
