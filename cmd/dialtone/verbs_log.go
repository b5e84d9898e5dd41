package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) logs() *cobra.Command { return parent("log", "What the daemon logs", a.logLevel()) }

func (a *app) logLevel() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "level [PART [LEVEL]]", Short: "Show or set how much each part of the daemon logs", Args: usage(cobra.MaximumNArgs(2)),
		Long: `Show how much each part of the daemon logs, or have one log more or less: debug, info, warn or error. It holds until the
daemon ends; log.level of the settings says how it starts.`,
		Example: "  dialtone log level\n  dialtone log level dhcp debug",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var list *api.LogLevelList
			if len(args) == 2 {
				body := api.LogLevelList{Levels: []api.LogLevel{{Part: args[0], Level: api.LogLevelLevel(args[1])}}}
				r, err := c.SetLogLevelsWithResponse(cmd.Context(), &api.SetLogLevelsParams{DryRun: dryRun}, body)
				if err != nil {
					return fmt.Errorf("log level: %w", err)
				}
				if list = r.JSON200; list == nil {
					return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
			} else {
				r, err := c.ListLogLevelsWithResponse(cmd.Context())
				if err != nil {
					return fmt.Errorf("log level: %w", err)
				}
				if list = r.JSON200; list == nil {
					return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
			}
			return a.showLevels(*list, args)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only check it")
	return cmd
}

// showLevels writes the levels; of one part, if it is named.
func (a *app) showLevels(list api.LogLevelList, args []string) error {
	shown := api.LogLevelList{Levels: []api.LogLevel{}}
	var rows [][]string
	for _, l := range list.Levels {
		if len(args) == 0 || args[0] == l.Part {
			shown.Levels = append(shown.Levels, l)
			rows = append(rows, []string{l.Part, string(l.Level)})
		}
	}
	if len(args) > 0 && len(rows) == 0 {
		return kindError(provision.ErrNotFound, "there is no part %q; dialtone log level lists them", args[0])
	}
	return a.print(shown, func(w io.Writer) error { return table(w, []string{"PART", "LEVEL"}, rows) })
}
