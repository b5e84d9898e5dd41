package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) config() *cobra.Command {
	return parent("config", "The sets of values that phones are given", a.configList(), a.configShow(), a.configResolved(), a.configSet(),
		a.configEdit(), a.configDelete(), a.configHistory(), a.configDiff(), a.configRestore())
}

func (a *app) configList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the configs", Args: usage(cobra.NoArgs), Example: "  dialtone config list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListConfigsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list configs: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, x := range r.JSON200.Configs {
					var marks []string
					if x.Locked {
						marks = append(marks, "locked")
					}
					if x.Transient {
						marks = append(marks, "transient")
					}
					rows = append(rows, []string{x.ID, x.Role, strings.Join(x.Parents, ","), strings.Join(marks, ","), strconv.FormatInt(x.Rev, 10), x.Label})
				}
				return table(w, []string{"CONFIG", "ROLE", "PARENTS", "MARKS", "REV", "LABEL"}, rows)
			})
		},
	}
}

func (a *app) configShow() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use: "show CONFIG", Short: "Write a config as `config set` reads it", Args: usage(cobra.ExactArgs(1)),
		Long: "Write a config as `dialtone config set` reads it. Secrets read [secret]; set so, they stay what they are.\n" +
			"With --reveal they are written in clear, which the audit tells of.",
		Example: "  dialtone config show reception > reception.yaml\n  dialtone config show reception --reveal",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.GetConfigWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show config: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			if reveal {
				x, err := a.revealedConfig(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				r.JSON200.Params = x.Params
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				x := r.JSON200
				data, err := configs.FormatConfig(&configs.SiteConfig{
					ID: x.ID, Label: x.Label, Parents: x.Parents, Role: x.Role, Params: web.FromValues(x.Params), Transient: x.Transient, Locked: x.Locked,
				})
				if err != nil {
					return err
				}
				_, err = w.Write(data)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "write its secrets in clear; the audit tells of it")
	return cmd
}

func (a *app) configResolved() *cobra.Command {
	return &cobra.Command{
		Use: "resolved CONFIG", Short: "Show a config with all that it inherits, and where each value comes from", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone config resolved reception",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ResolveConfigWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("resolve config: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				params := web.FromValues(r.JSON200.Params)
				for _, path := range slices.SortedFunc(maps.Keys(r.JSON200.From), provision.CompareVersions) {
					rows = append(rows, []string{printable(path), printable(valueAt(params, path)), r.JSON200.From[path]})
				}
				return table(w, []string{"VALUE", "IS", "FROM"}, rows)
			})
		},
	}
}

// valueAt writes the value at a path. Names may have dots in them, so the way goes along what is there.
func valueAt(v any, path string) string {
	m, ok := v.(map[string]any)
	if !ok || path == "" {
		return fmt.Sprint(v)
	}
	for name, below := range m {
		if name == path {
			return fmt.Sprint(below)
		}
		if rest, ok := strings.CutPrefix(path, name+"."); ok {
			return valueAt(below, rest)
		}
	}
	return ""
}

// changeFlags are those of the verbs that change a config.
type changeFlags struct {
	dryRun bool
	why    string
}

func (f *changeFlags) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only check it, and show which phones would get other files")
	cmd.Flags().StringVar(&f.why, "why", "", "`reason`, for the history")
	return cmd
}

