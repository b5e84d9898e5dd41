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
	if _, err := o.parts.admin().CreateBackup("desk"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the backup", func() bool { return o.parts.backedUp.Load() != nil })
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
		`dialtone_dhcp_handle_duration_seconds_count{type="discover"} 2`, `dialtone_dhcp_handle_duration_seconds_bucket{type="request",le="+Inf"} 2`,
		`dialtone_provision_identify_total{source="lease",outcome="created"} 2`, `dialtone_provision_identify_total{source="lease",outcome="known"} `,
		`dialtone_provision_requests_total{proto="http",plugin="aastra-67xx-3.3.1",result="ok"} `,
		`dialtone_render_duration_seconds_bucket{plugin="aastra-67xx-3.3.1",le="+Inf"} `, `dialtone_render_errors_total{plugin="aastra-67xx-3.3.1"} 0`,
		`dialtone_http_requests_total{listener="http",method="GET",code="200",result="sent"} `,
		`dialtone_http_request_duration_seconds_count{listener="http",result="sent"} `,
		`dialtone_provision_secrets_withheld_total{reason="ID-03"} 0`, `dialtone_provision_identity_mismatch_total{kind="mac"} 0`,
		`dialtone_store_tx_duration_seconds_count{kind="write"} `, `dialtone_plugin_errors_total{plugin="aastra-67xx-3.3.1"} 0`,
		`dialtone_login_attempts_total{method="password",result="ok"} 0`,
		`dialtone_dhcp_leases{network="sandbox",state="bound"} 2`, `dialtone_phones{state="new",vendor="Cisco"} 1`,
		`dialtone_phones{state="new",vendor="Aastra"} 1`, `dialtone_plugin_broken{plugin="aastra-67xx-3.3.1"} 0`,
		`dialtone_provision_duration_seconds_bucket{le="+Inf"}`, `dialtone_certificate_expiry_timestamp_seconds{name="authority"}`,
		`dialtone_tftp_transfers_total{result="not_found"}`, `dialtone_store_size_bytes`, `dialtone_problems{part="dhcp"}`, `dialtone_dhcp_pool_addresses{network="sandbox",`,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, of := range []string{`direction="in",type="discover"`, `direction="out",type="ack"`} {
		if !regexp.MustCompile(`\ndialtone_dhcp_messages_total\{interface="[^"]+",` + of + `\} 2\n`).MatchString(body) {
			t.Errorf("metrics lack two messages of %s", of)
		}
	}
	if strings.Contains(body, `dialtone_store_tx_duration_seconds_count{kind="write"} 0`) {
		t.Error("no transaction is counted")
	}
	for _, name := range wantedMetrics() {
		if !strings.Contains(body, "\n# TYPE dialtone_"+name+" ") {
			t.Errorf("metrics lack dialtone_%s", name)
		}
	}
	if found := regexp.MustCompile(`(?i)00:1b:54|001b54|00:08:5d|00085d|"127\.64\.\d+\.\d+"`).FindString(body); found != "" {
		t.Errorf("metrics tell of one phone: %s", found)
	}
	if t.Failed() {
		t.Log(body)
	}
}

// wantedMetrics are the names that dashboards and alerts are made of, without their prefix. Those of firmware, rollouts and SIP
// come with these, and phones that drifted are found by making every phone's files: too much for whoever scrapes.
func wantedMetrics() []string {
	return []string{
		"build_info", "start_time_seconds", "dhcp_messages_total", "dhcp_handle_duration_seconds", "dhcp_dropped_total",
		"dhcp_pool_addresses", "dhcp_leases", "dhcp_reservations", "dhcp_conflicts_total", "dhcp_rogue_servers",
		"tftp_transfers_total", "tftp_bytes_total", "tftp_transfers_in_progress", "http_requests_total",
		"http_request_duration_seconds", "provision_requests_total", "provision_identify_total",
		"provision_secrets_withheld_total", "provision_identity_mismatch_total", "render_duration_seconds",
		"render_errors_total", "phones", "phones_waiting", "jobs", "plugin_info", "plugin_errors_total",
		"login_attempts_total", "sessions", "api_requests_total", "backup_last_success_timestamp_seconds",
		"backup_size_bytes", "certificate_expiry_timestamp_seconds", "store_size_bytes", "store_tx_duration_seconds",
		"events_subscribers", "events_dropped_total",
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
