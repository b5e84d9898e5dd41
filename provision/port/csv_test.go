package port

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

const messy = "\xef\xbb\xbfName;MAC Address;Serial;Floor\n" +
	"lobby;00:15:65:AA:BB:01;S1;2\nkitchen;001565aabb02\n;0015.65aa.bb03;;\nagain;00-15-65-aa-bb-01;;\nbad;00:15:65;;\n" +
	"none;;;\ntwin;00:15:65:aa:bb:04;S1;\ngroup;01:15:65:aa:bb:05;;\n"

func TestCSV(t *testing.T) {
	t.Parallel()
	table, err := CSV([]byte(messy))
	if err != nil {
		t.Fatal(err)
	}
	rows := table.Rows
	if len(table.Unknown) != 1 || table.Unknown[0] != "Floor" {
		t.Errorf("unknown are %q, want Floor", table.Unknown)
	}
	want := []string{"", "", "", "00:15:65:aa:bb:01 stands in line 2 already", "00:15:65", "it has no mac", "serial number S1 stands in line 2", "a group"}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, w := range want {
		if got := rows[i].Fault; (w == "") != (got == "") || !strings.Contains(got, w) || rows[i].Line != i+2 {
			t.Errorf("line %d: fault %q, want line %d and %q", rows[i].Line, got, i+2, w)
		}
	}
	if r := rows[0]; r.Label != "lobby" || r.SN != "S1" || r.HW.String() != "00:15:65:aa:bb:01" {
		t.Errorf("first row is %+v", r)
	}
	for _, bad := range []string{"", "name,serial\nx,y\n"} {
		if _, err := CSV([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a table", bad)
		}
	}
}

const accounts = "MAC;Name;Extension;SIP_Password;Display-Name;Proxy\n" +
	"001565aabb01;Reception;101;s3cret one;Front desk;192.0.2.9\n001565aabb02;Hall;102;;;\n001565aabb03;;103x;;;\n001565aabb04;;;;;\n" +
	"001565aabb05;;;lonely;;\n001565aabb06;;1 0 6;hidden;;\n001565aabb07;;107;;;not a host\n"

// What a table says of a SIP line is the phone's own; a line that can't be is the row's fault, and no password is told.
func TestCSVAccounts(t *testing.T) {
	t.Parallel()
	found, err := Read(FormatCSV, []File{{"f", []byte(accounts)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]provision.Params{
		"001565aabb01": override(provision.Params{"username": "101", "number": "101", "password": "s3cret one", "display_name": "Front desk", "proxy_ip": "192.0.2.9"}),
		"001565aabb02": override(provision.Params{"username": "102", "number": "102", "display_name": "Hall"}),
		"001565aabb03": override(provision.Params{"username": "103x", "display_name": "103x"}),
		"001565aabb04": nil,
	}
	if len(found.Phones) != len(want) {
		t.Errorf("%d phones, want %d", len(found.Phones), len(want))
	}
	for _, p := range found.Phones {
		if diff := cmp.Diff(want[string(p.Value.ID)], p.Value.Override); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Value.ID, diff)
		}
	}
	texts := []string{
		"with line 1", "with line 1, whose password is that of its config", "with line 1, whose", "", "no use without a username",
		"sip_lines.1.username", "sip_lines.1.proxy_ip",
	}
	for i, v := range found.Verdicts {
		if !strings.Contains(v.Text, texts[i]) || (i < 4) != (v.Action == Added) || strings.Contains(v.Text, "s3cret") || strings.Contains(v.Text, "hidden") {
			t.Errorf("verdict %+v, want %q", v, texts[i])
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(messy))
	f.Add([]byte("mac,label\n\"a\"\"b,c\n"))
	f.Add([]byte(accounts))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := CSV(data)
		if err != nil && table.Rows != nil {
			t.Error("rows and an error")
		}
		for _, r := range table.Rows {
			if r.Fault == "" && (r.HW.IsZero() || r.HW.IsGroup()) {
				t.Errorf("no fault in %+v", r)
			}
			if r.Fault == "" && r.Account != nil && provision.CheckLayer(override(r.Account)) != nil {
				t.Errorf("an account that can't be in %+v", r)
			}
		}
	})
}
