package web

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/dialtone-project/dialtone/provision/access"
)

// MetricKind is how a metric's values come about.
type MetricKind string

// The kinds.
const (
	Counter   MetricKind = "counter" // only rises
	Gauge     MetricKind = "gauge"
	Histogram MetricKind = "histogram"
)

// Metric is one metric with all its values, in the words of Prometheus. No label may tell of one phone: labels have few
// values, and none that a stranger can choose.
type Metric struct {
	Name, Help string
	Kind       MetricKind
	Samples    []Sample
}

// Sample is one value of a metric.
type Sample struct {
	Labels []string // names and values in turn
	Value  float64  // of a histogram: the sum of what was observed
	// Buckets are a histogram's: how many observations were at most that large, those of smaller buckets not counted again.
	// The last one has no bound.
	Buckets []Bucket
}

// Bucket is one of a histogram's.
type Bucket struct {
	Max float64
	N   uint64
}

// One returns a metric that has a single value.
func One(name, help string, kind MetricKind, value float64) Metric {
	return Metric{name, help, kind, []Sample{{Value: value}}}
}

// ByKey returns a metric with a value for each key of counts, in the keys' order, under a label.
func ByKey[K ~string, V int | uint64](name, help string, kind MetricKind, label string, counts map[K]V) Metric {
	m := Metric{Name: name, Help: help, Kind: kind}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		m.Samples = append(m.Samples, Sample{Labels: []string{label, strings.ReplaceAll(string(k), " ", "_")}, Value: float64(counts[k])})
	}
	return m
}

// writeMetrics writes the metrics in Prometheus' text format, version 0.0.4. Those without values are left out.
func writeMetrics(out io.Writer, metrics []Metric) error {
	w := bufio.NewWriter(out)
	help := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	for _, m := range metrics {
		if len(m.Samples) == 0 {
			continue
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", m.Name, help.Replace(m.Help), m.Name, m.Kind)
		for _, s := range m.Samples {
			if m.Kind == Histogram {
				writeHistogram(w, m.Name, s)
				continue
			}
			writeSample(w, m.Name, s.Labels, s.Value)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

func writeHistogram(w io.Writer, name string, s Sample) {
	var n uint64
	for i, b := range s.Buckets {
		n += b.N
		bound := "+Inf"
		if i < len(s.Buckets)-1 {
			bound = decimal(b.Max)
		}
		writeSample(w, name+"_bucket", append(slices.Clip(s.Labels), "le", bound), float64(n))
	}
	writeSample(w, name+"_sum", s.Labels, s.Value)
	writeSample(w, name+"_count", s.Labels, float64(n))
}

func writeSample(w io.Writer, name string, labels []string, value float64) {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	var pairs []string
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+escape.Replace(labels[i+1])+`"`)
	}
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	fmt.Fprintf(w, "%s %s\n", name, decimal(value)) // errors stay with the buffer and come with its Flush
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// tally counts the API's answers.
type tally struct {
	mu     sync.Mutex                   // guards what follows
	codes  map[string]uint64            // by status
	logins map[string]map[string]uint64 // by what a person proves themselves with, and by result
}

func (t *tally) add(path string, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin()
	t.codes[strconv.Itoa(status)]++
	results := t.logins[loginMethods()[strings.TrimPrefix(path, apiBase)]]
	if results == nil {
		return
	}
	switch {
	case status < http.StatusMultipleChoices:
		results["ok"]++
	case status == http.StatusUnauthorized:
		results["denied"]++
	case status == http.StatusTooManyRequests:
		results["throttled"]++
	default:
		results["failed"]++
	}
}

// begin has what is counted be there before it rises. t.mu is held.
func (t *tally) begin() {
	if t.codes != nil {
		return
	}
	t.codes, t.logins = map[string]uint64{"200": 0}, make(map[string]map[string]uint64)
	for _, method := range loginMethods() {
		t.logins[method] = map[string]uint64{"ok": 0, "denied": 0, "throttled": 0, "failed": 0}
	}
}

// loginMethods are what people prove themselves with, by the path.
func loginMethods() map[string]string {
	return map[string]string{"/login": "password", "/setup": "setup_code"}
}

func (t *tally) metrics() []Metric {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin()
	logins := Metric{Name: "dialtone_login_attempts_total", Help: "Attempts of people to sign in, by what they came to.", Kind: Counter}
	for _, method := range slices.Sorted(maps.Keys(t.logins)) {
		for _, result := range slices.Sorted(maps.Keys(t.logins[method])) {
			logins.Samples = append(logins.Samples, Sample{
				Labels: []string{"method", method, "result", result}, Value: float64(t.logins[method][result]),
			})
		}
	}
	return []Metric{
		ByKey("dialtone_api_requests_total", "Answers of the administration API, by HTTP status.", Counter, "code", t.codes),
		logins,
	}
}

// counted counts what h answers.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		defer func() { s.tally.add(r.URL.Path, c.code) }()
		h.ServeHTTP(c, r)
	})
}

// codeWriter remembers the status of an answer.
type codeWriter struct {
	http.ResponseWriter

	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *codeWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serveMetrics answers GET /metrics to who may look on.
func (s *Server) serveMetrics(who func(*http.Request) (access.Actor, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := who(r)
		if err == nil {
			err = a.May(access.Read)
		}
		if err != nil {
			s.problem(w, r, err)
			return
		}
		var metrics []Metric
		if s.Metrics != nil {
			if metrics, err = s.Metrics(r.Context()); err != nil {
				s.problem(w, r, err)
				return
			}
		}
		metrics = slices.Concat(metrics, s.tally.metrics(), s.bus.metrics())
		if s.Access != nil {
			metrics = append(metrics, One("dialtone_sessions", "People who are signed in.", Gauge, float64(len(s.Access.Sessions("")))))
		}
		metrics = append(metrics, runtimeMetrics()...)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_ = writeMetrics(w, metrics) // the client is gone if this fails
	})
}

// runtimeMetrics are of the process, under the names that Go programs give them.
func runtimeMetrics() []Metric {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return []Metric{
		One("go_goroutines", "Goroutines that exist.", Gauge, float64(runtime.NumGoroutine())),
		One("go_memstats_heap_alloc_bytes", "Bytes of objects on the heap.", Gauge, float64(m.HeapAlloc)),
		One("go_memstats_sys_bytes", "Bytes that were obtained from the system.", Gauge, float64(m.Sys)),
	}
}

// operational puts on a face what programs that watch over the appliance ask for.
func (s *Server) operational(e *echo.Echo, metrics http.Handler) {
	e.GET("/metrics", echo.WrapHandler(metrics))
	e.GET("/healthz", echo.WrapHandler(http.HandlerFunc(s.serveHealth)))
	e.GET("/readyz", echo.WrapHandler(http.HandlerFunc(s.serveReady)))
}
