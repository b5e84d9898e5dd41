package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// leaseEvent tells the daemon of another DHCP server's lease. It speaks the languages in which those servers call a
// program; packaging/foreign-dhcp has what to write into their configuration.
func (a *app) leaseEvent() *cobra.Command {
	var e api.LeaseEvent
	var event, expires string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "lease-event [WORD [MAC IP [HOSTNAME]]]",
		Short: "Tell of a lease that another DHCP server gave, renewed or ended",
		Long: `Tell of a lease that another DHCP server gave, renewed or ended, so that its client is known by its address as
if it had been leased here. It is meant to be called by that server:

  dnsmasq     dhcp-script calls it with add, old or del, the MAC, the address and the host name.
  Kea         the run_script hook calls it with the name of the hook point; the lease is in the environment.
  ISC dhcpd   execute() in "on commit" calls it with flags.

What these call it with beside leases (dnsmasq's tftp, say) is no event and taken for done. The server waits for a
short time only (--timeout). What couldn't be told is said on standard error, and the exit status isn't zero then.

The address must be in a network of the site, or in one that the settings name: dhcp.foreign, dhcp.observe.`,
		Example: `  dialtone lease-event --event bound --mac 00:1b:d4:00:00:01 --ip 192.0.2.23 --lifetime 3600
  dialtone lease-event add 00:1b:d4:00:00:01 192.0.2.23 desk
  dialtone lease-event leases4_committed`,
		Args: usage(cobra.MaximumNArgs(4)),
		RunE: func(cmd *cobra.Command, args []string) error {
			events, err := a.foreignEvents(args, e, event, expires)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			var errs []error
			for _, e := range events {
				if err := a.tellLease(ctx, e); err != nil {
					errs = append(errs, fmt.Errorf("lease of %s not told: %w", e.IP, err))
				}
			}
			return errors.Join(errs...)
		},
	}
	f := cmd.Flags()
	f.StringVar(&event, "event", "", "`what` happened: bound (also renewed), released, expired or declined")
	f.StringVar(&e.IP, "ip", "", "the leased `address`")
	f.StringVar(&e.Mac, "mac", "", "the client's `address`, in any spelling")
	f.StringVar(&expires, "expires", "", "`when` the lease runs out: 2026-07-01T08:00:00Z, or seconds since 1970")
	f.Int64Var(&e.Lifetime, "lifetime", 0, "for how many `seconds` it is, in place of --expires")
	f.StringVar(&e.Hostname, "hostname", "", "option 12")
	f.StringVar(&e.VendorClass, "vendor-class", "", "option 60")
	f.StringVar(&e.UserClass, "user-class", "", "option 77")
	f.StringVar(&e.ClientID, "client-id", "", "option 61, `hexadecimal`")
	f.StringVar(&e.CircuitID, "circuit-id", "", "option 82 sub-option 1, `hexadecimal`")
	f.StringVar(&e.RemoteID, "remote-id", "", "option 82 sub-option 2, `hexadecimal`")
	f.StringVar(&e.Relay, "relay", "", "the relay agent's `address`")
	f.DurationVar(&timeout, "timeout", 2*time.Second, "for how `long` the server may be kept waiting")
	return cmd
}

func (a *app) tellLease(ctx context.Context, e api.LeaseEvent) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	r, err := c.TellLeaseWithResponse(ctx, e)
	if err != nil {
		return err
	}
	if r.JSON200 == nil {
		return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	if !a.json {
		return nil
	}
	return a.print(r.JSON200, func(io.Writer) error { return nil })
}

// foreignEvents reads what a server said, in its own way.
func (a *app) foreignEvents(args []string, e api.LeaseEvent, event, expires string) ([]api.LeaseEvent, error) {
	switch {
	case len(args) == 0:
		e.Event = api.LeaseEventEvent(event)
		var err error
		e.Expires, err = instant(expires)
		switch {
		case err != nil:
			return nil, err
		case !e.Event.Valid():
			return nil, fmt.Errorf("--event %q is unknown; use bound, released, expired or declined", event)
		case e.IP == "":
			return nil, errors.New("--ip is missing")
		}
		return []api.LeaseEvent{e}, nil
	case event != "":
		return nil, fmt.Errorf("--event and %q say the same; use one of them", args[0])
	case strings.HasPrefix(args[0], "lease4_"), strings.HasPrefix(args[0], "leases4_"):
		return keaEvents(args[0], a.env)
	default:
		return dnsmasqEvents(args, a.env)
	}
}

// instant reads a point in time: RFC 3339, or seconds since 1970. Empty and 0: none.
func instant(s string) (time.Time, error) {
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no point in time, such as 2026-07-01T08:00:00Z", s)
	}
	return t, nil
}

