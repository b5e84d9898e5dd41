// Package port reads what other programs have written: lists of phones, and the networks of other DHCP servers. It says
// line by line what is carried over, and knows nothing of the site that this is to become part of: package admin adds it
// there.
package port

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// File is one of the files that are read together.
type File struct {
	Name string // as people know it; its last parts find it where another file refers to it
	Data []byte
}

// Format is whose files they are.
type Format string

// The formats.
const (
	FormatCSV     Format = "csv"      // one table of phones
	FormatProvd   Format = "provd"    // the JSON store of the ancestor: devices/… and configs/…
	FormatDnsmasq Format = "dnsmasq"  // dnsmasq.conf, and what it includes
	FormatISC     Format = "isc-dhcp" // dhcpd.conf, and what it includes
)

// Formats lists the formats.
func Formats() []Format { return []Format{FormatCSV, FormatProvd, FormatDnsmasq, FormatISC} }

// Action is what became of something.
type Action string

// The actions. Of something that is added, its parts are carried, renamed or dropped.
const (
	Added   Action = "added"   // to the site
	Known   Action = "known"   // the site has it already; it stays as it is
	Wrong   Action = "wrong"   // left out: it can't be
	Carried Action = "carried" // as it is, or in other words that mean the same
	Renamed Action = "renamed" // carried under another name, or in another place
	Dropped Action = "dropped" // left out: there is nothing like it here, or no need for it
)

// Verdict is what became of one thing in a file.
type Verdict struct {
	File   string // empty: the only one
	Line   int
	Kind   string // phone, column, config, parameter, network, pool, reservation, option, class or setting
	Name   string // by which people know it
	Action Action
	Text   string // why, or how; may be empty where something was added or carried
}

// Item is something that can be added to a site, and the place of its verdict.
type Item[T any] struct {
	Value   T
	Verdict int
}

// Part is one thing of the networks with a prefix; an invalid one stands for all networks. Exactly one of the pointers is
// set. A pool and a reservation belong to the network that their addresses are of, and need no prefix.
type Part struct {
	Prefix      netip.Prefix
	Pool        *network.Pool
	Reservation *network.Reservation
	Option      *network.Option
	Boot        *network.Boot // without options
}

// Found is what files say. Verdicts of items are Added: it is for whoever adds them to say otherwise.
type Found struct {
	Verdicts []Verdict // in the order of the files
	Networks []Item[network.Network]
	Classes  []Item[network.Class]
	Parts    []Item[Part]
	Configs  []Item[provision.Config]
	Phones   []Item[provision.Device]
}

// Read reads files of a format. Plugins are those that phones may be given. The error says why the files can't be read at
// all, with file and line; what is wrong with one thing alone is its verdict.
func Read(f Format, files []File, plugins []provision.PluginID) (Found, error) {
	if len(files) == 0 {
		return Found{}, fmt.Errorf("there is no file: %w", provision.ErrInvalid)
	}
	var found Found
	var err error
	switch f {
	case FormatCSV:
		err = readCSV(&found, files)
	case FormatProvd:
		err = readProvd(&found, files, plugins)
	case FormatDnsmasq:
		err = readDnsmasq(&found, files)
	case FormatISC:
		err = readISC(&found, files)
	default:
		err = fmt.Errorf("format %q is unknown; use one of %v", provision.Printable(string(f)), Formats())
	}
	if err != nil {
		return Found{}, fmt.Errorf("%w: %w", err, provision.ErrInvalid)
	}
	found.sort(files)
	return found, nil
}

// sort puts the verdicts in the order of the files and their lines.
func (f *Found) sort(files []File) {
	rank := make(map[string]int, len(files))
	for i := range files {
		rank[files[i].Name] = i
	}
	order := make([]int, len(f.Verdicts)) // places of before
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := &f.Verdicts[i], &f.Verdicts[j]
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line))
	})
	sorted, now := make([]Verdict, len(order)), make([]int, len(order))
	for to, from := range order {
		sorted[to], now[from] = f.Verdicts[from], to
	}
	f.Verdicts = sorted
	moved(f.Networks, now)
	moved(f.Classes, now)
	moved(f.Parts, now)
	moved(f.Configs, now)
	moved(f.Phones, now)
}

func moved[T any](items []Item[T], now []int) {
	for i := range items {
		items[i].Verdict = now[items[i].Verdict]
	}
}

// at is a place in a file.
type at struct {
	file string
	line int
}

// say adds a verdict and returns its place.
func (f *Found) say(p at, kind, name string, a Action, format string, args ...any) int {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	f.Verdicts = append(f.Verdicts, Verdict{p.file, p.line, kind, provision.Printable(name), a, provision.Printable(text)})
	return len(f.Verdicts) - 1
}

// away adds to the newest verdict, of something that is taken over, that it has phones fetch their files from some server:
// most people who move here mean to have them fetched from this one.
func (f *Found) away() {
	v := &f.Verdicts[len(f.Verdicts)-1]
	if v.Text != "" {
		v.Text += "; "
	}
	v.Text += "phones will go there for their files; remove it if they should come here"
}

// tellsWhere reports whether an option tells clients where the files are that they boot of: the names and addresses of
// servers of RFC 2132 and RFC 5859, and what vendors use besides.
func tellsWhere(o *network.Option) bool {
	return o != nil && !o.Never && slices.Contains([]uint8{66, 150, 159, 160, 161}, o.Code)
}

// lookup finds a file by a name that another refers to it by: the one that has most of the last parts of its path.
func lookup(files []File, name string) (File, bool) {
	best, length := -1, 0
	for i := range files {
		if n := common(files[i].Name, name); n > length {
			best, length = i, n
		}
	}
	if best < 0 {
		return File{}, false
	}
	return files[best], true
}

// common counts the parts that two paths have in common at their ends.
func common(a, b string) (n int) {
	x, y := strings.Split(path.Clean(a), "/"), strings.Split(path.Clean(b), "/")
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	return n
}

// addOption returns a list with an option, in the place of one of the same code.
func addOption(list []network.Option, o network.Option) []network.Option {
	if i := slices.IndexFunc(list, func(x network.Option) bool { return x.Code == o.Code }); i >= 0 {
		list = slices.Clone(list)
		list[i] = o
		return list
	}
	return append(slices.Clip(list), o)
}
