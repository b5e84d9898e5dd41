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

func (a *app) requests() *cobra.Command {
	var params api.ListRequestsParams
	cmd := &cobra.Command{
		Use: "requests", Short: "List what phones asked for lately, and what came of it", Args: usage(cobra.NoArgs),
		Long:    "List what phones asked for lately, and what came of it, the newest first. `dialtone trace` tells the whole story of one.",
		Example: "  dialtone requests\n  dialtone requests --phone 192.0.2.23 --limit 200",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListRequestsWithResponse(cmd.Context(), &params)
			if err != nil {
				return fmt.Errorf("list requests: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, o := range r.JSON200.Requests {
					rows = append(rows, requestRow(o))
				}
				return table(w, []string{"NUMBER", "TIME", "BY", "FROM", "PHONE", "FILE", "RESULT"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&params.Phone, "phone", "", "only those of this `phone`: its MAC, its address, its serial number or its ID")
	cmd.Flags().Int32Var(&params.Limit, "limit", 50, "how `many`, at most 1000")
	return cmd
}

func requestRow(o api.Outcome) []string {
	text := func(v any) string {
		s, _ := v.(string)
		return s
	}
	req, _ := o["request"].(map[string]any)
	device, _ := o["device"].(map[string]any)
	id, _ := o["id"].(float64)
	at, _ := time.Parse(time.RFC3339, text(req["at"]))
	return []string{
		strconv.FormatFloat(id, 'f', 0, 64), at.Local().Format(time.DateTime), text(req["proto"]), text(req["peer"]), text(device["mac"]),
		printable(text(req["path"])), text(o["status"]),
	}
}

// printable keeps text from outside from acting on the terminal.
func printable(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func (a *app) trace() *cobra.Command {
	return &cobra.Command{
		Use: "trace NUMBER", Short: "Tell the whole story of one request", Args: usage(cobra.ExactArgs(1)),
		Long: "Tell the whole story of one request: who it was taken for and why, which rule answered, and what was sent. " +
			"`dialtone requests` lists the numbers.",
		Example: "  dialtone trace 4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := requestNumber(args[0])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.GetRequestWithResponse(cmd.Context(), id)
			if err != nil {
				return fmt.Errorf("trace: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200.Outcome, func(w io.Writer) error {
				_, err := io.WriteString(w, r.JSON200.Text)
				return err
			})
		},
	}
}

func requestNumber(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("%w: %q is not a request's number; `dialtone requests` lists them", errUsage, s)
	}
	return id, nil
}

func (a *app) replay() *cobra.Command {
	return &cobra.Command{
		Use: "replay NUMBER", Short: "Ask a request of the past again, and tell what is different now", Args: usage(cobra.ExactArgs(1)),
		Long:    "Ask a request of the past again, and tell what is different now. Nothing is changed, and no phone hears of it.",
		Example: "  dialtone replay 4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := requestNumber(args[0])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ReplayRequestWithResponse(cmd.Context(), id)
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				if _, err := io.WriteString(w, r.JSON200.Text+"\n"); err != nil {
					return fmt.Errorf("write replay: %w", err)
				}
				if len(r.JSON200.Differences) == 0 {
					return empty(w, "It comes to the same as then.")
				}
				var rows [][]string
				for _, d := range r.JSON200.Differences {
					rows = append(rows, []string{d.Field, d.Then, d.Now})
				}
				return table(w, []string{"WHAT", "THEN", "NOW"}, rows)
			})
		},
	}
}

func (a *app) phoneBoots() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "boots PHONE", Short: "Tell how a phone came up, and where it is stuck", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone phone boots 00:15:65:aa:bb:cc\n  dialtone phone boots 192.0.2.23 --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListBootsWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("boots: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				boots := r.JSON200.Boots
				if len(boots) == 0 {
					return empty(w, "No boot of this phone is known.")
				}
				if !all {
					boots = boots[:1]
				}
				for _, b := range boots {
					if err := writeBoot(w, b); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "tell all that are known, not only the last one")
	return cmd
}

func writeBoot(w io.Writer, b api.Boot) error {
	fmt.Fprintf(w, "%s, %s\n", b.Begun.Local().Format(time.DateTime), b.State)
	var rows [][]string
	for _, s := range b.Stages {
		at, request := "", ""
		if !s.At.IsZero() {
			at, request = "+"+s.At.Sub(b.Begun).Round(100*time.Millisecond).String(), strconv.FormatInt(s.Request, 10)
		}
		what := s.Path
		if s.Proto == api.StageProtoDhcp {
			what = "address"
		}
		rows = append(rows, []string{at, what, string(s.State), request, s.Note})
	}
	if err := table(w, []string{"AFTER", "STEP", "STATE", "REQUEST", "NOTE"}, rows); err != nil {
		return err
	}
	if b.Stuck != "" {
		fmt.Fprintf(w, "Look at %s: %s.\n%s\n", b.Stuck, b.Why, b.Remedy)
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (a *app) phoneDrift() *cobra.Command {
	return &cobra.Command{
		Use: "drift PHONE", Short: "Tell which of a phone's files are out of date", Args: usage(cobra.ExactArgs(1)),
		Long:    "Tell which of a phone's files are out of date: what it was last sent, compared with what it would be sent now.",
		Example: "  dialtone phone drift 00:15:65:aa:bb:cc",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListDriftWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("drift: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, f := range r.JSON200.Files {
					rows = append(rows, []string{f.Path, string(f.State), f.At.Local().Format(time.DateTime), strconv.FormatInt(f.Request, 10), f.Note})
				}
				return table(w, []string{"FILE", "STATE", "SENT", "REQUEST", "NOTE"}, rows)
			})
		},
	}
}
