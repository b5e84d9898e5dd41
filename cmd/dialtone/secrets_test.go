package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// place is somewhere that a secret mustn't be.
type place struct{ name, text string }

// After phones have booted, and everything that the API can do has been done, rightly and wrongly, no secret of the
// phones, the users or the programs is in the log, in the files beside the store, in the audit, the metrics, what verbs
// print, or any answer but those which are there to tell it.
func TestPlantedSecrets(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, func(s *configs.Settings) { s.Log.Level = slog.LevelDebug })
	ctx := t.Context()
	owner := s.people[access.Owner]
	mac, file := s.plantedPhone()
	_, token := prepareToken(s, owner)
	places := s.everything()
	places = append(places, s.mistakes()...)
	places = append(places, s.verbs(mac, file)...)

	asked := func(what string, resp *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place{what, string(body)})
	}
	resp, err := s.client(s.office).ListPhones(ctx, nil, header("Authorization", "Bearer "+token))
	asked("an answer to a token", resp, err)
	resp, err = s.root.ListAudit(ctx, &api.ListAuditParams{Limit: 1000})
	asked("the audit", resp, err)
	_, metrics := s.socket("/metrics")
	places = append(places, place{"the metrics", metrics})
	for _, o := range s.parts.pipeline.Journal.Recent(0) {
		places = append(places, place{"an outcome", fmt.Sprintf("%+v", o)})
	}
	s.stop()
	places = append(places, place{"the log", s.log.String()})
	places = append(places, beside(t, s.state)...)

	secrets := []string{planted, token}
	for _, p := range s.people {
		secrets = append(secrets, cookieOf(t, p))
	}
	for _, p := range places {
		for _, secret := range secrets {
			for form, text := range map[string]string{
				"": secret, " in base64": base64.StdEncoding.EncodeToString([]byte(secret)), " in hexadecimal": hex.EncodeToString([]byte(secret)),
			} {
				if i := strings.Index(p.text, text); i >= 0 {
					t.Errorf("a secret%s is in %s: …%s…", form, p.name, p.text[max(0, i-200):min(len(p.text), i+100)])
				}
			}
		}
	}
	if len(places) < 300 {
		t.Errorf("only %d places were looked into", len(places))
	}
}

// plantedPhone boots phones whose files have secrets in them, and shows that they are: else nothing would be shown by not
// finding them elsewhere.
func (s *apiSite) plantedPhone() (mac, file string) {
	s.t.Helper()
	ctx := s.t.Context()
	prepared[api.ConfigChange](s)(s.root.PutConfig(ctx, "desk", nil, api.NewConfig{Parents: []string{"base"}, Params: s.params("desk")}))
	mac = "00:08:5d:78:00:01"
	for model, x := range map[string]string{"6730i": mac, "7941G": "00:1b:54:78:00:01"} {
		prepared[api.PhoneResult](s)(s.root.CreatePhone(ctx, nil, api.NewPhone{
			Mac: x, Config: "desk", Override: map[string]any{"admin_password": planted + "boot", "user_password": planted + "user"},
		}))
		if _, err := s.office.phone(model, x).Boot(ctx); err != nil {
			s.t.Fatalf("%s: %v", model, err)
		}
	}
	addr := s.lease(mac, aastraClass)
	file = "/00085D780001.cfg"
	if status, body := s.get(addr, file, agent("3.3.1.4365", mac)); status != http.StatusOK || !strings.Contains(body, planted) {
		s.t.Fatalf("the phone's own file has no secret: %d %s", status, body)
	}
	// Somebody who isn't that phone, and a path that has a secret in it.
	s.get(s.leased(s.mac(), aastraClass), file, agent("3.3.1.4365", mac))
	if _, ok := s.rrq(s.lease("00:1b:54:78:00:01", ciscoClass), "SEP001B54780001.cnf.xml"); !ok {
		s.t.Error("no file by TFTP")
	}
	return mac, file
}

// prepareToken makes a token that may read, as a program has it.
func prepareToken(s *apiSite, p *person) (id, secret string) {
	s.t.Helper()
	created := prepared[api.CreatedAPIToken](s)(s.client(s.office).CreateAPIToken(s.t.Context(), nil, api.NewAPIToken{Name: "grep", Scopes: []string{"read"}}, p.as))
	return created.Token.ID, created.Secret
}

// everything does each operation as each of the people who may, and returns the answers.
func (s *apiSite) everything() (places []place) {
	s.t.Helper()
	cases := apiCases()
	for _, id := range slices.Sorted(maps.Keys(cases)) {
		c := cases[id]
		for _, role := range []access.Role{access.Owner, access.Helpdesk, access.Viewer} {
			if c.needs != own && c.needs != anybody && !slices.Contains(role.Scopes(), c.needs) {
				continue
			}
			if (c.needs == own || c.needs == anybody) && role != access.Owner && s.doc.operations[id].method != http.MethodGet {
				continue // it is about a person of its own, whoever does it
			}
			x, who := s.ready(&c)
			if x.by == nil {
				who = s.people[role]
			}
			_, body := s.try(x.call, who.as)
			if !slices.Contains(tellsAll(), id) {
				places = append(places, place{fmt.Sprintf("the answer of %s to the %s", id, role), string(body)})
			}
		}
	}
	return places
}

