package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) phoneWaiting() *cobra.Command {
	return &cobra.Command{
		Use: "waiting", Short: "List the phones that wait for approval", Args: usage(cobra.NoArgs),
		Long:    "List the phones that wait for approval, the latest first, and why. `dialtone phone approve` lets one in, `deny` sets it aside.",
		Example: "  dialtone phone waiting",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListWaitingWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list waiting: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, x := range r.JSON200.Waiting {
					got := "held"
					if x.Served {
						got = "served"
					}
					rows = append(rows, []string{
						x.Phone, x.Mac, x.From, x.Network, modelText(x.Vendor, x.Model, x.MacVendor), got,
						strconv.FormatInt(x.Count, 10), x.Last.Local().Format(time.DateTime), x.Path, x.Rule + ": " + x.Why,
					})
				}
				return table(w, []string{"PHONE", "MAC", "ADDRESS", "NETWORK", "MODEL", "STATE", "TIMES", "LAST", "ASKED FOR", "WHY"}, rows)
			})
		},
	}
}

// phoneVerdict is a verb that decides about one phone and shows it as it is then, or would be. decide returns that or the
// answer that there was instead.
func (a *app) phoneVerdict(
	cmd *cobra.Command, what string, decide func(context.Context, *api.ClientWithResponses, string, bool) (*api.Decision, int, *api.Problem, error),
) *cobra.Command {
	var dry bool
	cmd.Args = usage(cobra.ExactArgs(1))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		d, status, problem, err := decide(cmd.Context(), c, args[0], dry)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if d == nil {
			return answer(status, problem)
		}
		return a.print(d, func(w io.Writer) error { return writeDecision(w, d, dry) })
	}
	dryFlag(cmd, &dry)
	return cmd
}

func writeDecision(w io.Writer, d *api.Decision, dry bool) error {
	if err := writePhone(w, d.Phone); err != nil {
		return err
	}
	var rows [][]string
	for _, c := range d.Changes {
		rows = append(rows, []string{printable(c.Path), printable(c.Old), printable(c.New)})
	}
	said := "changed"
	switch {
	case len(rows) == 0:
		said = "nothing changes"
	case dry:
		said = dryly(dry) + "this would change"
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", said); err != nil {
		return err
	}
	if len(rows) > 0 {
		if err := table(w, []string{"FIELD", "FROM", "TO"}, rows); err != nil {
			return err
		}
	}
	n := d.Next
	if n.Path == "" {
		return nil
	}
	with := ""
	if n.Status == string(provision.StatusOK) {
		with = ", without passwords"
		if n.Secrets {
			with = ", with its passwords"
		}
	}
	if n.Rule != "" { // the guard was asked
		with += fmt.Sprintf(" (%s: %s)", n.Rule, printable(n.Why))
	}
	_, err := fmt.Fprintf(w, "If it asks for %s again: %s%s\n", printable(n.Path), n.Status, with)
	return err
}

// foreseen shows what a dry run would have done.
func (a *app) foreseen(x *api.Rehearsal) error {
	return a.print(x, func(w io.Writer) error {
		text := func(v any) string {
			if v == nil {
				return "nothing"
			}
			data, err := json.Marshal(v)
			if err != nil {
				return err.Error()
			}
			return string(data)
		}
		if x.Before == nil && x.After == nil {
			_, err := fmt.Fprintf(w, "%s%s\n", dryly(true), printable(x.Object))
			return err
		}
		_, err := fmt.Fprintf(w, "%s%s\nfrom %s\nto   %s\n", dryly(true), printable(x.Object), printable(text(x.Before)), printable(text(x.After)))
		return err
	})
}

func (a *app) phoneApprove() *cobra.Command {
	var body api.Approval
	cmd := a.phoneVerdict(&cobra.Command{
		Use: "approve PHONE", Short: "Confirm a phone that waits for approval",
		Long: "Confirm a phone that waits for approval: from its next request on it gets what its evidence is good for. With --config it\n" +
			"is given that config, too. One that is suspicious or retired must be cleared first. With --dry-run it says what the\n" +
			"phone would get for its last request.",
		Example: "  dialtone phone approve 00:15:65:aa:bb:cc --dry-run\n  dialtone phone approve 192.0.2.23 --config reception",
	}, "approve", func(ctx context.Context, c *api.ClientWithResponses, key string, dry bool) (*api.Decision, int, *api.Problem, error) {
		r, err := c.ApprovePhoneWithResponse(ctx, key, &api.ApprovePhoneParams{DryRun: dry}, body)
		if err != nil {
			return nil, 0, nil, err
		}
		return r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault, nil
	})
	cmd.Flags().StringVar(&body.Config, "config", "", "give it this `config`")
	return cmd
}

