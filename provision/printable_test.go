package provision_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dialtone-project/dialtone/provision"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"Aastra6730i", "Aastra6730i"},
		{"Empfang Süd", "Empfang Süd"},
		{"a\nb\x1b[2J", `a\nb\x1b[2J`},
		{"\xff\x00", `\xff\x00`},
		{"right\u202eleft", `right\u202eleft`},
		{strings.Repeat("x", 300), strings.Repeat("x", 256) + "…"},
	} {
		if got := provision.Printable(tt.in); got != tt.want {
			t.Errorf("Printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := provision.Printable(strings.Repeat("é", 200)); !utf8.ValidString(got) {
		t.Errorf("a text cut within a character isn't UTF-8: %q", got)
	}
}
