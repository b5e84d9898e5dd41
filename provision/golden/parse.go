package golden

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// Request is a golden request, parsed.
type Request struct {
	archive  *txtar.Archive
	file     string
	request  provision.Request
	leases   []lease.Lease
	devices  []provision.Device
	config   provision.Params
	firmware map[string][]byte
	identity *expectedIdentity
	answer   *expectedAnswer
}

type expectedIdentity struct {
	line  int
	pairs map[string]string
}

type expectedAnswer struct {
	line   int    // of the status
	status string // 200 …
	kind   string // content type; empty: any
	lines  []expectedLine
	exact  *string // the whole file; nil: lines count
	below  int     // line of exact's first line
}

type expectedLine struct {
	line int
	text string
	not  bool
}

// parser collects what is wrong with a file.
type parser struct {
	file   string
	faults []error
	r      *Request
}

func (p *parser) fault(line int, format string, args ...any) {
	p.faults = append(p.faults, &plugin.Fault{File: p.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// Parse reads a golden request. file is its name in errors, which join a [plugin.Fault] for each thing that is wrong.
func Parse(file string, data []byte) (*Request, error) {
	a := txtar.Parse(data)
	p := &parser{file: file, r: &Request{archive: a, file: file, firmware: make(map[string][]byte)}}
	if len(data) > 1<<20 {
		p.fault(0, "the file has over a mebibyte")
		return nil, errors.Join(p.faults...)
	}
	sections := map[string]func(line int, text string){
		"request": p.request, "lease": p.leases, "device": p.devices, "config": p.config, "identity": p.identity, "answer": p.answer,
	}
	seen := make(map[string]int)
	line := 1 + strings.Count(string(a.Comment), "\n")
	for _, f := range a.Files {
		at := line
		line += 1 + strings.Count(string(f.Data), "\n")
		if first, twice := seen[f.Name]; twice {
			p.fault(at, "the section %q stands in line %d already", f.Name, first)
			continue
		}
		seen[f.Name] = at
		if name, ok := strings.CutPrefix(f.Name, "firmware/"); ok && name != "" {
			p.r.firmware[name] = f.Data
			continue
		}
		read := sections[f.Name]
		if read == nil {
			p.fault(at, "there is no section %q; there are %s, firmware/NAME", f.Name, strings.Join(slices.Sorted(maps.Keys(sections)), ", "))
			continue
		}
		read(at+1, string(f.Data))
	}
	switch {
	case seen["request"] == 0:
		p.fault(1, "there is no section request (-- request --)")
	case seen["identity"] == 0 && seen["answer"] == 0:
		p.fault(1, "neither a section identity nor answer says what must come out")
	case p.r.request.Proto == provision.DHCP && seen["answer"] != 0:
		p.fault(seen["answer"], "a lease gets no file: there can be no section answer")
	case p.r.request.Proto == provision.DHCP && len(p.r.leases) == 0 && len(p.faults) == 0:
		p.fault(1, "a DHCP request needs a section lease")
	}
	if err := errors.Join(p.faults...); err != nil {
		return nil, err
	}
	return p.r, nil
}

// lines calls f for each line that isn't blank, without the blanks around it.
func lines(at int, text string, f func(line int, text string)) {
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			f(at, l)
		}
		at++
	}
}

func (p *parser) request(at int, text string) {
	first := true
	req := &p.r.request
	lines(at, text, func(line int, text string) {
		if !first {
			p.header(line, text)
			return
		}
		first = false
		words := strings.Fields(text)
		raw := ""
		switch {
		case len(words) == 3 && strings.HasPrefix(words[2], "HTTP/") && (words[0] == "GET" || words[0] == "HEAD"):
			req.Proto, raw = provision.HTTP, words[1]
			req.Head = words[0] == "HEAD"
			req.Fields = map[string]string{provision.FieldMethod: words[0]}
			path, _, _ := strings.Cut(raw, "?")
			decoded, err := url.PathUnescape(path)
			if err != nil {
				p.fault(line, "the path %q isn't rightly encoded", path)
				return
			}
			req.Path, err = provision.Clean(decoded)
			if err != nil {
				p.fault(line, "no front end takes this path: %s", err)
			}
		case len(words) >= 3 && words[0] == "RRQ":
			req.Proto, raw = provision.TFTP, strings.Join(words[1:len(words)-1], " ")
			if mode := words[len(words)-1]; mode != "octet" && mode != "netascii" {
				p.fault(line, "the mode of a read request is octet or netascii, not %q", mode)
			}
			var err error
			if req.Path, err = provision.Clean(raw); err != nil {
				p.fault(line, "no front end takes this name: %s", err)
			}
		case text == "DHCP":
			req.Proto = provision.DHCP
		default:
			p.fault(line, `a request begins with "GET /path HTTP/1.1", "RRQ name octet" or "DHCP", not %q`, text)
		}
		req.Raw = raw
	})
	if first {
		p.fault(at, "the section request is empty")
	}
}

func (p *parser) header(line int, text string) {
	name, value, ok := strings.Cut(text, ":")
	if !ok || p.r.request.Proto != provision.HTTP {
		p.fault(line, "%q is no header (Name: value) of an HTTP request", text)
		return
	}
	field := map[string]string{"user-agent": provision.FieldUserAgent, "host": provision.FieldHost}[strings.ToLower(name)]
	if field != "" { // no plugin sees the others
		p.r.request.Fields[field] = strings.TrimSpace(value)
	}
}

func (p *parser) leases(at int, text string) {
	lines(at, text, func(line int, text string) {
		words := strings.SplitN(text, " ", 3)
		if len(words) < 2 {
			p.fault(line, "a lease is an address and a hardware address, then key=value")
			return
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil || !addr.Is4() {
			p.fault(line, "%q is not an IPv4 address", words[0])
			return
		}
		hw, err := hwaddr.Parse(words[1])
		if err != nil {
			p.fault(line, "%s", err)
			return
		}
		l := lease.Lease{
			Addr: addr, State: lease.Bound, Origin: lease.Pool, Client: lease.Client{HW: hw},
			Expiry: time.Now().Add(time.Hour), Rev: 1,
		}
		if len(words) == 3 {
			pairs := p.pairs(line, words[2], provision.FieldVendorClass, provision.FieldUserClass, provision.FieldHostname, provision.FieldClientID, provision.FieldParams)
			l.Client.VendorClass, l.Client.UserClass, l.Client.Hostname = pairs[provision.FieldVendorClass], pairs[provision.FieldUserClass], pairs[provision.FieldHostname]
			id, err := hex.DecodeString(pairs[provision.FieldClientID])
			if err != nil {
				p.fault(line, "client-id must be hexadecimal digits")
			}
			l.Client.ID = string(id)
			for code := range strings.SplitSeq(pairs[provision.FieldParams], ",") {
				n, err := strconv.ParseUint(code, 10, 8)
				if err == nil {
					l.Client.Params = append(l.Client.Params, uint8(n))
				} else if code != "" {
					p.fault(line, "params must be numbers up to 255 with commas between them, not %q", code)
				}
			}
		}
		p.r.leases = append(p.r.leases, l)
	})
}

func (p *parser) devices(at int, text string) {
	lines(at, text, func(line int, text string) {
		pairs := p.pairs(line, text, append(identityKeys(), "plugin", "label")...)
		d := provision.Device{
			ID: provision.DeviceID(fmt.Sprintf("device-%d", len(p.r.devices)+1)), Serial: pairs["sn"], UUID: pairs["uuid"],
			Vendor: pairs["vendor"], Model: pairs["model"], Version: pairs["version"], Plugin: provision.PluginID(pairs["plugin"]), Label: pairs["label"],
		}
		if mac := pairs["mac"]; mac != "" {
			var err error
			if d.HW, err = hwaddr.Parse(mac); err != nil {
				p.fault(line, "%s", err)
			}
		}
		p.r.devices = append(p.r.devices, d)
	})
}

func (p *parser) config(at int, text string) {
	raw := make(map[string]any)
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		p.fault(at, "the config isn't YAML (lines count from here): %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	p.r.config = provision.Wrap(raw)
	if err := provision.CheckLayer(p.r.config); err != nil {
		p.fault(at, "the config: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

func (p *parser) identity(at int, text string) {
	w := &expectedIdentity{line: at, pairs: make(map[string]string)}
	lines(at, text, func(line int, text string) {
		if len(w.pairs) == 0 {
			w.line = line
		}
		maps.Copy(w.pairs, p.pairs(line, text, append(identityKeys(), "plugin")...))
	})
	p.r.identity = w
}

func (p *parser) answer(at int, text string) {
	w := &expectedAnswer{line: at}
	defer func() { p.r.answer = w }()
	first := true
	for line := at; text != ""; line++ {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		l = strings.TrimSpace(l)
		switch {
		case l == "":
		case first:
			first = false
			w.line = line
			w.status, w.kind, _ = strings.Cut(l, " ")
			if !slices.Contains([]string{"200", "403", "404", "500"}, w.status) {
				p.fault(line, "an answer begins with 200, 403, 404 or 500, not %q", w.status)
			}
		case w.status != "200":
			p.fault(line, "only an answer with 200 has a file")
			return
		case l == "=== exact":
			if len(w.lines) > 0 {
				p.fault(line, `either lines or "=== exact", not both`)
			}
			w.exact, w.below = &text, line+1
			return
		default:
			e := expectedLine{line: line, text: l}
			if rest, ok := strings.CutPrefix(l, "not:"); ok {
				e.not, e.text = true, strings.TrimSpace(rest)
			}
			w.lines = append(w.lines, e)
		}
	}
}

func identityKeys() []string {
	return []string{provision.AttrMAC, provision.AttrSerial, provision.AttrUUID, provision.AttrVendor, provision.AttrModel, provision.AttrVersion}
}

// pairs reads key=value with blanks between; a value with blanks is quoted.
func (p *parser) pairs(line int, text string, known ...string) map[string]string {
	found := make(map[string]string)
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		_, twice := found[key]
		switch {
		case !ok:
			p.fault(line, "%q is no key=value", text)
			return found
		case !slices.Contains(known, key):
			p.fault(line, "there is no key %q here; there are %s", key, strings.Join(known, ", "))
			return found
		case twice:
			p.fault(line, "%s stands here twice", key)
		}
		value, after, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				p.fault(line, "the quotes of %s aren't closed", key)
				return found
			}
			value, _ = strconv.Unquote(quoted) // QuotedPrefix has checked it
			after = rest[len(quoted):]
		}
		found[key], text = value, after
	}
	return found
}
