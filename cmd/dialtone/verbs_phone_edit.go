package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// dryFlag is --dry-run, which every verb has that changes something.
func dryFlag(cmd *cobra.Command, dry *bool) {
	cmd.Flags().BoolVar(dry, "dry-run", false, "change nothing, say what would be")
}

// dryly begins what a verb says that has changed nothing.
func dryly(dry bool) string {
	if dry {
		return "nothing is changed yet: "
	}
	return ""
}

// phoneFlags are the fields of a phone as flags.
type phoneFlags struct {
	label, mac, sn, uuid, vendor, model, version, plugin, config string
	remote, static                                               bool
	file                                                         string
}

func (f *phoneFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	for _, x := range []struct {
		to         *string
		name, what string
	}{
		{&f.label, "label", "what people call it"},
		{&f.sn, "sn", "its serial `number`"},
		{&f.uuid, "uuid", "its UUID"},
		{&f.vendor, "vendor", "its maker"},
		{&f.model, "model", "its model"},
		{&f.version, "version", "its firmware's version"},
		{&f.plugin, "plugin", "the plugin that makes its files, whatever it says of itself"},
		{&f.config, "config", "the config that it gets"},
		{&f.file, "file", "more `fields`, override and options among them, from a file in JSON; - is standard input"},
	} {
		flags.StringVar(x.to, x.name, "", x.what)
	}
	flags.BoolVar(&f.remote, "remote", false, "it may be outside of our networks")
	flags.BoolVar(&f.static, "static", false, "its address is typed into it")
}

// fields returns what the file says, and what the flags that were given say over it.
func (f *phoneFlags) fields(a *app, cmd *cobra.Command) (map[string]any, error) {
	out := map[string]any{}
	if f.file != "" {
		data, err := a.read(f.file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &out); err != nil {
			return nil, kindError(errUsage, "%s: %v", f.file, err)
		}
	}
	for name, v := range map[string]any{
		"label": f.label, "mac": f.mac, "sn": f.sn, "uuid": f.uuid, "vendor": f.vendor, "model": f.model, "version": f.version,
		"plugin": f.plugin, "config": f.config, "remote": f.remote, "static": f.static,
	} {
		if cmd.Flags().Changed(name) {
			out[name] = v
		}
	}
	return out, nil
}

func (a *app) phoneAdd() *cobra.Command {
	var (
		f   phoneFlags
		p   paramFlags
		dry bool
	)
	cmd := &cobra.Command{
		Use: "add [MAC]", Short: "Make a phone known before it asks for anything", Args: usage(cobra.MaximumNArgs(1)),
		Long: "Make a phone known before it asks for anything, by its MAC in any spelling or by --sn or --uuid. --set is about its\n" +
			"override: what this one phone is told over its config. A password belongs into the file, below override.",
		Example: "  dialtone phone add 00:15:65:aa:bb:cc --label Reception --config front-desk\n  dialtone phone add --sn 4711 --file phone.json --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields, err := f.fields(a, cmd)
			if err == nil {
				err = p.into(fields, "override")
			}
			if err != nil {
				return err
			}
			if len(args) > 0 {
				fields["mac"] = args[0]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := jsonBody(fields)
			if err != nil {
				return err
			}
			r, err := c.CreatePhoneWithBodyWithResponse(cmd.Context(), &api.CreatePhoneParams{DryRun: dry}, jsonType, body)
			if err != nil {
				return fmt.Errorf("add phone: %w", err)
			}
			result := r.JSON201
			if r.JSON200 != nil {
				result = r.JSON200
			}
			return a.phoneChanged(r.StatusCode(), r.ApplicationProblemJSONDefault, result, dry)
		},
	}
	f.add(cmd)
	p.addSet(cmd)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) phoneEdit() *cobra.Command {
	var (
		f   phoneFlags
		p   paramFlags
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "edit PHONE", Short: "Change what is known of a phone", Args: usage(cobra.ExactArgs(1)),
		Long: "Change what is known of a phone. Only what is given changes; an empty text takes the field away. --set and --unset are\n" +
			"about its override: what this one phone is told over its config. In the file, override and options are merged, and\n" +
			"null takes a value away.",
		Example: "  dialtone phone edit 192.0.2.23 --label Reception --config front-desk --set idle_text=Reception\n" +
			"  dialtone phone edit 00:15:65:aa:bb:cc --file override.json --rev 7",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields, err := f.fields(a, cmd)
			if err == nil {
				err = p.into(fields, "override")
			}
			if err != nil {
				return err
			}
			return a.patchPhone(cmd, args[0], fields, rev, dry)
		},
	}
	f.add(cmd)
	p.add(cmd)
	cmd.Flags().StringVar(&f.mac, "mac", "", "its MAC in any spelling")
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) phoneLabel() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "label PHONE LABEL", Short: "Say what people call a phone", Args: usage(cobra.ExactArgs(2)),
		Example: "  dialtone phone label 00:15:65:aa:bb:cc Reception\n  dialtone phone label 192.0.2.23 \"\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.patchPhone(cmd, args[0], map[string]any{"label": args[1]}, 0, dry)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) patchPhone(cmd *cobra.Command, key string, fields map[string]any, rev uint64, dry bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	body, err := jsonBody(fields)
	if err != nil {
		return err
	}
	r, err := c.PatchPhoneWithBodyWithResponse(cmd.Context(), key, &api.PatchPhoneParams{DryRun: dry, IfMatch: ifMatch(rev)}, jsonType, body)
	if err != nil {
		return fmt.Errorf("edit phone: %w", err)
	}
	return a.phoneChanged(r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200, dry)
}

