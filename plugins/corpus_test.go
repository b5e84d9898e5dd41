package plugins_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// evidence is one line of the corpus: a request and what it must be identified as (testdata/corpus/README.md).
type evidence struct {
	ID        string             `json:"id"`
	Path      string             `json:"path"`
	UserAgent *string            `json:"user_agent"`
	Filename  *string            `json:"filename"`
	Class     *string            `json:"option60"`
	ClassHex  string             `json:"option60_hex"`
	Params    string             `json:"option55"`
	UserClass string             `json:"option77"`
	MAC       string             `json:"mac"`
	Expect    map[string]string  `json:"expect"`
	Optional  []string           `json:"optional"`
	Alt       map[string]*string `json:"alt"`
	Tier      string             `json:"tier"`
	Kind      string             `json:"kind"`
	Note      string             `json:"note"`
}

// TestCorpus shows every request of the corpus to the plugins' rules. Nothing may be identified wrongly, and what is of
// our plugins' families must be identified.
func TestCorpus(t *testing.T) {
	t.Parallel()
	plugins := all(t)
	for _, proto := range []provision.Proto{provision.HTTP, provision.TFTP, provision.DHCP} {
		t.Run(string(proto), func(t *testing.T) {
			t.Parallel()
			lines := readCorpus(t, string(proto)+".jsonl")
			found := 0
			for _, e := range lines {
				req, ok := e.request(proto)
				if !ok {
					continue // the front end refuses it
				}
				var claims []provision.Claim
				for _, p := range plugins {
					claims = append(claims, p.Extract(req)...)
				}
				got := told(provision.Conclude(claims))
				if err := e.judge(got); err != nil {
					t.Errorf("%s: %s: %s: %v", e.ID, e.text(), e.Note, err)
				}
				if len(got) > 0 {
					found++
				}
			}
			t.Logf("%d of %d requests identified", found, len(lines))
		})
	}
}

func readCorpus(t *testing.T, name string) []evidence {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []evidence
	for s := bufio.NewScanner(f); s.Scan(); {
		var e evidence
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%s:%d: %v", name, len(lines)+1, err)
		}
		lines = append(lines, e)
	}
	if len(lines) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return lines
}

// request makes the request as the front ends do; false if they would refuse it.
func (e *evidence) request(proto provision.Proto) (*provision.Request, bool) {
	req := &provision.Request{Proto: proto, Fields: map[string]string{}}
	file := e.Path
	switch proto {
	case provision.DHCP:
		req.HW, _ = hwaddr.Parse(e.MAC)
		class, _ := hex.DecodeString(e.ClassHex)
		if e.Class != nil {
			class = []byte(*e.Class)
		}
		set(req.Fields, provision.FieldVendorClass, strings.TrimRight(string(class), "\x00"))
		set(req.Fields, provision.FieldUserClass, e.UserClass)
		set(req.Fields, provision.FieldParams, e.Params)
		return req, true
	case provision.TFTP:
		file = strings.ReplaceAll(*e.Filename, `\`, "/")
	case provision.HTTP, provision.SIP:
		file, _, _ = strings.Cut(file, "?")
		file = strings.ReplaceAll(file, `\`, "/")
		if e.UserAgent != nil {
			set(req.Fields, provision.FieldUserAgent, *e.UserAgent)
		}
	}
	if strings.ContainsFunc(file, func(r rune) bool { return r < ' ' }) || slices.Contains(strings.Split(file, "/"), "..") {
		return nil, false
	}
	req.Path = strings.TrimPrefix(path.Clean("/"+file), "/")
	return req, true
}

func set(m map[string]string, key, value string) {
	if value != "" {
		m[key] = value
	}
}

// text is the request in short.
func (e *evidence) text() string {
	parts := []string{e.Path}
	for _, p := range []*string{e.Filename, e.UserAgent, e.Class} {
		if p != nil {
			parts = append(parts, fmt.Sprintf("%.80q", *p))
		}
	}
	return strings.Join(append(parts, e.MAC), " ")
}

// told is an identity by the corpus's names, without the empty ones.
func told(id provision.Identity) map[string]string {
	m := map[string]string{}
	set(m, provision.AttrVendor, id.Vendor)
	set(m, provision.AttrModel, id.Model)
	set(m, provision.AttrVersion, id.Version)
	set(m, provision.AttrSerial, id.Serial)
	if !id.HW.IsZero() {
		m[provision.AttrMAC] = id.HW.String()
	}
	return m
}

// judge compares what was found with what is true.
func (e *evidence) judge(got map[string]string) error {
	var errs []error
	for field, v := range got {
		alt := e.Alt[field]
		if v != e.Expect[field] && (alt == nil || v != *alt) {
			errs = append(errs, fmt.Errorf("%s is %q, want %q", field, v, e.Expect[field]))
		}
	}
	for field, want := range e.Expect {
		alt, hasAlt := e.Alt[field]
		mayMiss := slices.Contains(e.Optional, field) || hasAlt && alt == nil
		if got[field] == "" && !mayMiss && e.ours() {
			errs = append(errs, fmt.Errorf("%s is unknown, want %q", field, want))
		}
	}
	return errors.Join(errs...)
}

// others are requests of Cisco's families that none of our plugins is for: analogue adapters, Linksys and SPA phones,
// multiplatform phones, and 7900 with SIP firmware.
var others = regexp.MustCompile(`(?i)"/?spa|/spa[0-9]|linksys|"cisco (?:spa|ata)|/ata1|/init\.cfg|3pcc|/[0-9a-f]{12}\.xml|` +
	`"SIPDefault|"SIP[0-9A-F]{12}|"RINGLIST\.DAT|"syncinfo`)

// ours reports whether the plugins must find what is true of such a request.
func (e *evidence) ours() bool {
	switch e.Expect["vendor"] {
	case "Aastra":
		return true
	case "Cisco":
		return !others.MatchString(e.text())
	}
	return false
}
