package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

const siteType = "application/vnd.dialtone.site+yaml"

func (a *app) export() *cobra.Command {
	var secrets, file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the whole site as one YAML file: networks, configs, phones", Args: usage(cobra.NoArgs),
		Long: `Write the whole site as one YAML file: networks, configs, phones. It is the format of the site file that a new appliance is
started with, and what apply and diff read. The same site is always the same bytes.

For each secret there is "[secret]", which apply leaves as it is. With --secrets clear the secrets themselves are written, as
another appliance needs them.`,
		Example: "  dialtone export > site.yaml\n  dialtone export --secrets clear --file /root/site.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if secrets != "none" && secrets != "clear" {
				return fmt.Errorf("%w: --secrets is none or clear, not %q", errUsage, secrets)
			}
			data, err := a.fetchSite(cmd.Context(), secrets == "clear")
			if err != nil {
				return err
			}
			if secrets == "clear" {
				if _, err := fmt.Fprintln(a.stderr, "Warning: the site is written with every password in it."); err != nil {
					return fmt.Errorf("export: %w", err)
				}
			}
			if file == "" {
				_, err = a.stdout.Write(data)
			} else {
				err = writePrivate(file, data)
			}
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&secrets, "secrets", "none", "none or clear")
	cmd.Flags().StringVar(&file, "file", "", "`file` to write, for its owner only")
	return cmd
}

// writePrivate writes a file of mode 0600, whatever mode one in its place has.
func writePrivate(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".export-") // of mode 0600
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func (a *app) fetchSite(ctx context.Context, clear bool) ([]byte, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	r, err := c.ExportSiteWithResponse(ctx, &api.ExportSiteParams{Secrets: clear})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if r.StatusCode() != http.StatusOK {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.Body, nil
}

func (a *app) sendSite(ctx context.Context, data []byte, dry, prune bool) (*api.SiteChanges, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	r, err := c.ApplySiteWithBodyWithResponse(ctx, &api.ApplySiteParams{DryRun: dry, Prune: prune}, siteType, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}

// siteOf reads a site file, and says what is wrong with it by its own name.
func (a *app) siteOf(name string) ([]byte, error) {
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	if _, err := configs.ParseSite(name, data); err != nil {
		return nil, kindError(provision.ErrInvalid, "%s", err)
	}
	return data, nil
}

func (a *app) printChanges(list *api.SiteChanges) error {
	return a.print(list, func(w io.Writer) error {
		if len(list.Changes) == 0 {
			return empty(w, "Nothing differs.")
		}
		var rows [][]string
		for _, c := range list.Changes {
			rows = append(rows, []string{string(c.Action), c.Kind, c.Name, strings.Join(c.Fields, ", ")})
		}
		return table(w, []string{"ACTION", "KIND", "NAME", "FIELDS"}, rows)
	})
}

func (a *app) diff() *cobra.Command {
	return &cobra.Command{
		Use: "diff FILE", Short: "Tell in what the site differs from a YAML file", Args: usage(cobra.ExactArgs(1)),
		Long: `Tell in what the site differs from a YAML file: what apply --prune would do. Nothing is changed. The exit code is 0 if nothing
differs, else 1.`,
		Example: "  dialtone diff site.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := a.siteOf(args[0])
			if err != nil {
				return err
			}
			list, err := a.sendSite(cmd.Context(), data, true, true)
			if err != nil {
				return err
			}
			if err := a.printChanges(list); err != nil || len(list.Changes) == 0 {
				return err
			}
			return errReported
		},
	}
}

func (a *app) apply() *cobra.Command {
	var dry, prune bool
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Make the site what a YAML file says", Args: usage(cobra.ExactArgs(1)),
		Long: `Make the site what a YAML file says, as export writes it. What is wrong is told with its line, all at once, and then nothing
is written. What the file lacks stays, but with --prune it is removed.`,
		Example: "  dialtone apply site.yaml --dry-run\n  dialtone apply site.yaml --prune",
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := a.siteOf(args[0])
			if err != nil {
				return err
			}
			list, err := a.sendSite(cmd.Context(), data, dry, prune)
			if err != nil {
				return err
			}
			return a.printChanges(list)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would change")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove what the file lacks")
	return cmd
}