// mistakes sends what is wrong with secrets in it, and returns what it is told.
func (s *apiSite) mistakes() (places []place) {
	s.t.Helper()
	ctx := s.t.Context()
	owner, c := s.people[access.Owner].as, s.client(s.office)
	id, config := s.newPhone().ID, s.newConfig()
	const word = planted + "mistake"
	site := func(text string) call {
		return func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ApplySiteWithBody(ctx, nil, "application/vnd.dialtone.site+yaml", strings.NewReader(text), edit...)
		}
	}
	patch := func(text string) call {
		return func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.PatchPhoneWithBody(ctx, id, nil, "application/json", strings.NewReader(text), edit...)
		}
	}
	put := func(params map[string]any) call {
		return func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.PutConfig(ctx, config, nil, api.NewConfig{Params: params}, edit...)
		}
	}
	for name, x := range map[string]call{
		"a secret with a line break":         patch(`{"override":{"admin_password":"` + word + `\nx"}}`),
		"a secret that is an object":         patch(`{"override":{"admin_password":{"x":"` + word + `"}}}`),
		"a secret in a list":                 patch(`{"override":{"admin_password":["` + word + `"]}}`),
		"a secret in half a body":            patch(`{"override":{"admin_password":"` + word),
		"a secret that is too long":          patch(`{"override":{"admin_password":"` + strings.Repeat(word, 2000) + `"}}`),
		"a config with a broken secret":      put(map[string]any{"admin_password": word + "\x00"}),
		"a config with a secret for a line":  put(map[string]any{"sip_lines": map[string]any{"1": map[string]any{"password": map[string]any{"x": word}}}}),
		"a site with a broken secret":        site("configs:\n- {id: x, params: {admin_password: [" + word + "]}}\n"),
		"a site that is no YAML":             site("configs:\n- {id: x, params: {admin_password: " + word + "\n"),
		"a site whose phone is nobody":       site("devices:\n- {override: {admin_password: " + word + "}}\n"),
		"a site with a secret with a break":  site("configs:\n- {id: x, params: {admin_password: \"" + word + "\\n\"}}\n"),
		"a site with a doubled secret":       site("configs:\n- id: x\n  params:\n    admin_password: " + word + "\n    admin_password: " + word + "\n"),
		"a site with a secret in two places": site("configs:\n- {id: x, params: {admin_password: " + word + "}, params: {}}\n"),
		"a poor password": func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.CreateUser(ctx, nil, api.NewUser{Name: "planted", Password: planted[:8], Role: "viewer"}, edit...)
		},
		"a password in the place of the name": func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.Login(ctx, api.Credentials{Name: word + " !", Password: "x"}, edit...)
		},
		"a wrong password": func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.Login(ctx, api.Credentials{Name: "owner", Password: word}, edit...)
		},
		"a wrong code": func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.Setup(ctx, api.FirstOwner{Code: word, Name: "nobody", Password: word}, edit...)
		},
	} {
		status, body := s.try(x, owner)
		if status < http.StatusBadRequest {
			s.t.Errorf("%s is taken: %d %s", name, status, body)
		}
		places = append(places, place{"the answer to " + name, string(body)})
	}
	return places
}

// verbs returns what verbs print about a phone.
func (s *apiSite) verbs(mac, file string) (places []place) {
	s.t.Helper()
	addr := s.parts.table.ByHW(hwaddr.MustParse(mac))[0].Addr
	number := strconv.FormatUint(s.last(strings.TrimPrefix(file, "/")).Request.ID, 10)
	for _, args := range [][]string{
		{"phone", "show", mac, "--json"},
		{"phone", "list", "--json"},
		{"phone", "boots", mac, "--all"},
		{"phone", "drift", mac},
		{"config", "show", "desk", "--json"},
		{"config", "resolved", "desk"},
		{"config", "history", "desk"},
		{"config", "diff", "desk"},
		{"explain", "GET", file, "--from", addr.String()},
		{"requests", "--phone", mac},
		{"trace", number},
		{"replay", number},
		{"export"},
		{"user", "list", "--json"},
		{"token", "list", "--json"},
		{"session", "list", "--json"},
		{"audit", "--json"},
		{"problem", "list"},
	} {
		out, code := s.cli(args...)
		if code != 0 || out == "" {
			s.t.Errorf("%s: exit %d, %q", strings.Join(args, " "), code, out)
		}
		places = append(places, place{strings.Join(args, " "), out})
	}
	return places
}

// beside returns the files of the state folder, that of the store among them.
func beside(t *testing.T, dir string) (places []place) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err == nil && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			places = append(places, unpacked(t, rel, data)...)
			return nil
		}
		places = append(places, place{"the file " + rel, string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

// unpacked returns the files of a kept backup. The store in it is sealed, as the one beside it is.
func unpacked(t *testing.T, name string, data []byte) (places []place) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		places = append(places, place{"the file " + h.Name + " in " + name, string(text)})
	}
	if len(places) == 0 {
		t.Errorf("%s has nothing in it", name)
	}
	return places
}

// cookieOf is the secret of a person's session.
func cookieOf(t *testing.T, p *person) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", http.NoBody)
	if err == nil {
		err = p.as(t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Cookie("dialtone")
	if err != nil {
		t.Fatal(err)
	}
	return c.Value
}