func (a *app) phoneRemove() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "rm PHONE...", Short: "Forget phones", Args: usage(cobra.MinimumNArgs(1)),
		Long:    "Forget phones. One that asks again is a new one. What fails with one doesn't keep the others: the exit code is 8 then.",
		Example: "  dialtone phone rm 00:15:65:aa:bb:cc\n  dialtone phone rm 192.0.2.23 192.0.2.24 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				r, err := c.DeletePhoneWithResponse(cmd.Context(), args[0], &api.DeletePhoneParams{DryRun: dry})
				if err != nil {
					return fmt.Errorf("remove phone: %w", err)
				}
				if r.JSON200 == nil {
					return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				return a.print(r.JSON200, func(w io.Writer) error { return writeRemoved(w, r.JSON200.Phone, dry) })
			}
			r, err := c.DeletePhonesWithResponse(cmd.Context(), &api.DeletePhonesParams{DryRun: dry}, api.PhoneKeys{Phones: args})
			if err != nil {
				return fmt.Errorf("remove phones: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.removed(r.JSON200, dry)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

// removed tells what came of several phones.
func (a *app) removed(list *api.PhoneVerdictList, dry bool) error {
	failed := 0
	err := a.print(list, func(w io.Writer) error {
		for _, v := range list.Verdicts {
			if v.Status != http.StatusOK {
				continue
			}
			if err := writeRemoved(w, v.Result.Phone, dry); err != nil {
				return err
			}
		}
		return nil
	})
	for _, v := range list.Verdicts {
		if v.Status != http.StatusOK {
			failed++
			fmt.Fprintf(a.stderr, "dialtone: %s\n", v.Detail)
		}
	}
	if err == nil && failed > 0 {
		err = errors.Join(errReported, errPartly)
	}
	return err
}

func writeRemoved(w io.Writer, p api.Phone, dry bool) error {
	_, err := fmt.Fprintf(w, "%sforgot phone %s\n", dryly(dry), strings.TrimSpace(p.ID+" "+p.Label))
	return err
}

func (a *app) phoneReplace() *cobra.Command {
	var (
		by  api.Replacement
		dry bool
	)
	cmd := &cobra.Command{
		Use: "replace PHONE MAC", Short: "Put another phone in a broken one's place", Args: usage(cobra.ExactArgs(2)),
		Long: "Put another phone in a broken one's place: it gets the old one's label, config, override, options and reservations.\n" +
			"The old one is retired without any of these.",
		Example: "  dialtone phone replace 00:15:65:aa:bb:cc 00:15:65:aa:bb:dd\n  dialtone phone replace 192.0.2.23 00:15:65:aa:bb:dd --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			by.Mac = args[1]
			r, err := c.ReplacePhoneWithResponse(cmd.Context(), args[0], &api.ReplacePhoneParams{DryRun: dry}, by)
			if err != nil {
				return fmt.Errorf("replace phone: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			x := r.JSON200
			return a.print(x, func(w io.Writer) error {
				if _, err := fmt.Fprintf(w, "%sphone %s is in the place of %s, which is retired\n", dryly(dry), x.New.ID, x.Old.ID); err != nil {
					return fmt.Errorf("write: %w", err)
				}
				return writeChanges(w, x.NewChanges, &x.Effects)
			})
		},
	}
	cmd.Flags().StringVar(&by.Sn, "sn", "", "the new phone's serial `number`")
	cmd.Flags().StringVar(&by.UUID, "uuid", "", "the new phone's UUID")
	dryFlag(cmd, &dry)
	return cmd
}

// phoneChanged tells what came of a change of a phone.
func (a *app) phoneChanged(status int, problem *api.Problem, r *api.PhoneResult, dry bool) error {
	if r == nil {
		return answer(status, problem)
	}
	return a.print(r, func(w io.Writer) error {
		word := "phone " + strings.TrimSpace(r.Phone.ID+" "+r.Phone.Label)
		if len(r.Changes) == 0 {
			word += " is so already"
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", dryly(dry), word); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return writeChanges(w, r.Changes, &r.Effects)
	})
}

// writeChanges tells in what something differs now, and which files of phones do.
func writeChanges(w io.Writer, changes []api.Change, effects *api.Effects) error {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "  %s: %s -> %s\n", printable(c.Path), cmp.Or(printable(c.Old), "-"), cmp.Or(printable(c.New), "-"))
	}
	for _, p := range effects.Changed {
		for _, f := range p.Files {
			fmt.Fprintf(&b, "  %s %s %s: %s\n", p.Phone, f.Proto, f.Path, strings.TrimSpace(f.Change+" "+f.Err))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const jsonType = "application/json"

// jsonBody writes what came from a file and flags as a request's body. The daemon says what is wrong with it.
func jsonBody(v any) (io.Reader, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, kindError(errUsage, "that can't be written as JSON: %v", err)
	}
	return strings.NewReader(string(data)), nil
}

// revFlag is --rev, by which a script makes sure that it changes what it has read.
func revFlag(cmd *cobra.Command, rev *uint64) {
	cmd.Flags().Uint64Var(rev, "rev", 0, "refuse if the `revision` is another by now (exit code 5)")
}

func ifMatch(rev uint64) string {
	if rev == 0 {
		return ""
	}
	return strconv.Quote(strconv.FormatUint(rev, 10))
}
