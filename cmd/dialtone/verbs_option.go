package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) option() *cobra.Command {
	return parent("option", "The DHCP options that clients are given", a.optionList(), a.optionSet(), a.optionUnset(), a.optionTypes())
}

func networkFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "network", "", "the `network` whose clients are given it; without, those of all")
}

func (a *app) optionList() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use: "list", Short: "List the options of all networks, or those in effect in one", Args: usage(cobra.NoArgs),
		Example: "  dialtone option list\n  dialtone option list --network voice",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if id == "" {
				list, _, err := ownOptions(cmd.Context(), c, "")
				if err != nil {
					return err
				}
				return a.print(api.OptionList{Options: list}, func(w io.Writer) error {
					var rows [][]string
					for _, o := range list {
						rows = append(rows, []string{o.Option, printable(o.Value), whenSent(o.Always, o.Never)})
					}
					return table(w, []string{"OPTION", "VALUE", "SENT"}, rows)
				})
			}
			r, err := c.GetNetworkOptionsWithResponse(cmd.Context(), id)
			if err != nil {
				return fmt.Errorf("list options: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, o := range r.JSON200.Options {
					rows = append(rows, []string{strconv.Itoa(int(o.Code)), o.Option, printable(o.Value), whenSent(o.Always, o.Never), string(o.From)})
				}
				return table(w, []string{"CODE", "OPTION", "VALUE", "SENT", "FROM"}, rows)
			})
		},
	}
	networkFlag(cmd, &id)
	return cmd
}

func whenSent(always, never bool) string {
	switch {
	case never:
		return "never"
	case always:
		return "always"
	}
	return "asked"
}

// ownOptions returns what a network, or with no ID all, declare themselves, and the ETag to change it by.
func ownOptions(ctx context.Context, c *api.ClientWithResponses, id string) ([]api.Option, string, error) {
	if id == "" {
		r, err := c.GetOptionsWithResponse(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("options: %w", err)
		}
		if r.JSON200 == nil {
			return nil, "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
		}
		return r.JSON200.Options, r.HTTPResponse.Header.Get("ETag"), nil
	}
	r, err := c.GetNetworkWithResponse(ctx, id)
	if err != nil {
		return nil, "", fmt.Errorf("options: %w", err)
	}
	if r.JSON200 == nil {
		return nil, "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200.Options, r.HTTPResponse.Header.Get("ETag"), nil
}

// editOptions changes the options of a network, or of all. It is refused if they have changed in between.
func (a *app) editOptions(ctx context.Context, id, what string, dry bool, edit func([]api.Option) ([]api.Option, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	list, tag, err := ownOptions(ctx, c, id)
	if err == nil {
		list, err = edit(list)
	}
	if err != nil {
		return err
	}
	body := api.OptionList{Options: append([]api.Option{}, list...)}
	if id == "" {
		r, err := c.PutOptionsWithResponse(ctx, &api.PutOptionsParams{DryRun: dry, IfMatch: tag}, body)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return a.declared(what, dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
	}
	r, err := c.PutNetworkOptionsWithResponse(ctx, id, &api.PutNetworkOptionsParams{DryRun: dry, IfMatch: tag}, body)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return a.declared(what, dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
}

// optionAt returns where an option is in a list, by its number or name; -1: it isn't.
func optionAt(list []api.Option, key string) (int, error) {
	def, err := network.Lookup(key)
	if err != nil {
		return 0, fmt.Errorf("%w; `dialtone option types` lists them: %w", err, provision.ErrInvalid)
	}
	return slices.IndexFunc(list, func(o api.Option) bool {
		other, err := network.Lookup(o.Option)
		return err == nil && other.Code == def.Code
	}), nil
}

func whose(id string) string {
	if id == "" {
		return "all networks"
	}
	return "network " + id
}

func (a *app) optionSet() *cobra.Command {
	var (
		id  string
		o   api.Option
		dry bool
	)
	cmd := &cobra.Command{
		Use: "set OPTION [VALUE]", Short: "Give clients an option", Args: usage(cobra.RangeArgs(1, 2)),
		Long: "Give clients an option, by its number or name; `dialtone option types` lists them, and how their values are written. With\n" +
			"--never it isn't sent, whoever else gives it, and needs no value.",
		Example: "  dialtone option set ntp-servers 192.0.2.1\n  dialtone option set 66 tftp.example --network voice --always --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Option = args[0]
			if len(args) > 1 {
				o.Value = args[1]
			}
			return a.editOptions(cmd.Context(), id, fmt.Sprintf("%s: option %s is set", whose(id), o.Option), dry, func(list []api.Option) ([]api.Option, error) {
				at, err := optionAt(list, o.Option)
				if err == nil && at >= 0 {
					list[at] = o
				} else if err == nil {
					list = append(list, o)
				}
				return list, err
			})
		},
	}
	networkFlag(cmd, &id)
	cmd.Flags().BoolVar(&o.Always, "always", false, "it is sent unasked")
	cmd.Flags().BoolVar(&o.Never, "never", false, "it isn't sent, whoever else gives it")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) optionUnset() *cobra.Command {
	var (
		id  string
		dry bool
	)
	cmd := &cobra.Command{
		Use: "unset OPTION", Short: "Give clients an option no more", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone option unset ntp-servers\n  dialtone option unset 66 --network voice",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editOptions(cmd.Context(), id, fmt.Sprintf("%s: option %s is unset", whose(id), args[0]), dry, func(list []api.Option) ([]api.Option, error) {
				at, err := optionAt(list, args[0])
				if err == nil && at < 0 {
					err = fmt.Errorf("option %s isn't set by %s itself: %w", args[0], whose(id), provision.ErrNotFound)
				}
				if err != nil {
					return nil, err
				}
				return slices.Delete(list, at, at+1), nil
			})
		},
	}
	networkFlag(cmd, &id)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) optionTypes() *cobra.Command {
	return &cobra.Command{
		Use: "types", Short: "List the options that have names, and how their values are written", Args: usage(cobra.NoArgs), Example: "  dialtone option types",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListOptionTypesWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list option types: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, t := range r.JSON200.Types {
					rows = append(rows, []string{strconv.Itoa(int(t.Code)), t.Name, t.Kind, t.Hint})
				}
				return table(w, []string{"CODE", "OPTION", "KIND", "WRITTEN AS"}, rows)
			})
		},
	}
}

