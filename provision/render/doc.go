// Package render makes the files of phones from templates.
//
// The language is that of text/template. A [Set] is all templates of one plugin; [Set.Render] runs one of them.
//
// # Escaping
//
// Every printed value is escaped for the kind of file that the manifest names; a template neither does that itself nor
// can leave it out. The kinds:
//
//   - line: "key: value" and "key=value" files. A control character, a line break above all, is an error, so that no
//     value can become a second setting;
//   - xml: element content and quoted attribute values. Characters that XML 1.0 doesn't have are errors;
//   - json: the whole JSON value is written, quotes included: {"name": {{.Device.Label}}}. Lists and maps are written,
//     too, and nil is null;
//   - text: as it is. Control characters but line feed and tabulator are errors.
//
// A nil value prints nothing (but in json). A list or a map is an error (but in json): range over it, or join it. Text
// must be UTF-8.
//
// # Functions
//
// Those of text/template: and, or, not, len, index, slice, eq, ne, lt, le, gt, ge; and print, printf, println, html, js,
// urlquery, which take text, numbers, bools and nil only and refuse results of over 64 KiB. printf takes no "*" and no
// "[1]" and no width over 256. A misspelt field or key of the data is an error.
//
// Ours, arguments in order; the piped one is the last:
//
//	default D V         V, or D if V is nil, false, "", 0 or an empty list or map
//	first A B C …       the first of them that isn't empty in that sense; nil if none
//	get M "key" [D]     the key of a map, or D (nil) if it isn't there or is nil or "": for keys that need not exist
//	has M "key"         whether a map has the key, with another value than nil
//	dict "a" A "b" B …  a map, to hand several values to a {{template}}
//	list A B C …        a list
//	numeric M           the entries of a map as .Key .Value .Number, keys that are numbers first and in the order of
//	                    their values: "1" "2" "10"; then the others by text. .Number is 0 for those
//	seq A B             the whole numbers from A to B, none if B < A; at most 1,000
//	int V               V as a whole number: "12" → 12; nil and "" are 0
//	add sub mul div mod two whole numbers (also as text); sub A B is A−B. neg A is −A
//	min max             the smaller, the greater of two
//	join SEP LIST       the entries with SEP between them: join "," .Model.codecs
//	split SEP S         the parts of a text
//	upper lower trim S  trim takes blanks off both ends
//	replace OLD NEW S   every OLD becomes NEW
//	contains SUB S, hasprefix P S, hassuffix P S; trimprefix P S, trimsuffix P S
//	truncate N S        the first N characters
//	mac HW SEP          the address in lower case with SEP between bytes: mac .Device.HW "-"; upper (mac .Device.HW "")
//	base64 S            standard encoding with padding
//	fail "why"          ends the render with that error
//	zone "Europe/Berlin"     the time zone's rules in force, see [Zone]: .Offset and .Saving in seconds, .OffsetMinutes,
//	                         .SavingMinutes, .DST (bool), .Start and .End: .Month 1-12, .Week 1-5 (5: last), .Weekday
//	                         0-6 (0: Sunday), .Day (of the month; then Week is 0), .Hour, .Minute (wall clock before
//	                         the change). An empty name is UTC
//	ciscozone "Europe/Berlin" the name that Cisco's enterprise phones have for a zone with the same rules:
//	                         "W. Europe Standard/Daylight Time"
//
// # Two forms
//
// A template is kept in two forms. The compiled one calls the functions as Go does, without reflection, and knows the
// types that data consists of; it does what templates mostly do, some ten times as fast. Where it meets anything else,
// an error above all, it gives up, and text/template renders the file from the start. So text/template alone says what
// a template means and what is wrong with it, and the compiled form only has to agree with it or to give up.
//
// # Limits
//
// A render that writes over 1 MiB, enters over 50,000 loop bodies and templates, or takes over a second ends with an
// error. Templates that call each other in a circle and names that are defined twice don't load.
package render
