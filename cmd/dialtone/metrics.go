package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web"
)

// metrics returns what the parts have counted, for /metrics. Labels are of what an administrator declared or a plugin
// names, never of what a client says of itself.
func (p *parts) metrics(ctx context.Context) ([]web.Metric, error) {
	v := build()
	list := []web.Metric{
		{Name: "dialtone_build_info", Help: "The running program; always 1.", Kind: web.Gauge, Samples: []web.Sample{
			{Labels: []string{"version", v.Version, "revision", v.Revision, "goversion", v.Go}, Value: 1},
		}},
		web.One("dialtone_start_time_seconds", "When the program started, in seconds since 1970.", web.Gauge, seconds(p.begun)),
	}
	list = slices.Concat(list, p.dhcpMetrics(), p.leaseMetrics(), p.fileMetrics(), p.requestMetrics(), p.renderMetrics(), p.pluginMetrics(), p.tlsMetrics(), p.jobMetrics())
	backups, err := p.backupMetrics()
	if err != nil {
		return nil, err
	}
	list = append(list, backups...)
	phones, err := p.phoneMetrics(ctx)
	if err != nil {
		return nil, err
	}
	size, err := p.db.Size()
	if err != nil {
		return nil, err
	}
	problems := map[string]int{"dhcp": 0, "plugins": 0, "store": 0}
	for _, x := range p.admin().ListProblems() {
		problems[x.Part]++
	}
	return append(
		append(list, phones...),
		web.One("dialtone_store_size_bytes", "Size of the store's file.", web.Gauge, float64(size)),
		web.Metric{
			Name: "dialtone_store_tx_duration_seconds", Help: "How long write transactions took that were committed, until they were on the disk.",
			Kind: web.Histogram, Samples: []web.Sample{histogram(p.db.Took, "kind", "write")},
		},
		web.One("dialtone_store_transactions_total", "Write transactions that were committed.", web.Counter, float64(p.db.Writes())),
		web.ByKey("dialtone_problems", "What an administrator should look into; dialtone problem list says what.", web.Gauge, "part", problems),
	), nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// dhcpMetrics are the DHCP server's.
func (p *parts) dhcpMetrics() []web.Metric {
	d := p.dhcp.Load()
	if d == nil {
		return nil
	}
	c := d.Snapshot()
	messages := web.Metric{Name: "dialtone_dhcp_messages_total", Help: "DHCP messages that were read or sent.", Kind: web.Counter}
	for _, of := range slices.Sorted(maps.Keys(c.Listeners)) {
		for _, way := range []struct {
			name   string
			counts map[string]uint64
		}{{"in", c.Listeners[of].Received}, {"out", c.Listeners[of].Sent}} {
			for _, t := range slices.Sorted(maps.Keys(way.counts)) {
				messages.Samples = append(messages.Samples, web.Sample{
					Labels: []string{"interface", of, "direction", way.name, "type", t}, Value: float64(way.counts[t]),
				})
			}
		}
	}
	handled := web.Metric{Name: "dialtone_dhcp_handle_duration_seconds", Help: "How long a DHCP message was worked on, until its reply was sent.", Kind: web.Histogram}
	for _, t := range slices.Sorted(maps.Keys(c.Handled)) {
		took := web.Sample{Labels: []string{"type", t}, Value: c.Handled[t].Sum.Seconds()}
		for _, b := range c.Handled[t].Buckets {
			took.Buckets = append(took.Buckets, web.Bucket{Max: b.Max.Seconds(), N: b.N})
		}
		handled.Samples = append(handled.Samples, took)
	}
	pools := web.Metric{Name: "dialtone_dhcp_pool_addresses", Help: "Addresses of a pool, counted every ten seconds.", Kind: web.Gauge}
	for _, u := range d.Pools() {
		for _, s := range []struct {
			state string
			n     int
		}{{"free", max(0, u.Size-u.Held)}, {"quarantined", u.Quarantined}, {"used", u.Held - u.Quarantined}} {
			pools.Samples = append(pools.Samples, web.Sample{
				Labels: []string{"network", string(u.Network), "pool", u.Pool, "state", s.state}, Value: float64(s.n),
			})
		}
	}
	return []web.Metric{
		messages, handled, pools,
		web.ByKey("dialtone_dhcp_dropped_total", "DHCP messages without the reply that they ask for.", web.Counter, "reason", c.Dropped),
		web.ByKey("dialtone_dhcp_refused_total", "DHCPNAKs that were sent.", web.Counter, "reason", c.Refused),
		web.ByKey("dialtone_dhcp_conflicts_total", "Addresses that a stranger was found to use.", web.Counter, "method",
			map[string]uint64{"probe": c.Conflicts, "decline": c.Received["decline"]}),
		web.One("dialtone_dhcp_in_hand", "DHCP messages that are being worked on or wait.", web.Gauge, float64(c.InHand)),
		web.One("dialtone_dhcp_send_errors_total", "DHCP replies that could not be sent.", web.Counter, float64(c.SendErrors)),
		web.One("dialtone_dhcp_rogue_servers", "Other DHCP servers that were heard in the last week.", web.Gauge, float64(len(d.Rogues()))),
	}
}

// leaseMetrics count leases and reservations.
func (p *parts) leaseMetrics() []web.Metric {
	names := map[lease.State]string{lease.Bound: "bound", lease.Released: "released", lease.Declined: "declined", lease.Expired: "expired"}
	counts := make(map[string]map[string]int)
	reserved := make(map[string]int)
	for _, n := range p.Networks().All() {
		counts[string(n.ID)] = map[string]int{"bound": 0}
		reserved[string(n.ID)] = len(n.Reservations)
	}
	p.table.Each(func(l lease.Lease) bool {
		of := cmp.Or(string(l.Network), "foreign")
		if counts[of] == nil {
			counts[of] = make(map[string]int)
		}
		if name := names[l.State]; name != "" {
			counts[of][name]++
		}
		return true
	})
	leases := web.Metric{Name: "dialtone_dhcp_leases", Help: "Leases that are known, by network.", Kind: web.Gauge}
	for _, network := range slices.Sorted(maps.Keys(counts)) {
		for _, state := range slices.Sorted(maps.Keys(counts[network])) {
			leases.Samples = append(leases.Samples, web.Sample{
				Labels: []string{"network", network, "state", state}, Value: float64(counts[network][state]),
			})
		}
	}
	return []web.Metric{
		leases,
		web.ByKey("dialtone_dhcp_reservations", "Addresses that are kept for one client, by network.", web.Gauge, "network", reserved),
	}
}

// fileMetrics are the two front ends'.
func (p *parts) fileMetrics() (list []web.Metric) {
	if p.tftp != nil {
		s := p.tftp.Stats()
		list = append(list,
			web.ByKey("dialtone_tftp_transfers_total", "TFTP requests that were answered, by what they came to.", web.Counter, "result", s.Results),
			web.ByKey("dialtone_tftp_dropped_total", "Datagrams to the TFTP port that got no answer.", web.Counter, "reason", s.Dropped),
			web.One("dialtone_tftp_bytes_total", "Bytes of files that were sent by TFTP and acknowledged.", web.Counter, float64(s.Bytes)),
			web.One("dialtone_tftp_transfers_in_progress", "TFTP transfers that run.", web.Gauge, float64(s.InProgress)))
	}
	if p.http != nil {
		s := p.http.Stats()
		requests := web.Metric{Name: "dialtone_http_requests_total", Help: "HTTP requests of phones, by what they came to.", Kind: web.Counter}
		for _, x := range s.Requests {
			code := "other"
			if x.Code > 0 {
				code = strconv.Itoa(x.Code)
			}
			requests.Samples = append(requests.Samples, web.Sample{
				Labels: []string{"listener", x.Listener, "method", x.Method, "code", code, "result", label(x.Result)}, Value: float64(x.N),
			})
		}
		durations := web.Metric{Name: "dialtone_http_request_duration_seconds", Help: "How long HTTP requests of phones took.", Kind: web.Histogram}
		for _, x := range s.Took {
			durations.Samples = append(durations.Samples, histogram(x.Took.Took, "listener", x.Listener, "result", label(x.Result)))
		}
		list = append(list, requests, durations,
			web.One("dialtone_http_unreadable_total", "HTTP requests to the phones' port that could not be read.", web.Counter, float64(s.Results["unreadable"])),
			web.One("dialtone_http_bytes_total", "Bytes of files that were sent by HTTP.", web.Counter, float64(s.Bytes)),
			web.One("dialtone_http_requests_in_progress", "HTTP requests of phones that are being answered.", web.Gauge, float64(s.InProgress)),
			web.One("dialtone_http_connections", "Connections of phones that are open.", web.Gauge, float64(s.Connections)),
			web.One("dialtone_http_handshake_failures_total", "TLS handshakes of phones that failed.", web.Counter, float64(s.Handshakes)))
	}
	return list
}

// requestMetrics are the pipeline's.
func (p *parts) requestMetrics() []web.Metric {
	c := &p.pipeline.Counters
	requests := web.Metric{Name: "dialtone_provision_requests_total", Help: "What phones asked, by what it came to.", Kind: web.Counter}
	var withheld uint64
	for _, x := range c.Outcomes() {
		requests.Samples = append(requests.Samples, web.Sample{
			Labels: []string{"proto", string(x.Proto), "plugin", string(x.Plugin), "result", string(x.Status)}, Value: float64(x.N),
		})
		if x.Status == provision.StatusForbidden {
			withheld += x.N
		}
	}
	identified := web.Metric{
		Name: "dialtone_provision_identify_total", Kind: web.Counter,
		Help: "Requests by the strongest claim about who asks, and what device they were found to be of.",
	}
	for _, x := range c.Identified() {
		identified.Samples = append(identified.Samples, web.Sample{
			Labels: []string{"source", label(x.Source.String()), "outcome", x.End}, Value: float64(x.N),
		})
	}
	return []web.Metric{
		requests, identified,
		{
			Name: "dialtone_provision_duration_seconds", Help: "How long the stages worked on a request.",
			Kind: web.Histogram, Samples: []web.Sample{histogram(c.Took)},
		},
		web.One("dialtone_provision_withheld_total", "Files that were withheld from who asked for them.", web.Counter, float64(withheld)),
		web.ByKey("dialtone_provision_secrets_withheld_total", "Files with secrets that were refused or sent without them, by the guard's row.",
			web.Counter, "reason", c.Withheld()),
		web.ByKey("dialtone_provision_identity_mismatch_total", "Requests that contradict themselves or what is known.", web.Counter, "kind", c.Mismatched()),
		web.One("dialtone_provision_phones_created_total", "Phones that were added by their own requests.", web.Counter, float64(c.Created())),
		web.One("dialtone_provision_sighted_total", "Requests of phones that were not added.", web.Counter, float64(c.Sighted())),
	}
}

// renderMetrics tell how plugins' templates were rendered.
func (p *parts) renderMetrics() []web.Metric {
	took := web.Metric{Name: "dialtone_render_duration_seconds", Help: "How long a plugin's templates took; files that were kept are in no count.", Kind: web.Histogram}
	failed := web.Metric{Name: "dialtone_render_errors_total", Help: "Files that a plugin's templates could not be made into.", Kind: web.Counter}
	for _, x := range p.pipeline.Counters.Renderings() {
		of := []string{"plugin", string(x.Plugin)}
		took.Samples = append(took.Samples, histogram(x.Took.Took, of...))
		failed.Samples = append(failed.Samples, web.Sample{Labels: of, Value: float64(x.Errors)})
	}
	return []web.Metric{took, failed}
}

// histogram returns what a histogram has counted.
func histogram(took func() ([]provision.TookBucket, time.Duration), labels ...string) web.Sample {
	buckets, sum := took()
	s := web.Sample{Labels: labels, Value: sum.Seconds()}
	for _, b := range buckets {
		s.Buckets = append(s.Buckets, web.Bucket{Max: b.Max.Seconds(), N: b.N})
	}
	return s
}

// label is a name of ours as a label's value.
func label(name string) string { return strings.ReplaceAll(name, " ", "_") }

// phoneMetrics count phones. A vendor that no plugin in force names is "other".
func (p *parts) phoneMetrics(ctx context.Context) ([]web.Metric, error) {
	devices, err := p.db.Devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("count phones: %w", err)
	}
	vendors := make(map[string]bool)
	for _, s := range p.plugins.Statuses() {
		vendors[s.Vendor] = vendors[s.Vendor] || s.InForce
	}
	type kind struct{ state, vendor string }
	counts := make(map[kind]int)
	for i := range devices {
		d := &devices[i]
		k := kind{cmp.Or(string(d.Trust()), "new"), "other"}
		if vendors[d.Vendor] {
			k.vendor = d.Vendor
		}
		counts[k]++
	}
	phones := web.Metric{Name: "dialtone_phones", Help: "Phones that are known, by how far they are trusted.", Kind: web.Gauge}
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.state, b.state), cmp.Compare(a.vendor, b.vendor))
	}) {
		phones.Samples = append(phones.Samples, web.Sample{Labels: []string{"state", k.state, "vendor", k.vendor}, Value: float64(counts[k])})
	}
	return []web.Metric{
		phones,
		web.One("dialtone_phones_waiting", "Phones that wait for somebody's approval.", web.Gauge, float64(len(p.pipeline.Gate.Waiting()))),
	}, nil
}

