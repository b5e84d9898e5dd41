package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) configEdit() *cobra.Command {
	var (
		f       changeFlags
		p       paramFlags
		rev     uint64
		label   string
		parents []string
		file    string
	)
	cmd := f.add(&cobra.Command{
		Use: "edit CONFIG", Short: "Change some values of a config", Args: usage(cobra.ExactArgs(1)),
		Long: "Change some values of a config, as a new revision. Only what is given changes. In the file, params are merged, and null\n" +
			"takes a value away. It is where secrets belong, since others can read what a command is given.",
		Example: "  dialtone config edit base --set ntp_ip=192.0.2.9 --set sip_codecs=g722,pcma --dry-run\n" +
			"  dialtone config edit reception --set sip_lines.1.display_name=Reception --unset sip_lines.2 --why 'one line is enough'",
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := map[string]any{}
			if file != "" {
				data, err := a.read(file)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(data, &patch); err != nil {
					return kindError(errUsage, "%s: %v", file, err)
				}
			}
			if cmd.Flags().Changed("label") {
				patch["label"] = label
			}
			if cmd.Flags().Changed("parents") {
				patch["parents"] = parents
			}
			if err := p.into(patch, "params"); err != nil {
				return err
			}
			if len(patch) == 0 {
				return kindError(errUsage, "say what changes: --set, --unset, --label, --parents or --file")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := jsonBody(patch)
			if err != nil {
				return err
			}
			r, err := c.PatchConfigWithBodyWithResponse(cmd.Context(), args[0], &api.PatchConfigParams{
				DryRun: f.dryRun, Why: f.why, IfMatch: ifMatch(rev),
			}, jsonType, body)
			if err != nil {
				return fmt.Errorf("edit config: %w", err)
			}
			return a.configChanged(r.JSON200, r.StatusCode(), r.ApplicationProblemJSONDefault)
		},
	})
	p.add(cmd)
	cmd.Flags().StringVar(&label, "label", "", "what people call it")
	cmd.Flags().StringSliceVar(&parents, "parents", nil, "the `configs` that it inherits from, the first lowest, with commas between them")
	cmd.Flags().StringVar(&file, "file", "", "more `fields`, params and secrets among them, from a file in JSON; - is standard input")
	revFlag(cmd, &rev)
	return cmd
}

// paramFlags are parameters given one by one.
type paramFlags struct{ set, unset []string }

func (f *paramFlags) add(cmd *cobra.Command) {
	f.addSet(cmd)
	cmd.Flags().StringArrayVar(&f.unset, "unset", nil, "the `name` of a parameter that is taken away; may be given more than once")
}

// addSet is for what is new: there is nothing to take away.
func (f *paramFlags) addSet(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "a parameter as `NAME=VALUE`, such as sip_lines.1.username=4711; may be given more than once")
}

// into puts the parameters into a merge patch, below a field of it.
func (f *paramFlags) into(patch map[string]any, field string) error {
	if len(f.set)+len(f.unset) == 0 {
		return nil
	}
	params, ok := patch[field].(map[string]any)
	if !ok && patch[field] != nil {
		return kindError(errUsage, "%s of the file isn't an object", field)
	}
	if params == nil {
		params = map[string]any{}
		patch[field] = params
	}
	for _, text := range f.set {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return kindError(errUsage, "--set %s: want NAME=VALUE", text)
		}
		v := any(value)
		if p := provision.ParamAt(name); p != nil {
			if p.Type == provision.TypeSecret {
				return kindError(errUsage, "%s is a secret, and others can read what a command is given: put it into a file and name that with --file", name)
			}
			var err error
			if v, err = p.Parse(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := putAt(params, name, v); err != nil {
			return err
		}
	}
	for _, name := range f.unset {
		if err := putAt(params, name, nil); err != nil {
			return err
		}
	}
	return nil
}

// putAt puts a value where a path such as sip_lines.1.username says.
func putAt(m map[string]any, path string, v any) error {
	keys := strings.Split(path, ".")
	for _, k := range keys[:len(keys)-1] {
		below, ok := m[k].(map[string]any)
		if _, there := m[k]; there && !ok {
			return kindError(errUsage, "%s: something else is said of %s, too", path, k)
		}
		if below == nil {
			below = map[string]any{}
			m[k] = below
		}
		m = below
	}
	m[keys[len(keys)-1]] = v
	return nil
}
