package api_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/web/api"
)

// What is wrong with a body is said in the words of JSON, with what there is to choose from.
func TestViolations(t *testing.T) {
	t.Parallel()
	contract, err := api.ReadContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ operation, body, pointer, text string }{
		{"PATCH /networks/{network}", `{"rivals": "alow"}`, "/rivals", "want refuse, allow or null"},
		{"PATCH /networks/{network}", `{"rivals": 1}`, "/rivals", "want string or null"},
		{"PATCH /networks/{network}", `{"rivals": null}`, "", ""},
		{"PATCH /networks/{network}", `{"provisioning": {"guard": "lax"}}`, "/provisioning/guard", "want strict, balanced, legacy or null"},
		{"PATCH /networks/{network}", `{"shorten_at": 101}`, "/shorten_at", "101 is out of bounds: want 0 to 100"},
		{"PATCH /networks/{network}", `{"lease": {"default": -1}}`, "/lease/default", "-1 is out of bounds: want 0 to 4294967295"},
		{"PUT /users/{user}/role", `{"role": null}`, "/role", "want string"},
		{"PUT /users/{user}/role", `{"role": "king"}`, "/role", "want owner, operator, helpdesk or viewer"},
	} {
		var want []api.Violation
		if c.text != "" {
			want = []api.Violation{{Pointer: c.pointer, Text: c.text}}
		}
		if diff := cmp.Diff(want, contract.Request(c.operation, []byte(c.body))); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.operation, c.body, diff)
		}
	}
}

// A parameter that nobody knows is no parameter that was left out, and a form is no JSON.
func TestQueryAndType(t *testing.T) {
	t.Parallel()
	contract, err := api.ReadContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ operation, query, pointer, want string }{
		{"POST /phones/{phone}/retire", "dry_run=true", "", ""},
		{"POST /phones/{phone}/retire", "dryrun=true", "/dryrun", "there is no such parameter; there are dry_run"},
		{"POST /phones/{phone}/retire", "dry_run=perhaps", "/dry_run", `want true or false, not "perhaps"`},
		{"GET /phones", "limit=1&sort=mac&cursor=x&filter=y", "", ""},
		{"GET /phones", "limit=1001", "/limit", "1001 is out of bounds: want 0 to 1000"},
		{"GET /phones", "limit=many", "/limit", `want a whole number, not "many"`},
		{"GET /phones", "limit=9223372036854775808", "/limit", `want a whole number, not "9223372036854775808"`},
		{"GET /phones", "limit=1&limit=2", "/limit", "it is given more than once"},
		{"GET /phones", "sort=" + strings.Repeat("x", 65), "/sort", "want at most 64 characters"},
		{"GET /phones/{phone}/offer", "params=1&params=66", "", ""},
		{"GET /version", "x=1", "/x", "there is no such parameter; there are none"},
	} {
		values, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		var want []api.Violation
		if c.want != "" {
			want = []api.Violation{{Pointer: c.pointer, Text: c.want}}
		}
		if diff := cmp.Diff(want, contract.Query(c.operation, values)); diff != "" {
			t.Errorf("%s?%s (-want +got):\n%s", c.operation, c.query, diff)
		}
	}
	for kind, want := range map[string]bool{
		"": true, "application/json": true, "application/json; charset=utf-8": true, "text/plain": false, "application/x-www-form-urlencoded": false, ";": false,
	} {
		if got := contract.Takes("POST /phones", kind); got != want {
			t.Errorf("%q: got %t, want %t", kind, got, want)
		}
	}
	for operation, want := range map[string]bool{"PATCH /phones/{phone}": true, "PATCH /configs/{config}": true, "PUT /phones/{phone}": false, "POST /phones": false} {
		if got := contract.Takes(operation, "application/merge-patch+json"); got != want {
			t.Errorf("%s of a merge patch: got %t, want %t", operation, got, want)
		}
	}
	if !contract.Takes("POST /phones/{phone}/retire", "text/plain") {
		t.Error("the type of a body that nobody asked for matters")
	}
}

// The document is served as JSON, and says the same there.
func TestDocumentJSON(t *testing.T) {
	t.Parallel()
	data, err := api.DocumentJSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || doc.OpenAPI != "3.1.0" || doc.Paths["/phones/{phone}/approve"]["post"] == nil {
		t.Errorf("%v, version %q, %d paths", err, doc.OpenAPI, len(doc.Paths))
	}
}
