package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) user() *cobra.Command {
	return parent("user", "Who may sign in at the console", a.userList(), a.userAdd(), a.userPasswd(), a.userRole(), a.userRemove(), a.userTOTPReset())
}

func (a *app) token() *cobra.Command {
	return parent("token", "What programs use the API with", a.tokenList(), a.tokenCreate(), a.tokenRevoke())
}

func (a *app) session() *cobra.Command {
	return parent("session", "Who is signed in", a.sessionList(), a.sessionRevoke())
}

func (a *app) audit() *cobra.Command {
	return parent("audit", "Who changed what", a.auditList(), a.auditVerify())
}

// reply is what came of a change: of a dry one what it would be.
type reply struct {
	dry     *api.Rehearsal
	status  int
	problem *api.Problem
}

// change is a verb that asks the daemon for one change, of which nothing is shown but that it was made.
func (a *app) change(cmd *cobra.Command, do func(context.Context, *api.ClientWithResponses, []string, bool) (reply, error)) *cobra.Command {
	var dry bool
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		r, err := do(cmd.Context(), c, args, dry)
		if err != nil {
			return fmt.Errorf("%s %s: %w", cmd.Parent().Name(), cmd.Name(), err)
		}
		return a.done(r.dry, r.status, r.problem)
	}
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: usage(cobra.NoArgs), Example: "  dialtone user list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListUsersWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list users: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, u := range r.JSON200.Users {
					state, second := "may sign in", "no"
					if u.Disabled {
						state = "disabled"
					}
					if u.SecondFactor {
						second = "yes"
					}
					rows = append(rows, []string{u.Name, string(u.Role), state, second, u.Changed.Local().Format(time.DateTime)})
				}
				return table(w, []string{"USER", "ROLE", "STATE", "SECOND FACTOR", "PASSWORD OF"}, rows)
			})
		},
	}
}

// passwordFlag adds the flag that says where a password is. There is none for the password itself: others on the machine
// can read command lines.
func passwordFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", "`file` with the password in its first line; - for standard input")
}

