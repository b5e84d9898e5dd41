package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) problem() *cobra.Command {
	return parent("problem", "What an administrator should look into", a.problemList())
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
