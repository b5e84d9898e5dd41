package web_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web"
)

func TestMetricsFormat(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := web.WriteMetrics(&b, []web.Metric{
		{Name: "a_total", Help: "One\nof \\ two.", Kind: web.Counter, Samples: []web.Sample{
			{Labels: []string{"x", "quote \" line\nback\\"}, Value: 1e15}, {Labels: []string{"x", "", "y", "z"}, Value: 0.25},
		}},
		{Name: "left_out", Help: "Nothing.", Kind: web.Gauge},
		{Name: "took_seconds", Help: "Time.", Kind: web.Histogram, Samples: []web.Sample{{
			Value: 3.5, Buckets: []web.Bucket{{Max: 0.1, N: 2}, {Max: 1, N: 0}, {N: 1}},
		}}},
		web.One("b", "B.", web.Gauge, math.Inf(1)),
		web.ByKey("c", "C.", web.Gauge, "k", map[string]int{"two words": 2, "a": 1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# HELP a_total One\nof \\ two.
# TYPE a_total counter
a_total{x="quote \" line\nback\\"} 1e+15
a_total{x="",y="z"} 0.25
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 2
took_seconds_bucket{le="1"} 2
took_seconds_bucket{le="+Inf"} 3
took_seconds_sum 3.5
took_seconds_count 3
# HELP b B.
# TYPE b gauge
b +Inf
# HELP c C.
# TYPE c gauge
c{k="a"} 1
c{k="two_words"} 2
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// On the console's port the metrics are for who may look on; that the appliance is well, for anybody who reaches it.
func TestOperationalAccess(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.Metrics = func(context.Context) ([]web.Metric, error) {
		return []web.Metric{web.One("dialtone_x", "X.", web.Gauge, 1)}, nil
	}
	o.Ready = func() []web.Part { return []web.Part{{Name: "store", Ready: true}, {Name: "dhcp"}} }
	o.user(t, "desk", access.Owner)
	o.user(t, "vic", access.Viewer)
	get := func(path, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.ConsoleAddr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	narrow := o.token(t, "desk", access.PhonesWrite)
	reader := o.token(t, "vic", access.Read)
	for _, tt := range []struct {
		path, token string
		status      int
		want        string
	}{
		{"/metrics", "", http.StatusUnauthorized, "not signed in"},
		{"/metrics", "dialtone_pat_wrong", http.StatusUnauthorized, "not signed in"},
		{"/metrics", narrow, http.StatusForbidden, "read"},
		{"/metrics", reader, http.StatusOK, "dialtone_x 1"},
		{"/healthz", "", http.StatusOK, `"ok"`},
		{"/readyz", "", http.StatusServiceUnavailable, `"missing":["dhcp"]`},
	} {
		status, body := get(tt.path, tt.token)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("GET %s with token %.16q: got %d %s, want %d and %s", tt.path, tt.token, status, body, tt.status, tt.want)
		}
	}
	o.ask(t, http.MethodPost, "/login", `{"name": "desk", "password": "wrong"}`, nil)
	if _, body := get("/metrics", reader); !strings.Contains(body, `dialtone_login_attempts_total{method="password",result="denied"} 1`) ||
		!strings.Contains(body, `dialtone_api_requests_total{code="401"} 1`) {
		t.Errorf("a failed sign-in isn't counted:\n%s", body)
	}
}
