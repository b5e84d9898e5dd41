package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// A phone's files are shown as it gets them, but for the passwords.
func TestRender(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac, file = "00:08:5d:00:00:07", "00085D000007.cfg"
	addr := o.lease(mac, aastraClass)
	status, body := o.get(addr, "/"+file, agent("3.3.1.4365", mac))
	if status != http.StatusOK {
		t.Fatalf("the phone gets %d", status)
	}
	c, err := (&app{state: o.state, env: func(string) string { return "" }}).client()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.ListFilesWithResponse(t.Context(), mac, nil)
	if err != nil || r.JSON200 == nil {
		t.Fatalf("files: %v, %s", err, r.Body)
	}
	var own api.PhoneFile
	for _, f := range r.JSON200.Files {
		if f.Path == file {
			own = f
		}
		if f.Text != "" {
			t.Errorf("%s: its text is in the list", f.Path)
		}
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); own.Sha256 != want || own.Size != int64(len(body)) || own.Class != "secret" {
		t.Errorf("got %+v, want %d bytes with the sum %s", own, len(body), want)
	}
	text, code := o.cli("phone", "render", mac, file)
	given, shown := strings.Split(body, "\n"), strings.Split(text, "\n")
	if code != 0 || len(given) != len(shown) {
		t.Fatalf("exit %d, got\n%s\nwant\n%s", code, text, body)
	}
	masked := 0
	for i := range given {
		if given[i] == shown[i] {
			continue
		}
		masked++
		if !strings.Contains(shown[i], "[secret]") {
			t.Errorf("got %q, want %q", shown[i], given[i])
		}
	}
	if masked == 0 {
		t.Error("no password is masked")
	}
	o.steps(
		step{[]string{"phone", "render", mac}, 0, file},
		step{[]string{"phone", "render", mac, "nosuch.cfg"}, exitNotFound, ""},
		step{[]string{"phone", "render", "00:08:5d:00:00:99"}, exitNotFound, ""},
	)
}

// The files of a phone that is known and has yet to ask for anything are those that it gets when it does.
func TestRenderBeforeItAsks(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac, file = "00:08:5d:00:00:09", "00085D000009.cfg"
	o.steps(
		step{[]string{"phone", "add", "00:08:5d:00:00:10"}, 0, ""},
		step{[]string{"phone", "render", "00:08:5d:00:00:10"}, 0, "It has no plugin yet"},
		step{[]string{"phone", "add", mac, "--plugin", "aastra-67xx-3.3.1", "--model", "6730i"}, 0, ""},
		step{[]string{"phone", "render", mac}, 0, file},
	)
	before, _ := o.cli("phone", "render", mac, file)
	status, _ := o.get(o.lease(mac, aastraClass), "/"+file, agent("3.3.1.4365", mac))
	after, code := o.cli("phone", "render", mac, file)
	if status != http.StatusOK || code != 0 || before != after {
		t.Errorf("the phone gets %d; before it, its file was\n%s\nafter it\n%s", status, before, after)
	}
}
