package hook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hook"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// TestMain turns the test binary into the hook's program when it is called like one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as-program" {
		os.Exit(program(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

func program(what string, args []string) int {
	switch what {
	case "record": // input, environment and folder, as JSON, into a file
		in, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 2
		}
		dir, _ := os.Getwd()
		out, _ := json.Marshal(map[string]any{"in": string(in), "env": os.Environ(), "dir": dir, "args": args[1:]})
		if err := os.WriteFile(args[0], out, 0o600); err != nil {
			return 2
		}
		fmt.Print("done\x1b[31m")
	case "refuse":
		fmt.Print(strings.Repeat("no\n", 100_000))
		return 3
	case "ignore": // ends without reading
	case "hang":
		select {}
	case "linger":
		<-time.After(3 * time.Second)
	case "leave": // a child holds the output and outlives its parent
		child := exec.Command(os.Args[0], "as-program", args[0])
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 2
		}
		if args[0] == "hang" {
			select {}
		}
	}
	return 0
}

func sample() lease.Event {
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	prev := lease.Lease{
		Addr: netip.MustParseAddr("192.0.2.10"), Network: "voice",
		Client: lease.Client{HW: hwaddr.MustParse("00:04:f2:00:00:01")},
		State:  lease.Expired, Origin: lease.Pool, Start: start.Add(-9 * time.Hour), Expiry: start.Add(-time.Hour), Rev: 2,
	}
	next := lease.Lease{
		Addr: prev.Addr, Network: "voice",
		Client: lease.Client{
			HW: hwaddr.MustParse("00:15:65:00:00:07"), ID: "\x01\x00\x15", VendorClass: "yealink\x00", UserClass: `a\b`,
			Hostname: "desk\n\x1b[31m $(reboot) ü\xff", Circuit: "\x00\x04\x00\x65", Remote: "switch 2",
		},
		State: lease.Bound, Origin: lease.Reserved, Start: start, Expiry: start.Add(8 * time.Hour), Rev: 3,
	}
	return lease.Event{Seq: 41, At: start, Kind: lease.KindBound, Lease: next, Prev: prev}
}

const document = `{"seq":41,"at":"2026-03-01T08:00:00Z","event":"bound","ip":"192.0.2.10","mac":"00:15:65:00:00:07",` +
	`"network":"voice","state":"bound","origin":"reserved","hostname":"desk\\x0a\\x1b[31m $(reboot) ü\\xff",` +
	`"vendor_class":"yealink\\x00","user_class":"a\\\\b","client_id":"010015","circuit":"\\x00\\x04\\x00e",` +
	`"remote":"switch 2","start":"2026-03-01T08:00:00Z","expiry":"2026-03-01T16:00:00Z",` +
	`"previous":{"ip":"192.0.2.10","mac":"00:04:f2:00:00:01","network":"voice","state":"expired","origin":"pool",` +
	`"start":"2026-02-28T23:00:00Z","expiry":"2026-03-01T07:00:00Z"}}` + "\n"

// logs collects what is logged.
type logs struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var _ func(context.Context, lease.Event) error = new(hook.Hook).Deliver // what lease.Follow wants

func self(t *testing.T, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe, "as-program"}, args...)
}