func (a *app) class() *cobra.Command {
	return parent("class", "The classes of DHCP clients", a.classList(), a.classShow(), a.classSet(), a.classRemove())
}

func (a *app) classes(ctx context.Context) (*api.ClassList, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	r, err := c.ListClassesWithResponse(ctx)
	if err != nil {
		return nil, fmt.Errorf("list classes: %w", err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}

func (a *app) classList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the classes in the order in which they count", Args: usage(cobra.NoArgs), Example: "  dialtone class list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.classes(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for i := range list.Classes {
					k := &list.Classes[i]
					var matches, options []string
					for j := range k.Match {
						matches = append(matches, matchText(&k.Match[j]))
					}
					for _, o := range k.Options {
						options = append(options, o.Option)
					}
					rows = append(rows, []string{k.ID, printable(strings.Join(matches, " or ")), strconv.FormatBool(k.Refuse), strings.Join(options, ",")})
				}
				return table(w, []string{"CLASS", "MATCH", "REFUSED", "OPTIONS"}, rows)
			})
		},
	}
}

// matchText writes the conditions of a match in one line.
func matchText(m *api.ClassMatch) string {
	data, err := json.Marshal(m)
	var fields map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, name+":"+strings.ReplaceAll(strings.Trim(string(fields[name]), "[]"), `"`, ""))
	}
	return cmp.Or(strings.Join(out, " "), "any")
}

func (a *app) classShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CLASS", Short: "Write a class as `class set` reads it", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone class show phones > phones.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.classes(cmd.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list.Classes, func(k api.Class) bool { return k.ID == args[0] })
			if i < 0 {
				return fmt.Errorf("there is no class %q; `dialtone class list` lists them: %w", printable(args[0]), provision.ErrNotFound)
			}
			return a.print(list.Classes[i], func(w io.Writer) error {
				k, err := web.FromClass(&list.Classes[i])
				if err != nil {
					return fmt.Errorf("what the daemon says of class %s: %w", args[0], err)
				}
				x := fromClass(&k)
				data, err := configs.FormatClass(&x)
				if err != nil {
					return err
				}
				_, err = w.Write(data)
				return err
			})
		},
	}
}

func (a *app) classSet() *cobra.Command {
	var (
		before string
		rev    uint64
		dry    bool
	)
	cmd := &cobra.Command{
		Use: "set CLASS FILE", Short: "Write a class from a file, a new one or in the place of what there is", Args: usage(cobra.ExactArgs(2)),
		Long: "Write a class from a file in YAML or JSON, in the form of `dialtone class show` and of a site file; - is standard input. A\n" +
			"new one comes behind the others.",
		Example: "  dialtone class set phones phones.yaml --dry-run\n  dialtone class set phones phones.yaml --before others",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.readClass(args[0], args[1])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.PutClassWithResponse(cmd.Context(), args[0], &api.PutClassParams{DryRun: dry, IfMatch: ifMatch(rev), Before: before}, k)
			if err != nil {
				return fmt.Errorf("set class: %w", err)
			}
			return a.declared("class "+args[0]+" is so now", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "the `class` that it comes before")
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) readClass(id, file string) (api.Class, error) {
	data, err := a.read(file)
	if err != nil {
		return api.Class{}, err
	}
	x, err := configs.ParseClass(file, data, id)
	if err == nil && x.Name != id {
		err = fmt.Errorf("%s is class %q, not %q", file, x.Name, id)
	}
	faults := siteFaults{name: file}
	k := faults.class(&x)
	if err == nil {
		err = errors.Join(faults.errs...)
	}
	if err != nil {
		return api.Class{}, fmt.Errorf("%w: %w", provision.ErrInvalid, err)
	}
	return web.ToClass(&k), nil
}

func (a *app) classRemove() *cobra.Command {
	var (
		rev uint64
		dry bool
	)
	cmd := &cobra.Command{
		Use: "rm CLASS", Short: "Remove a class that nothing refers to", Args: usage(cobra.ExactArgs(1)),
		Example: "  dialtone class rm phones --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.DeleteClassWithResponse(cmd.Context(), args[0], &api.DeleteClassParams{DryRun: dry, IfMatch: ifMatch(rev)})
			if err != nil {
				return fmt.Errorf("remove class: %w", err)
			}
			return a.declared("class "+args[0]+" is no more", dry, r.StatusCode(), r.ApplicationProblemJSONDefault, r.JSON200)
		},
	}
	revFlag(cmd, &rev)
	dryFlag(cmd, &dry)
	return cmd
}
