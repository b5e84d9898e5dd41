package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) problem() *cobra.Command {
	return parent("problem", "What an administrator should look into", a.problemList(), a.problemQuiet())
}

func (a *app) problemQuiet() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "quiet PHONE|ADDRESS|NETWORK", Short: "Forget the alarms about something", Args: usage(cobra.ExactArgs(1)),
		Long: "Forget the alarms about a phone (its ID), an address or a network, as `dialtone problem list` has them. An address that was\n" +
			"locked because it asked for too much may ask again. What is still wrong will be told again.",
		Example: "  dialtone problem quiet 192.0.2.23",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.QuietAlarmsWithResponse(cmd.Context(), args[0], &api.QuietAlarmsParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("quiet: %w", err)
			}
			return a.done(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) problemList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is wrong, and what to do about it", Args: usage(cobra.NoArgs),
		Example: "  dialtone problem list\n  dialtone problem list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListProblemsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list problems: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				if len(r.JSON200.Problems) == 0 {
					return empty(w, "Nothing is known to be wrong.")
				}
				var rows [][]string
				for _, p := range r.JSON200.Problems {
					since := ""
					if !p.Since.IsZero() {
						since = p.Since.Local().Format(time.DateTime)
					}
					rows = append(rows, []string{string(p.Part), p.Network, since, p.Text})
				}
				return table(w, []string{"PART", "NETWORK", "SINCE", "PROBLEM"}, rows)
			})
		},
	}
}