func (a *app) phoneDeny() *cobra.Command {
	var body api.Denial
	cmd := a.phoneVerdict(&cobra.Command{
		Use: "deny PHONE", Short: "Set a phone aside that waits for approval",
		Long:    "Set a phone aside that waits for approval: it gets nothing but public files, and isn't listed any more. `dialtone aside rm` ends that.",
		Example: "  dialtone phone deny 00:15:65:aa:bb:cc --why 'the neighbours have it'",
	}, "deny", func(ctx context.Context, c *api.ClientWithResponses, key string, dry bool) (*api.Decision, int, *api.Problem, error) {
		r, err := c.DenyPhoneWithResponse(ctx, key, &api.DenyPhoneParams{DryRun: dry}, body)
		if err != nil {
			return nil, 0, nil, err
		}
		return r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault, nil
	})
	cmd.Flags().StringVar(&body.Why, "why", "", "`reason`, for those who read the list")
	return cmd
}

func (a *app) phoneRetire() *cobra.Command {
	return a.phoneVerdict(&cobra.Command{
		Use: "retire PHONE", Short: "End that a phone is one of ours",
		Long:    "End that a phone is one of ours: it gets nothing but public files, and an alarm tells if it asks. `dialtone phone clear` ends that.",
		Example: "  dialtone phone retire 00:15:65:aa:bb:cc",
	}, "retire", func(ctx context.Context, c *api.ClientWithResponses, key string, dry bool) (*api.Decision, int, *api.Problem, error) {
		r, err := c.RetirePhoneWithResponse(ctx, key, &api.RetirePhoneParams{DryRun: dry})
		if err != nil {
			return nil, 0, nil, err
		}
		return r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault, nil
	})
}

func (a *app) phoneClear() *cobra.Command {
	return a.phoneVerdict(&cobra.Command{
		Use: "clear PHONE", Short: "End that a phone is suspicious or retired",
		Long:    "End that a phone is suspicious or retired: it is confirmed again, and the alarms about it are forgotten.",
		Example: "  dialtone phone clear 00:15:65:aa:bb:cc",
	}, "clear", func(ctx context.Context, c *api.ClientWithResponses, key string, dry bool) (*api.Decision, int, *api.Problem, error) {
		r, err := c.ClearPhoneWithResponse(ctx, key, &api.ClearPhoneParams{DryRun: dry})
		if err != nil {
			return nil, 0, nil, err
		}
		return r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault, nil
	})
}

func (a *app) phonePort() *cobra.Command {
	var body api.PortMove
	cmd := a.phoneVerdict(&cobra.Command{
		Use: "port PHONE", Short: "Say that a phone belongs to the switch port where it is now",
		Long: "Say that a phone belongs to the switch port where it is now, because somebody has moved it. The alarms about it are\n" +
			"forgotten. With --unpin it belongs to none. The port is what the switch tells by DHCP (option 82).",
		Example: "  dialtone phone port 00:15:65:aa:bb:cc\n  dialtone phone port 00:15:65:aa:bb:cc --unpin",
	}, "port", func(ctx context.Context, c *api.ClientWithResponses, key string, dry bool) (*api.Decision, int, *api.Problem, error) {
		r, err := c.MovePortWithResponse(ctx, key, &api.MovePortParams{DryRun: dry}, body)
		if err != nil {
			return nil, 0, nil, err
		}
		return r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault, nil
	})
	cmd.Flags().BoolVar(&body.Unpin, "unpin", false, "it belongs to no port any more")
	return cmd
}

func (a *app) phoneToken() *cobra.Command {
	body := api.NewPhoneToken{Hours: 24}
	var dry bool
	cmd := &cobra.Command{
		Use: "token PHONE", Short: "Issue a token for a phone that has no lease of ours, such as one behind NAT", Args: usage(cobra.ExactArgs(1)),
		Long: "Issue a token for a phone that has no lease of ours, such as one behind NAT, and print the URL to provision it from.\n" +
			"It is shown this once. It works from the first address that uses it, for as long as --hours says. Passwords leave by\n" +
			"it where the phone is marked as remote (--remote) or its network as NAT.",
		Example: "  dialtone phone token 00:15:65:aa:bb:cc --hours 48 --from 198.51.100.7 --remote",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.IssuePhoneTokenWithResponse(cmd.Context(), args[0], &api.IssuePhoneTokenParams{DryRun: dry}, body)
			if err != nil {
				return fmt.Errorf("token: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error {
				t := r.JSON201
				text := t.URL + "/\n"
				if t.URL == "" {
					text = t.Path + "/\nThis follows the address by which the phone reaches this appliance; --from gives the whole.\n"
				}
				_, err := fmt.Fprintf(w, "%sIt is good until %s, and isn't shown again.\n", text, t.Ends.Local().Format(time.DateTime))
				return err
			})
		},
	}
	cmd.Flags().Int32Var(&body.Hours, "hours", body.Hours, "how `many` hours it is good, at most 720")
	cmd.Flags().StringVar(&body.From, "from", "", "`address` that the phone's requests come from, such as its NAT's; it decides which address of ours is in the URL")
	cmd.Flags().BoolVar(&body.Remote, "remote", false, "also mark the phone as remote")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) window() *cobra.Command {
	return parent("window", "Enrolment windows: times in which new phones are confirmed by asking", a.windowOpen(), a.windowList(), a.windowClose())
}