func (a *app) configSet() *cobra.Command {
	var f changeFlags
	var rev int64
	cmd := f.add(&cobra.Command{
		Use: "set CONFIG FILE", Short: "Write a config from a file, a new one or in the place of what there is", Args: usage(cobra.ExactArgs(2)),
		Long: "Write a config from a file in YAML or JSON, a new one or in the place of what there is, as a new revision. The file has the\n" +
			"form of `dialtone config show`; - is standard input. A secret that reads [secret] stays what it is.",
		Example: "  dialtone config set reception reception.yaml --dry-run\n  dialtone config set reception reception.yaml --why 'new exchange'",
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := a.read(args[1])
			if err != nil {
				return err
			}
			x, err := configs.ParseConfig(args[1], data)
			if err != nil {
				return fmt.Errorf("%w: %w", provision.ErrInvalid, err)
			}
			if x.ID != "" && x.ID != args[0] {
				return fmt.Errorf("%s is config %q, not %q: %w", args[1], x.ID, args[0], provision.ErrInvalid)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.PutConfigWithResponse(cmd.Context(), args[0], &api.PutConfigParams{DryRun: f.dryRun, Why: f.why}, api.NewConfig{
				Label: x.Label, Parents: x.Parents, Role: x.Role, Params: x.Params, Transient: x.Transient, Locked: x.Locked, Rev: rev,
			})
			if err != nil {
				return fmt.Errorf("set config: %w", err)
			}
			return a.configChanged(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	})
	cmd.Flags().Int64Var(&rev, "rev", 0, "`revision` (REV of config list) that was edited; refused if there is another by now")
	return cmd
}

func (a *app) configDelete() *cobra.Command {
	var f changeFlags
	return f.add(&cobra.Command{
		Use: "delete CONFIG", Short: "Delete a config that nobody uses", Args: usage(cobra.ExactArgs(1)),
		Long:    "Delete a config that no phone and no other config uses. Its history stays: `dialtone config restore` brings it back.",
		Example: "  dialtone config delete reception --why 'they moved out'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteConfigWithResponse(cmd.Context(), args[0], &api.DeleteConfigParams{DryRun: f.dryRun, Why: f.why})
			if err != nil {
				return fmt.Errorf("delete config: %w", err)
			}
			return a.configChanged(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	})
}

func (a *app) configRestore() *cobra.Command {
	var f changeFlags
	return f.add(&cobra.Command{
		Use: "restore CONFIG REVISION", Short: "Make a config what it was after one of its revisions", Args: usage(cobra.ExactArgs(2)),
		Long:    "Make a config what it was after one of its revisions, as a new revision; one that was deleted, too. `dialtone config history` lists them.",
		Example: "  dialtone config restore reception 3 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			revision, err := revisionNumber(args[1])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.RestoreConfigWithResponse(cmd.Context(), args[0], &api.RestoreConfigParams{DryRun: f.dryRun, Why: f.why}, api.Restoration{Revision: revision})
			if err != nil {
				return fmt.Errorf("restore config: %w", err)
			}
			return a.configChanged(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	})
}

func revisionNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: %q is not a revision's number; `dialtone config history` lists them", errUsage, s)
	}
	return n, nil
}

// configChanged shows what came of a change, or would come of it.
func (a *app) configChanged(x *api.ConfigChange, status int, problem *api.Problem) error {
	if x == nil {
		return answer(status, problem)
	}
	return a.print(x, func(w io.Writer) error {
		if len(x.Differences) == 0 {
			fmt.Fprintln(w, "Nothing is different.")
		} else if err := writeDifferences(w, x.Differences); err != nil {
			return err
		}
		if x.Done {
			return nil
		}
		return writeEffects(w, x.Effects)
	})
}

func writeDifferences(w io.Writer, list []api.ConfigDifference) error {
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{d.Path, printable(d.Old), printable(d.New)})
	}
	return table(w, []string{"WHAT", "BEFORE", "AFTER"}, rows)
}

// writeEffects shows whose files would be others, and how.
func writeEffects(w io.Writer, e api.Effects) error {
	for _, p := range e.Changed {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(strings.Join([]string{p.Phone, p.Mac, p.Model, printable(p.Label)}, " ")))
		for _, f := range p.Files {
			name := f.Path
			if name == "" {
				name = "what DHCP says"
			}
			fmt.Fprintf(w, "%s %s: %s\n", f.Proto, printable(name), f.Change)
			for _, text := range []string{f.Err, f.Note} {
				if text != "" {
					fmt.Fprintf(w, "  %s\n", printable(text))
				}
			}
			for line := range strings.Lines(f.Diff) {
				fmt.Fprintln(w, printable(strings.TrimSuffix(line, "\n")))
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%d of %d phones would get other files. Nothing was changed.\n", len(e.Changed), e.Phones)
	return err
}

func (a *app) configHistory() *cobra.Command {
	return &cobra.Command{
		Use: "history CONFIG", Short: "List a config's revisions", Args: usage(cobra.ExactArgs(1)),
		Long:    "List a config's revisions, the newest first; also those of one that was deleted.",
		Example: "  dialtone config history reception",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListRevisionsWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("history: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, v := range r.JSON200.Revisions {
					what := "written"
					if v.Deleted {
						what = "deleted"
					}
					rows = append(rows, []string{strconv.FormatInt(v.Number, 10), v.At.Local().Format(time.DateTime), what, v.By, v.Why})
				}
				return table(w, []string{"REVISION", "TIME", "WHAT", "BY", "WHY"}, rows)
			})
		},
	}
}

func (a *app) configDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff CONFIG [FROM] [TO]", Short: "Show in what two revisions of a config differ", Args: usage(cobra.RangeArgs(1, 3)),
		Long: "Show in what two revisions of a config differ: what the newest one changed, or with a number what has changed since that\n" +
			"one, or with two what has changed between them.",
		Example: "  dialtone config diff reception\n  dialtone config diff reception 2 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			var params api.DiffConfigParams
			for i, to := range []*int64{&params.From, &params.To} {
				if i+1 < len(args) {
					n, err := revisionNumber(args[i+1])
					if err != nil {
						return err
					}
					*to = n
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DiffConfigWithResponse(cmd.Context(), args[0], &params)
			if err != nil {
				return fmt.Errorf("diff: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error { return writeDifferences(w, r.JSON200.Differences) })
		},
	}
}