// pluginMetrics say how the plugins stand.
func (p *parts) pluginMetrics() []web.Metric {
	info := web.Metric{Name: "dialtone_plugin_info", Help: "Plugins in force; always 1.", Kind: web.Gauge}
	broken := web.Metric{Name: "dialtone_plugin_broken", Help: "Whether the files of a plugin have an error, so that they aren't in force.", Kind: web.Gauge}
	failed := web.Metric{Name: "dialtone_plugin_errors_total", Help: "Changes of a plugin's files that didn't load.", Kind: web.Counter}
	for _, s := range p.plugins.Statuses() {
		if s.InForce {
			info.Samples = append(info.Samples, web.Sample{Labels: []string{"plugin", string(s.ID), "version", s.Version}, Value: 1})
		}
		failed.Samples = append(failed.Samples, web.Sample{Labels: []string{"plugin", string(s.ID)}, Value: float64(s.Errors)})
		var n float64
		if s.Problem != "" {
			n = 1
		}
		broken.Samples = append(broken.Samples, web.Sample{Labels: []string{"plugin", string(s.ID)}, Value: n})
	}
	return []web.Metric{info, broken, failed}
}

// tlsMetrics say when certificates end.
func (p *parts) tlsMetrics() []web.Metric {
	if p.keeper == nil {
		return nil
	}
	s := p.keeper.Status(time.Now())
	m := web.Metric{Name: "dialtone_certificate_expiry_timestamp_seconds", Help: "When a certificate ends, in seconds since 1970.", Kind: web.Gauge}
	for name, ends := range map[string]time.Time{"authority": s.Ends, "given": s.GivenEnds} {
		if !ends.IsZero() {
			m.Samples = append(m.Samples, web.Sample{Labels: []string{"name", name}, Value: seconds(ends)})
		}
	}
	slices.SortFunc(m.Samples, func(a, b web.Sample) int { return cmp.Compare(a.Labels[1], b.Labels[1]) })
	return []web.Metric{m}
}

