package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/port"
)

func (a *app) importPhones() *cobra.Command {
	return parent("import", "Take over phones from lists of other programs", a.importCSV())
}

// imported is what became of a row.
type imported struct {
	Line    int    `json:"line"`
	MAC     string `json:"mac"`
	Added   bool   `json:"added"`
	Verdict string `json:"verdict"`
}

func (a *app) importCSV() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "csv FILE", Short: "Add the phones of a table", Args: usage(cobra.ExactArgs(1)),
		Long: `Add the phones of a table with a heading: mac, and any of label, config, sn, vendor, model, in any order. Columns are
separated by commas, semicolons or tabs; a MAC may be in any spelling. Each row gets its verdict: what is wrong or known already
is left out, the others are added together, as confirmed phones.`,
		Example: "  dialtone import csv phones.csv --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := a.read(args[0])
			if err != nil {
				return err
			}
			rows, err := port.CSV(data)
			if err != nil {
				return kindError(provision.ErrInvalid, "%s: %s", args[0], err)
			}
			if data, err = a.fetchSite(cmd.Context(), false); err != nil {
				return err
			}
			site, err := configs.ParseSite("site", data)
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			known := len(site.Devices)
			verdicts := addRows(&site, rows)
			// What is known already isn't sent: somebody may change it at this moment.
			if data, err = configs.FormatSite(&configs.Site{Configs: site.Configs, Devices: site.Devices[known:]}); err != nil {
				return fmt.Errorf("import: %w", err)
			}
			if _, err := a.sendSite(cmd.Context(), data, dry, false); err != nil {
				return err
			}
			return a.print(verdicts, func(w io.Writer) error {
				var lines [][]string
				for _, v := range verdicts {
					lines = append(lines, []string{strconv.Itoa(v.Line), v.MAC, v.Verdict})
				}
				return table(w, []string{"LINE", "MAC", "VERDICT"}, lines)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would become of each row")
	return cmd
}

// addRows adds the phones that the site doesn't have.
func addRows(site *configs.Site, rows []port.Row) []imported {
	verdicts := make([]imported, 0, len(rows))
	for _, r := range rows {
		v := imported{Line: r.Line, Verdict: r.Fault}
		if !r.HW.IsZero() {
			v.MAC = r.HW.String()
		}
		switch {
		case r.Fault != "":
		case slices.ContainsFunc(site.Devices, func(d configs.SiteDevice) bool { return d.MAC == v.MAC }):
			v.Verdict = "it is known already"
		case r.SN != "" && slices.ContainsFunc(site.Devices, func(d configs.SiteDevice) bool { return d.SN == r.SN }):
			v.Verdict = "its serial number is another phone's"
		case r.Config != "" && !slices.ContainsFunc(site.Configs, func(c configs.SiteConfig) bool { return c.ID == r.Config }):
			v.Verdict = fmt.Sprintf("there is no config %q", r.Config)
		default:
			v.Added, v.Verdict = true, "added"
			site.Devices = append(site.Devices, configs.SiteDevice{
				MAC: v.MAC, Label: r.Label, Config: r.Config, SN: r.SN, Vendor: r.Vendor, Model: r.Model, State: string(provision.StateEnrolled),
			})
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}
