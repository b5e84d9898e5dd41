package port

import (
	"strings"
	"testing"
)

const messy = "\xef\xbb\xbfName;MAC Address;Serial;Floor\n" +
	"lobby;00:15:65:AA:BB:01;S1;2\nkitchen;001565aabb02\n;0015.65aa.bb03;;\nagain;00-15-65-aa-bb-01;;\nbad;00:15:65;;\n" +
	"none;;;\ntwin;00:15:65:aa:bb:04;S1;\ngroup;01:15:65:aa:bb:05;;\n"

func TestCSV(t *testing.T) {
	t.Parallel()
	rows, err := CSV([]byte(messy))
	if err != nil {
		t.Fatal(err)
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

func FuzzCSV(f *testing.F) {
	f.Add([]byte(messy))
	f.Add([]byte("mac,label\n\"a\"\"b,c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := CSV(data)
		if err != nil && rows != nil {
			t.Error("rows and an error")
		}
		for _, r := range rows {
			if r.Fault == "" && (r.HW.IsZero() || r.HW.IsGroup()) {
				t.Errorf("no fault in %+v", r)
			}
		}
	})
}
