package hwaddr_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

func TestParse(t *testing.T) {
	t.Parallel()
	want := hwaddr.Addr{0x00, 0x15, 0x65, 0xaa, 0xbb, 0xcc}
	for _, s := range []string{
		"00:15:65:aa:bb:cc", "00-15-65-AA-BB-CC", "001565aabbcc", "001565AABBCC", "0015.65aa.bbcc", "00 15 65 aa bb cc", "0015:65aa:bbcc", "001565-aabbcc",
	} {
		got, err := hwaddr.Parse(s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "00:15:65:aa:bb", "00:15:65:aa:bb:cc:dd", "00:15-65:aa:bb:cc", "0:15:65:aa:bb:cc", "g01565aabbcc", "001565aabbc",
		"00:15:65:aabb:cc", ":001565aabbcc", "001565aabbcc:", "000000000000", "00::1565aabbcc", strings.Repeat("0", 4096),
		"0015.65aa:bbcc", "é01565aabbcc",
	} {
		if got, err := hwaddr.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", s, got)
		}
	}
}

func TestParsePrintIsIdentity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := hwaddr.Addr(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "bytes"))
		if a.IsZero() {
			t.Skip("the zero address has no text")
		}
		sep := rapid.SampledFrom([]string{"", ":", "-", ".", " "}).Draw(t, "sep")
		text := a.Join(sep)
		if rapid.Bool().Draw(t, "upper") {
			text = strings.ToUpper(text)
		}
		got, err := hwaddr.Parse(text)
		if err != nil || got != a {
			t.Fatalf("Parse(%q) = %v, %v; want %v", text, got, err, a)
		}
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	var a hwaddr.Addr
	if got := a.String(); got != "" {
		t.Errorf("zero address prints %q, want nothing", got)
	}
	if err := a.UnmarshalText([]byte("0015.65aa.bbcc")); err != nil {
		t.Fatal(err)
	}
	if got, want := a.OUI(), "00:15:65"; got != want {
		t.Errorf("OUI() = %q, want %q", got, want)
	}
	if err := a.UnmarshalText(nil); err != nil || !a.IsZero() {
		t.Errorf("empty text: %v, %v; want the zero address", a, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"00:15:65:aa:bb:cc", "0015.65aa.bbcc", "x", "::::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := hwaddr.Parse(s)
		if err != nil {
			return
		}
		if b, err := hwaddr.Parse(a.String()); err != nil || b != a {
			t.Errorf("Parse(%q) = %v, which reads back as %v, %v", s, a, b, err)
		}
	})
}
