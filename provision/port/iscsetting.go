package port

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// setting reads a statement without a block.
func (r *isc) setting(s *stmt, in *scope) {
	kept := func(err error) {
		if err != nil {
			r.say(s.at, "setting", s.String(), Wrong, "%s", err)
			return
		}
		r.say(s.at, "setting", s.String(), Carried, "")
	}
	switch {
	case s.is("option"):
		r.option(s, in)
	case s.is("range"):
		r.addRange(s, network.Pool{})
	case s.is("authoritative"):
		in.auth = true
		kept(nil)
	case s.is("not", "authoritative"):
		in.auth = false
		kept(nil)
	case s.is("default-lease-time"), s.is("max-lease-time"), s.is("min-lease-time"):
		d, err := seconds(s.word(1))
		*map[string]*time.Duration{"default-lease-time": &in.leases, "max-lease-time": &in.mostLeases, "min-lease-time": &in.leastLeases}[strings.ToLower(s.word(0))] = d
		kept(err)
	case s.is("next-server"), s.is("filename"), s.is("server-name"):
		err := r.boot(s, in)
		if kept(err); err == nil && !s.is("filename") {
			r.away()
		}
	case s.is("use-host-decl-names"):
		in.hostNames = slices.Contains([]string{"on", "true"}, s.word(1))
		kept(nil)
	case s.is("allow"), s.is("deny"), s.is("ignore"):
		r.permit(s, in)
	case s.is("subclass"):
		r.class(s)
	default:
		r.say(s.at, "setting", s.String(), Dropped, "there is nothing like it here")
	}
}

// boot reads the server and the file that clients boot of. Those of all networks are given to each.
func (r *isc) boot(s *stmt, in *scope) error {
	switch strings.ToLower(s.word(0)) {
	case "filename":
		in.boot.File = s.word(1)
	case "server-name":
		in.boot.Sname = s.word(1)
	default:
		addr, err := netip.ParseAddr(s.word(1))
		if err != nil || !addr.Is4() {
			return fmt.Errorf("%q is no IPv4 address; write the one that the name stands for", s.word(1))
		}
		in.boot.Next = addr
	}
	return nil
}

// permit reads whom a pool or a network is for.
func (r *isc) permit(s *stmt, in *scope) {
	var id network.ClassID
	switch what := spell(s.words[1:]); {
	case s.is(s.word(0), "members", "of") && len(s.words) == 4:
		id = network.ClassID(s.word(3))
	case what == "known-clients" || what == "known clients":
		id = r.knownClass("known", network.Yes, s)
	case what == "unknown-clients" || what == "unknown clients":
		id = r.knownClass("unknown", network.No, s)
	default:
		r.say(s.at, "setting", s.String(), Dropped, "there is nothing like it here")
		return
	}
	if s.is("allow") {
		if id == "unknown" && !in.inGroup {
			r.say(s.at, "setting", s.String(), Carried, "it is so unless something else is said")
			return
		}
		in.only = append(slices.Clip(in.only), id)
	} else {
		in.not = append(slices.Clip(in.not), id)
	}
	r.say(s.at, "setting", s.String(), Carried, "by the class %s", id)
}

func (r *isc) knownClass(id network.ClassID, known network.Tri, s *stmt) network.ClassID {
	if !slices.ContainsFunc(r.classes, func(c *iscClass) bool { return c.ID == id }) {
		r.classes = append(r.classes, &iscClass{at: s.at, Class: network.Class{ID: id, Match: []network.Match{{Known: known}}}})
	}
	return id
}

// dropOnlyOf leaves out pools and networks that are for a class which isn't carried over: they would be for others.
func (r *isc) dropOnlyOf() {
	there := func(id network.ClassID) bool {
		return slices.ContainsFunc(r.Classes, func(c Item[network.Class]) bool { return c.Value.ID == id })
	}
	missing := func(only, not []network.ClassID) network.ClassID {
		for _, id := range append(slices.Clone(only), not...) {
			if !there(id) {
				return id
			}
		}
		return ""
	}
	r.Parts = slices.DeleteFunc(r.Parts, func(p Item[Part]) bool {
		if p.Value.Pool == nil {
			return false
		}
		id := missing(p.Value.Pool.Only, p.Value.Pool.Not)
		if id != "" {
			r.lacks(p.Verdict, id)
		}
		return id != ""
	})
	r.Networks = slices.DeleteFunc(r.Networks, func(n Item[network.Network]) bool {
		id := missing(n.Value.Only, n.Value.Not)
		if id != "" {
			r.lacks(n.Verdict, id)
		}
		return id != ""
	})
}

