package plugins_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// vendor is a vendor as its phones tell of it, for plugins that are made up but have rules like real ones.
type vendor struct {
	name, agent, class, oui, file string
}

// The vendors of many. What they have in common is what makes them hard to tell apart: an agent's first letters, the
// shape of a file's name, the name of a vendor whose phones others sell.
func vendors() []vendor {
	const mac = `(?P<mac>[0-9a-f]{12})`
	return []vendor{
		{"Yealink", `^Yealink SIP-(?P<model>T\S+) (?P<version>[0-9.]+) (?P<mac>[0-9a-fA-F:]{17})$`, `^yealink$`, "00:15:65|80:5e:c0", "^" + mac + `\.cfg$`},
		{"Snom", `^Mozilla/4\.0 \(compatible; snom(?P<model>[0-9]{3})-SIP (?P<version>[0-9.]+)`, `^snom(?P<model>[0-9]+)$`, "00:04:13", `^snom(?P<model>[0-9]{3})-(?P<mac>[0-9A-F]{12})\.htm$`},
		{"Polycom", `^FileTransport Polycom(?P<model>\S+)-UA/(?P<version>[0-9.]+)`, `^Polycom-(?P<model>\S+)$`, "00:04:f2|64:16:7f", "^" + mac + `-[a-z]+\.cfg$`},
		{"Grandstream", `^Grandstream Model HW (?P<model>\S+) .*SW (?P<version>[0-9.]+) DevId (?P<mac>[0-9a-f]{12})$`, `^HandyTone|^Grandstream `, "00:0b:82", `^cfg(?P<mac>[0-9a-f]{12})(?:\.xml)?$`},
		{"Fanvil", `^Fanvil (?P<model>\S+) (?P<version>[0-9.]+) (?P<mac>[0-9a-f]{12})$`, `^Fanvil`, "0c:38:3e", "^" + mac + `\.cfg$`},
		{"Gigaset", `^Gigaset (?P<model>\S+)/(?P<version>[0-9.]+)`, `^Gigaset_(?P<model>\S+)$`, "7c:2f:80", `^(?P<model>[A-Z0-9]+)_(?P<mac>[0-9A-F]{12})\.xml$`},
		{"Panasonic", `^Panasonic[_-](?P<model>KX-\S+)/(?P<version>[0-9.]+)(?: \((?P<mac>[0-9a-f]{12})\))?$`, `^Panasonic `, "08:00:23|bc:c3:42", `^Config(?P<mac>[0-9A-F]{12})\.cfg$`},
		{"Htek", `^Htek (?P<model>\S+) (?P<version>[0-9.]+) (?P<mac>\S{17})$`, `^Htek `, "00:1f:c1", `^cfg(?P<mac>[0-9a-f]{12})\.xml$`},
		{"Alcatel-Lucent", `^(?:Alcatel|ALE) (?P<model>\S+) `, `^alcatel\.(?:noe|a4059)\.`, "00:80:9f", `^config\.(?P<mac>[0-9a-f]{12})\.xml$`},
		{"Avaya", `^AVAYA/(?P<model>\S+)-(?P<version>[0-9.]+) `, `^ccp\.avaya\.com$`, "00:04:0d|b4:b0:17", `^(?P<model>[0-9]{4})data\.cfg$`},
		{"Digium", `^Digium (?P<model>D[0-9]{2}) (?P<version>[0-9_]+)$`, `^digium_(?P<model>D[0-9]{2})_`, "00:0f:d3", "^" + mac + `\.cfg$`},
		{"Sangoma", `^Sangoma (?P<model>\S+) (?P<version>[0-9.]+)`, `^Sangoma`, "00:50:58", `^cfg(?P<mac>[0-9a-f]{12})\.xml$`},
		{"Obihai", `^OBIHAI/(?P<model>OBi\S+) `, `^OBI(?P<model>[0-9]+)$`, "9c:ad:ef", `^(?P<model>OBi[0-9]+)\.xml$`},
		{"Spectralink", `^SpectraLink-(?P<model>\S+)/(?P<version>[0-9.]+)`, `^Spectralink`, "00:90:7a", "^" + mac + `\.cfg$`},
		{"Akuvox", `^Akuvox (?P<model>\S+) (?P<version>[0-9.]+) (?P<mac>[0-9A-F]{12})$`, `^Akuvox`, "0c:11:05", `^(?P<mac>0C1105[0-9A-F]{6})\.cfg$`},
		{"Flyingvoice", `^Flyingvoice (?P<model>\S+) `, `^FLYINGVOICE`, "00:21:f2", "^(?P<mac>[0-9A-F]{12})" + `\.xml$`},
		{"Vtech", `^Vtech (?:Vesa )?(?P<model>\S+) (?P<version>[0-9.]+)`, `^Vtech`, "00:12:2a", `^(?P<model>VSP[0-9]+)_(?P<mac>[0-9A-F]{12})\.cfg$`},
		{"Algo", `^Algo-(?P<model>[0-9]{4})/(?P<version>[0-9.]+)`, `^Algo `, "00:22:ee", `^algom(?P<mac>[0-9A-F]{12})\.conf$`},
		{"2N", `^2N (?P<model>.+)/(?P<version>[0-9.]+)`, `^2N `, "7c:1e:b3", `^hipve-(?P<mac>(?:[0-9A-F]{2}-){5}[0-9A-F]{2})\.xml$`},
		{"Innovaphone", `^innovaphone-(?P<model>IP[0-9]+)/`, `^(?:1\.3\.6\.1\.4\.1\.6666)$`, "00:90:33", `^update/(?P<mac>[0-9a-f-]{17})$`},
		{"Ascom", `^Ascom (?P<model>\S+)`, `^Ascom`, "00:01:3e", `^ascom_(?P<model>\S+)\.cfg$`},
		{"Escene", `^(?i)escene (?P<model>\S+)`, `^escene`, "00:26:8b", `^(?P<mac>[0-9a-f]{12})\.xml$`},
		{"Unify", `OpenStage_(?P<model>[0-9]+)`, `^OpenStage|^OptiPoint`, "00:1a:e8", `^dlsConfig$`},
		{"Yealink DECT", `^Yealink (?P<model>W[0-9]{2}[A-Z]) (?P<version>[0-9.]+) (?P<mac>\S{17})$`, `^yealink$`, "00:15:65", `^y0000000000(?P<version>[0-9]{2})\.cfg$`},
		{"Yealink VC", `^Yealink (?P<model>(?:VC|CP|MVC)[0-9]{3}) (?P<version>[0-9.]+)`, `^yealink$`, "80:5e:c0", `^features\.cfg$`},
	}
}