func (a *app) windowOpen() *cobra.Command {
	body := api.NewWindow{Minutes: 15}
	var dry bool
	cmd := &cobra.Command{
		Use: "open --phone PHONE | --network NETWORK", Short: "Open an enrolment window", Args: usage(cobra.NoArgs),
		Example: "  dialtone window open --network office --vendor Yealink --count 20\n  dialtone window open --phone 00:15:65:aa:bb:cc --minutes 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if body.Phone == "" && body.Network == "" {
				return fmt.Errorf("%w: say with --phone or --network whom it is for", errUsage)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.OpenWindowWithResponse(cmd.Context(), &api.OpenWindowParams{DryRun: dry}, body)
			if err != nil {
				return fmt.Errorf("open window: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error { return writeWindows(w, *r.JSON201) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&body.Phone, "phone", "", "only for this `phone`")
	fl.StringVar(&body.Network, "network", "", "only for phones in this `network`")
	fl.StringVar(&body.Vendor, "vendor", "", "only for phones of this `vendor`")
	fl.StringVar(&body.Oui, "oui", "", "only for MACs that begin with these six `digits`, such as 00:15:65")
	fl.Int32Var(&body.Count, "count", 0, "for how `many` phones; 0: as many as come")
	fl.Int32Var(&body.Minutes, "minutes", body.Minutes, "how `long` it is open, at most 30")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) windowList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the enrolment windows that are open", Args: usage(cobra.NoArgs), Example: "  dialtone window list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListWindowsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list windows: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error { return writeWindows(w, r.JSON200.Windows...) })
		},
	}
}

func writeWindows(w io.Writer, list ...api.Window) error {
	var rows [][]string
	for _, x := range list {
		of := ""
		if x.Count > 0 {
			of = fmt.Sprintf(" of %d", x.Count)
		}
		rows = append(rows, []string{x.ID, x.Phone, x.Network, x.Vendor, x.Oui, strconv.Itoa(len(x.Used)) + of, x.Closes.Local().Format(time.DateTime), x.By})
	}
	return table(w, []string{"ID", "PHONE", "NETWORK", "VENDOR", "OUI", "USED", "CLOSES", "BY"}, rows)
}

func (a *app) windowClose() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "close ID", Short: "Close an enrolment window before its time", Args: usage(cobra.ExactArgs(1)), Example: "  dialtone window close k3v9w2xq",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.CloseWindowWithResponse(cmd.Context(), args[0], &api.CloseWindowParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("close window: %w", err)
			}
			return a.done(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

// done is the end of a verb that has nothing to show, unless it was dry.
func (a *app) done(dry *api.Rehearsal, status int, problem *api.Problem) error {
	switch {
	case dry != nil:
		return a.foreseen(dry)
	case status == http.StatusNoContent:
		return nil
	}
	return answer(status, problem)
}

func (a *app) aside() *cobra.Command {
	return parent("aside", "Devices that nobody wants to hear of", a.asideAdd(), a.asideList(), a.asideRemove())
}

func (a *app) asideAdd() *cobra.Command {
	var body api.NewAside
	var dry bool
	cmd := &cobra.Command{
		Use: "add MAC|KEY", Short: "Set a device aside", Args: usage(cobra.ExactArgs(1)),
		Long: "Set a device aside: no phone is made of its requests, it isn't listed, and one that is known is treated as retired. A device\n" +
			"without a MAC is named by its sighting's key, such as \"serial 4711\".",
		Example: "  dialtone aside add 00:15:65:aa:bb:cc --why 'a door station'\n  dialtone aside add 'serial 4711'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			body.Key = args[0]
			r, err := c.SetAsideWithResponse(cmd.Context(), &api.SetAsideParams{DryRun: dry}, body)
			if err != nil {
				return fmt.Errorf("set aside: %w", err)
			}
			return a.done(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	}
	cmd.Flags().StringVar(&body.Why, "why", "", "`reason`, for those who read the list")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) asideList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the devices that are set aside", Args: usage(cobra.NoArgs), Example: "  dialtone aside list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListAsidesWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list devices set aside: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, x := range r.JSON200.Asides {
					rows = append(rows, []string{x.Key, x.At.Local().Format(time.DateTime), x.By, x.Why})
				}
				return table(w, []string{"DEVICE", "SINCE", "BY", "WHY"}, rows)
			})
		},
	}
}

func (a *app) asideRemove() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "rm MAC|KEY", Short: "End that a device is set aside", Args: usage(cobra.ExactArgs(1)), Example: "  dialtone aside rm 00:15:65:aa:bb:cc",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.TakeBackWithResponse(cmd.Context(), args[0], &api.TakeBackParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("take back: %w", err)
			}
			return a.done(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}
