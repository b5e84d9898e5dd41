package provision_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// The cast: two Aastra phones, a Cisco phone and a PC.
var (
	aastraA = hwaddr.MustParse("00:08:5d:11:22:33")
	aastraB = hwaddr.MustParse("00:08:5d:44:55:66")
	ciscoC  = hwaddr.MustParse("00:11:22:aa:bb:cc")
	pcP     = hwaddr.MustParse("02:00:5e:10:20:30")

	addrA = netip.MustParseAddr("192.0.2.21")
	addrB = netip.MustParseAddr("192.0.2.22")
	addrC = netip.MustParseAddr("192.0.2.23")
	addrP = netip.MustParseAddr("192.0.2.99")
)

const planted = "s3cret-never-print"

// world is a pipeline with all its parts.
type world struct {
	provision.Pipeline
	leases  *provisiontest.Leases
	memory  *provision.Memory
	writes  *counting
	plugins *provisiontest.Plugins
	policy  provision.Policy
	log     strings.Builder
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{
		leases:  &provisiontest.Leases{},
		memory:  provision.NewMemory(),
		plugins: provisiontest.PluginsOf(aastra(tb, "3.2.2"), aastra(tb, "3.3.1"), cisco(tb)),
		policy:  provision.Policy{Network: "voice", AutoAdd: provision.AddRecognised, Configure: true},
	}
	w.writes = &counting{Stores: w.memory}
	w.Pipeline = provision.Pipeline{
		Leases:    w.leases,
		PolicyFor: func(netip.Addr) provision.Policy { return w.policy },
		Devices:   w.writes,
		Configs:   w.writes,
		Plugins:   w.plugins,
		Journal:   provision.NewJournal(100),
		Sightings: provision.NewSightings(10),
		HTTP:      func(local netip.Addr) string { return "http://" + local.String() + ":8667" },
		Log:       slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
	w.config(tb, provision.Config{ID: "base", Params: provision.Params{"ntp_enabled": true, "ntp_ip": "192.0.2.1"}})
	w.config(tb, provision.Config{
		ID: "guest", Parents: []provision.ConfigID{"base"}, Role: provision.RoleAutocreate,
		Params: provision.Params{"sip_lines": map[string]any{"1": map[string]any{
			"username": "guest", "password": provision.Secret(planted), "display_name": "Guest",
		}}},
	})
	w.config(tb, provision.Config{ID: "site", Role: provision.RoleDefault, Params: provision.Params{"locale": "de_DE"}})
	return w
}

func (w *world) config(tb testing.TB, c provision.Config) {
	tb.Helper()
	if _, err := w.memory.PutConfig(tb.Context(), c); err != nil {
		tb.Fatal(err)
	}
}

func (w *world) device(tb testing.TB, d provision.Device) provision.Device {
	tb.Helper()
	d, err := w.memory.PutDevice(tb.Context(), d)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func (w *world) hold(addr netip.Addr, hw hwaddr.Addr, vendorClass string) lease.Lease {
	return w.leases.Hold(addr, lease.Client{HW: hw, VendorClass: vendorClass})
}

// ask handles a request and returns the body of its answer.
func (w *world) ask(tb testing.TB, r provision.Request) (string, *provision.Outcome) {
	tb.Helper()
	a, o := w.Handle(tb.Context(), &r)
	if (a == nil) == (o.Err == nil) {
		tb.Fatalf("answer %v with error %v: want exactly one", a, o.Err)
	}
	return bodyOf(tb, a), o
}

func bodyOf(tb testing.TB, a *provision.Answer) string {
	tb.Helper()
	if a == nil {
		return ""
	}
	b, err := io.ReadAll(a.Body)
	if err := errors.Join(err, a.Body.Close()); err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func tftp(peer netip.Addr, path string) provision.Request {
	return provision.Request{
		Proto: provision.TFTP, At: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		Peer: peer, Local: netip.MustParseAddr("192.0.2.1"), Path: path, Raw: path,
	}
}

func get(peer netip.Addr, path, userAgent string) provision.Request {
	r := tftp(peer, path)
	r.Proto, r.Raw = provision.HTTP, "/"+path
	r.Fields = map[string]string{provision.FieldUserAgent: userAgent}
	return r
}

func aastraAgent(hw hwaddr.Addr, version string) string {
	return "Aastra6730i MAC:" + strings.ToUpper(hw.Join("-")) + " V:" + version + "-SIP"
}

var (
	agentPattern = regexp.MustCompile(`^Aastra(\S+) MAC:(\S{17}) V:(\S+)-SIP$`)
	sepPattern   = regexp.MustCompile(`^SEP([0-9A-F]{12})\.cnf\.xml$`)
	macPattern   = regexp.MustCompile(`^([0-9A-F]{12})\.cfg$`)
)

func claims(by string, source provision.Source, pairs ...string) []provision.Claim {
	var out []provision.Claim
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, provision.Claim{Attr: pairs[i], Value: pairs[i+1], Source: source, By: by})
	}
	return out
}

// aastra is a plugin for the Aastra 6730i at one firmware version.
func aastra(tb testing.TB, version string) *provisiontest.Plugin {
	tb.Helper()
	name := "aastra-67xx-" + version
	return &provisiontest.Plugin{
		T: tb, Name: provision.PluginID(name),
		OnExtract: func(r *provision.Request) []provision.Claim {
			var out []provision.Claim
			if m := agentPattern.FindStringSubmatch(r.Fields[provision.FieldUserAgent]); m != nil {
				out = claims(name+" extract[0]", provision.SourceHeader, "vendor", "Aastra", "model", m[1], "mac", m[2], "version", m[3])
			}
			if m := macPattern.FindStringSubmatch(r.Path); m != nil {
				out = append(out, claims(name+" extract[1]", provision.SourcePath, "vendor", "Aastra", "mac", m[1])...)
			}
			if r.Path == "6730i.st" {
				out = append(out, claims(name+" extract[2]", provision.SourceGuess, "vendor", "Aastra", "model", "6730i")...)
			}
			if model, ok := strings.CutPrefix(r.Fields[provision.FieldVendorClass], "AastraIPPhone"); ok {
				out = append(out, claims(name+" extract[3]", provision.SourceHeader, "vendor", "Aastra", "model", model)...)
			}
			return out
		},
		OnSupport: supports("Aastra", "6730i", version),
		OnRoute: func(r *provision.Request, _ provision.Identity) (provision.Route, bool) {
			if m := macPattern.FindStringSubmatch(r.Path); m != nil {
				return provision.Route{
					Rule: "routes[0] {MAC}.cfg", Template: "device", Class: provision.ClassSecret, HW: hwaddr.MustParse(m[1]),
				}, true
			}
			routes := map[string]provision.Route{
				"aastra.cfg": {Rule: "routes[1] aastra.cfg", Template: "common", Class: provision.ClassSite},
				"6730i.st":   {Rule: "routes[2] *.st", File: "6730i.st", Firmware: true, Class: provision.ClassPublic},
				"labels.cfg": {Rule: "routes[3] labels.cfg", Template: "labels", Class: provision.ClassDevice},
			}
			route, ok := routes[r.Path]
			return route, ok
		},
		OnAnswer: func(_ context.Context, r provision.Route, v *provision.View) (*provision.Answer, error) {
			switch r.Template {
			case "":
				return provisiontest.TextAnswer("firmware " + version), nil
			case "common":
				return provisiontest.TextAnswer(fmt.Sprintf("url %s locale %v lines %v", v.HTTP, v.Params["locale"], v.Params["sip_lines"])), nil
			}
			lines, _ := v.Params["sip_lines"].(map[string]any)
			line, _ := lines["1"].(map[string]any)
			return provisiontest.TextAnswer(fmt.Sprintf("user %v auth %v password %v ntp %v", line["username"], line["auth_username"],
				line["password"], v.Params["ntp_ip"])), nil
		},
	}
}

func cisco(tb testing.TB) *provisiontest.Plugin {
	tb.Helper()
	const name = "cisco-79xx-sccp-9.4"
	return &provisiontest.Plugin{
		T: tb, Name: name,
		OnExtract: func(r *provision.Request) []provision.Claim {
			var out []provision.Claim
			if m := sepPattern.FindStringSubmatch(r.Path); m != nil {
				out = claims(name+" extract[0]", provision.SourcePath, "vendor", "Cisco", "mac", m[1])
			}
			if r.Path == "RINGLIST.XML" {
				out = append(out, claims(name+" extract[1]", provision.SourceGuess, "vendor", "Cisco")...)
			}
			if model, ok := strings.CutPrefix(r.Fields[provision.FieldVendorClass], "Cisco Systems, Inc. IP Phone CP-"); ok {
				out = append(out, claims(name+" extract[2]", provision.SourceHeader, "vendor", "Cisco", "model", model)...)
			}
			return out
		},
		OnSupport: supports("Cisco", "7941G", "9.4"),
		OnRoute: func(r *provision.Request, _ provision.Identity) (provision.Route, bool) {
			if m := sepPattern.FindStringSubmatch(r.Path); m != nil {
				return provision.Route{
					Rule: "routes[0] SEP{MAC}.cnf.xml", Template: "sep", Class: provision.ClassSecret, HW: hwaddr.MustParse(m[1]),
				}, true
			}
			return provision.Route{Rule: "routes[1] RINGLIST.XML", Template: "ring", Class: provision.ClassSite}, r.Path == "RINGLIST.XML"
		},
		OnAnswer: func(_ context.Context, r provision.Route, v *provision.View) (*provision.Answer, error) {
			return provisiontest.TextAnswer(r.Template + " for " + v.Device.HW.String()), nil
		},
	}
}

// supports scores as real plugins do: a guess at the vendor is no more than unknown.
func supports(vendor, model, version string) func(provision.Identity) (provision.Support, string) {
	return func(id provision.Identity) (provision.Support, string) {
		switch {
		case id.Vendor == "" || id.VendorBy <= provision.SourceGuess:
			return provision.SupportUnknown, "the vendor isn't known"
		case id.Vendor != vendor:
			return provision.SupportImprobable, "another vendor's"
		case id.Model != model:
			return provision.SupportProbable, "its vendor"
		case id.Version == "":
			return provision.SupportComplete, "its model"
		case id.Version != version:
			return provision.SupportIncomplete, "its model, another firmware"
		}
		return provision.SupportExact, "its model and firmware"
	}
}

// counting counts the writes to a store.
type counting struct {
	provisiontest.Stores
	n atomic.Int64
}

func (c *counting) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	c.n.Add(1)
	return c.Stores.PutDevice(ctx, d)
}

func (c *counting) AddDevice(ctx context.Context, d provision.Device, k provision.Config) (provision.Device, error) {
	c.n.Add(1)
	return c.Stores.AddDevice(ctx, d, k)
}

func (c *counting) PutConfig(ctx context.Context, k provision.Config) (provision.Config, error) {
	c.n.Add(1)
	return c.Stores.PutConfig(ctx, k)
}