func (a *app) password(file string) (string, error) {
	if file == "" {
		return "", fmt.Errorf("%w: --password-file is needed; - reads standard input", errUsage)
	}
	data, err := a.read(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

func (a *app) userAdd() *cobra.Command {
	var role, file string
	var dry bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Create a user", Args: usage(cobra.ExactArgs(1)),
		Long: `Create a user. The role says what they are trusted with: owner (everything), operator (phones, configs, networks,
plugins), helpdesk (looks after phones, sees no secret) or viewer (looks on).`,
		Example: "  dialtone user add admin --role owner --password-file -",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := a.password(file)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.CreateUserWithResponse(cmd.Context(), &api.CreateUserParams{DryRun: dry}, api.NewUser{Name: args[0], Password: password, Role: api.Role(role)})
			if err != nil {
				return fmt.Errorf("user add: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s may sign in as %s.\n", r.JSON201.Name, r.JSON201.Role)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", string(access.Viewer), "owner, operator, helpdesk or viewer")
	passwordFlag(cmd, &file)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) userPasswd() *cobra.Command {
	var file string
	cmd := a.change(&cobra.Command{
		Use: "passwd NAME", Short: "Give a user another password", Args: usage(cobra.ExactArgs(1)),
		Long: "Give a user another password. Their sessions end.", Example: "  dialtone user passwd admin --password-file -",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		password, err := a.password(file)
		if err != nil {
			return reply{}, err
		}
		r, err := c.SetUserPasswordWithResponse(ctx, args[0], &api.SetUserPasswordParams{DryRun: dry}, api.NewPassword{Password: password})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
	passwordFlag(cmd, &file)
	return cmd
}

func (a *app) userRole() *cobra.Command {
	var disabled bool
	cmd := a.change(&cobra.Command{
		Use: "role NAME ROLE", Short: "Say what a user is trusted with", Args: usage(cobra.ExactArgs(2)),
		Long:    "Say what a user is trusted with, and with --disabled that they may not sign in. Their sessions end.",
		Example: "  dialtone user role reception helpdesk\n  dialtone user role reception viewer --disabled",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		r, err := c.SetUserRoleWithResponse(ctx, args[0], &api.SetUserRoleParams{DryRun: dry}, api.UserRole{Role: api.Role(args[1]), Disabled: disabled})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
	cmd.Flags().BoolVar(&disabled, "disabled", false, "the user may not sign in")
	return cmd
}

func (a *app) userRemove() *cobra.Command {
	return a.change(&cobra.Command{
		Use: "rm NAME", Short: "Delete a user, with their tokens and sessions", Args: usage(cobra.ExactArgs(1)), Example: "  dialtone user rm reception",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		r, err := c.DeleteUserWithResponse(ctx, args[0], &api.DeleteUserParams{DryRun: dry})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
}

func (a *app) userTOTPReset() *cobra.Command {
	return a.change(&cobra.Command{
		Use: "totp-reset NAME", Short: "Take a user's second factor away", Args: usage(cobra.ExactArgs(1)),
		Long: "Take a user's second factor away, because the phone that has it is lost. Their sessions end.", Example: "  dialtone user totp-reset admin",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		r, err := c.ResetUserTotpWithResponse(ctx, args[0], &api.ResetUserTotpParams{DryRun: dry})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens", Args: usage(cobra.NoArgs), Example: "  dialtone token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListAPITokensWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list tokens: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, t := range r.JSON200.Tokens {
					rows = append(rows, []string{t.ID, t.User, t.Name, strings.Join(t.Scopes, " "), moment(t.Expiry), moment(t.Used)})
				}
				return table(w, []string{"TOKEN", "USER", "FOR", "MAY", "UNTIL", "USED"}, rows)
			})
		},
	}
}

// moment is a time for people; empty: none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func (a *app) tokenCreate() *cobra.Command {
	var body api.NewAPIToken
	var dry bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a token for a program", Args: usage(cobra.ExactArgs(1)),
		Long: `Create a token for a program, which may do what the token's scopes say and its user may do, too. The token is shown once,
now; the program sends it as "Authorization: Bearer …".`,
		Example: "  dialtone token create ansible --user admin --scope read --scope phones:write --days 365",
		RunE: func(cmd *cobra.Command, args []string) error {
			if body.User == "" {
				return fmt.Errorf("%w: --user is needed: whose rights the token has a part of", errUsage)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body.Name = args[0]
			r, err := c.CreateAPITokenWithResponse(cmd.Context(), &api.CreateAPITokenParams{DryRun: dry}, body)
			if err != nil {
				return fmt.Errorf("token create: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, r.JSON201.Secret)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&body.User, "user", "", "`user` whose rights it has a part of")
	cmd.Flags().StringArrayVar(&body.Scopes, "scope", []string{string(access.Read)}, "what it may do; can be repeated")
	cmd.Flags().Int32Var(&body.Days, "days", 0, "how long it lasts; 0: until it is revoked")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) tokenRevoke() *cobra.Command {
	return a.change(&cobra.Command{
		Use: "revoke TOKEN", Short: "Let nobody in by a token any more", Args: usage(cobra.ExactArgs(1)),
		Long: "Let nobody in by a token any more. `dialtone token list` has the tokens' names for this.", Example: "  dialtone token revoke 0a1b2c3d4e5f6g7h",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		r, err := c.RevokeAPITokenWithResponse(ctx, args[0], &api.RevokeAPITokenParams{DryRun: dry})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
}

func (a *app) sessionList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List who is signed in", Args: usage(cobra.NoArgs), Example: "  dialtone session list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListSessionsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list sessions: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, s := range r.JSON200.Sessions {
					rows = append(rows, []string{s.ID, s.User, s.Remote, moment(s.Begun), moment(s.Seen), s.Agent})
				}
				return table(w, []string{"SESSION", "USER", "FROM", "SINCE", "SEEN", "BROWSER"}, rows)
			})
		},
	}
}

func (a *app) sessionRevoke() *cobra.Command {
	return a.change(&cobra.Command{
		Use: "revoke SESSION", Short: "End a session", Args: usage(cobra.ExactArgs(1)), Example: "  dialtone session revoke 0a1b2c3d4e5f6g7h",
	}, func(ctx context.Context, c *api.ClientWithResponses, args []string, dry bool) (reply, error) {
		r, err := c.RevokeSessionWithResponse(ctx, args[0], &api.RevokeSessionParams{DryRun: dry})
		if err != nil {
			return reply{}, err
		}
		return reply{r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault}, nil
	})
}

func (a *app) auditList() *cobra.Command {
	var params api.ListAuditParams
	cmd := &cobra.Command{
		Use: "list", Short: "List who changed what, and what was refused", Args: usage(cobra.NoArgs),
		Example: "  dialtone audit list\n  dialtone audit list --limit 1000 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListAuditWithResponse(cmd.Context(), &params)
			if err != nil {
				return fmt.Errorf("list the audit: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, e := range r.JSON200.Entries {
					rows = append(rows, []string{
						strconv.FormatInt(e.Seq, 10), moment(e.At), e.Actor, e.Remote, e.Action, provision.Printable(e.Object), e.Refused,
					})
				}
				return table(w, []string{"NUMBER", "AT", "WHO", "FROM", "DID", "TO", "REFUSED"}, rows)
			})
		},
	}
	cmd.Flags().Int32Var(&params.Limit, "limit", 50, "how many, up to 1000")
	cmd.Flags().Int64Var(&params.Before, "before", 0, "only entries before this `number`")
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "See that no entry was altered or taken out", Args: usage(cobra.NoArgs),
		Long: `See that no entry of the audit was altered or taken out: each has a checksum that covers the one before it. The last
entries can be cut off unseen; keep a copy elsewhere if that matters.`,
		Example: "  dialtone audit verify",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.VerifyAuditWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("verify the audit: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			if !r.JSON200.Whole {
				return kindError(provision.ErrInvalid, "%s", r.JSON200.Problem)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d entries, and none is altered or missing\n", r.JSON200.Entries)
				return err
			})
		},
	}
}
