package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) pool() *cobra.Command {
	return parent("pool", "The addresses that networks may lease", a.poolList(), a.poolAdd(), a.poolRemove())
}

func (a *app) poolList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the pools, and how many of their addresses are in use", Args: usage(cobra.NoArgs), Example: "  dialtone pool list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListPoolsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list pools: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, p := range r.JSON200.Pools {
					row := []string{p.Network, p.First, p.Last}
					for _, n := range []int64{p.Size, p.Used, p.Reserved, p.Quarantined, p.Free} {
						row = append(row, strconv.FormatInt(n, 10))
					}
					rows = append(rows, row)
				}
				return table(w, []string{"NETWORK", "FIRST", "LAST", "SIZE", "USED", "RESERVED", "QUARANTINED", "FREE"}, rows)
			})
		},
	}
}

func (a *app) poolAdd() *cobra.Command {
	var (
		p   api.Pool
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "add NETWORK FIRST-LAST", Short: "Give a network more addresses to lease", Args: usage(cobra.RangeArgs(2, 3)),
		Long:    "Give a network more addresses to lease: a range, or its first and its last address.",
		Example: "  dialtone pool add voice 192.0.2.100-192.0.2.199 --exclude 192.0.2.150\n  dialtone pool add voice 192.0.2.20 192.0.2.29 --only phones --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			between := toPool(strings.Join(args[1:], "-"))
			p.First, p.Last = between.First, between.Last
			r, err := c.AddPoolWithResponse(cmd.Context(), args[0], &api.AddPoolParams{DryRun: dry, IfMatch: ifMatch(rev)}, p)
			if err != nil {
				return fmt.Errorf("add pool: %w", err)
			}
			return a.declared(fmt.Sprintf("network %s leases %s to %s", args[0], p.First, p.Last), dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON201, r.JSON200)
		},
	}
	cmd.Flags().StringSliceVar(&p.Exclude, "exclude", nil, "`addresses` in between that are never leased")
	cmd.Flags().StringSliceVar(&p.Only, "only", nil, "the `classes` that it is for")
	cmd.Flags().StringSliceVar(&p.Not, "not", nil, "the `classes` that it isn't for")
	cmd.Flags().BoolVar(&p.Edges, "edges", false, "addresses that end in 0 or 255 are leased, too")
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) poolRemove() *cobra.Command {
	var (
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "rm NETWORK FIRST", Short: "Take the pool that begins at an address from a network", Args: usage(cobra.ExactArgs(2)),
		Long:    "Take the pool that begins at an address from a network. Who holds a lease of it keeps that until it runs out.",
		Example: "  dialtone pool rm voice 192.0.2.100 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeletePoolWithResponse(cmd.Context(), args[0], args[1], &api.DeletePoolParams{DryRun: dry, IfMatch: ifMatch(rev)})
			if err != nil {
				return fmt.Errorf("remove pool: %w", err)
			}
			return a.declared(fmt.Sprintf("the pool from %s is none of network %s any more", args[1], args[0]), dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) reservation() *cobra.Command {
	return parent("reservation", "The addresses that are kept for one client each", a.reservationList(), a.reservationAdd(), a.reservationEdit(), a.reservationRemove())
}

func (a *app) reservationList() *cobra.Command {
	var filter, sort string
	cmd := &cobra.Command{
		Use: "list", Short: "List the reservations, and whether whom they are for has the address", Args: usage(cobra.NoArgs),
		Example: "  dialtone reservation list\n  dialtone reservation list --filter status:conflict",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list := api.ReservationList{Reservations: []api.ReservationStatus{}}
			params := api.ListReservationsParams{Limit: maxPage, Filter: filter, Sort: sort}
			err = pages(func(cursor string) (string, error) {
				params.Cursor = cursor
				r, err := c.ListReservationsWithResponse(cmd.Context(), &params)
				if err != nil {
					return "", fmt.Errorf("list reservations: %w", err)
				}
				if r.JSON200 == nil {
					return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				list.Reservations, list.Total = append(list.Reservations, r.JSON200.Reservations...), r.JSON200.Total
				return r.JSON200.Next, nil
			})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for i := range list.Reservations {
					x := &list.Reservations[i]
					var until string
					if !x.Expiry.IsZero() {
						until = x.Expiry.Local().Format(time.DateTime)
					}
					rows = append(rows, []string{x.Reservation.IP, reservedFor(&x.Reservation), x.Network, string(x.Status), x.HeldBy, until, printable(x.Reservation.Hostname)})
				}
				return table(w, []string{"ADDRESS", "FOR", "NETWORK", "STATUS", "HELD BY", "UNTIL", "HOST NAME"}, rows)
			})
		},
	}
	listFlags(cmd, &filter, &sort)
	return cmd
}

// reservedFor is whom a reservation is for, by what tells most.
func reservedFor(r *api.Reservation) string {
	for _, x := range []struct{ kind, id string }{{"", r.Mac}, {"client_id ", r.ClientID}, {"circuit ", r.Circuit}, {"remote ", r.Remote}} {
		if x.id != "" {
			return x.kind + printable(x.id)
		}
	}
	return ""
}

