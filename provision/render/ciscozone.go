package render

import (
	"time"
)

// ciscoZone is a name that Cisco's enterprise phones know for a zone, with a place that keeps its time.
type ciscoZone struct{ name, like string }

// ciscoZones lists the names in the order in which they are preferred among equals. Some end in a blank: the phone
// compares the whole text. Where a country has given up summer time since the phones were made, `like` is a place that
// still has the rule that the name stands for, or one without summer time if there is none.
func ciscoZones() []ciscoZone {
	return []ciscoZone{
		{"Dateline Standard Time", "Etc/GMT+12"},
		{"Samoa Standard Time ", "Pacific/Pago_Pago"},
		{"Hawaiian Standard Time ", "Pacific/Honolulu"},
		{"Alaskan Standard/Daylight Time", "America/Anchorage"},
		{"Pacific Standard/Daylight Time", "America/Los_Angeles"},
		{"Mountain Standard/Daylight Time", "America/Denver"},
		{"US Mountain Standard Time", "America/Phoenix"},
		{"Central Standard/Daylight Time", "America/Chicago"},
		{"Canada Central Standard Time", "America/Regina"},
		{"Eastern Standard/Daylight Time", "America/New_York"},
		{"SA Pacific Standard Time", "America/Bogota"},
		{"Atlantic Standard/Daylight Time", "America/Halifax"},
		{"SA Western Standard Time", "America/Puerto_Rico"},
		{"Newfoundland Standard/Daylight Time", "America/St_Johns"},
		{"SA Eastern Standard Time", "America/Argentina/Buenos_Aires"},
		{"Mid-Atlantic Standard/Daylight Time", "America/Noronha"},
		{"Azores Standard/Daylight Time", "Atlantic/Azores"},
		{"GMT Standard/Daylight Time", "Europe/London"},
		{"Greenwich Standard Time", "Atlantic/Reykjavik"},
		{"W. Europe Standard/Daylight Time", "Europe/Berlin"},
		{"GTB Standard/Daylight Time", "Europe/Athens"},
		{"Egypt Standard/Daylight Time", "Africa/Cairo"},
		{"South Africa Standard Time ", "Africa/Johannesburg"},
		{"Jerusalem Standard/Daylight Time", "Asia/Jerusalem"},
		{"Saudi Arabia Standard Time", "Asia/Riyadh"},
		{"Iran Standard/Daylight Time", "Asia/Tehran"},
		{"Arabian Standard Time", "Asia/Dubai"},
		{"Afghanistan Standard Time ", "Asia/Kabul"},
		{"West Asia Standard Time", "Asia/Karachi"},
		{"India Standard Time", "Asia/Kolkata"},
		{"Central Asia Standard Time ", "Asia/Dhaka"},
		{"SE Asia Standard Time", "Asia/Bangkok"},
		{"China Standard/Daylight Time", "Asia/Shanghai"},
		{"Tokyo Standard Time", "Asia/Tokyo"},
		{"Cen. Australia Standard/Daylight Time", "Australia/Adelaide"},
		{"AUS Central Standard Time", "Australia/Darwin"},
		{"AUS Eastern Standard/Daylight Time", "Australia/Sydney"},
		{"E. Australia Standard Time", "Australia/Brisbane"},
		{"Central Pacific Standard Time", "Pacific/Guadalcanal"},
		{"New Zealand Standard/Daylight Time", "Pacific/Auckland"},
		{"Fiji Standard Time", "Pacific/Fiji"},
	}
}

// ciscoName returns the name of the zone that is most like z: the same offset and rule; else the same offset, rather
// with summer time if z has it; else an offset half an hour or an hour away; else Eastern time, which is what the
// phones themselves fall back to.
func ciscoName(z Zone, now time.Time) string {
	best, bestScore := "Eastern Standard/Daylight Time", 0
	for _, c := range ciscoZones() {
		other, err := LoadZone(c.like, now)
		if err != nil { // a tz database without that place
			continue
		}
		if score := likeness(z, other); score > bestScore {
			best, bestScore = c.name, score
		}
	}
	return best
}

func likeness(a, b Zone) int {
	var score int
	switch gap := max(a.Offset-b.Offset, b.Offset-a.Offset); {
	case gap == 0:
		score = 300
	case gap <= 1800:
		score = 200
	case gap <= 3600:
		score = 100
	default:
		return 0
	}
	switch {
	case a.DST == b.DST && a.Saving == b.Saving && a.Start == b.Start && a.End == b.End:
		return score + 20
	case a.DST == b.DST:
		return score + 10
	}
	return score
}
