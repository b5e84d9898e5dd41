package provision_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// bench is a plugin whose phones ask for a file of their own with all that matters, and for one of the site.
func bench(t *testing.T, name provision.PluginID, head string) *provisiontest.Plugin {
	return &provisiontest.Plugin{
		T: t, Name: name,
		Boot: []provision.BootStep{{Proto: provision.DHCP}, {Proto: provision.HTTP, Path: "site.cfg"}, {Proto: provision.HTTP, Path: "own.cfg", Required: true}, {Proto: provision.HTTP, Path: "none.cfg"}},
		OnRoute: func(r *provision.Request, _ provision.Identity) (provision.Route, bool) {
			class := map[string]provision.Class{"site.cfg": provision.ClassSite, "own.cfg": provision.ClassSecret}
			c, ok := class[r.Path]
			return provision.Route{Rule: r.Path, Template: r.Path, Class: c}, ok
		},
		OnAnswer: func(_ context.Context, r provision.Route, v *provision.View) (*provision.Answer, error) {
			p := v.Params
			if r.Class == provision.ClassSite {
				return provisiontest.TextAnswer(fmt.Sprintf("%s locale %v\n", head, p["locale"])), nil
			}
			switch p["idle_text"] {
			case "fail":
				return nil, fmt.Errorf("can't write %v", p["admin_password"])
			case "panic":
				panic("no")
			case "gone":
				return nil, provision.ErrNotFound
			}
			return provisiontest.TextAnswer(fmt.Sprintf("%s\nlabel %s\npassword %v\nidle %v\nend\n", head, v.Device.Label, p["admin_password"], p["idle_text"])), nil
		},
	}
}

// told writes a blast in a line for each file.
func told(b provision.Blast) (out []string) {
	for _, p := range b.Changed {
		for _, f := range p.Files {
			var s strings.Builder
			fmt.Fprintf(&s, "%s %s %s %s", p.Device, f.Change, f.Path, f.Err)
			for line := range strings.Lines(f.Diff) {
				if strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
					s.WriteString("|" + strings.TrimSpace(line))
				}
			}
			out = append(out, strings.TrimSpace(s.String()))
		}
	}
	return out
}

