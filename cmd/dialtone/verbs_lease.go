package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) lease() *cobra.Command {
	return parent("lease", "The addresses that are leased", a.leaseList())
}

func (a *app) leaseList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List who holds which address", Args: usage(cobra.NoArgs),
		Example: "  dialtone lease list\n  dialtone lease list --all --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListLeasesWithResponse(cmd.Context(), &api.ListLeasesParams{Active: !all})
			if err != nil {
				return fmt.Errorf("list leases: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, l := range r.JSON200.Leases {
					rows = append(rows, []string{l.IP, l.Mac, string(l.State), l.Expiry.Local().Format(time.DateTime), l.Network, l.Hostname, l.VendorClass})
				}
				return table(w, []string{"ADDRESS", "MAC", "STATE", "UNTIL", "NETWORK", "HOST NAME", "VENDOR CLASS"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list offered, ended and quarantined ones, too")
	return cmd
}
