package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/web/api"
)

func TestForeignEvents(t *testing.T) {
	t.Parallel()
	const mac, ip = "00:1b:d4:00:00:01", "192.0.2.23"
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want []api.LeaseEvent
		err  string
	}{
		"dnsmasq add": {
			args: []string{"add", mac, ip, "desk"},
			env: map[string]string{
				"DNSMASQ_TIME_REMAINING": "120", "DNSMASQ_LEASE_EXPIRES": "1795382209", "DNSMASQ_VENDOR_CLASS": "yealink",
				"DNSMASQ_SUPPLIED_HOSTNAME": "SIP-T46", "DNSMASQ_CLIENT_ID": "01:00:1b", "DNSMASQ_CIRCUIT_ID": "00:04",
				"DNSMASQ_REMOTE_ID": "00:06", "DNSMASQ_RELAY_ADDRESS": "192.0.2.254", "DNSMASQ_USER_CLASS0": "a", "DNSMASQ_USER_CLASS1": "b",
			},
			want: []api.LeaseEvent{{
				Event: api.LeaseEventEventBound, Mac: mac, IP: ip, Lifetime: 120, VendorClass: "yealink", Hostname: "SIP-T46",
				ClientID: "01:00:1b", CircuitID: "00:04", RemoteID: "00:06", Relay: "192.0.2.254", UserClass: "a,b",
			}},
		},
		"dnsmasq old, with an end only": {
			args: []string{"old", "01-" + mac, ip, "desk"}, env: map[string]string{"DNSMASQ_LEASE_EXPIRES": "1795382209"},
			want: []api.LeaseEvent{{Event: api.LeaseEventEventBound, Mac: mac, IP: ip, Hostname: "desk", Expires: time.Unix(1795382209, 0)}},
		},
		"dnsmasq, for ever": {
			args: []string{"add", mac, ip},
			want: []api.LeaseEvent{{Event: api.LeaseEventEventBound, Mac: mac, IP: ip, Lifetime: forever}},
		},
		"dnsmasq del": {
			args: []string{"del", mac, ip},
			want: []api.LeaseEvent{{Event: api.LeaseEventEventReleased, Mac: mac, IP: ip}},
		},
		"dnsmasq, other calls":   {args: []string{"tftp", "1234", ip, "/srv/x"}},
		"dnsmasq at its start":   {args: []string{"init"}},
		"dnsmasq, IPv6":          {args: []string{"add", "00:01:00:01", "2001:db8::1"}},
		"dnsmasq, no Ethernet":   {args: []string{"add", "06-" + mac, ip}},
		"dnsmasq, half a call":   {args: []string{"add", mac}, err: "add needs a MAC and an address"},
		"dnsmasq, broken number": {args: []string{"add", mac, ip}, env: map[string]string{"DNSMASQ_TIME_REMAINING": "x"}, err: "is no number of seconds"},
		"Kea, leases committed": {
			args: []string{"leases4_committed"},
			env: map[string]string{
				"LEASES4_SIZE": "1", "LEASES4_AT0_ADDRESS": ip, "LEASES4_AT0_HWADDR": mac, "LEASES4_AT0_VALID_LIFETIME": "3600",
				"LEASES4_AT0_HOSTNAME": "desk.", "LEASES4_AT0_CLIENT_ID": "01:00", "QUERY4_GIADDR": "192.0.2.254",
				"DELETED_LEASES4_SIZE": "1", "DELETED_LEASES4_AT0_ADDRESS": "192.0.2.9", "DELETED_LEASES4_AT0_HWADDR": mac,
			},
			want: []api.LeaseEvent{
				{Event: api.LeaseEventEventReleased, Mac: mac, IP: "192.0.2.9"},
				{Event: api.LeaseEventEventBound, Mac: mac, IP: ip, Lifetime: 3600, Hostname: "desk", ClientID: "01:00", Relay: "192.0.2.254"},
			},
		},
		"Kea, none committed": {
			args: []string{"leases4_committed"}, env: map[string]string{"LEASES4_SIZE": "0", "DELETED_LEASES4_SIZE": "0"},
		},
		"Kea, no environment":  {args: []string{"leases4_committed"}, err: "LEASES4_SIZE"},
		"Kea, lease expired":   {args: []string{"lease4_expire"}, env: map[string]string{"LEASE4_ADDRESS": ip, "LEASE4_HWADDR": mac}, want: []api.LeaseEvent{{Event: api.LeaseEventEventExpired, Mac: mac, IP: ip}}},
		"Kea, lease declined":  {args: []string{"lease4_decline"}, env: map[string]string{"LEASE4_ADDRESS": ip}, want: []api.LeaseEvent{{Event: api.LeaseEventEventDeclined, IP: ip}}},
		"Kea, only an offer":   {args: []string{"lease4_select"}},
		"Kea, without address": {args: []string{"lease4_release"}, err: "LEASE4_ADDRESS is missing"},
		"Kea, no lifetime":     {args: []string{"lease4_renew"}, env: map[string]string{"LEASE4_ADDRESS": ip}, err: "LEASE4_VALID_LIFETIME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{env: func(k string) string { return tc.env[k] }}
			got, err := a.foreignEvents(tc.args, api.LeaseEvent{}, "", "")
			if (tc.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// tell runs the verb as another server would.
func (o *office) tell(args ...string) (code int, stderr string) {
	o.t.Helper()
	var out, errs bytes.Buffer
	code = run(o.t.Context(), append([]string{"--state", o.state, "lease-event"}, args...), func(string) string { return "" }, nil, &out, &errs)
	return code, errs.String()
}

// Of another server's lease comes what comes of one of ours: a device, and requests that are known by their address.
func TestLeaseEvent(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, func(s *configs.Settings) {
		s.DHCP.Foreign = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	const mac, ip = "00:1b:d4:00:00:01", "192.0.2.23"
	bound := []string{"--event", "bound", "--ip", ip, "--vendor-class", ciscoClass, "--client-id", "1:0:1b:d4:0:0:1", "--mac"}
	if code, errs := o.tell(append(bound, "0:1b:d4:0:0:1", "--lifetime", "3600")...); code != exitOK || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if l, ok := o.parts.table.ByAddr(netip.MustParseAddr(ip)); !ok || l.Client.HW.String() != mac || l.Client.ID != "\x01\x00\x1b\xd4\x00\x00\x01" {
		t.Errorf("lease %+v", l)
	}
	tick, late := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for known := false; !known; {
		select {
		case <-tick.C:
			phones, err := o.parts.db.Devices(t.Context())
			known = err == nil && len(phones) == 1 && phones[0].HW.String() == mac
		case <-late:
			t.Fatal("the phone isn't known after ten seconds")
		}
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		text string
	}{
		"nobody's network": {[]string{"add", mac, "198.51.100.1"}, exitInvalid, "neither in a declared network nor in a foreign one"},
		"no MAC":           {[]string{"--event", "bound", "--ip", ip}, exitInvalid, "the MAC of who holds"},
		"a bad MAC":        {[]string{"add", "desk", ip}, exitInvalid, "is not a hardware address"},
		"a bad id":         {append(bound, mac, "--circuit-id", "port 4"), exitInvalid, "want hexadecimal digits"},
		"two ends":         {append(bound, mac, "--lifetime", "1", "--expires", "1795382209"), exitInvalid, "not both"},
		"no such event":    {[]string{"--event", "lost", "--ip", ip}, exitUsage, "use bound, released"},
		"no time":          {append(bound, mac, "--expires", "soon"), exitUsage, "is no point in time"},
	} {
		if code, errs := o.tell(tc.args...); code != tc.code || !strings.Contains(errs, tc.text) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", name, code, errs, tc.code, tc.text)
		}
	}
	if code, errs := o.tell("--event", "released", "--ip", ip); code != exitOK {
		t.Errorf("released: exit code %d: %s", code, errs)
	}
	if l, ok := o.parts.table.ByAddr(netip.MustParseAddr(ip)); ok {
		t.Errorf("after its release there is %+v", l)
	}
}

// Another server isn't kept waiting by a daemon that doesn't answer.
func TestLeaseEventInTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", filepath.Join(dir, socketName)) // nobody answers there
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var errs bytes.Buffer
	begun := time.Now()
	code := run(ctx, []string{"--state", dir, "lease-event", "--timeout", "50ms", "add", "00:1b:d4:00:00:01", "192.0.2.1"},
		func(string) string { return "" }, nil, &bytes.Buffer{}, &errs)
	if took := time.Since(begun); code == exitOK || took > 5*time.Second || !strings.Contains(errs.String(), "lease of 192.0.2.1 not told") {
		t.Errorf("exit code %d after %s: %s", code, took, &errs)
	}
}