// reservationFlags are the fields of a reservation as flags.
type reservationFlags struct {
	mac, clientID, circuit, remote, hostname, next, sname, file string
	lease                                                       time.Duration
}

func (f *reservationFlags) add(cmd *cobra.Command) {
	for _, x := range []struct {
		to         *string
		name, what string
	}{
		{&f.clientID, "client-id", "the client's identifier, option 61, as text or as hex: and digits"},
		{&f.circuit, "circuit", "the circuit ID that its relay agent gives, option 82"},
		{&f.remote, "remote", "the remote ID that its relay agent gives, option 82"},
		{&f.hostname, "hostname", "the `name` that it is told"},
		{&f.next, "next", "the `address` in the siaddr field"},
		{&f.sname, "sname", "the `name` in the sname field"},
		{&f.file, "file", "the `name` in the file field"},
	} {
		cmd.Flags().StringVar(x.to, x.name, "", x.what)
	}
	cmd.Flags().DurationVar(&f.lease, "lease", 0, "how long its lease lasts, such as 8h")
}

// fields returns what the flags that were given say, as a merge patch.
func (f *reservationFlags) fields(cmd *cobra.Command) map[string]any {
	out := map[string]any{}
	for flag, x := range map[string]struct{ field, v string }{
		"mac": {"mac", f.mac}, "client-id": {"client_id", f.clientID}, "circuit": {"circuit", f.circuit}, "remote": {"remote", f.remote},
		"hostname": {"hostname", f.hostname}, "next": {"next", f.next}, "sname": {"sname", f.sname}, "file": {"file", f.file},
	} {
		if !cmd.Flags().Changed(flag) {
			continue
		}
		out[x.field] = nil
		if x.v != "" {
			out[x.field] = x.v
		}
	}
	if cmd.Flags().Changed("lease") {
		out["lease"] = map[string]any{"default": int64(f.lease / time.Second)}
	}
	return out
}

func (a *app) reservationAdd() *cobra.Command {
	var (
		f   reservationFlags
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "add ADDRESS [MAC]", Short: "Keep an address for a client", Args: usage(cobra.RangeArgs(1, 2)),
		Long: "Keep an address for a client, by its MAC in any spelling, or by --client-id, --circuit or --remote. `dialtone lease reserve`\n" +
			"keeps an address for who holds it now.",
		Example: "  dialtone reservation add 192.0.2.20 00:15:65:aa:bb:cc --hostname reception\n  dialtone reservation add 192.0.2.21 --circuit port7 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := f.fields(cmd)
			for name, v := range fields {
				if v == nil {
					delete(fields, name) // a new one has nothing to take away
				}
			}
			fields["ip"] = args[0]
			if len(args) > 1 {
				fields["mac"] = args[1]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := jsonBody(fields)
			if err != nil {
				return err
			}
			r, err := c.CreateReservationWithBodyWithResponse(cmd.Context(), &api.CreateReservationParams{DryRun: dry, IfMatch: ifMatch(rev)}, jsonType, body)
			if err != nil {
				return fmt.Errorf("add reservation: %w", err)
			}
			return a.declared(args[0]+" is reserved", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON201, r.JSON200)
		},
	}
	f.add(cmd)
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) reservationEdit() *cobra.Command {
	var (
		f   reservationFlags
		ip  string
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "edit RESERVATION", Short: "Change the reservation of an address", Args: usage(cobra.ExactArgs(1)),
		Long:    "Change the reservation of an address. Only what is given changes; an empty text takes the field away.",
		Example: "  dialtone reservation edit 192.0.2.20 --mac 00:15:65:aa:bb:dd\n  dialtone reservation edit 192.0.2.20 --address 192.0.2.30 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := f.fields(cmd)
			if ip != "" {
				fields["ip"] = ip
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := jsonBody(fields)
			if err != nil {
				return err
			}
			r, err := c.PatchReservationWithBodyWithResponse(cmd.Context(), args[0], &api.PatchReservationParams{DryRun: dry, IfMatch: ifMatch(rev)}, jsonType, body)
			if err != nil {
				return fmt.Errorf("edit reservation: %w", err)
			}
			return a.declared("the reservation of "+args[0]+" is so now", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	cmd.Flags().StringVar(&f.mac, "mac", "", "the client's MAC in any spelling")
	cmd.Flags().StringVar(&ip, "address", "", "another `address` for it, of the same network")
	f.add(cmd)
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) reservationRemove() *cobra.Command {
	var (
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "rm RESERVATION", Short: "End that an address is kept for a client", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone reservation rm 192.0.2.20",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteReservationWithResponse(cmd.Context(), args[0], &api.DeleteReservationParams{DryRun: dry, IfMatch: ifMatch(rev)})
			if err != nil {
				return fmt.Errorf("remove reservation: %w", err)
			}
			return a.declared(args[0]+" is reserved no more", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) leaseReserve() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "reserve ADDRESS", Short: "Keep an address for the client that holds it now", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone lease reserve 192.0.2.23\n  dialtone lease reserve 192.0.2.23 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ReserveLeaseWithResponse(cmd.Context(), args[0], &api.ReserveLeaseParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("reserve: %w", err)
			}
			return a.declared(args[0]+" is reserved for who holds it", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}
