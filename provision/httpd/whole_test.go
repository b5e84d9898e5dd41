package httpd

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// inHand is a body in memory, as the pipeline's are.
type inHand struct{ *bytes.Reader }

func (inHand) Close() error { return nil }

// TestWholeFile: a file in memory that is sent without http.ServeContent comes with the same headers as one that is sent
// by it, which a condition that can't hold brings about. Any condition does.
func TestWholeFile(t *testing.T) {
	t.Parallel()
	content := ""
	h := serving(nil)
	h.OnHandle = func(*provision.Request) (*provision.Answer, error) {
		a := answerOf(content)
		a.Type, a.Body = "text/plain; charset=utf-8", inHand{bytes.NewReader([]byte(content))}
		a.ModTime = time.Time{} // what is rendered has none
		return a, nil
	}
	s := start(t, h, func(s *Server) { s.PeerConnections = 100 })
	for _, size := range []int{0, 1, 1769, 5000, 100_000} {
		content = strings.Repeat("x", size)
		whole := ask(t, s, get("/a"))
		if _, d := h.last(t); whole.StatusCode != http.StatusOK || whole.content != content || d.Bytes != int64(size) || d.Err != nil {
			t.Errorf("%d bytes: status %d, %d bytes, delivery %+v", size, whole.StatusCode, len(whole.content), d)
		}
		etag := whole.Header.Get("ETag")
		for _, c := range []struct {
			condition string
			status    int
		}{
			{`If-None-Match: "another"`, 200},
			{"If-None-Match: " + etag, 304},
			{"If-Match: " + etag, 200},
			{`If-Match: "another"`, 412},
			{"If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT", 200},
			{"If-Unmodified-Since: Sun, 01 Mar 2026 12:00:00 GMT", 200},
			{"If-Range: " + etag, 200},
			{"Range: bytes=0-", map[bool]int{true: 206, false: 200}[size > 0]},
			{"range: bytes=7000-", map[bool]int{true: 206, false: map[bool]int{true: 416, false: 200}[size > 0]}[size > 7000]},
		} {
			got := ask(t, s, get("/a", c.condition))
			h.last(t)
			if got.StatusCode != c.status {
				t.Errorf("%d bytes, %s: status %d, want %d", size, c.condition, got.StatusCode, c.status)
			}
			if got.StatusCode != http.StatusOK {
				continue
			}
			got.Header.Del("Date")
			whole.Header.Del("Date")
			if diff := cmp.Diff(got.Header, whole.Header); diff != "" || got.content != content {
				t.Errorf("%d bytes, %s: headers (-by ServeContent +without): %s", size, c.condition, diff)
			}
		}
		head := ask(t, s, strings.Replace(get("/a"), "GET", "HEAD", 1))
		h.last(t)
		if head.content != "" || head.Header.Get("Content-Length") != strconv.Itoa(size) {
			t.Errorf("HEAD of %d bytes: %d bytes, headers %v", size, len(head.content), head.Header)
		}
	}
}
