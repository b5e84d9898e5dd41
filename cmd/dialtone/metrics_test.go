package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/dialtone-project/dialtone/configs"
)

// socket asks the daemon by its unix socket.
func (o *office) socket(path string) (status int, body string) {
	o.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(o.state, socketName))
	}}}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "http://dialtone"+path, http.NoBody)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// After phones have booted the metrics say so, in Prometheus' own manner, and nothing of one phone.
func TestMetrics(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, func(s *configs.Settings) { s.HTTP.TLS.Enabled = true })
	for model, mac := range map[string]string{"7941G": "00:1b:54:00:00:61", "6730i": "00:08:5d:00:00:61"} {
		if _, err := o.phone(model, mac).Boot(t.Context()); err != nil {
			t.Fatalf("%s: %v", model, err)
		}
	}
	status, body := o.socket("/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, body)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatalf("metrics can't be read: %v\n%s", err, body)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{
		`dialtone_dhcp_messages_total{direction="in",type="discover"} 2`, `dialtone_dhcp_messages_total{direction="out",type="ack"} 2`,
		`dialtone_dhcp_leases{network="sandbox",state="bound"} 2`, `dialtone_phones{state="new",vendor="Cisco"} 1`,
		`dialtone_phones{state="new",vendor="Aastra"} 1`, `dialtone_plugin_broken{plugin="aastra-67xx-3.3.1"} 0`,
		`dialtone_provision_duration_seconds_bucket{le="+Inf"}`, `dialtone_certificate_expiry_timestamp_seconds{name="authority"}`,
		`dialtone_tftp_transfers_total{result="not_found"}`, `dialtone_store_size_bytes`, `dialtone_problems{part="dhcp"}`, `dialtone_dhcp_pool_addresses{network="sandbox",`,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if found := regexp.MustCompile(`(?i)00:1b:54|001b54|00:08:5d|00085d|"127\.64\.\d+\.\d+"`).FindString(body); found != "" {
		t.Errorf("metrics tell of one phone: %s", found)
	}
	if t.Failed() {
		t.Log(body)
	}
}

// The daemon is ready when all its parts are, and says which aren't.
func TestReady(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	ready := func() (status int, parts, missing []string) {
		status, body := o.socket("/readyz")
		var answer struct {
			Status         string
			Parts, Missing []string
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("readyz: %v: %s", err, body)
		}
		if (answer.Status == "ready") != (status == http.StatusOK) {
			t.Errorf("readyz: %d %s", status, body)
		}
		return status, answer.Parts, answer.Missing
	}
	waitFor(t, "the daemon to be ready", func() bool { status, _, _ := ready(); return status == http.StatusOK })
	if _, parts, _ := ready(); !slices.Equal(parts, []string{"store", "leases", "plugins", "tftp", "http", "dhcp"}) {
		t.Errorf("parts: %v", parts)
	}
	o.parts.roster.set("tftp", false)
	if status, _, missing := ready(); status != http.StatusServiceUnavailable || !slices.Equal(missing, []string{"tftp"}) {
		t.Errorf("without tftp: %d, missing %v", status, missing)
	}
	if status, body := o.socket("/healthz"); status != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("healthz: %d %s", status, body)
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
