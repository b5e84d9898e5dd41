package provision

import (
	"regexp"
	"slices"
)

// ParamType is what values a parameter takes.
type ParamType string

// The types. But for PEM texts and secrets that are Multiline, no text may hold a control character: a line break in a
// value must never become a line of a phone's file.
const (
	TypeString   ParamType = "string"
	TypeBool     ParamType = "bool"
	TypeInt      ParamType = "int"      // between Min and Max
	TypeEnum     ParamType = "enum"     // one of Enum
	TypeHost     ParamType = "host"     // an IP address or a host name
	TypeURL      ParamType = "url"      // http or https
	TypeTimezone ParamType = "timezone" // a name in the tz database
	TypeLocale   ParamType = "locale"   // ll_CC
	TypeSecret   ParamType = "secret"   // a string that leaves only in a file of class secret
	TypePEM      ParamType = "pem"      // a PEM text
	TypeList     ParamType = "list"     // of Items, at most Max
	TypeTable    ParamType = "table"    // a map from "1", "2" … to entries that have Fields
)

// Param is one row of the vocabulary.
type Param struct {
	Name string
	Type ParamType
	Doc  string // what it means, in a sentence
	// Default is used where no config says anything; nil: none. DefaultFrom names the parameter, of the same level,
	// whose value is the default. DefaultIf names the switch without which there is none.
	Default                any
	DefaultFrom, DefaultIf string
	// Required: an entry of a table must have it. RequiredIf: it must be there if that switch is on. The empty text isn't
	// there.
	Required   bool
	RequiredIf string
	Min, Max   int64 // of an int; Max also counts the entries of a list and the characters of a text
	Enum       []string
	// Pattern is what a text that isn't empty looks like, in what RE2 and ECMA-262 have in common. PatternDoc says it in
	// words: "want …".
	Pattern, PatternDoc string
	// Multiline: a secret that has lines.
	Multiline bool
	Item      *Param  // of a list
	Fields    []Param // of an entry of a table

	pattern *regexp.Regexp
	entry   *level // of Fields
}

// level is the rows of a map: of the whole of the params, or of an entry of a table.
type level struct {
	rows   []Param
	byName map[string]*Param
	// deep are the rows that [Defaults] and [Complete] have something to do with.
	deep []*Param
	keys bool // they are a function key's, which has rules that go by its type
}

func newLevel(parts ...[]Param) *level {
	l := &level{rows: slices.Concat(parts...)}
	l.byName = make(map[string]*Param, len(l.rows))
	for i := range l.rows {
		p := &l.rows[i]
		l.byName[p.Name] = p
		if p.Default != nil || p.DefaultFrom != "" || p.Type == TypeTable {
			l.deep = append(l.deep, p)
		}
	}
	return l
}

// find returns the row of that name; nil: there is none.
func (l *level) find(name string) *Param {
	if l == nil {
		return nil
	}
	return l.byName[name]
}

// Vocabulary returns the config parameters that all vendors share, in the order in which they are documented. The
// caller must not change what it returns. Other keys that begin with X_ are the site's own and not listed; those that
// begin with XX_ are refused.
func Vocabulary() []Param { return vocabulary.rows }

//nolint:gochecknoglobals // a table of constants
var vocabulary = newLevel(networkParams, clockParams, accessParams, sipParams, lineParams, keyParams, bookParams, actionParams, mediaParams, siteParams)

// Bounds of values.
const (
	maxPort  = 65535
	maxVLAN  = 4094
	maxEntry = 999 // number of an entry of a table
	maxText  = 255 // characters, where a row says nothing else
	maxURL   = 1024
	maxPEM   = 64 << 10
	minute   = 60
	day      = 86400
)

