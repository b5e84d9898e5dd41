package admin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/port"
)

// portFiles are those that package port is tested with.
func portFiles(t *testing.T, dir string, names ...string) (files []port.File) {
	t.Helper()
	for _, pattern := range names {
		paths, err := filepath.Glob(filepath.Join("..", "port", "testdata", dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(filepath.Join("..", "port", "testdata", dir), path)
			files = append(files, port.File{Name: filepath.ToSlash(name), Data: data})
		}
	}
	return files
}

// verdictOf returns what became of something, as text.
func verdictOf(list []port.Verdict, kind, name string) string {
	for _, v := range list {
		if v.Kind == kind && v.Name == name {
			return strings.TrimSuffix(string(v.Action)+": "+v.Text, ": ")
		}
	}
	return "none"
}

// Each format: a dry run changes nothing and says what the run then says; the same again changes nothing and knows all; and
// what can't be is left out alone.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format port.Format
		files  []port.File
		want   map[string]string // by kind and name
		again  map[string]string
		exists func(admin.Site) bool
	}{
		{
			port.FormatCSV,
			[]port.File{{Name: "f", Data: []byte("mac,label,config,sn\n001565AABB01,lobby,lobby,S1\n00:15:65:aa:bb:02,x,nowhere,\n00-15-65-aa-bb-03,y,,S1\n,z,,\n")}},
			map[string]string{
				"phone 00:15:65:aa:bb:01": "added", "phone 00:15:65:aa:bb:02": `wrong: there is no config "nowhere"`,
				"phone 00:15:65:aa:bb:03": "wrong: serial number S1 stands in line 2 already", "phone z": "wrong: it has no mac",
			},
			map[string]string{"phone 00:15:65:aa:bb:01": "known: it is known already, as 001565aabb01"},
			func(s admin.Site) bool { return len(s.Phones) == 1 && s.Phones[0].Label == "lobby" },
		},
		{
			port.FormatDnsmasq, portFiles(t, "dnsmasq", "*"),
			map[string]string{
				"network voice": "added", "reservation 192.0.2.31": "added", "class yealink": "added",
				"reservation 10.9.9.9": "wrong: there is no network that 10.9.9.9 is of",
			},
			map[string]string{
				"network voice": "known: it is the network voice, whose own settings stay as they are", "reservation 192.0.2.31": "known",
				"class yealink": "known", "option 150": "carried: with the pools of tag voice; phones will go there for their files; remove it if they should come here", "option 42": "known",
			},
			func(s admin.Site) bool {
				return len(s.Networks.Networks) == 3 && len(s.Networks.Networks[0].Reservations) == 9 && len(s.Networks.Networks[0].Pools) == 2 && len(s.Networks.Options) == 5
			},
		},
		{
			port.FormatISC, portFiles(t, "isc", "*"),
			map[string]string{
				"network net-192-0-2-0": "added", "reservation 192.0.2.12": "added: desk2", "reservation 192.0.2.20": "added: more",
				"pool 192.0.2.160-192.0.2.169": "wrong: it depends on the class odd, which isn't carried over",
				"reservation 10.9.9.9":         "wrong: there is no network that 10.9.9.9 is of",
			},
			map[string]string{"reservation 192.0.2.12": "known", "pool 192.0.2.100-192.0.2.149": "known", "option routers": "known", "class chosen": "known"},
			func(s admin.Site) bool {
				return len(s.Networks.Networks) == 3 && len(s.Networks.Networks[0].Reservations) == 5 && s.Networks.Networks[1].Shared == "floor"
			},
		},
		{
			port.FormatProvd, portFiles(t, "provd", "configs/*", "devices/*"),
			map[string]string{"config base": "added", "phone d1": "added", "phone d6": "added", "phone key d1/plugin": "dropped: no plugin is the same as wazo-aastra-3.3.1-SP4; the phone's next request chooses one"},
			map[string]string{"config base": "known: config base stays as it is", "phone d1": "known: it is known already, as d1"},
			func(s admin.Site) bool { return len(s.Configs) == 8 && len(s.Phones) == 4 },
		},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			t.Parallel()
			x := newSite(t)
			before, err := x.ExportSite(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			dryRun, err := x.Import(t.Context(), c.format, c.files, dry)
			if err != nil {
				t.Fatal(err)
			}
			if after, err := x.ExportSite(t.Context()); err != nil || len(after.Phones) != len(before.Phones) || len(after.Configs) != len(before.Configs) || len(after.Networks.Networks) != len(before.Networks.Networks) {
				t.Errorf("a dry run changes the site: %v", err)
			}
			first, err := x.Import(t.Context(), c.format, c.files, do)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(dryRun, first); diff != "" {
				t.Errorf("the dry run says something else (-dry +real):\n%s", diff)
			}
			site, err := x.ExportSite(t.Context())
			if err != nil || !c.exists(site) {
				t.Errorf("the site is then %+v, %v", site, err)
			}
			again, err := x.Import(t.Context(), c.format, c.files, do)
			if err != nil {
				t.Fatal(err)
			}
			if changes, err := x.ApplySite(t.Context(), site, true, dry); err != nil || len(changes) > 0 {
				t.Errorf("to import the same again changes %v, %v", changes, err)
			}
			for i, v := range again {
				if v.Action == port.Added {
					t.Errorf("the second time: %+v", again[i])
				}
			}
			for list, want := range map[*[]port.Verdict]map[string]string{&first: c.want, &again: c.again} {
				for name, text := range want {
					kind, of, _ := strings.Cut(name, " ")
					if rest, ok := strings.CutPrefix(name, "phone key "); ok {
						kind, of = "phone key", rest
					}
					if got := verdictOf(*list, kind, of); got != text {
						t.Errorf("%s: %q, want %q", name, got, text)
					}
				}
			}
		})
	}
}
