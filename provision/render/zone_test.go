package render_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/render"
)

func TestLoadZone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)
	const h = 3600
	tests := []struct {
		name string
		want render.Zone
	}{
		{"Europe/Berlin", render.Zone{Offset: h, Saving: h, DST: true, Start: render.Rule{Month: 3, Week: 5, Time: 2 * h}, End: render.Rule{Month: 10, Week: 5, Time: 3 * h}}},
		{"Europe/London", render.Zone{Saving: h, DST: true, Start: render.Rule{Month: 3, Week: 5, Time: h}, End: render.Rule{Month: 10, Week: 5, Time: 2 * h}}},
		// The database may call Ireland's winter its saving of minus an hour.
		{"Europe/Dublin", render.Zone{Saving: h, DST: true, Start: render.Rule{Month: 3, Week: 5, Time: h}, End: render.Rule{Month: 10, Week: 5, Time: 2 * h}}},
		{"America/New_York", render.Zone{Offset: -5 * h, Saving: h, DST: true, Start: render.Rule{Month: 3, Week: 2, Time: 2 * h}, End: render.Rule{Month: 11, Week: 1, Time: 2 * h}}},
		{"Australia/Sydney", render.Zone{Offset: 10 * h, Saving: h, DST: true, Start: render.Rule{Month: 10, Week: 1, Time: 2 * h}, End: render.Rule{Month: 4, Week: 1, Time: 3 * h}}},
		{"Australia/Lord_Howe", render.Zone{Offset: 21 * h / 2, Saving: h / 2, DST: true, Start: render.Rule{Month: 10, Week: 1, Time: 2 * h}, End: render.Rule{Month: 4, Week: 1, Time: 2 * h}}},
		// POSIX: IST-2IDT,M3.4.4/26,M10.5.0: 26 o'clock of the fourth Thursday.
		{"Asia/Jerusalem", render.Zone{Offset: 2 * h, Saving: h, DST: true, Start: render.Rule{Month: 3, Week: 4, Weekday: 4, Time: 26 * h}, End: render.Rule{Month: 10, Week: 5, Time: 2 * h}}},
		{"Asia/Kolkata", render.Zone{Offset: 11 * h / 2}},
		{"Africa/Casablanca", render.Zone{Offset: h}}, // Ramadan
		{"UTC", render.Zone{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := render.LoadZone(tt.name, now)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Name = tt.name
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			summer, err := render.LoadZone(tt.name, now.AddDate(0, 6, 0))
			if err != nil || !cmp.Equal(got, summer) {
				t.Errorf("half a year later: got %+v, %v; want the same", summer, err)
			}
		})
	}
	for _, name := range []string{"Europe/Nowhere", "../../etc/passwd", "Local", "/etc/passwd"} {
		if z, err := render.LoadZone(name, now); err == nil {
			t.Errorf("LoadZone(%q) = %+v, want an error", name, z)
		}
	}
}

func TestRuleIsWhatPhonesTake(t *testing.T) {
	t.Parallel()
	for _, r := range []render.Rule{{Time: 26 * 3600}, {Time: -3600}, {Time: 86399}} {
		if h, m := r.Hour(), r.Minute(); h < 0 || h > 23 || m < 0 || m > 59 {
			t.Errorf("%+v is at %d:%d", r, h, m)
		}
	}
}
