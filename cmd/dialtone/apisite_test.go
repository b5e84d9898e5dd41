package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	yamlv4 "go.yaml.in/yaml/v4"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// planted begins every secret that a test puts into the appliance.
const planted = "planted-"

// apiSite is a daemon with users of every role, and what openapi.yaml says of its API.
type apiSite struct {
	*office

	doc      *document
	contract *api.Contract
	root     *api.Client // of who may do everything
	people   map[access.Role]*person
	n        int // of things that were made up
	nets     int // of ranges of addresses that were given to networks

	mu   sync.Mutex
	seen map[string]bool // operations that have answered as the document has it, guarded by mu
}

// person is somebody who is signed in.
type person struct {
	name string
	as   api.RequestEditorFn // proves it
}

// document is what the tests read of openapi.yaml themselves.
type document struct {
	Paths      map[string]map[string]*described `yaml:"paths"`
	Components struct {
		Parameters map[string]parameter `yaml:"parameters"`
		Schemas    map[string]*shape    `yaml:"schemas"`
	} `yaml:"components"`

	operations map[string]*described
}

type parameter struct {
	Ref  string `yaml:"$ref"`
	Name string `yaml:"name"`
	In   string `yaml:"in"`
}

type described struct {
	ID         string      `yaml:"operationId"`
	Parameters []parameter `yaml:"parameters"`
	Body       struct {
		Content map[string]struct {
			Schema *shape `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"requestBody"`

	method, path string
}

type shape struct {
	Ref        string            `yaml:"$ref"`
	Properties map[string]*shape `yaml:"properties"`
	Additional any               `yaml:"additionalProperties"`
	Items      *shape            `yaml:"items"`
}

func readDocument(t *testing.T) *document {
	t.Helper()
	d := &document{operations: make(map[string]*described)}
	if err := yamlv4.Unmarshal(api.Document, d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method, o := range methods {
			for i, p := range o.Parameters {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					o.Parameters[i] = d.Components.Parameters[name]
				}
			}
			o.method, o.path = strings.ToUpper(method), path
			d.operations[o.ID] = o
		}
	}
	return d
}

func (o *described) takes(in, name string) bool {
	for _, p := range o.Parameters {
		if p.In == in && p.Name == name {
			return true
		}
	}
	return false
}

// json returns the shape of the body, nil if it isn't JSON.
func (o *described) json() *shape {
	for kind, m := range o.Body.Content {
		if kind == "application/json" {
			return m.Schema
		}
	}
	return nil
}

// closed returns the pointers of the objects in a body in which the document lets no other field be.
func (d *document) closed(at string, v any, s *shape) (list []string) {
	for s != nil && s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	if s == nil {
		return nil
	}
	switch x := v.(type) {
	case map[string]any:
		if s.Additional == false {
			list = append(list, at)
		}
		for name, item := range x {
			list = append(list, d.closed(at+"/"+name, item, s.Properties[name])...)
		}
	case []any:
		for i, item := range x {
			list = append(list, d.closed(fmt.Sprintf("%s/%d", at, i), item, s.Items)...)
		}
	}
	return list
}

// newAPISite starts a daemon whose network holds new phones.
func newAPISite(t *testing.T, set ...func(*configs.Settings)) *apiSite {
	t.Helper()
	s := &apiSite{
		office: newOffice(t, strictly, append(set, func(s *configs.Settings) {
			s.DHCP.Foreign = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		})...),
		doc: readDocument(t), people: make(map[access.Role]*person), seen: make(map[string]bool),
	}
	var err error
	if s.contract, err = api.ReadContract(); err != nil {
		t.Fatal(err)
	}
	if s.root, err = (&app{state: s.state, env: func(string) string { return "" }}).transport(time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, r := range []access.Role{access.Owner, access.Operator, access.Helpdesk, access.Viewer} {
		s.people[r] = s.person(string(r), r)
	}
	return s
}

// password is everybody's.
const password = planted + "password"

// newUser makes a user.
func (s *apiSite) newUser(name string, r access.Role) string {
	s.t.Helper()
	if _, err := s.parts.access.NewUser(s.t.Context(), name, password, r); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// person makes a user and signs them in.
func (s *apiSite) person(name string, r access.Role) *person {
	s.t.Helper()
	ctx := s.t.Context()
	s.newUser(name, r)
	s.n++ // from an address of their own: too many from one must wait
	secret, _, err := s.parts.access.Login(ctx, name, password, "", fmt.Sprintf("127.1.%d.%d", s.n>>8, s.n&255), "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return &person{name, func(_ context.Context, r *http.Request) error {
		r.AddCookie(&http.Cookie{Name: "dialtone", Value: secret})
		return nil
	}}
}

// client returns one of the console's port of a daemon which checks everything against the document, and proves nothing.
func (s *apiSite) client(o *office) *api.Client {
	s.t.Helper()
	c, err := api.NewClient("http://"+o.parts.consoleAddr()+"/api/v1", api.WithHTTPClient(&http.Client{Transport: (*checked)(s)}))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// checked is the transport of such a client.
type checked apiSite

func (x *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	id, found := x.contract.Response(r.Method, strings.TrimPrefix(r.URL.Path, "/api/v1"), resp.StatusCode, resp.Header.Get("Content-Type"), got)
	o := x.doc.operations[id]
	if o == nil {
		x.t.Errorf("%s %s is no operation of the document", r.Method, r.URL.Path)
		return resp, nil
	}
	if resp.StatusCode >= http.StatusBadRequest && resp.Header.Get("Content-Type") != "application/problem+json" {
		x.t.Errorf("%s answers %d as %s, want a problem", id, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	for _, v := range found {
		x.t.Errorf("%s answers %d, which isn't as the document has it: %s %s\n%.500s", id, resp.StatusCode, v.Pointer, v.Text, got)
	}
	if resp.StatusCode < http.StatusBadRequest {
		for _, v := range x.contract.Request(o.method+" "+o.path, sent) {
			x.t.Errorf("%s takes what isn't as the document has it: %s %s\n%s", id, v.Pointer, v.Text, sent)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.seen[id] = true
	}
	return resp, nil
}

// try sends one request and returns the answer.
func (s *apiSite) try(c call, edit ...api.RequestEditorFn) (int, []byte) {
	s.t.Helper()
	resp, err := c(edit...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// prepared returns what a request was answered that a case needs to have been made before it.
func prepared[T any](s *apiSite) func(*http.Response, error) T {
	return func(resp *http.Response, err error) (x T) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= http.StatusBadRequest {
			s.t.Fatalf("prepare: %d %s, %v", resp.StatusCode, body, err)
		}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &x); err != nil {
				s.t.Fatalf("prepare: %s: %v", body, err)
			}
		}
		return x
	}
}

// mac makes up the MAC of an Aastra.
func (s *apiSite) mac() string {
	s.n++
	return fmt.Sprintf("00:08:5d:77:%02x:%02x", s.n>>8, s.n&255)
}

// name makes up a name.
func (s *apiSite) name() string {
	s.n++
	return fmt.Sprintf("made-up-%d", s.n)
}

// phone makes a phone with a secret.
func (s *apiSite) newPhone() api.Phone {
	s.t.Helper()
	return prepared[api.PhoneResult](s)(s.root.CreatePhone(s.t.Context(), nil, api.NewPhone{
		Mac: s.mac(), Label: "Desk", Vendor: "Aastra", Model: "6730i", Plugin: "aastra-67xx-3.3.1", Config: "autocreate",
		Override: map[string]any{"admin_password": planted + "phone"},
	})).Phone
}

// waiting makes a phone that has asked, by HTTP, and waits for approval.
func (s *apiSite) waiting() (mac string) {
	s.t.Helper()
	mac = s.mac()
	s.get(s.leased(mac, aastraClass), "/"+strings.ToUpper(strings.ReplaceAll(mac, ":", ""))+".cfg", agent("3.3.1.4365", mac))
	return mac
}

// leased gets an address for a MAC, and waits until what follows of that beside the answer has followed.
func (s *apiSite) leased(mac, class string) netip.Addr {
	s.t.Helper()
	addr := s.lease(mac, class)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if slices.ContainsFunc(s.parts.pipeline.Journal.Recent(0), func(o *provision.Outcome) bool {
			return o.Request.Proto == provision.DHCP && o.Identity.HW.String() == mac
		}) {
			return addr
		}
	}
	s.t.Fatalf("the lease of %s was never observed", mac)
	return addr
}

// config makes one with secrets, that nobody uses.
func (s *apiSite) newConfig() (id string) {
	s.t.Helper()
	id = s.name()
	for _, label := range []string{"first", "second"} {
		prepared[api.ConfigChange](s)(s.root.PutConfig(s.t.Context(), id, nil, api.NewConfig{Label: label, Params: s.params(label)}))
	}
	return id
}

func (s *apiSite) params(label string) map[string]any {
	return map[string]any{"admin_password": planted + label, "sip_lines": map[string]any{"1": map[string]any{"username": label, "password": planted + "line"}}}
}

// sighting is a device that has a lease, asked for something and wasn't added.
func (s *apiSite) sighting() (mac string) {
	s.t.Helper()
	mac = s.mac()
	s.get(s.leased(mac, "MSFT 5.0"), "/favicon.ico", "Mozilla/5.0")
	return mac
}

// totp is the code of an authenticator (RFC 6238).
func totp(secret []byte, now time.Time) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/30)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:])&0x7fffffff%1_000_000)
}
