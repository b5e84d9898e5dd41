package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
)

// keepBackup has the daemon make a backup of its own, and waits for it.
func (a *app) keepBackup(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	r, err := c.CreateBackupWithResponse(ctx)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
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
					rows = append(rows, []string{b.Name, moment(b.Created), strconv.FormatInt(b.Size, 10)})
				}
				return table(w, []string{"BACKUP", "CREATED", "BYTES"}, rows)
			})
		},
	}
}

func (a *app) backupRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm BACKUP", Short: "Remove a backup that the appliance keeps", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone backup rm BACKUP   # as `dialtone backup list` names it",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteBackupWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("remove backup: %w", err)
			}
			if r.ApplicationProblemJSONDefault != nil || r.StatusCode() >= 300 {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return nil
		},
	}
}