const manifest = `format: 1
version: 1.0.0
vendor: '%s'
firmware: '^%d\.'
models: {M1: {lines: 2}, M2: {lines: 4}}
extract:
  - {field: user-agent, regexp: '%s'}
  - {field: vendor-class, regexp: '%s'}
  - {field: mac, regexp: '^(?:%s)(?::[0-9a-f]{2}){3}$'}
  - {field: path, regexp: '%s', set: {vendor: '%[1]s'}}
  - {field: path, regexp: '^(?:%[7]s/)?firmware/%[7]s-[0-9.]+\.(?:rom|bin)$', set: {vendor: '%[1]s'}}
routes: [{path: '{mac}.cfg', firmware: true}]
resync: {method: none}
boot: [{ask: dhcp, vendor_class: x, options: [66]}]
`

// many returns the plugins that ship and made up ones, n in all: one for each vendor, then one for another firmware of
// each. Each plugin of a vendor has the same rules, but one in four takes other models.
func many(tb testing.TB, n int) []provision.Plugin {
	tb.Helper()
	var ps []provision.Plugin
	for _, id := range ids(tb) {
		ps = append(ps, load(tb, id))
	}
	vs := vendors()
	for i := 0; len(ps) < n; i++ {
		v, firmware := vs[i%len(vs)], i/len(vs)+1
		if firmware%4 == 0 {
			v.agent = strings.Replace(v.agent, `(?P<model>`, `(?P<model>NX`, 1)
		}
		id := provision.PluginID(fmt.Sprintf("%s-%d", strings.ReplaceAll(strings.ToLower(v.name), " ", "-"), firmware))
		p, err := plugin.Load(id, plugin.Dirs{Plugin: fstest.MapFS{plugin.ManifestFile: {
			Data: fmt.Appendf(nil, manifest, v.name, firmware, v.agent, v.class, v.oui, v.file, strings.ToLower(v.name[:2])),
		}}})
		if err != nil {
			tb.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

// tried asks every plugin, as a set without an index would.
func tried(ps []provision.Plugin, req *provision.Request) (claims []provision.Claim) {
	for _, p := range ps {
		claims = append(claims, p.Extract(req)...)
	}
	return claims
}

// TestIndexFindsWhatTryingAllFinds compares the set's index with the asking of all plugins: over the corpus, and over
// what can be made of its parts.
func TestIndexFindsWhatTryingAllFinds(t *testing.T) {
	t.Parallel()
	set := provision.NewPluginSet(many(t, 200)...)
	same := func(t rapid.TB, req *provision.Request) {
		want := tried(set.All(), req)
		got, panics := set.Extract(nil, req)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || len(panics) > 0 {
			t.Fatalf("%q %q: panics %v, (-want +got)\n%s", req.Path, req.Fields, panics, diff)
		}
	}
	var reqs []*provision.Request
	values := map[string][]string{}
	for _, proto := range []provision.Proto{provision.HTTP, provision.TFTP, provision.DHCP} {
		for _, e := range readCorpus(t, string(proto)+".jsonl") {
			req, ok := e.request(proto)
			if !ok {
				continue
			}
			same(t, req)
			reqs = append(reqs, req)
			values[provision.FieldPath] = append(values[provision.FieldPath], req.Path)
			for k, v := range req.Fields {
				values[k] = append(values[k], v)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		req := *rapid.SampledFrom(reqs).Draw(t, "request")
		mixed := func(field string) string {
			a, b := rapid.SampledFrom(values[field]).Draw(t, field), rapid.SampledFrom(values[field]).Draw(t, field)
			i, j := rapid.IntRange(0, len(a)).Draw(t, "cut"), rapid.IntRange(0, len(b)).Draw(t, "cut")
			return a[:i] + b[j:]
		}
		req.Path = mixed(provision.FieldPath)
		req.Fields = map[string]string{
			provision.FieldUserAgent: mixed(provision.FieldUserAgent), provision.FieldVendorClass: mixed(provision.FieldVendorClass) + "\x00",
		}
		same(t, &req)
	})
}

// phoneRequests are typical requests: of a phone that tells all in its agent, and of one that tells nothing. The file of
// the one called shared is one that four vendors' phones ask for, so that many plugins have something to say of it.
func phoneRequests() map[string]*provision.Request {
	return map[string]*provision.Request{
		"http": {
			Proto: provision.HTTP, Path: "00085D237301.cfg",
			Fields: map[string]string{
				provision.FieldUserAgent: "Aastra6730i MAC:00-08-5D-23-73-01 V:3.3.1.4365-SIP", provision.FieldHost: "192.0.2.1",
				provision.FieldMethod: "GET", provision.FieldVendorClass: "AastraIPPhone6730i", provision.FieldParams: "1,3,6,42,43,66",
			},
		},
		"shared": {
			Proto: provision.HTTP, Path: "001565aabbcc.cfg",
			Fields: map[string]string{
				provision.FieldUserAgent: "Yealink SIP-T46S 66.86.0.15 00:15:65:aa:bb:cc", provision.FieldHost: "192.0.2.1",
				provision.FieldMethod: "GET", provision.FieldVendorClass: "yealink",
			},
		},
		"tftp": {
			Proto: provision.TFTP, Path: "SEP001122AABBCC.cnf.xml",
			Fields: map[string]string{provision.FieldVendorClass: "Cisco Systems, Inc. IP Phone CP-7941G", provision.FieldParams: "1,66,6,3,15,150,35"},
		},
		"dhcp": {
			Proto: provision.DHCP, HW: hwaddr.MustParse("00:08:5d:23:73:01"),
			Fields: map[string]string{provision.FieldVendorClass: "AastraIPPhone6730i", provision.FieldParams: "1,3,6,42,43,66"},
		},
	}
}

// BenchmarkIdentify is extract and conclude of typical requests. "bundled" has the plugins that ship; the others have as
// many as they say. "all" asks every plugin, which is what the index saves.
func BenchmarkIdentify(b *testing.B) {
	for name, req := range phoneRequests() {
		run := func(label string, ps []provision.Plugin, find func(*provision.PluginSet) []provision.Claim) {
			set := provision.NewPluginSet(ps...)
			b.Run(name+"/"+label, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if id := provision.Conclude(find(set)); id.Vendor == "" {
						b.Fatal("not identified")
					}
				}
				b.ReportMetric(float64(len(find(set))), "claims")
			})
		}
		index := func(s *provision.PluginSet) []provision.Claim { c, _ := s.Extract(nil, req); return c }
		if name != "shared" { // no plugin that ships is for it
			run("bundled", many(b, 3)[:3], index)
		}
		run("10", many(b, 10), index)
		run("200", many(b, 200), index)
		run("all-200", many(b, 200), func(s *provision.PluginSet) []provision.Claim { return tried(s.All(), req) })
	}
}

// BenchmarkScores is the association of a product that is known already, and of one that isn't.
func BenchmarkScores(b *testing.B) {
	id := provision.Identity{
		Vendor: "Aastra", Model: "6730i", Version: "3.3.1.4365", VendorBy: provision.SourceHeader,
		ModelBy: provision.SourceHeader, VersionBy: provision.SourceHeader,
	}
	for _, n := range []int{10, 200} {
		set := provision.NewPluginSet(many(b, n)...)
		b.Run(fmt.Sprintf("known/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Scores(id)
			}
		})
		b.Run(fmt.Sprintf("new/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := id
				id.Version = strconv.Itoa(i)
				set.Scores(id)
			}
		})
	}
}
