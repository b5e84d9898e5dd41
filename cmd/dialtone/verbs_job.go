package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) job() *cobra.Command {
	return parent("job", "Long work that the daemon does", a.jobList(), a.jobShow(), a.jobWait(), a.jobCancel())
}

func (a *app) jobList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the jobs that wait, run or have ended lately", Args: usage(cobra.NoArgs),
		Example: "  dialtone job list\n  dialtone job list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list := api.JobList{Jobs: []api.Job{}}
			err = pages(func(cursor string) (string, error) {
				r, err := c.ListJobsWithResponse(cmd.Context(), &api.ListJobsParams{Limit: maxPage, Cursor: cursor})
				if err != nil {
					return "", fmt.Errorf("list jobs: %w", err)
				}
				if r.JSON200 == nil {
					return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				list.Jobs, list.Total = append(list.Jobs, r.JSON200.Jobs...), r.JSON200.Total
				return r.JSON200.Next, nil
			})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return writeJobs(w, list.Jobs...) })
		},
	}
}

func (a *app) jobShow() *cobra.Command {
	return &cobra.Command{
		Use: "show JOB", Short: "Show one job", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone job show 3 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			j, err := jobOf(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.print(j, func(w io.Writer) error { return writeJobs(w, *j) })
		},
	}
}

func (a *app) jobWait() *cobra.Command {
	return &cobra.Command{
		Use: "wait JOB", Short: "Wait until a job has ended, and fail if it has", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone job wait 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			j, err := waitJob(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.print(j, func(w io.Writer) error { return writeJobs(w, *j) })
		},
	}
}

func (a *app) jobCancel() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "cancel JOB", Short: "Cancel a job that waits or runs", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone job cancel 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.CancelJobWithResponse(cmd.Context(), args[0], &api.CancelJobParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("cancel job: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON202 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON202, func(w io.Writer) error { return writeJobs(w, *r.JSON202) })
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

func jobOf(ctx context.Context, c *api.ClientWithResponses, id string) (*api.Job, error) {
	r, err := c.GetJobWithResponse(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", id, err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}

// jobPause is how often a job that is waited for is looked at.
const jobPause = 200 * time.Millisecond

// waitJob returns a job that was done. One that ended otherwise is an error.
func waitJob(ctx context.Context, c *api.ClientWithResponses, id string) (*api.Job, error) {
	for {
		j, err := jobOf(ctx, c, id)
		if err != nil {
			return nil, err
		}
		switch j.State {
		case api.JobStateDone:
			return j, nil
		case api.JobStateCancelled:
			return nil, fmt.Errorf("job %s was cancelled", id)
		case api.JobStateFailed:
			return nil, fmt.Errorf("job %s: %w", id, errors.New(j.Error.Detail))
		case api.JobStateQueued, api.JobStateRunning:
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("job %s goes on: %w", id, ctx.Err())
		case <-time.After(jobPause):
		}
	}
}

func writeJobs(w io.Writer, jobs ...api.Job) error {
	var rows [][]string
	for _, j := range jobs {
		far := ""
		if j.Total > 0 {
			far = strconv.FormatInt(100*j.Done/j.Total, 10) + " %"
		}
		rows = append(rows, []string{j.ID, string(j.Kind), j.Object, string(j.State), far, moment(j.Created), j.By, j.Error.Detail})
	}
	return table(w, []string{"JOB", "KIND", "OF", "STATE", "DONE", "CREATED", "BY", "WHY NOT"}, rows)
}