func TestComparison(t *testing.T) {
	t.Parallel()
	store := provision.NewMemory()
	put := func(c provision.Config) provision.Config {
		c, err := store.PutConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := put(provision.Config{ID: "base", Role: provision.RoleBase, Params: params{"locale": "de_DE"}})
	own := put(provision.Config{ID: "own", Params: params{"admin_password": provision.Secret(planted), "idle_text": "hello"}})
	put(provision.Config{ID: "other", Params: params{"admin_password": provision.Secret("another"), "idle_text": "hello"}})
	put(provision.Config{ID: "broken", Params: params{"idle_text": "fail", "admin_password": provision.Secret(planted)}})
	one := bench(t, "one", "v1")
	a := provision.Device{ID: "a", Rev: 1, Plugin: "one", Pinned: true, Config: "own", Label: "A"}
	b := provision.Device{ID: "b", Rev: 1, Plugin: "one", Pinned: true, Config: "other", Label: "B"}
	c := provision.Device{ID: "c", Rev: 1, Plugin: "one", Pinned: true, Config: "broken"}
	n := provision.Device{ID: "n", Rev: 1, Plugin: "one", Pinned: true}
	now := provision.Scene{Devices: []provision.Device{a, b, c, n}, Configs: store, Plugins: provision.NewPluginSet(one)}
	with := func(x provision.Config, key string, v any) provision.Config {
		x.Params = x.Params.Clone()
		x.Params[key] = v
		return x
	}
	suppose := func(put []provision.Config, gone ...provision.ConfigID) func(*provision.Scene) {
		return func(s *provision.Scene) { s.Configs = provision.Suppose(store, put, gone) }
	}
	for _, x := range []struct {
		name   string
		change func(*provision.Scene)
		want   []string
	}{
		{"nothing", func(*provision.Scene) {}, nil},
		{"a value", suppose([]provision.Config{with(own, "idle_text", "bye")}), []string{"a changed own.cfg |-idle hello|+idle bye"}},
		{"the base", suppose([]provision.Config{with(base, "locale", "it_IT")}), []string{
			"a changed site.cfg |-v1 locale de_DE|+v1 locale it_IT", "b changed site.cfg |-v1 locale de_DE|+v1 locale it_IT",
			"c changed site.cfg |-v1 locale de_DE|+v1 locale it_IT", "c broken own.cfg can't write [secret]",
			"n changed site.cfg |-v1 locale de_DE|+v1 locale it_IT",
		}},
		{"a value that no file shows", suppose([]provision.Config{with(own, "X_comment", "x")}), nil},
		{"one that fails", suppose([]provision.Config{with(own, "idle_text", "fail")}), []string{"a breaks own.cfg can't write [secret]"}},
		{"one that panics", suppose([]provision.Config{with(own, "idle_text", "panic")}), []string{"a breaks own.cfg plugin one panicked"}},
		{"one that is gone", suppose([]provision.Config{with(own, "idle_text", "gone")}), []string{
			"a removed own.cfg |-v1|-label A|-password TOKEN|-idle hello|-end",
		}},
		{"a value that may not be", suppose([]provision.Config{with(own, "vlan_id", int64(9999))}), []string{
			"a breaks site.cfg config own: vlan_id: want 0 to 4094, not 9999", "a breaks own.cfg config own: vlan_id: want 0 to 4094, not 9999",
		}},
		{"a config that is gone", suppose(nil, "other"), []string{
			"b breaks site.cfg read config other: config other: not found", "b breaks own.cfg read config other: config other: not found",
		}},
		{"a role that moves", suppose([]provision.Config{{ID: "base", Rev: 1}, {ID: "fresh", Role: provision.RoleBase, Params: params{"locale": "de_DE", "idle_text": "x"}}}), nil},
		{"a secret", suppose([]provision.Config{with(own, "admin_password", provision.Secret("new-"+planted))}), []string{"a changed own.cfg |-password TOKEN|+password TOKEN"}},
		{"a device", func(s *provision.Scene) {
			a := a
			a.Label, a.Override = "Desk", params{"idle_text": "mine"}
			s.Devices = []provision.Device{b, c, a, n}
		}, []string{"a changed own.cfg |-label A|+label Desk|-idle hello|+idle mine"}},
		{"devices come and go", func(s *provision.Scene) {
			d := b
			d.ID, d.Label = "d", "D"
			s.Devices = []provision.Device{a, d, c, n}
		}, []string{
			"b removed site.cfg |-v1 locale de_DE", "b removed own.cfg |-v1|-label B|-password TOKEN|-idle hello|-end",
			"d added site.cfg |+v1 locale de_DE", "d added own.cfg |+v1|+label D|+password TOKEN|+idle hello|+end",
		}},
		{"a plugin that is pinned", func(s *provision.Scene) { s.Plugins = provision.NewPluginSet(bench(t, "one", "v2")) }, []string{
			"a changed site.cfg |-v1 locale de_DE|+v2 locale de_DE", "a changed own.cfg |-v1|+v2",
			"b changed site.cfg |-v1 locale de_DE|+v2 locale de_DE", "b changed own.cfg |-v1|+v2",
			"c changed site.cfg |-v1 locale de_DE|+v2 locale de_DE", "c broken own.cfg can't write [secret]",
			"n changed site.cfg |-v1 locale de_DE|+v2 locale de_DE",
		}},
		{"no plugins", func(s *provision.Scene) { s.Plugins = nil }, []string{
			"a removed site.cfg |-v1 locale de_DE", "a removed own.cfg |-v1|-label A|-password TOKEN|-idle hello|-end",
			"b removed site.cfg |-v1 locale de_DE", "b removed own.cfg |-v1|-label B|-password TOKEN|-idle hello|-end",
			"c removed site.cfg |-v1 locale de_DE", "c mends own.cfg", "n removed site.cfg |-v1 locale de_DE",
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			then := now
			x.change(&then)
			got, err := (&provision.Comparison{Before: now, After: then}).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprintf("%+v", got)
			if strings.Contains(all, planted) || strings.Contains(all, "another") {
				t.Errorf("it has a secret: %s", all)
			}
			lines := told(got)
			for i, l := range lines {
				lines[i] = tokens.ReplaceAllString(l, "TOKEN")
			}
			if diff := cmp.Diff(x.want, lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

var tokens = regexp.MustCompile(`\[secret:[0-9a-f]{12}\]`)

// The same secret has the same text within a comparison, others have others, and another comparison has all new ones.
func TestComparisonTokens(t *testing.T) {
	t.Parallel()
	store := provision.NewMemory()
	set := provision.NewPluginSet(bench(t, "one", "v1"))
	scene := func(secrets ...provision.Secret) provision.Scene {
		s := provision.Scene{Configs: store, Plugins: set}
		for i, x := range secrets {
			s.Devices = append(s.Devices, provision.Device{
				ID: provision.DeviceID(strconv.Itoa(i)), Rev: 1, Plugin: "one", Pinned: true, Config: "c", Override: params{"admin_password": x},
			})
		}
		return s
	}
	if _, err := store.PutConfig(t.Context(), provision.Config{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	diff := func() []string {
		c := provision.Comparison{Before: scene("x", "y"), After: scene("y", "x")}
		b, err := c.Run(t.Context())
		if err != nil || len(b.Changed) != 2 {
			t.Fatalf("%+v, %v", b, err)
		}
		return append(tokens.FindAllString(b.Changed[0].Files[0].Diff, -1), tokens.FindAllString(b.Changed[1].Files[0].Diff, -1)...)
	}
	one, two := diff(), diff()
	if len(one) != 4 || one[0] == one[1] || one[0] != one[3] || one[1] != one[2] {
		t.Errorf("x and y, y and x are shown as %v", one)
	}
	if slices.Contains(two, one[0]) {
		t.Errorf("%v and %v share a text", one, two)
	}
}

// New plugins take over the phones that they support better, as the phones' next requests would have it.
func TestComparisonAssociates(t *testing.T) {
	t.Parallel()
	store := provision.NewMemory()
	supports := func(p *provisiontest.Plugin, s provision.Support) *provisiontest.Plugin {
		p.OnSupport = func(provision.Identity) (provision.Support, string) { return s, "" }
		return p
	}
	old, next := supports(bench(t, "old", "v1"), provision.SupportIncomplete), supports(bench(t, "next", "v2"), provision.SupportExact)
	d := provision.Device{ID: "d", Rev: 1, Plugin: "old", Vendor: "V", Model: "M"}
	pinned := d
	pinned.ID, pinned.Pinned = "p", true
	before := provision.Scene{Devices: []provision.Device{d, pinned}, Configs: store, Plugins: provision.NewPluginSet(old)}
	after := before
	after.Plugins = provision.NewPluginSet(old, next)
	for _, leaves := range []bool{false, true} {
		c := provision.Comparison{Before: before, After: after, PolicyFor: func(*provision.Device) provision.Policy { return provision.Policy{NoAssociate: leaves} }}
		b, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"d changed site.cfg |-v1 locale <nil>|+v2 locale <nil>"}
		if leaves {
			want = nil
		}
		if diff := cmp.Diff(want, told(b)); diff != "" {
			t.Errorf("a network without association: %t, (-want +got):\n%s", leaves, diff)
		}
		if !leaves && b.Changed[0].Plugin != "next" {
			t.Errorf("the phone's plugin is %s", b.Changed[0].Plugin)
		}
	}
}

func TestComparisonEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n atomic.Int64
	one := &provisiontest.Plugin{
		T: t, Name: "one", Boot: []provision.BootStep{{Proto: provision.HTTP, Path: "x"}},
		OnRoute: func(*provision.Request, provision.Identity) (provision.Route, bool) {
			if n.Add(1) == 10 {
				cancel()
			}
			return provision.Route{}, false
		},
	}
	before := provision.Scene{Configs: provision.NewMemory(), Plugins: provision.NewPluginSet(one)}
	after := before
	for i := range 500 {
		id := provision.DeviceID(strconv.Itoa(i))
		before.Devices = append(before.Devices, provision.Device{ID: id, Plugin: "one"})
		after.Devices = append(after.Devices, provision.Device{ID: id, Plugin: "one", Label: "another"})
	}
	if _, err := (&provision.Comparison{Before: before, After: after}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was cancelled", err)
	}
	if got := n.Load(); got < 10 || got > 50 {
		t.Errorf("%d files were made, of which the tenth was to be the last", got)
	}
}

// A difference, applied to the text before, makes the text after.
func TestDiff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([abc]{0,2}\n){0,30}[ab]{0,2}`)
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		diff := provision.Unified(before, after)
		if (diff == "") != (before == after) {
			t.Fatalf("the difference is %q", diff)
		}
		if got, err := apply(before, diff); got != after || err != nil {
			t.Fatalf("applied: %q, error %v\n%s", got, err, diff)
		}
	})
	want := "@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n"
	if got := provision.Unified("1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\nfour\n5\n6\n7\n8\n"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// apply is what patch does.
func apply(before, diff string) (string, error) {
	old := strings.SplitAfter(before, "\n")
	var out strings.Builder
	at := 0
	lines := strings.SplitAfter(diff, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "@@") {
			var start, n, fresh, m int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &start, &n, &fresh, &m); err != nil {
				return "", err
			}
			if n > 0 {
				start--
			}
			for ; at < start; at++ {
				out.WriteString(old[at])
			}
			continue
		}
		if line == "" || line[0] == '\\' {
			continue
		}
		body := line[1:]
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\\") {
			body = strings.TrimSuffix(body, "\n")
		}
		if line[0] != '+' {
			if old[at] != body {
				return "", fmt.Errorf("line %d is %q, not %q", at, old[at], body)
			}
			at++
		}
		if line[0] != '-' {
			out.WriteString(body)
		}
	}
	for ; at < len(old); at++ {
		out.WriteString(old[at])
	}
	return out.String(), nil
}
