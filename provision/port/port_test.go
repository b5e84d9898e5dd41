package port

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

var update = flag.Bool("update", false, "write the wanted verdicts anew")

// folder reads the files of a folder of testdata.
func folder(t testing.TB, name string) []File {
	t.Helper()
	root := filepath.Join("testdata", name)
	var files []File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		files = append(files, File{Name: filepath.ToSlash(rel), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// lines are verdicts as text, and what was found as far as a line says it.
func lines(f *Found) string {
	var b strings.Builder
	for _, v := range f.Verdicts {
		fmt.Fprintf(&b, "%s:%d: %s %s: %s", v.File, v.Line, v.Kind, v.Name, v.Action)
		if v.Text != "" {
			fmt.Fprintf(&b, ": %s", v.Text)
		}
		b.WriteByte('\n')
	}
	options := func(list []network.Option) string {
		var texts []string
		for _, o := range list {
			_, value := network.FormatOption(o)
			texts = append(texts, fmt.Sprintf("%d=%q force=%t never=%t", o.Code, value, o.Force, o.Never))
		}
		return strings.Join(texts, " ")
	}
	for _, n := range f.Networks {
		x := n.Value
		fmt.Fprintf(&b, "network %s %s shared=%q lease=%v authoritative=%t next=%v sname=%q file=%q only=%v not=%v\n",
			x.ID, x.Prefix, x.Shared, x.Lease.Default, x.Authoritative, x.Next, x.Sname, x.File, x.Only, x.Not)
	}
	for _, c := range f.Classes {
		x := c.Value
		fmt.Fprintf(&b, "class %s refuse=%t lease=%v options [%s] match %+v\n", x.ID, x.Refuse, x.Lease.Default, options(x.Options), x.Match)
	}
	for _, p := range f.Parts {
		switch x := p.Value; {
		case x.Pool != nil:
			fmt.Fprintf(&b, "pool %s only=%v not=%v options [%s]\n", x.Pool, x.Pool.Only, x.Pool.Not, options(x.Pool.Options))
		case x.Reservation != nil:
			r := x.Reservation
			fmt.Fprintf(&b, "reservation %s for %s hostname=%q lease=%v options [%s]\n", r.Addr, r.Owner(), r.Hostname, r.Lease.Default, options(r.Options))
		case x.Option != nil:
			fmt.Fprintf(&b, "option of %s: %s\n", x.Prefix, options([]network.Option{*x.Option}))
		case x.Boot != nil:
			fmt.Fprintf(&b, "boot of %s: %+v\n", x.Prefix, *x.Boot)
		}
	}
	for _, c := range f.Configs {
		fmt.Fprintf(&b, "config %s label=%q parents=%v role=%q transient=%t locked=%t %v\n",
			c.Value.ID, c.Value.Label, c.Value.Parents, c.Value.Role, c.Value.Transient, c.Value.Locked, c.Value.Params)
	}
	for _, p := range f.Phones {
		x := p.Value
		fmt.Fprintf(&b, "phone %s mac=%s sn=%q uuid=%q %q %q %q plugin=%q config=%q label=%q options=%v auto=%t\n",
			x.ID, x.HW, x.Serial, x.UUID, x.Vendor, x.Model, x.Version, x.Plugin, x.Config, x.Label, x.Options, x.Auto)
	}
	return b.String()
}

func bundled() []provision.PluginID {
	return []provision.PluginID{"aastra-67xx-3.2.2", "aastra-67xx-3.3.1", "cisco-79xx-sccp-9.4"}
}

// What real files say, and every verdict, stands beside them. Each thing has one.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FormatProvd, FormatDnsmasq, FormatISC} {
		name := strings.TrimSuffix(string(format), "-dhcp")
		found, err := Read(format, folder(t, name), bundled())
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		got := lines(&found)
		if strings.Contains(got, "planted") {
			t.Errorf("%s: a secret is among the verdicts", format)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

// The files that the tests read are such as the programs themselves take.
func TestFilesAreTrue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dir, program, args string }{
		{"dnsmasq", "dnsmasq", "--test --conf-file=dnsmasq.conf"}, {"isc", "dhcpd", "-t -cf dhcpd.conf -lf dhcpd.leases"},
	} {
		t.Run(c.program, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(c.program)
			if err != nil {
				if path, err = exec.LookPath("/usr/sbin/" + c.program); err != nil {
					t.Skipf("%s isn't installed", c.program)
				}
			}
			cmd := exec.CommandContext(t.Context(), path, strings.Fields(c.args)...)
			cmd.Dir = filepath.Join("testdata", c.dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", cmd, err, out)
			}
		})
	}
}

// What can't be read at all is told with its file and line.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format Format
		data   string
		want   string
	}{
		"no heading":       {FormatCSV, "name,serial\nx,y\n", "f: its heading has no column mac"},
		"no store":         {FormatProvd, "{}", "there is no store of provd"},
		"binary":           {FormatDnsmasq, "dhcp-range=x\n\x00\n", "f:2: it is no text"},
		"no end":           {FormatISC, "subnet 192.0.2.0 netmask 255.255.255.0 {\n\n", "f:1: the block that begins here has no end"},
		"no begin":         {FormatISC, "authoritative;\n}\n", "f:2: a block ends that hasn't begun"},
		"no semicolon":     {FormatISC, "\nauthoritative\n", `f:2: "authoritative" has no semicolon behind it`},
		"no quote":         {FormatISC, "option domain-name \"x\n;", "f:1: a text in quotes doesn't end in its line"},
		"itself":           {FormatISC, "include \"f\";", "f:1: over 16 files include each other"},
		"deep":             {FormatISC, strings.Repeat("group {\n", 40), "f:33: there are over 32 blocks within each other"},
		"unknown format":   {"kea", "", `format "kea" is unknown`},
		"definition's end": {FormatISC, "option x code 200 = {\ntext", "f:1: the block that begins here has no end"},
	} {
		_, err := Read(c.format, []File{{"f", []byte(c.data)}}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var bomb []File
	for i := range 12 {
		bomb = append(bomb, File{string(rune('a' + i)), []byte(strings.Repeat("include \""+string(rune('b'+i))+"\";\n", 10))})
	}
	if _, err := Read(FormatISC, bomb, nil); err == nil || !strings.Contains(err.Error(), "over 1000000 statements") {
		t.Errorf("files that include each other ten times: %v", err)
	}
	if _, err := Read(FormatCSV, nil, nil); err == nil {
		t.Error("no file is read")
	}
}

func fuzz(f *testing.F, format Format, seeds []File, split bool) {
	f.Helper()
	for _, s := range seeds {
		f.Add(s.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := []File{{"main", data}}
		if split {
			files = []File{{"configs/a", data}, {"devices/b", data}}
		}
		found, err := Read(format, files, bundled())
		if err != nil {
			if len(found.Verdicts) > 0 {
				t.Error("verdicts and an error")
			}
			return
		}
		for _, p := range found.Parts {
			if v := found.Verdicts[p.Verdict]; v.Action != Added {
				t.Errorf("%+v is found, and its verdict is %+v", p.Value, v)
			}
		}
		for _, c := range found.Configs {
			if err := provision.CheckLayer(c.Value.Params); err != nil {
				t.Errorf("config %s: %v", c.Value.ID, err)
			}
		}
		for _, v := range found.Verdicts {
			if v.Kind == "" || v.Action == "" || strings.ContainsFunc(v.Name+v.Text, unicode.IsControl) || v.Line < 1 {
				t.Errorf("verdict %+v", v)
			}
		}
	})
}

func FuzzDnsmasq(f *testing.F) { fuzz(f, FormatDnsmasq, folder(f, "dnsmasq"), false) }
func FuzzISC(f *testing.F)     { fuzz(f, FormatISC, folder(f, "isc"), false) }
func FuzzProvd(f *testing.F)   { fuzz(f, FormatProvd, folder(f, "provd"), true) }
