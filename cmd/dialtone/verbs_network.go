package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) network() *cobra.Command {
	return parent("network", "The networks in which addresses are leased", a.networkList(), a.networkShow(), a.networkAdd(), a.networkEdit(),
		a.networkSet(), a.networkRemove())
}

func (a *app) networkList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the networks", Args: usage(cobra.NoArgs), Example: "  dialtone network list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListNetworksWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list networks: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for i := range r.JSON200.Networks {
					n := &r.JSON200.Networks[i]
					var pools []string
					for _, p := range n.Pools {
						pools = append(pools, p.First+"-"+p.Last)
					}
					rows = append(rows, []string{n.ID, n.Prefix, n.Interface, strings.Join(pools, ","), strconv.Itoa(len(n.Reservations)), n.Shared})
				}
				if err := table(w, []string{"NETWORK", "PREFIX", "INTERFACE", "POOLS", "RESERVATIONS", "SHARED"}, rows); err != nil {
					return err
				}
				return writeWarnings(w, r.JSON200.Warnings)
			})
		},
	}
}

func writeWarnings(w io.Writer, list []api.FieldError) error {
	for _, x := range list {
		if _, err := fmt.Fprintf(w, "warning: %s\n", printable(x.Detail)); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func (a *app) networkShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NETWORK", Short: "Write a network as `network set` reads it", Args: usage(cobra.ExactArgs(1)),
		Long:    "Write a network with its pools, reservations and options as `dialtone network set` and a site file have it.",
		Example: "  dialtone network show voice > voice.yaml\n  dialtone network show voice --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.GetNetworkWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show network: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				n, err := web.FromNetwork(r.JSON200)
				if err != nil {
					return fmt.Errorf("what the daemon says of network %s: %w", args[0], err)
				}
				x := fromNetwork(&n)
				data, err := configs.FormatNetwork(&x)
				if err != nil {
					return err
				}
				_, err = w.Write(data)
				return err
			})
		},
	}
}

// networkFlags are fields of a network as flags.
type networkFlags struct {
	prefix, iface, server, shared, next, sname, file, autoAdd, rivals, guard string
	relays                                                                   []string
	lease, leaseMin, leaseMax                                                time.Duration
	probe, authoritative, configure                                          bool
}

func (f *networkFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	for _, x := range []struct {
		to         *string
		name, what string
	}{
		{&f.iface, "interface", "the `interface` that it is on; empty: the one that has an address in it"},
		{&f.server, "address", "our `address` as its clients reach it"},
		{&f.shared, "shared", "the `link` that it shares with others"},
		{&f.next, "next", "the `address` in the siaddr field"},
		{&f.sname, "sname", "the `name` in the sname field"},
		{&f.file, "file", "the `name` in the file field"},
		{&f.autoAdd, "auto-add", "which phones become known by asking: recognised, any or off"},
		{&f.rivals, "rivals", "what clients of other servers are answered: refuse or allow"},
		{&f.guard, "guard", "what a phone must prove: strict, balanced or legacy"},
	} {
		flags.StringVar(x.to, x.name, "", x.what)
	}
	flags.StringSliceVar(&f.relays, "relays", nil, "the `addresses` of its relay agents")
	flags.DurationVar(&f.lease, "lease", 0, "how long a lease lasts, such as 8h")
	flags.DurationVar(&f.leaseMin, "lease-min", 0, "how short a lease may be")
	flags.DurationVar(&f.leaseMax, "lease-max", 0, "how long a lease may be")
	flags.BoolVar(&f.probe, "probe", true, "an address is probed before it is offered")
	flags.BoolVar(&f.authoritative, "authoritative", false, "clients with addresses of elsewhere are told so")
	flags.BoolVar(&f.configure, "configure", true, "its phones are given files")
}

// fields returns what the flags that were given say, as a merge patch.
func (f *networkFlags) fields(cmd *cobra.Command) map[string]any {
	out, times := map[string]any{}, map[string]any{}
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	for _, x := range []struct {
		flag, field string
		to          map[string]any
		v           any
	}{
		{"prefix", "prefix", out, f.prefix},
		{"interface", "interface", out, f.iface},
		{"address", "server", out, f.server},
		{"relays", "relays", out, f.relays},
		{"shared", "shared", out, f.shared},
		{"next", "next", out, f.next},
		{"sname", "sname", out, f.sname},
		{"file", "file", out, f.file},
		{"auto-add", "auto_add", out, f.autoAdd},
		{"rivals", "rivals", out, f.rivals},
		{"guard", "provisioning", out, map[string]any{"guard": f.guard}},
		{"lease", "default", times, seconds(f.lease)},
		{"lease-min", "min", times, seconds(f.leaseMin)},
		{"lease-max", "max", times, seconds(f.leaseMax)},
		{"probe", "probe", out, f.probe},
		{"authoritative", "authoritative", out, f.authoritative},
		{"configure", "configure", out, f.configure},
	} {
		if cmd.Flags().Changed(x.flag) {
			x.to[x.field] = x.v
		}
	}
	if len(times) > 0 {
		out["lease"] = times
	}
	return out
}

