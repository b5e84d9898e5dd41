package plugins_test

import (
	"html"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// TestBehaviour: what the ancestor's own tests say of URLs that files have, kept or answered by something better.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	t.Run("U26", func(t *testing.T) { t.Parallel(); directoryURLs(t) })
}

// directoryURLs: the directory's URL is made of its host and of whose phone it is, and of neither alone. Prefixes and
// suffixes of its query there are none: who wants another URL says it whole.
func directoryURLs(t *testing.T) {
	const user, book = "X_xivo_user_uuid", "X_xivo_phonebook_ip"
	entries := map[string]string{"aastra-67xx-": "input/default/aastra", "cisco-79xx-": "menu/default/cisco"}
	for _, p := range all(t) {
		entry := ""
		for prefix, e := range entries {
			if strings.HasPrefix(string(p.ID()), prefix) {
				entry = e
			}
		}
		if entry == "" {
			t.Errorf("%s: this test doesn't know its directory's entry point", p.ID())
		}
		for name, c := range map[string]struct {
			params provision.Params
			want   string // empty: no URL
		}{
			"minimal": {provision.Params{book: "192.0.2.8", user: "u-1"}, "http://192.0.2.8:9498/0.1/directories/" + entry + "?xivo_user_uuid=u-1"},
			"https and port": {
				provision.Params{book: "book.example", user: "u-1", "X_xivo_phonebook_scheme": "https", "X_xivo_phonebook_port": int64(443)},
				"https://book.example:443/0.1/directories/" + entry + "?xivo_user_uuid=u-1",
			},
			"another": {provision.Params{book: "192.0.2.8", user: "u-1", "phonebook_url": "http://192.0.2.9/x?a=1&b=2"}, "http://192.0.2.9/x?a=1&b=2"},
			"no host": {provision.Params{user: "u-1"}, ""},
			"no user": {provision.Params{book: "192.0.2.8"}, ""},
		} {
			if err := provision.Check(c.params); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range templated(p) {
				d := provision.Device{Plugin: p.ID(), HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: p.Models()[0]}
				file, err := fetchRoute(p, r, d, c.params)
				if err != nil {
					t.Fatalf("%s %s: %v", p.ID(), r.Template, err)
				}
				got = append(got, settings(html.UnescapeString(string(file)), "directory script: ", "<directoryURL>")...)
			}
			if len(got) == 0 || strings.Join(got, "") != strings.Repeat(c.want, len(got)) {
				if c.want != "" || len(got) > 0 {
					t.Errorf("%s, %s: got %q, want %q", p.ID(), name, got, c.want)
				}
			}
		}
	}
}

// settings returns the values of a setting in a file: what follows its name in a line, up to the next tag.
func settings(file string, names ...string) (values []string) {
	for line := range strings.Lines(file) {
		for _, name := range names {
			if _, v, ok := strings.Cut(line, name); ok {
				v, _, _ = strings.Cut(strings.TrimSpace(v), "</")
				values = append(values, v)
			}
		}
	}
	return values
}
