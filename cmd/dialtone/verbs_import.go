package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/port"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) importPhones() *cobra.Command {
	return parent("import", "Take over phones and networks from other programs",
		a.importOf(port.FormatCSV, cobra.ExactArgs(1), &cobra.Command{
			Use: "csv FILE", Short: "Add the phones of a table",
			Long: `Add the phones of a table with a heading: mac, and any of label, config, sn, vendor, model, in any order; and for a phone's
first SIP line username (or extension), password, display_name, auth_username, number, proxy_ip. Columns are separated by commas,
semicolons or tabs; a MAC may be in any spelling. Each row gets its verdict, and so does a column of another name, which is left
out: what is wrong or known already is left out, the others are added together, as confirmed phones.`,
			Example: "  dialtone import csv phones.csv --dry-run",
		}),
		a.importOf(port.FormatProvd, cobra.MinimumNArgs(1), &cobra.Command{
			Use: "provd FOLDER...", Short: "Add the devices and configs of a provd store",
			Long: `Add the devices and configs of a provd store: a folder with the folders devices and configs, one JSON document a file.
Each config, parameter and device gets its verdict: what is carried, what has another name here, and what is dropped and why. A
config whose name one with a role has here, such as base, is added under another name.`,
			Example: "  dialtone import provd /var/lib/wazo-provd/jsondb --dry-run",
		}),
		a.importOf(port.FormatDnsmasq, cobra.MinimumNArgs(1), &cobra.Command{
			Use: "dnsmasq FILE...", Short: "Add the networks and reservations of dnsmasq",
			Long: `Add what dnsmasq's files say of DHCP: ranges, reservations, options and what they are tied to by tags. Give all files and
folders that are in use; each line gets its verdict.`,
			Example: "  dialtone import dnsmasq /etc/dnsmasq.conf /etc/dnsmasq.d --dry-run",
		}),
		a.importOf(port.FormatISC, cobra.MinimumNArgs(1), &cobra.Command{
			Use: "isc-dhcp FILE...", Short: "Add the networks and reservations of ISC's DHCP server",
			Long: `Add what dhcpd.conf says: subnets, shared networks, pools, hosts, groups, options and classes. Give the files that it
includes, too, and dhcpd.leases if hosts were added at run time; each statement gets its verdict.`,
			Example: "  dialtone import isc-dhcp /etc/dhcp/dhcpd.conf --dry-run",
		}),
	)
}

// importOf completes a command that imports files of a format.
func (a *app) importOf(format port.Format, args cobra.PositionalArgs, cmd *cobra.Command) *cobra.Command {
	var dry bool
	cmd.Args = usage(args)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := api.ImportFiles{Files: []api.ImportFile{}}
		for _, name := range args {
			files, err := a.filesOf(name, format)
			if err != nil {
				return err
			}
			body.Files = append(body.Files, files...)
		}
		if len(body.Files) == 0 {
			return kindError(provision.ErrInvalid, "%s: there is no file in it", strings.Join(args, ", "))
		}
		list, err := a.sendImport(cmd.Context(), format, body, dry)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list.Verdicts, func(v api.ImportVerdict) bool { return v.Action == api.Wrong }) {
			err = errors.Join(errReported, errPartly)
		}
		return errors.Join(err, a.print(list, func(w io.Writer) error {
			var rows [][]string
			for _, v := range list.Verdicts {
				verdict := string(v.Action)
				if v.Text != "" {
					verdict += ": " + v.Text
				}
				rows = append(rows, []string{v.File + ":" + strconv.Itoa(v.Line), v.Kind, v.Name, verdict})
			}
			return table(w, []string{"PLACE", "KIND", "NAME", "VERDICT"}, rows)
		}))
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would become of each thing")
	return cmd
}

// filesOf reads a file, or those in a folder: of provd the documents, of others what isn't hidden or a copy of an editor's.
func (a *app) filesOf(name string, format port.Format) (files []api.ImportFile, err error) {
	add := func(file string) error {
		data, err := a.read(file)
		files = append(files, api.ImportFile{Name: filepath.ToSlash(file), Content: data})
		return err
	}
	err = filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
		base := filepath.Base(file)
		switch {
		case name == "-", errors.Is(err, fs.ErrNotExist):
			return add(name)
		case err != nil || file == name && d.IsDir():
			return err
		case file != name && (strings.HasPrefix(base, ".") || strings.HasSuffix(base, "~")):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() && format != port.FormatProvd:
			return fs.SkipDir
		case d.IsDir() || file != name && format == port.FormatProvd && !provdDocument(file):
			return nil
		}
		return add(file)
	})
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return files, nil
}

// provdDocument reports whether a file of a provd store is one of its documents.
func provdDocument(file string) bool {
	kind := path.Base(path.Dir(filepath.ToSlash(file)))
	return kind == "devices" || kind == "configs"
}

func (a *app) sendImport(ctx context.Context, format port.Format, body api.ImportFiles, dry bool) (*api.ImportVerdicts, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	r, err := c.ImportFilesWithResponse(ctx, api.ImportFormat(format), &api.ImportFilesParams{DryRun: dry}, body)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}