// lacks makes wrong what depends on a class that isn't there. The class has any name that a file may have.
func (r *isc) lacks(verdict int, id network.ClassID) {
	v := &r.Verdicts[verdict]
	v.Action, v.Text = Wrong, provision.Printable(fmt.Sprintf("it depends on the class %s, which isn't carried over", id))
}

// option reads the value of an option, and gives it to whom the block is about.
func (r *isc) option(s *stmt, in *scope) {
	name := s.word(1)
	if len(s.words) < 3 {
		r.say(s.at, "option", name, Wrong, "it has no value")
		return
	}
	if s.word(2) == "code" && s.word(4) == "=" || name == "space" {
		if _, ok := r.defined[name]; ok {
			r.say(s.at, "option", name, Carried, "as option %d", r.defined[name].code)
		} else {
			r.say(s.at, "option", name, Dropped, "spaces of options aren't carried over; give option 43 or 125 to a class by hand")
		}
		return
	}
	o, err := r.optionValue(name, s.words[2:])
	if err != nil {
		r.say(s.at, "option", name, Dropped, "%s", err)
		return
	}
	if in.inGroup {
		in.options = addOption(in.options, o)
		r.say(s.at, "option", name, Carried, "with what is in its block")
	} else {
		r.Parts = append(r.Parts, Item[Part]{Part{Prefix: in.prefix, Option: &o}, r.say(s.at, "option", name, Added, "")})
	}
	if tellsWhere(&o) {
		r.away()
	}
}

// optionValue makes an option of its name and the words of its value.
func (r *isc) optionValue(name string, words []word) (network.Option, error) {
	def, own := r.defined[name]
	code, known := iscCode(name)
	switch {
	case strings.Contains(name, "."):
		return network.Option{}, errors.New("options of spaces aren't carried over; give option 43 or 125 to a class by hand")
	case own:
		code = def.code
	case !known:
		if n, ok := strings.CutPrefix(name, "unknown-"); ok {
			code, _ = strconv.Atoi(n)
		} else if n, ok := strings.CutPrefix(name, "option-"); ok {
			code, _ = strconv.Atoi(n)
		}
		if code == 0 {
			return network.Option{}, fmt.Errorf("option %q is unknown, and the files don't define it", name)
		}
	}
	var values []string
	var item []string
	for _, w := range words {
		switch {
		case w.quoted:
			item = append(item, w.text)
		case w.text == ",":
			values, item = append(values, strings.Join(item, " ")), nil
		case strings.ContainsAny(w.text, "()=!"):
			return network.Option{}, errors.New("its value is computed; write the value itself")
		default:
			item = append(item, w.text)
		}
	}
	values = append(values, strings.Join(item, " "))
	if values[0] == "" && len(values) == 1 {
		return network.Option{}, errors.New("it has no value")
	}
	if own && strings.Contains(def.kind, ",") {
		return network.Option{}, fmt.Errorf("its value has several parts, %s; write it in hexadecimal digits", def.kind)
	}
	if m := integerKind.FindStringSubmatch(def.kind); own && m != nil {
		bits, _ := strconv.Atoi(m[1])
		digits, err := hexOf(values, bits)
		if err != nil {
			return network.Option{}, err
		}
		return network.ParseOption(strconv.Itoa(code), "hex:"+digits)
	}
	return option(code, values)
}

// integerKind is what a definition says of numbers.
var integerKind = regexp.MustCompile(`integer (8|16|32)$`)

// class reads a class, or a value that puts clients into one.
func (r *isc) class(s *stmt) {
	id := network.ClassID(s.word(1))
	i := slices.IndexFunc(r.classes, func(c *iscClass) bool { return c.ID == id })
	if i < 0 {
		i = len(r.classes)
		r.classes = append(r.classes, &iscClass{at: s.at, Class: network.Class{ID: id}})
	}
	c := r.classes[i]
	if s.is("subclass") {
		if len(s.words) < 3 {
			r.say(s.at, "class", s.String(), Wrong, "it has no value")
			return
		}
		m, err := value(r.compared[s.word(1)], s.words[2:])
		if err != nil {
			r.say(s.at, "class", s.String(), Dropped, "%s", err)
		} else {
			c.Match = append(c.Match, m)
			r.say(s.at, "class", s.String(), Carried, "as a match of the class")
		}
		if len(s.block) > 0 {
			r.say(s.at, "class", s.String(), Dropped, "what holds for one value alone isn't carried over; make a class of it by hand")
		}
		return
	}
	in := scope{inGroup: true}
	for k := range s.block {
		x := &s.block[k]
		switch {
		case x.is("match", "if"):
			list, err := r.matches(x.words[2:])
			if c.Match = append(c.Match, list...); err != nil {
				r.say(x.at, "class", string(id), Dropped, "%s", err)
			}
		case x.is("match"):
			// its subclasses say whom it is for
		case x.open:
			r.inner(x, in)
		case x.is("deny", "booting"), x.is("ignore", "booting"):
			c.Refuse = true
		default:
			r.setting(x, &in)
		}
	}
	c.Options, c.Next, c.Sname, c.File = in.options, in.boot.Next, in.boot.Sname, in.boot.File
	c.Lease.Default = in.leases
}