// dnsmasqEvents reads a call of dnsmasq's dhcp-script (dnsmasq(8), --dhcp-script).
func dnsmasqEvents(args []string, env func(string) string) ([]api.LeaseEvent, error) {
	var e api.LeaseEvent
	switch args[0] {
	case "add", "old":
		e.Event = api.LeaseEventEventBound
	case "del":
		e.Event = api.LeaseEventEventReleased
	default:
		return nil, nil // init, tftp, arp-add and whatever else a newer one calls for
	}
	if len(args) < 3 {
		return nil, fmt.Errorf("%s needs a MAC and an address", args[0])
	}
	if strings.Contains(args[2], ":") {
		return nil, nil // IPv6
	}
	e.Mac, e.IP = args[1], args[2]
	if kind, mac, ok := strings.Cut(e.Mac, "-"); ok && len(kind) == 2 {
		if kind != "01" {
			return nil, nil // no Ethernet: a hardware type goes before the address then
		}
		e.Mac = mac
	}
	e.Hostname = env("DNSMASQ_SUPPLIED_HOSTNAME")
	if e.Hostname == "" && len(args) > 3 {
		e.Hostname = args[3]
	}
	e.VendorClass, e.ClientID, e.Relay = env("DNSMASQ_VENDOR_CLASS"), env("DNSMASQ_CLIENT_ID"), env("DNSMASQ_RELAY_ADDRESS")
	e.CircuitID, e.RemoteID = env("DNSMASQ_CIRCUIT_ID"), env("DNSMASQ_REMOTE_ID")
	var classes []string
	for i := 0; ; i++ {
		c := env("DNSMASQ_USER_CLASS" + strconv.Itoa(i))
		if c == "" {
			break
		}
		classes = append(classes, c)
	}
	e.UserClass = strings.Join(classes, ",")
	if e.Event != api.LeaseEventEventBound {
		return []api.LeaseEvent{e}, nil
	}
	if left := env("DNSMASQ_TIME_REMAINING"); left != "" {
		n, err := strconv.ParseInt(left, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("DNSMASQ_TIME_REMAINING: %q is no number of seconds", left)
		}
		e.Lifetime = max(n, 1)
		return []api.LeaseEvent{e}, nil
	}
	// Neither is set for a lease without an end.
	var err error
	if e.Expires, err = instant(env("DNSMASQ_LEASE_EXPIRES")); err != nil {
		return nil, fmt.Errorf("DNSMASQ_LEASE_EXPIRES: %w", err)
	}
	if e.Expires.IsZero() {
		e.Lifetime = forever
	}
	return []api.LeaseEvent{e}, nil
}

// forever is option 51's word for a lease without an end.
const forever = 1<<32 - 1

// keaEvents reads a call of Kea's run_script hook ("Run Script Support" in its manual).
func keaEvents(point string, env func(string) string) ([]api.LeaseEvent, error) {
	if point == "leases4_committed" {
		var events []api.LeaseEvent
		for _, list := range []struct {
			prefix string
			event  api.LeaseEventEvent
		}{
			{"DELETED_LEASES4", api.LeaseEventEventReleased}, // first: an address may be in both
			{"LEASES4", api.LeaseEventEventBound},
		} {
			size, err := strconv.Atoi(env(list.prefix + "_SIZE"))
			if err != nil || size < 0 || size > 256 {
				return nil, fmt.Errorf("%s_SIZE: %q is no number of leases", list.prefix, env(list.prefix+"_SIZE"))
			}
			for i := range size {
				e, err := keaLease(fmt.Sprintf("%s_AT%d_", list.prefix, i), list.event, env)
				if err != nil {
					return nil, err
				}
				events = append(events, e)
			}
		}
		return events, nil
	}
	event, ok := map[string]api.LeaseEventEvent{
		"lease4_renew": api.LeaseEventEventBound, "lease4_release": api.LeaseEventEventReleased,
		"lease4_expire": api.LeaseEventEventExpired, "lease4_decline": api.LeaseEventEventDeclined,
	}[point]
	if !ok {
		return nil, nil // lease4_select, of what is only offered; lease4_recover, of what is already nobody's
	}
	e, err := keaLease("LEASE4_", event, env)
	if err != nil {
		return nil, err
	}
	return []api.LeaseEvent{e}, nil
}

func keaLease(prefix string, event api.LeaseEventEvent, env func(string) string) (api.LeaseEvent, error) {
	e := api.LeaseEvent{
		Event: event, IP: env(prefix + "ADDRESS"), Mac: env(prefix + "HWADDR"), ClientID: env(prefix + "CLIENT_ID"),
		Hostname: strings.TrimSuffix(env(prefix+"HOSTNAME"), "."),
	}
	if e.IP == "" {
		return e, fmt.Errorf("%sADDRESS is missing; Kea's run_script hook sets it", prefix)
	}
	if event != api.LeaseEventEventBound {
		return e, nil
	}
	if relay := env("QUERY4_GIADDR"); relay != "0.0.0.0" {
		e.Relay = relay
	}
	n, err := strconv.ParseInt(env(prefix+"VALID_LIFETIME"), 10, 64)
	if err != nil {
		return e, fmt.Errorf("%sVALID_LIFETIME: %q is no number of seconds", prefix, env(prefix+"VALID_LIFETIME"))
	}
	e.Lifetime = max(n, 1)
	return e, nil
}
