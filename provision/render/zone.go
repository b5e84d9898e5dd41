package render

import (
	"fmt"
	"sync"
	"time"
)

// Zone is a time zone as phones are told of it: not what the clock shows today but the rule by which it changes every
// year.
type Zone struct {
	Name   string
	Offset int // of standard time from UTC, in seconds, positive to the east
	Saving int // what summer time adds, in seconds; zero without
	DST    bool
	// Start is the change to summer time, End the change back. Both are zero without DST.
	Start, End Rule
}

// OffsetMinutes is Offset in minutes.
func (z Zone) OffsetMinutes() int { return z.Offset / 60 }

// SavingMinutes is Saving in minutes.
func (z Zone) SavingMinutes() int { return z.Saving / 60 }

// Rule is a time of the year: of a Week's Weekday, or of a Day, in a Month.
type Rule struct {
	Month   int // 1 to 12
	Week    int // 1 to 4: the first to fourth such weekday of the month; 5: the last; 0: the rule has a Day
	Weekday int // 0 Sunday to 6 Saturday
	Day     int // 1 to 31; zero unless Week is
	// Time in seconds after midnight by the clock before the change. It may be negative or over a day, as in the rules
	// of POSIX: "at 02:00 on the Friday before the last Sunday" is 26 hours after a fourth Thursday.
	Time int
}

// Hour is the hour of the change, at least 0 and at most 23, which is all that phones take.
func (r Rule) Hour() int { return min(max(r.Time, 0)/3600, 23) }

// Minute is the minute of the hour.
func (r Rule) Minute() int { return max(r.Time, 0) / 60 % 60 }

// LoadZone returns the rules that a zone of the tz database follows from now on. The empty name is UTC. A zone whose
// changes follow no yearly rule (Morocco's follow the moon) is returned without DST.
func LoadZone(name string, now time.Time) (Zone, error) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return Zone{}, fmt.Errorf("%q is no time zone such as Europe/Berlin", name)
	}
	at := now.In(loc)
	_, offset := at.Zone()
	z := Zone{Name: loc.String(), Offset: offset}
	// The calendar repeats its weekdays after 28 years within a century.
	starts, ends := transitions(at, at.AddDate(28, 0, 0))
	if len(starts) < 27 || len(ends) < 27 {
		return z, nil
	}
	start, ok1 := findRule(starts)
	end, ok2 := findRule(ends)
	if !ok1 || !ok2 {
		return z, nil
	}
	z.DST, z.Start, z.End = true, start, end
	z.Offset, z.Saving = starts[0].before, starts[0].after-starts[0].before
	return z, nil
}

// change is one change of a zone's offset, at a time that is told by the clock before it.
type change struct {
	at            time.Time // in a fixed zone of the offset before
	before, after int
}

// transitions returns the changes forward and back between two times. Which of a zone's two offsets the database calls
// summer time doesn't matter: Ireland's standard time is its summer's, and phones know no negative saving.
func transitions(from, to time.Time) (forward, back []change) {
	for t := from; ; {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(to) {
			return forward, back
		}
		if !end.After(t) { // the last day of a leap year (Go 1.26): its zone "ends" with the day before
			t = t.AddDate(0, 0, 1)
			continue
		}
		_, before := end.Add(-time.Second).Zone()
		_, after := end.Zone()
		c := change{end.In(time.FixedZone("", before)), before, after}
		switch {
		case after > before:
			forward = append(forward, c)
		case after < before:
			back = append(back, c)
		}
		t = end
	}
}

// findRule returns the rule that all changes follow. A rule may count from another day than that of the change, so days
// before and after are tried, too.
func findRule(changes []change) (Rule, bool) {
	for _, shift := range []int{0, 1, -1, 2, -2, 3, -3} {
		if r, ok := weekRule(changes, shift); ok {
			return r, true
		}
	}
	c := changes[0].at
	r := Rule{Month: int(c.Month()), Day: c.Day(), Time: clock(c)}
	for _, c := range changes {
		if int(c.at.Month()) != r.Month || c.at.Day() != r.Day || clock(c.at) != r.Time {
			return Rule{}, false
		}
	}
	return r, true
}

// weekRule looks for a rule by weekday that counts from so many days before the change.
func weekRule(changes []change, shift int) (Rule, bool) {
	var r Rule
	nth, last := true, true
	for i, c := range changes {
		day := c.at.AddDate(0, 0, -shift)
		this := Rule{Month: int(day.Month()), Week: (day.Day()-1)/7 + 1, Weekday: int(day.Weekday()), Time: clock(c.at) + shift*86400}
		if i == 0 {
			r = this
		}
		if this.Month != r.Month || this.Weekday != r.Weekday || this.Time != r.Time {
			return Rule{}, false
		}
		nth = nth && this.Week == r.Week
		last = last && day.AddDate(0, 0, 7).Month() != day.Month()
	}
	if last {
		r.Week = 5
	}
	return r, last || nth
}

func clock(t time.Time) int { return t.Hour()*3600 + t.Minute()*60 + t.Second() }

// zoneCache keeps the zones that the templates of a set have asked for: inferring one takes some hundred look-ups. There
// are no more entries than zones in the database, and a day's change of the rules is soon enough.
type zoneCache struct {
	mu    sync.Mutex // guards all below
	day   int64
	zones map[string]Zone
	named map[string]string // by zone, Cisco's name
}

func (c *zoneCache) zone(v any) (Zone, error) {
	name, err := scalar(v)
	if err != nil {
		return Zone{}, err
	}
	now := time.Now()
	c.mu.Lock()
	c.fresh(now)
	z, ok := c.zones[name]
	c.mu.Unlock()
	if ok {
		return z, nil
	}
	if z, err = LoadZone(name, now); err != nil {
		return Zone{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zones[name] = z
	return z, nil
}

func (c *zoneCache) cisco(v any) (string, error) {
	z, err := c.zone(v)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	name, ok := c.named[z.Name]
	c.mu.Unlock()
	if ok {
		return name, nil
	}
	name = ciscoName(z, time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named[z.Name] = name
	return name, nil
}

// fresh drops yesterday's entries. c.mu is held.
func (c *zoneCache) fresh(now time.Time) {
	if day := now.Unix() / 86400; c.zones == nil || day != c.day {
		c.day, c.zones, c.named = day, make(map[string]Zone), make(map[string]string)
	}
}
