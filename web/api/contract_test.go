package api_test

import (
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
