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

// TestFault answers the ancestor, which told phones the dates of one year: the rules give the right dates of all years.
func TestFault(t *testing.T) {
	t.Parallel()
	t.Run("W-18", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "Pacific/Auckland", "America/Santiago", "Asia/Jerusalem"} {
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			z, err := render.LoadZone(name, time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC))
			if err != nil || !z.DST {
				t.Fatalf("%s: %+v, %v", name, z, err)
			}
			for year := 2026; year < 2056; year++ {
				for _, c := range []struct {
					rule          render.Rule
					before, after int
				}{{z.Start, z.Offset, z.Offset + z.Saving}, {z.End, z.Offset + z.Saving, z.Offset}} {
					at := dateOf(c.rule, year).Add(-time.Duration(c.before) * time.Second)
					_, before := at.Add(-time.Second).In(loc).Zone()
					_, after := at.In(loc).Zone()
					if before != c.before || after != c.after {
						t.Errorf("%s, %d: by %+v the clock goes from %d to %d at %s, and really from %d to %d", name, year, c.rule, c.before, c.after, at, before, after)
					}
				}
			}
		}
	})
}

// dateOf returns the time of a rule in a year as a phone works it out, by the clock before it as if that were UTC.
func dateOf(r render.Rule, year int) time.Time {
	day := r.Day
	if r.Week > 0 {
		first := time.Date(year, time.Month(r.Month), 1, 0, 0, 0, 0, time.UTC)
		day = 1 + (r.Weekday-int(first.Weekday())+7)%7 + 7*(r.Week-1)
		for time.Date(year, time.Month(r.Month), day, 0, 0, 0, 0, time.UTC).Month() != time.Month(r.Month) {
			day -= 7
		}
	}
	return time.Date(year, time.Month(r.Month), day, 0, 0, r.Time, 0, time.UTC)
}
