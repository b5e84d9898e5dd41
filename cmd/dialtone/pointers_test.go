package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// What is wrong with a field is told with the field's pointer, whoever finds it: the document, the use case or the store.
func TestFaultsHavePointers(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.known("00:08:5d:00:00:07")
	client := http.Client{Transport: &http.Transport{DialContext: (&app{state: o.state}).dialSocket}}
	for _, tt := range []struct{ method, path, body, want string }{
		{http.MethodPut, "/configs/new", `{"parents":["base","none"],"params":{"vlan_idd":3,"sip_codecs":["mp3"]}}`, "/params/sip_codecs/0 /params/vlan_idd /parents/1"},
		{http.MethodPut, "/configs/new?dry_run=true", `{"role":"king","params":{"sip_lines":{"1":{"password":"[secret]"}}}}`, "/params/sip_lines/1/password /role"},
		{http.MethodPut, "/configs/..x", `{}`, "/id"},
		{http.MethodPatch, "/configs/base", `{"params":{"vlan_id":5000}}`, "/params/vlan_id"},
		{http.MethodPatch, "/configs/base", `{"parents":["autocreate"]}`, "/parents"},
		{http.MethodPatch, "/phones/00:08:5d:00:00:07", `{"override":{"vlan_id":5000}}`, "/override/vlan_id"},
		{http.MethodPost, "/users", `{"name":"kim ","role":"viewer","password":"four blue teapots"}`, "/name"},
		{http.MethodPost, "/users", `{"name":"kim","role":"viewer","password":"short"}`, "/password"},
		{http.MethodPost, "/tokens", `{"name":"x","scopes":["read"]}`, "/user"},
		{http.MethodPost, "/explain", `{"proto":"http","path":"x","from":"nowhere"}`, "/from"},
		{http.MethodPost, "/lease-events", `{"event":"bound","mac":"zz","ip":"127.0.0.9"}`, "/mac"},
		{http.MethodPost, "/lease-events", `{"event":"bound","mac":"00:08:5d:00:00:07","ip":"here"}`, "/ip"},
		{http.MethodPost, "/lease-events", `{"event":"bound","mac":"00:08:5d:00:00:07","ip":"127.0.0.9","client_id":"xyz"}`, "/client_id"},
		{http.MethodPost, "/lease-events", `{"event":"bound","ip":"127.0.0.9"}`, "/mac"},
		{http.MethodPost, "/lease-events", `{"event":"bound","mac":"00:08:5d:00:00:07","ip":"::1"}`, "/ip"},
		{http.MethodPost, "/explain", `{"proto":"http","path":"x","from":"::1"}`, "/from"},
		{http.MethodPost, "/asides", `{"key":"whatever"}`, "/key"},
		{http.MethodGet, "/phones/00:08:5d:00:00:99/offer", ``, "/network"},
		{http.MethodGet, "/phones/00:08:5d:00:00:07/offer?relay=here", ``, "/relay"},
		{http.MethodGet, "/phones/00:08:5d:00:00:07/offer?params=0", ``, "/params"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://dialtone"+apiPath+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p api.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		var pointers []string
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		slices.Sort(pointers)
		bad := resp.StatusCode != http.StatusUnprocessableEntity && resp.StatusCode != http.StatusBadRequest
		if got := strings.Join(pointers, " "); err != nil || bad || got != tt.want {
			t.Errorf("%s %s %s: %d, %v, pointers %q, want %q: %s", tt.method, tt.path, tt.body, resp.StatusCode, err, got, tt.want, p.Detail)
		}
	}
}
