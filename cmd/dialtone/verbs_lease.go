package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) lease() *cobra.Command {
	return parent("lease", "The addresses that are leased", a.leaseList(), a.leaseRelease(), a.leaseReserve())
}

func (a *app) leaseList() *cobra.Command {
	var (
		all          bool
		filter, sort string
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List who holds which address", Args: usage(cobra.NoArgs),
		Example: "  dialtone lease list\n  dialtone lease list --all --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list := api.LeaseList{Leases: []api.Lease{}}
			params := api.ListLeasesParams{Active: !all, Limit: maxPage, Filter: filter, Sort: sort}
			err = pages(func(cursor string) (string, error) {
				params.Cursor = cursor
				r, err := c.ListLeasesWithResponse(cmd.Context(), &params)
				if err != nil {
					return "", fmt.Errorf("list leases: %w", err)
				}
				if r.JSON200 == nil {
					return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				list.Leases = append(list.Leases, r.JSON200.Leases...)
				list.Total = r.JSON200.Total
				return r.JSON200.Next, nil
			})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, l := range list.Leases {
					rows = append(rows, []string{l.IP, l.Mac, l.MacVendor, string(l.State), l.Expiry.Local().Format(time.DateTime), l.Network, l.Hostname, l.VendorClass})
				}
				return table(w, []string{"ADDRESS", "MAC", "MADE BY", "STATE", "UNTIL", "NETWORK", "HOST NAME", "VENDOR CLASS"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list offered, ended and quarantined ones, too")
	listFlags(cmd, &filter, &sort)
	return cmd
}

func (a *app) leaseRelease() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "release ADDRESS", Short: "End the lease of an address", Args: usage(cobra.ExactArgs(1)),
		Long: "End the lease of an address, as if its holder had given it back. Who holds it isn't told: it goes on using the\n" +
			"address until it renews, and may be leased it again then.",
		Example: "  dialtone lease release 192.0.2.23\n  dialtone lease release 192.0.2.23 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ReleaseLeaseWithResponse(cmd.Context(), args[0], &api.ReleaseLeaseParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("release: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s%s was leased to %s until %s\n", dryly(dry), r.JSON200.IP, r.JSON200.Mac, r.JSON200.Expiry.Local().Format(time.DateTime))
				return err
			})
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}