// value reads what a subclass says of what the class compares.
func value(compared string, words []word) (m network.Match, err error) {
	if len(words) != 1 {
		return m, errors.New("its value isn't one word")
	}
	w := words[0]
	switch compared {
	case "hardware":
		mac, ok := strings.CutPrefix(w.text, "1:")
		if !ok {
			return m, errors.New("its hardware is no Ethernet")
		}
		m.MAC = []string{padMAC(mac)}
	case "option vendor-class-identifier":
		m.VendorClass = []string{pattern(w, false)}
	case "option user-class":
		m.UserClass = []string{pattern(w, false)}
	case "option dhcp-client-identifier":
		m.ClientID = []string{pattern(w, false)}
	case "option agent.circuit-id":
		m.Circuit = []string{pattern(w, false)}
	case "option agent.remote-id":
		m.Remote = []string{pattern(w, false)}
	default:
		return m, fmt.Errorf("classes by %q aren't carried over; make it by hand", compared)
	}
	return m, nil
}

// pattern is a value as a class has it; begins: more may follow.
func pattern(w word, begins bool) string {
	star := ""
	if begins {
		star = "*"
	}
	if digits, ok := hexDigits(w.text); ok && !w.quoted {
		return "hex:" + digits + star
	}
	return literal(w.text) + star
}

// matches reads the conditions that a class can say: of a text or of its beginning, joined by or.
func (r *isc) matches(words []word) (list []network.Match, err error) {
	for len(words) > 0 {
		end := slices.IndexFunc(words, func(w word) bool { return !w.quoted && strings.EqualFold(w.text, "or") })
		if end < 0 {
			end = len(words)
		}
		m, err := condition(words[:end])
		if err != nil {
			return list, err
		}
		list = append(list, m)
		words = words[min(end+1, len(words)):]
	}
	return list, nil
}

// condition reads one of: option X = V, substring(option X, 0, N) = V, substring(hardware, 1, N) = V.
func condition(words []word) (m network.Match, err error) {
	no := fmt.Errorf("%q is no condition that is carried over; make the class by hand", spell(words))
	if n := len(words); n > 2 && words[0].text == "(" && words[n-1].text == ")" {
		words = words[1 : n-1]
	}
	s := stmt{words: words}
	eq := slices.IndexFunc(words, func(w word) bool { return !w.quoted && w.text == "=" })
	if eq < 0 || eq != len(words)-2 {
		return m, no
	}
	w, begins, from := words[eq+1], false, "0"
	var what string
	switch {
	case s.is("substring", "(") && eq > 6 && words[eq-1].text == ")":
		inner := words[2 : eq-1] // what , from , length
		comma := slices.IndexFunc(inner, func(w word) bool { return w.text == "," })
		if comma < 0 || len(inner) != comma+4 {
			return m, no
		}
		what, from, begins = spell(inner[:comma]), inner[comma+1].text, true
	default:
		what = spell(words[:eq])
	}
	switch {
	case what == "hardware" && (from == "1" || !begins):
		mac := w.text
		if !begins {
			mac = strings.TrimPrefix(mac, "1:")
		}
		m.MAC = []string{padMAC(mac)}
	case from != "0":
		return m, no
	case what == "option vendor-class-identifier":
		m.VendorClass = []string{pattern(w, begins)}
	case what == "option user-class":
		m.UserClass = []string{pattern(w, begins)}
	case what == "option dhcp-client-identifier":
		m.ClientID = []string{pattern(w, begins)}
	case what == "option host-name":
		m.Hostname = []string{pattern(w, begins)}
	case what == "option agent.circuit-id":
		m.Circuit = []string{pattern(w, begins)}
	case what == "option agent.remote-id":
		m.Remote = []string{pattern(w, begins)}
	default:
		return m, no
	}
	return m, nil
}