// What texts that phones act on look like. Everything else is refused, so that no value means something to a parser
// that reads it once more: no blank, no quote, no angle bracket, no percent sign, no backslash.
const (
	wordPattern   = `^[A-Za-z0-9_.!~*()&=+$,;?/@:#-]*$`
	wordDoc       = "letters, digits and -_.!~*()&=+$,;?/@:# only"
	dialPattern   = `^[0-9A-Za-z+*#._@,;:=!~/&$()-]*$`
	dialDoc       = "digits, letters and +*#._@,;:=!~/&$()- only"
	namePattern   = `^[A-Za-z0-9_. ()+-]*$`
	nameDoc       = "letters, digits, blanks and _.()+- only"
	filePattern   = `^[A-Za-z0-9_.+-][A-Za-z0-9_./ +-]*$|^$`
	fileDoc       = "the name of a file, of letters, digits, blanks and _./+-"
	attrPattern   = `^[A-Za-z][A-Za-z0-9-]*$|^$`
	attrDoc       = "the name of an attribute"
	filterPattern = `^\([^"<>]*\)$|^$`
	filterDoc     = "an LDAP filter in parentheses, without quotes and angle brackets"
	quotelessText = `^[^"<>\\]*$`
	quotelessDoc  = `no quote, angle bracket or backslash`
	valuePattern  = `^[0-9A-Za-z+*#._@,;:=!~/&$()?%-]*$`
	valueDoc      = "digits, letters and +*#._@,;:=!~/&$()?%- only"
	countryText   = `^[A-Z]{2}$|^$`
	clockText     = `^([01][0-9]|2[0-3]):[0-5][0-9]$|^$`
)

func host(name, doc string) Param { return Param{Name: name, Type: TypeHost, Doc: doc} }
func text(name, doc string) Param { return Param{Name: name, Type: TypeString, Doc: doc} }
func flag(name, doc string) Param { return Param{Name: name, Type: TypeBool, Doc: doc} }
func link(name, doc string) Param { return Param{Name: name, Type: TypeURL, Max: maxURL, Doc: doc} }
func port(name, doc string) Param {
	return Param{Name: name, Type: TypeInt, Min: 1, Max: maxPort, Doc: doc}
}
func secret(name, doc string) Param { return Param{Name: name, Type: TypeSecret, Doc: doc} }
func enum(name string, values []string, doc string) Param {
	return Param{Name: name, Type: TypeEnum, Enum: values, Doc: doc}
}

func number(name string, least, most int64, doc string) Param {
	return Param{Name: name, Type: TypeInt, Min: least, Max: most, Doc: doc}
}

func word(name, doc string) Param { return text(name, doc).like(wordPattern, wordDoc) }
func dial(name, doc string) Param { return text(name, doc).like(dialPattern, dialDoc) }

func listOf(name string, most int64, item Param, doc string) Param {
	return Param{Name: name, Type: TypeList, Max: most, Item: &item, Doc: doc}
}

func table(name string, fields []Param, doc string) Param {
	return Param{Name: name, Type: TypeTable, Fields: fields, entry: newLevel(fields), Doc: doc}
}

func keyTable(name, doc string) Param {
	return Param{Name: name, Type: TypeTable, Fields: keyFields, entry: keyLevel, Doc: doc}
}

func (p Param) requiredIf(name string) Param { p.RequiredIf = name; return p }
func (p Param) defaultTo(v any) Param        { p.Default = v; return p }
func (p Param) defaultFrom(name string) Param {
	p.DefaultFrom = name
	return p
}
func (p Param) defaultIf(name string) Param { p.DefaultIf = name; return p }
func (p Param) required() Param             { p.Required = true; return p }
func (p Param) like(pattern, doc string) Param {
	p.Pattern, p.PatternDoc, p.pattern = pattern, doc, regexp.MustCompile(pattern)
	return p
}

// limit is how many characters a text may have.
func (p *Param) limit() int {
	switch {
	case p.Type == TypePEM || p.Multiline:
		return maxPEM
	case p.Max > 0:
		return int(p.Max)
	}
	return maxText
}
