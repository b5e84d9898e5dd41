package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/golden"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) plugin() *cobra.Command {
	return parent("plugin", "The vendors' plugins", a.pluginList(), a.pluginRescan(), a.pluginTest())
}

func (a *app) pluginList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the plugins, and what is wrong with those that aren't in force", Args: usage(cobra.NoArgs),
		Example: "  dialtone plugin list\n  dialtone plugin list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListPluginsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list plugins: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.printPlugins(*r.JSON200)
		},
	}
}

func (a *app) pluginRescan() *cobra.Command {
	return &cobra.Command{
		Use: "rescan", Short: "Read the plugin folder again, now", Args: usage(cobra.NoArgs),
		Long:    "Read the plugin folder again, now. The daemon notices edits by itself unless plugins.watch is off.",
		Example: "  dialtone plugin rescan",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.RescanPluginsWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("rescan plugins: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.printPlugins(*r.JSON200)
		},
	}
}

func (a *app) firmware() *cobra.Command {
	return parent("firmware", "The firmware that phones can fetch", &cobra.Command{
		Use: "list", Short: "List the files of firmware", Args: usage(cobra.NoArgs),
		Long: `List the files of firmware that phones can fetch. They lie in the folder firmware/PLUGIN of the state folder; a file that is
put there is served a moment later.`,
		Example: "  dialtone firmware list\n  dialtone firmware list --output csv --columns plugin,name,sha256",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ListFirmwareWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list firmware: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, f := range r.JSON200.Firmware {
					rows = append(rows, []string{f.Plugin, f.Name, strconv.FormatInt(f.Size, 10), f.Sha256})
				}
				return table(w, []string{"PLUGIN", "NAME", "BYTES", "SHA256"}, rows)
			})
		},
	})
}

func (a *app) printPlugins(list api.PluginList) error {
	return a.print(list, func(w io.Writer) error {
		var rows [][]string
		for _, p := range list.Plugins {
			state := "in force"
			if !p.InForce {
				state = "not loaded"
			} else if p.Problem != "" {
				state = "former version in force"
			}
			rows = append(rows, []string{p.ID, p.Version, p.Vendor, strconv.Itoa(len(p.Models)), strconv.Itoa(len(p.Firmware)), state})
		}
		if err := table(w, []string{"PLUGIN", "VERSION", "VENDOR", "MODELS", "FIRMWARE FILES", "STATE"}, rows); err != nil {
			return err
		}
		for _, p := range list.Plugins {
			said := strings.Join(append(p.Notes, p.Problem), "\n")
			if strings.TrimSpace(said) == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "\n%s:\n  %s\n", p.ID, strings.ReplaceAll(strings.TrimSpace(said), "\n", "\n  ")); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		return nil
	})
}

func (a *app) pluginTest() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use: "test DIR", Short: "Run a plugin's golden requests", Args: usage(cobra.ExactArgs(1)),
		Long: `Run a plugin's golden requests: the files in its folder tests/, each a request of a phone and what the phone must
get. No daemon is needed. With --update the expected identities and answers are rewritten to what came out; look at the
difference before you keep it.`,
		Example: "  dialtone plugin test ./yealink-v86\n  dialtone plugin test ./yealink-v86 --update",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := loadDir(args[0])
			if err != nil {
				return err
			}
			if update {
				if err := golden.Update(cmd.Context(), p, args[0]); err != nil {
					return err
				}
				if p, err = loadDir(args[0]); err != nil {
					return err
				}
			}
			return a.report(golden.Run(cmd.Context(), p))
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "rewrite what is expected to what came out")
	return cmd
}

// loadDir loads the plugin in a folder of the disk.
func loadDir(dir string) (*plugin.Plugin, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	defer root.Close()
	p, err := plugin.Load(provision.PluginID(filepath.Base(abs)), plugin.Dirs{Plugin: root.FS()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return p, nil
}

// report tells how the golden requests went.
func (a *app) report(results []golden.Result) error {
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	err := a.print(resultRows(results), func(w io.Writer) error {
		for _, r := range results {
			text := "ok    " + r.File + "\n"
			if r.Err != nil {
				text = "FAIL  " + r.File + "\n      " + strings.ReplaceAll(strings.TrimSpace(r.Err.Error()), "\n", "\n      ") + "\n"
			}
			if _, err := io.WriteString(w, text); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("%d of %d golden requests fail", failed, len(results))
	case len(results) == 0:
		return errors.New("the plugin has no golden requests in tests/; write at least one")
	}
	return nil
}

type resultRow struct {
	File  string `json:"file"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func resultRows(results []golden.Result) []resultRow {
	rows := make([]resultRow, len(results))
	for i, r := range results {
		rows[i] = resultRow{File: r.File, OK: r.Err == nil}
		if r.Err != nil {
			rows[i].Error = r.Err.Error()
		}
	}
	return rows
}

// pluginSet loads the plugins that verbs without a daemon work with: those in the state folder, or the built-in ones if
// it has none. A broken one is told of and left out.
func (a *app) pluginSet(ctx context.Context) ([]*plugin.Plugin, error) {
	all := plugins.Files()
	if root, err := os.OpenRoot(filepath.Join(a.state, "plugins")); err == nil {
		defer root.Close()
		all = root.FS()
	}
	entries, err := fs.ReadDir(all, ".")
	if err != nil {
		return nil, fmt.Errorf("plugins: %w", err)
	}
	var set []*plugin.Plugin
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		dir, err := fs.Sub(all, e.Name())
		if err != nil {
			return nil, fmt.Errorf("plugin %s: %w", e.Name(), err)
		}
		p, err := plugin.Load(provision.PluginID(e.Name()), plugin.Dirs{Plugin: dir})
		if err != nil {
			fmt.Fprintf(a.stderr, "dialtone: plugin %s left out: %v\n", e.Name(), err)
			continue
		}
		set = append(set, p)
	}
	slices.SortFunc(set, func(a, b *plugin.Plugin) int { return provision.CompareVersions(string(a.ID()), string(b.ID())) })
	return set, ctx.Err()
}

// pluginSource is a set of plugins that never changes.
type pluginSource struct{ set *provision.PluginSet }

func (s pluginSource) Plugins() *provision.PluginSet { return s.set }

func asSource(list []*plugin.Plugin) pluginSource {
	all := make([]provision.Plugin, len(list))
	for i, p := range list {
		all[i] = p
	}
	return pluginSource{provision.NewPluginSet(all...)}
}