func (a *app) networkAdd() *cobra.Command {
	var (
		f     networkFlags
		pools []string
		rev   uint64
		dry   bool
	)
	cmd := &cobra.Command{
		Use: "add ID PREFIX", Short: "Declare a network", Args: usage(cobra.ExactArgs(2)),
		Long:    "Declare a network under a new name. It is in force at once. `dialtone network set` does so with all that a file says.",
		Example: "  dialtone network add voice 192.0.2.0/24 --pool 192.0.2.100-192.0.2.199 --lease 8h\n  dialtone network add voice 192.0.2.0/24 --interface eth1 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := f.fields(cmd)
			fields["id"], fields["prefix"] = args[0], args[1]
			var list []api.Pool
			for _, text := range pools {
				list = append(list, toPool(text))
			}
			if len(list) > 0 {
				fields["pools"] = list
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := jsonBody(fields)
			if err != nil {
				return err
			}
			r, err := c.CreateNetworkWithBodyWithResponse(cmd.Context(), &api.CreateNetworkParams{DryRun: dry, IfMatch: ifMatch(rev)}, jsonType, body)
			if err != nil {
				return fmt.Errorf("add network: %w", err)
			}
			return a.declared("network "+args[0]+" is declared", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON201, r.JSON200)
		},
	}
	f.add(cmd)
	cmd.Flags().StringSliceVar(&pools, "pool", nil, "a `range` of addresses that it may lease, such as 192.0.2.100-192.0.2.199")
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

// toPool reads the first and last address of a pool. The daemon says what is wrong with them.
func toPool(text string) api.Pool {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	return api.Pool{First: strings.TrimSpace(first), Last: strings.TrimSpace(last)}
}

func (a *app) networkEdit() *cobra.Command {
	var (
		f   networkFlags
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "edit NETWORK", Short: "Change what is declared of a network", Args: usage(cobra.ExactArgs(1)),
		Long:    "Change what is declared of a network. Only what is given changes; an empty text takes the field away.",
		Example: "  dialtone network edit voice --lease 4h --guard strict\n  dialtone network edit voice --relays 192.0.2.1,192.0.2.2 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			fields := f.fields(cmd)
			for name, v := range fields {
				if v == "" {
					fields[name] = nil
				}
			}
			body, err := jsonBody(fields)
			if err != nil {
				return err
			}
			r, err := c.PatchNetworkWithBodyWithResponse(cmd.Context(), args[0], &api.PatchNetworkParams{DryRun: dry, IfMatch: ifMatch(rev)}, jsonType, body)
			if err != nil {
				return fmt.Errorf("edit network: %w", err)
			}
			return a.declared("network "+args[0]+" is so now", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "its addresses, such as 192.0.2.0/24")
	f.add(cmd)
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) networkSet() *cobra.Command {
	var (
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "set NETWORK FILE", Short: "Write a network from a file, a new one or in the place of what there is", Args: usage(cobra.ExactArgs(2)),
		Long: "Write a network with its pools, reservations and options from a file in YAML or JSON, a new one or in the place of what\n" +
			"there is. The file has the form of `dialtone network show`; - is standard input.",
		Example: "  dialtone network set voice voice.yaml --dry-run\n  dialtone network show voice | dialtone network set voice -",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.readNetwork(args[0], args[1])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.PutNetworkWithResponse(cmd.Context(), args[0], &api.PutNetworkParams{DryRun: dry, IfMatch: ifMatch(rev)}, n)
			if err != nil {
				return fmt.Errorf("set network: %w", err)
			}
			if r.StatusCode() != http.StatusNotFound {
				return a.declared("network "+args[0]+" is so now", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
			}
			made, err := c.CreateNetworkWithResponse(cmd.Context(), &api.CreateNetworkParams{DryRun: dry, IfMatch: ifMatch(rev)}, n)
			if err != nil {
				return fmt.Errorf("set network: %w", err)
			}
			return a.declared("network "+args[0]+" is declared", dry, made.StatusCode(), made.ApplicationProblemJSONDefault, made.JSON201, made.JSON200)
		},
	}
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) readNetwork(id, file string) (api.Network, error) {
	data, err := a.read(file)
	if err != nil {
		return api.Network{}, err
	}
	x, err := configs.ParseNetwork(file, data, id)
	if err == nil && x.Name != id {
		err = fmt.Errorf("%s is network %q, not %q", file, x.Name, id)
	}
	faults := siteFaults{name: file}
	n := faults.network(&x)
	if err == nil {
		err = errors.Join(faults.errs...)
	}
	if err != nil {
		return api.Network{}, fmt.Errorf("%w: %w", provision.ErrInvalid, err)
	}
	return web.ToNetwork(&n), nil
}

func (a *app) networkRemove() *cobra.Command {
	var (
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "rm NETWORK", Short: "End that a network is declared", Args: usage(cobra.ExactArgs(1)),
		Long:    "End that a network is declared. Who holds a lease of it keeps that until it runs out.",
		Example: "  dialtone network rm voice --dry-run\n  dialtone network rm voice",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteNetworkWithResponse(cmd.Context(), args[0], &api.DeleteNetworkParams{DryRun: dry, IfMatch: ifMatch(rev)})
			if err != nil {
				return fmt.Errorf("remove network: %w", err)
			}
			return a.declared("network "+args[0]+" is declared no more", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

// declared tells what came of a change of what is declared about DHCP. Of the results, at most one is there.
func (a *app) declared(what string, dry bool, status int, problem *api.Problem, results ...*api.NetworkResult) error {
	for _, r := range results {
		if r != nil {
			return a.print(r, func(w io.Writer) error { return writeDeclared(w, what, dry, r) })
		}
	}
	return answer(status, problem)
}

func writeDeclared(w io.Writer, what string, dry bool, r *api.NetworkResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", dryly(dry), printable(what))
	for _, x := range r.Clashes {
		fmt.Fprintf(&b, "  %s is reserved for %s, but %s holds it until %s\n", x.IP, printable(x.ReservedFor), x.Held.Mac, x.Held.Expiry.Local().Format(time.DateTime))
	}
	for _, l := range r.Outside {
		fmt.Fprintf(&b, "  %s of %s isn't renewed; it ends at %s\n", l.IP, l.Mac, l.Expiry.Local().Format(time.DateTime))
	}
	for i := range r.Effects {
		writeNetworkEffect(&b, &r.Effects[i])
	}
	for _, e := range r.Files {
		fmt.Fprintf(&b, "  phone %s %s: %s would be %s, not %s", e.Phone, e.Mac, printable(e.Path), fateText(e.To), fateText(e.From))
		if e.To != api.FileFateServed {
			fmt.Fprintf(&b, ": %s", printable(e.Why))
		}
		b.WriteString("\n")
	}
	for _, x := range r.Unserved {
		fmt.Fprintf(&b, "  nobody is served on %s yet: %s\n", x.Interface, printable(x.Why))
	}
	if !r.Settled.IsZero() && !dry {
		fmt.Fprintf(&b, "  who holds a lease has learnt of it by %s\n", r.Settled.Local().Format(time.DateTime))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return writeWarnings(w, r.Warnings)
}

// fateText is what becomes of a request for a file.
func fateText(f api.FileFate) string {
	texts := map[api.FileFate]string{api.FileFateWithoutSecrets: "served without its secrets", api.FileFateHeld: "held for approval", api.FileFateNoAnswer: "not answered"}
	if text, ok := texts[f]; ok {
		return text
	}
	return string(f)
}

// writeNetworkEffect tells what a phone would be told when it next starts.
func writeNetworkEffect(b *strings.Builder, e *api.NetworkEffect) {
	fmt.Fprintf(b, "  phone %s %s", e.Phone, e.Mac)
	switch {
	case e.Answer == api.Loses:
		fmt.Fprintf(b, " would not be answered: %s\n", printable(e.Why))
		return
	case e.Answer == api.Gains:
		fmt.Fprintf(b, " would be answered, with %s\n", e.To)
	case e.From != e.To:
		fmt.Fprintf(b, " would have %s instead of %s\n", e.To, e.From)
	default:
		fmt.Fprintln(b, " would be told something else")
	}
	for _, line := range e.Lost {
		fmt.Fprintf(b, "    - %s\n", printable(line))
	}
	for _, line := range e.Added {
		fmt.Fprintf(b, "    + %s\n", printable(line))
	}
}