func TestEvent(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(hook.NewEvent(sample()))
	if err != nil {
		t.Fatal(err)
	}
	// json.Marshal writes what HTML would misread as \u003c and so on; none is in here.
	if d := cmp.Diff(document, string(got)+"\n"); d != "" {
		t.Errorf("document (-want +got):\n%s", d)
	}
	bare, err := json.Marshal(hook.NewEvent(lease.Event{
		Seq: 1, At: sample().At, Kind: lease.KindDeclined,
		Lease: lease.Lease{Addr: netip.MustParseAddr("192.0.2.9"), State: lease.Declined, Origin: lease.Pool},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"seq":1,"at":"2026-03-01T08:00:00Z","event":"declined","ip":"192.0.2.9","state":"declined","origin":"pool"}`
	if string(bare) != want {
		t.Errorf("got %s, want %s", bare, want)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seen")
	var log logs
	h := &hook.Hook{Name: "pbx", Exec: self(t, "record", file, "$HOME; `id`"), Log: log.logger()}
	if err := h.Deliver(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		In   string
		Env  []string
		Dir  string
		Args []string
	}
	if err := json.Unmarshal(raw, &seen); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(document, seen.In); d != "" {
		t.Errorf("input (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"$HOME; `id`"}, seen.Args); d != "" {
		t.Errorf("arguments (-want +got):\n%s", d)
	}
	for _, kv := range seen.Env {
		switch k, _, _ := strings.Cut(kv, "="); k {
		case "PATH", "LANG", "DIALTONE_HOOK", "PWD": // os/exec sets PWD to the folder
		default:
			t.Errorf("got %q in the environment, want only what we mean to give", kv)
		}
	}
	if seen.Dir != "/" {
		t.Errorf("got folder %s, want /", seen.Dir)
	}
	if got := log.String(); strings.Contains(got, "\x1b") || !strings.Contains(got, "x1b[31m") {
		t.Errorf("got log %q, want the output, escaped", got)
	}
	if got, want := h.Counts(), (hook.Counts{Delivered: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestExecRefuses(t *testing.T) {
	t.Parallel()
	var log logs
	h := &hook.Hook{Name: "pbx", Exec: self(t, "refuse"), Log: log.logger()}
	h.SetPause(time.Millisecond)
	if err := h.Deliver(t.Context(), sample()); err != nil {
		t.Fatalf("got error %v, want nil: the event is skipped", err)
	}
	if got, want := h.Counts(), (hook.Counts{Failed: 5, Skipped: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := log.String(); len(got) > 12_000 || !strings.Contains(got, "exit status 3") {
		t.Errorf("got a log of %d bytes, want the status and a bounded output: %.300s", len(got), got)
	}
}

func TestExecDoesNotRead(t *testing.T) {
	t.Parallel()
	h := &hook.Hook{Name: "pbx", Exec: self(t, "ignore"), Log: slog.New(slog.DiscardHandler)}
	e := sample()
	e.Lease.Client.Hostname = strings.Repeat("x", 200_000) // more than a pipe holds
	if err := h.Deliver(t.Context(), e); err != nil || h.Counts().Delivered != 1 {
		t.Errorf("got error %v, counts %+v; want it delivered", err, h.Counts())
	}
}

func TestExecHangs(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"hang"}, {"leave", "hang"}} {
		h := &hook.Hook{Name: "pbx", Exec: self(t, args...), Timeout: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
		h.SetPause(time.Millisecond)
		begin := time.Now()
		if err := h.Deliver(t.Context(), sample()); err != nil {
			t.Fatal(err)
		}
		if got, want := h.Counts(), (hook.Counts{Failed: 5, Skipped: 1}); got != want {
			t.Errorf("%v: got %+v, want %+v", args, got, want)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%v: took %s", args, took)
		}
	}
}

func TestExecLeavesAChild(t *testing.T) {
	t.Parallel()
	h := &hook.Hook{Name: "pbx", Exec: self(t, "leave", "linger"), Log: slog.New(slog.DiscardHandler)}
	begin := time.Now()
	if err := h.Deliver(t.Context(), sample()); err != nil || h.Counts().Delivered != 1 {
		t.Errorf("got error %v, counts %+v; want it delivered", err, h.Counts())
	}
	if took := time.Since(begin); took > 2500*time.Millisecond {
		t.Errorf("took %s, want no wait for the child that holds the output", took)
	}
}

func TestExecIsAway(t *testing.T) {
	t.Parallel()
	h := &hook.Hook{Name: "pbx", Exec: []string{"/nonexistent/hook"}, Log: slog.New(slog.DiscardHandler)}
	if err := h.Deliver(t.Context(), sample()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want one that makes Follow come back", err)
	}
	if got, want := h.Counts(), (hook.Counts{Failed: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	key := hook.Key("s3cret key")
	var got http.Header
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, _ = io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/lease" {
			t.Errorf("got %s %s, want POST /lease", r.Method, r.URL.Path)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	var log logs
	h := &hook.Hook{Name: "pbx", URL: srv.URL + "/lease", Key: key, Log: log.logger()}
	if err := h.Deliver(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(document, string(body)); d != "" {
		t.Errorf("body (-want +got):\n%s", d)
	}
	if ct := got.Get("Content-Type"); ct != "application/json" {
		t.Errorf("got content type %q, want application/json", ct)
	}
	stamp, sum, ok := strings.Cut(strings.TrimPrefix(got.Get("X-Dialtone-Signature"), "t="), ",v1=")
	unix, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil || time.Since(time.Unix(unix, 0)).Abs() > time.Minute {
		t.Errorf("got signature %q, want the present time in it", got.Get("X-Dialtone-Signature"))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(stamp + "." + document))
	if want := hex.EncodeToString(mac.Sum(nil)); sum != want {
		t.Errorf("got signature %s, want %s", sum, want)
	}
	log.logger().Info("test", "key", key, "hook", fmt.Sprintf("%v %+v %#v %s", h.Key, h.Key, h.Key, h.Key))
	if strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), "115 51 99") {
		t.Errorf("got the key in the log: %s", log.String())
	}
	h.Key = nil
	if err := h.Deliver(t.Context(), sample()); err != nil || got.Get("X-Dialtone-Signature") != "" {
		t.Errorf("without a key: got error %v, signature %q", err, got.Get("X-Dialtone-Signature"))
	}
}

func TestPostAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer []int // the last one again and again
		away   bool
		want   hook.Counts
	}{
		{"taken", []int{200}, false, hook.Counts{Delivered: 1}},
		{"taken at last", []int{500, 404, 500, 201}, false, hook.Counts{Delivered: 1, Failed: 3}},
		{"refused", []int{400}, false, hook.Counts{Failed: 5, Skipped: 1}},
		{"redirected", []int{307}, false, hook.Counts{Failed: 5, Skipped: 1}},
		{"unavailable", []int{503}, true, hook.Counts{Failed: 1}},
		{"too many", []int{500, 429}, true, hook.Counts{Failed: 2}},
		{"no answer", []int{0}, false, hook.Counts{Failed: 5, Skipped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			n := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("the redirect was followed")
				}
				mu.Lock()
				code := c.answer[min(n, len(c.answer)-1)]
				n++
				mu.Unlock()
				if code == 0 {
					_, _ = io.Copy(io.Discard, r.Body)
					<-r.Context().Done()
					return
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(code)
				fmt.Fprint(w, strings.Repeat("\x1bsorry\n", 10_000))
			}))
			defer srv.Close()
			var log logs
			h := &hook.Hook{Name: "pbx", URL: srv.URL, Timeout: 200 * time.Millisecond, Log: log.logger()}
			h.SetPause(time.Millisecond)
			if err := h.Deliver(t.Context(), sample()); (err != nil) != c.away {
				t.Errorf("got error %v, want one: %v", err, c.away)
			}
			if got := h.Counts(); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got := log.String(); strings.Contains(got, "\x1b") || len(got) > 30_000 {
				t.Errorf("got a log of %d bytes, want it escaped and bounded", len(got))
			}
		})
	}
}

func TestPostIsAway(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(nil)
	url := srv.URL
	srv.Close()
	strange := httptest.NewUnstartedServer(nil) // its certificate is nobody's that we know
	strange.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	strange.StartTLS()
	defer strange.Close()
	for _, u := range []string{url, strange.URL, "http://bad\x7fname/"} {
		h := &hook.Hook{Name: "pbx", URL: u + "/?token=t0psecret", Log: slog.New(slog.DiscardHandler)}
		err := h.Deliver(t.Context(), sample())
		if err == nil || h.Counts().Skipped != 0 {
			t.Errorf("%s: got no error, counts %+v; want one that makes Follow come back", u, h.Counts())
		} else if strings.Contains(err.Error(), "t0psecret") {
			t.Errorf("%s: got error %v, want one without the URL's secrets", u, err)
		}
	}
}

func TestDeliverEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := &hook.Hook{Name: "pbx", Exec: self(t, "refuse"), Log: slog.New(slog.DiscardHandler)}
	h.SetPause(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := h.Deliver(ctx, sample()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want that of the context", err)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", "ü\\", "\x00\x1b[31m\n", "\xff\xfe", "\u202e\u00a0", "\\x41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := hook.Escape(s)
		for _, r := range out {
			if r < ' ' || r == 0x7f || r == 0xfffd && !strings.ContainsRune(s, 0xfffd) {
				t.Fatalf("got %q for %q, want it printable", out, s)
			}
		}
		var back []byte
		for i := 0; i < len(out); i++ {
			if out[i] != '\\' {
				back = append(back, out[i])
				continue
			}
			if i++; out[i] == '\\' {
				back = append(back, '\\')
				continue
			}
			b, err := hex.DecodeString(out[i+1 : i+3])
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, b...)
			i += 2
		}
		if string(back) != s {
			t.Errorf("got %q back from %q, want %q", back, out, s)
		}
	})
}
