package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// keepBackup has the daemon make a backup of its own, and waits for it.
func (a *app) keepBackup(ctx context.Context, dry bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	r, err := c.CreateBackupWithResponse(ctx, &api.CreateBackupParams{DryRun: dry})
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if r.JSON200 != nil {
		return a.foreseen(r.JSON200)
	}
	if r.JSON202 == nil {
		return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	j, err := waitJob(ctx, c, r.JSON202.ID)
	if err != nil {
		return err
	}
	return a.print(j, func(w io.Writer) error { return writeJobs(w, *j) })
}

func (a *app) backupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the backups that the appliance keeps", Args: usage(cobra.NoArgs),
		Example: "  dialtone backup list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListBackupsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list backups: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, b := range r.JSON200.Backups {
					by := "somebody"
					if b.Scheduled {
						by = "schedule"
					}
					rows = append(rows, []string{b.Name, moment(b.Created), strconv.FormatInt(b.Size, 10), by})
				}
				return table(w, []string{"BACKUP", "CREATED", "BYTES", "MADE BY"}, rows)
			})
		},
	}
}

func (a *app) backupRemove() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "rm BACKUP", Short: "Remove a backup that the appliance keeps", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone backup rm BACKUP   # as `dialtone backup list` names it",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteBackupWithResponse(cmd.Context(), args[0], &api.DeleteBackupParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("remove backup: %w", err)
			}
			return a.done(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}
