package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) phone() *cobra.Command {
	return parent("phone", "The phones that are known", a.phoneList(), a.phoneShow(), a.phoneAdopt(), a.phoneWaiting(), a.phoneApprove(), a.phoneDeny(),
		a.phoneRetire(), a.phoneClear(), a.phoneToken(), a.phoneBoots(), a.phoneDrift())
}

func (a *app) phoneList() *cobra.Command {
	var seen bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the phones", Args: usage(cobra.NoArgs),
		Example: "  dialtone phone list\n  dialtone phone list --seen   # those that asked but were not added",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if seen {
				return a.listSightings(cmd, c)
			}
			r, err := c.ListPhonesWithResponse(cmd.Context())
			if err != nil {
				return fmt.Errorf("list phones: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				var rows [][]string
				for _, p := range r.JSON200.Phones {
					rows = append(rows, []string{p.Mac, strings.Join(p.Addresses, ","), strings.TrimSpace(p.Vendor + " " + p.Model), p.Version, p.Plugin, p.Config, string(p.State), p.Label})
				}
				return table(w, []string{"MAC", "ADDRESS", "MODEL", "FIRMWARE", "PLUGIN", "CONFIG", "STATE", "LABEL"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&seen, "seen", false, "list devices that asked for something but were not added")
	return cmd
}

func (a *app) listSightings(cmd *cobra.Command, c *api.ClientWithResponses) error {
	r, err := c.ListSightingsWithResponse(cmd.Context())
	if err != nil {
		return fmt.Errorf("list sightings: %w", err)
	}
	if r.JSON200 == nil {
		return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return a.print(r.JSON200, func(w io.Writer) error {
		var rows [][]string
		for _, s := range r.JSON200.Sightings {
			rows = append(rows, []string{s.Mac, s.IP, strings.TrimSpace(s.Vendor + " " + s.Model), strconv.FormatInt(s.Count, 10), s.Last.Local().Format(time.DateTime), s.Proto + " " + s.Path, s.Why})
		}
		return table(w, []string{"MAC", "ADDRESS", "MODEL", "TIMES", "LAST", "ASKED FOR", "WHY NOT ADDED"}, rows)
	})
}

func (a *app) phoneShow() *cobra.Command {
	return &cobra.Command{
		Use: "show PHONE", Short: "Show one phone", Args: usage(cobra.ExactArgs(1)),
		Long:    "Show one phone, named by its MAC in any spelling, the address that it holds, its serial number or its ID.",
		Example: "  dialtone phone show 00:15:65:aa:bb:cc\n  dialtone phone show 192.0.2.23",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.GetPhoneWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show phone: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error { return writePhone(w, *r.JSON200) })
		},
	}
}

func (a *app) phoneAdopt() *cobra.Command {
	return &cobra.Command{
		Use: "adopt MAC", Short: "Add a device that asked for something but was not added", Args: usage(cobra.ExactArgs(1)),
		Long:    "Add a device that asked for something but was not added. `dialtone phone list --seen` lists them.",
		Example: "  dialtone phone adopt 00:15:65:aa:bb:cc",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.AdoptSightingWithResponse(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("adopt: %w", err)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error { return writePhone(w, *r.JSON201) })
		},
	}
}

func writePhone(w io.Writer, p api.Phone) error {
	plugin := p.Plugin
	if p.Pinned {
		plugin += " (chosen by an administrator)"
	}
	added := p.Created.Local().Format(time.DateTime)
	if p.Auto {
		added += ", by its first request"
	}
	state := string(p.State)
	if p.State == api.New {
		state += ", nobody has confirmed it"
	}
	if p.Remote {
		state += ", remote"
	}
	if p.Static {
		state += ", with an address of its own"
	}
	seen := ""
	if !p.Seen.IsZero() {
		seen = p.Seen.Local().Format(time.DateTime)
	}
	for _, row := range [][2]string{
		{"id", p.ID},
		{"mac", p.Mac},
		{"serial number", p.Sn},
		{"uuid", p.UUID},
		{"label", p.Label},
		{"state", state},
		{"address", strings.Join(p.Addresses, ", ")},
		{"vendor", p.Vendor},
		{"model", p.Model},
		{"firmware", p.Version},
		{"plugin", plugin},
		{"config", p.Config},
		{"switch port", p.Port},
		{"added", added},
		{"last seen", seen},
	} {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-14s %s\n", row[0], row[1]); err != nil {
			return fmt.Errorf("write phone: %w", err)
		}
	}
	return nil
}