// jobMetrics count the jobs that are remembered.
func (p *parts) jobMetrics() []web.Metric {
	type kind struct{ kind, state string }
	counts := make(map[kind]int)
	for _, j := range p.jobs.All() {
		counts[kind{string(j.Kind), string(j.State)}]++
	}
	m := web.Metric{Name: "dialtone_jobs", Help: "Jobs that wait, that run, and the last that have ended.", Kind: web.Gauge}
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.state, b.state))
	}) {
		m.Samples = append(m.Samples, web.Sample{Labels: []string{"kind", k.kind, "state", k.state}, Value: float64(counts[k])})
	}
	return []web.Metric{m}
}

// backupMetrics tell of the last backup: of this run, or else of those that are kept.
func (p *parts) backupMetrics() ([]web.Metric, error) {
	last := p.backedUp.Load()
	if last == nil {
		list, err := keptBackups{p}.List()
		if err != nil || len(list) == 0 {
			return nil, err
		}
		last = &list[0]
	}
	return []web.Metric{
		web.One("dialtone_backup_last_success_timestamp_seconds", "When the last backup was written, in seconds since 1970.", web.Gauge, seconds(last.Created)),
		web.One("dialtone_backup_size_bytes", "Size of the last backup.", web.Gauge, float64(last.Size)),
	}, nil
}
