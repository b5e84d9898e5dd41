package httpd

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// FuzzTarget: whatever is asked for, a path stays below its root, and what is kept of the target is fit to be shown.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"/aastra.cfg", "//x", "/%2e%2e/x", "/%252e%252e/x", "/..%5cx", "/a%00", "/a?b", "?", "", "*", "/", "/%zz", "/%",
		"http://h/x", "HTTP://h", "ftp://h/x", "://", "/\xff", "/a\nb", "/" + strings.Repeat("x", 600),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		clean, raw, err := path(target)
		if err != nil && !errors.Is(err, provision.ErrInvalid) {
			t.Fatalf("%q: an error without a kind: %v", target, err)
		}
		if err == nil && clean != "" && !filepath.IsLocal(clean) {
			t.Fatalf("%q: path %q", target, clean)
		}
		if len(raw) > maxField || strings.ContainsFunc(raw, unicode.IsControl) || strings.Contains(raw, "?token") {
			t.Fatalf("%q: raw %q", target, raw)
		}
	})
}

// BenchmarkSmallFile compares with net/http alone serving the same bytes.
func BenchmarkSmallFile(b *testing.B) {
	content := strings.Repeat("0123456789abcdef", 256)
	run := func(b *testing.B, url string) {
		b.Helper()
		transport := &http.Transport{MaxIdleConnsPerHost: 100}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		b.SetParallelism(10)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := client.Get(url)
				if err != nil {
					b.Error(err)
					return
				}
				n, _ := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if n != int64(len(content)) {
					b.Errorf("got %d bytes", n)
				}
			}
		})
	}
	b.Run("ours", func(b *testing.B) {
		h := quietHandler{content}
		s := start(b, h, func(s *Server) { s.PeerConnections = 1000 })
		run(b, "http://"+s.LocalAddr().String()+"/f")
	})
	b.Run("net-http", func(b *testing.B) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "f.xml", modified, strings.NewReader(content))
		}))
		defer s.Close()
		run(b, s.URL)
	})
}
