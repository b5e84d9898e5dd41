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
	return parent("phone", "The phones that are known", a.phoneList(), a.phoneShow(), a.phoneRender(), a.phoneAdopt(), a.phoneWaiting(), a.phoneApprove(), a.phoneDeny(),
		a.phoneRetire(), a.phoneClear(), a.phonePort(), a.phoneToken(), a.phoneBoots(), a.phoneDrift(), a.phoneOffer(),
		a.phoneAdd(), a.phoneEdit(), a.phoneRemove(), a.phoneReplace(), a.phoneLabel())
}

func (a *app) phoneList() *cobra.Command {
	var (
		seen         bool
		filter, sort string
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List the phones", Args: usage(cobra.NoArgs),
		Example: "  dialtone phone list --filter 'model:T46U state:new' --sort -seen\n  dialtone phone list --seen   # those that asked but were not added",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if seen {
				return a.listSightings(cmd, c, filter, sort)
			}
			list := api.PhoneList{Phones: []api.Phone{}}
			params := api.ListPhonesParams{Limit: maxPage, Filter: filter, Sort: sort}
			err = pages(func(cursor string) (string, error) {
				params.Cursor = cursor
				r, err := c.ListPhonesWithResponse(cmd.Context(), &params)
				if err != nil {
					return "", fmt.Errorf("list phones: %w", err)
				}
				if r.JSON200 == nil {
					return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				list.Phones = append(list.Phones, r.JSON200.Phones...)
				list.Total = r.JSON200.Total
				return r.JSON200.Next, nil
			})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, p := range list.Phones {
					rows = append(rows, []string{p.Mac, strings.Join(p.Addresses, ","), modelText(p.Vendor, p.Model, p.MacVendor), p.Version, p.Plugin, p.Config, string(p.State), p.Label})
				}
				return table(w, []string{"MAC", "ADDRESS", "MODEL", "FIRMWARE", "PLUGIN", "CONFIG", "STATE", "LABEL"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&seen, "seen", false, "list devices that asked for something but were not added")
	listFlags(cmd, &filter, &sort)
	return cmd
}

const maxPage = 1000 // items that the daemon gives at once

// pages gets a list, page by page. get returns the cursor of the page after the one with a cursor, empty if there is none.
func pages(get func(cursor string) (next string, err error)) error {
	for cursor := ""; ; {
		next, err := get(cursor)
		if err != nil || next == "" {
			return err
		}
		cursor = next
	}
}

// listFlags are those that every long list has.
func listFlags(cmd *cobra.Command, filter, sort *string) {
	cmd.Flags().StringVar(filter, "filter", "", "only those that meet all of these `conditions`, such as 'model:T46U reception'")
	cmd.Flags().StringVar(sort, "sort", "", "the `field` to sort by, after a minus in falling order")
}

func (a *app) listSightings(cmd *cobra.Command, c *api.ClientWithResponses, filter, sort string) error {
	list := api.SightingList{Sightings: []api.Sighting{}}
	params := api.ListSightingsParams{Limit: maxPage, Filter: filter, Sort: sort}
	err := pages(func(cursor string) (string, error) {
		params.Cursor = cursor
		r, err := c.ListSightingsWithResponse(cmd.Context(), &params)
		if err != nil {
			return "", fmt.Errorf("list sightings: %w", err)
		}
		if r.JSON200 == nil {
			return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
		}
		list.Sightings = append(list.Sightings, r.JSON200.Sightings...)
		list.Total = r.JSON200.Total
		return r.JSON200.Next, nil
	})
	if err != nil {
		return err
	}
	return a.print(list, func(w io.Writer) error {
		var rows [][]string
		for _, s := range list.Sightings {
			rows = append(rows, []string{s.Mac, s.IP, modelText(s.Vendor, s.Model, s.MacVendor), strconv.FormatInt(s.Count, 10), s.Last.Local().Format(time.DateTime), s.Proto + " " + s.Path, s.Why})
		}
		return table(w, []string{"MAC", "ADDRESS", "MODEL", "TIMES", "LAST", "ASKED FOR", "WHY NOT ADDED"}, rows)
	})
}

func (a *app) phoneShow() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use: "show PHONE", Short: "Show one phone", Args: usage(cobra.ExactArgs(1)),
		Long: "Show one phone, named by its MAC in any spelling, the address that it holds, its serial number or its ID.\n" +
			"With --reveal, the values of its own that are secrets are written in clear, which the audit tells of.",
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
			var secrets [][]string
			if reveal {
				x, err := a.revealedPhone(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				r.JSON200.Override = x.Params
				for _, path := range x.Paths {
					secrets = append(secrets, []string{printable(path), printable(valueAt(map[string]any{"override": x.Params}, path))})
				}
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				if err := writePhone(w, *r.JSON200); err != nil || !reveal {
					return err
				}
				return table(w, []string{"SECRET", "IS"}, secrets)
			})
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "write its own secrets in clear; the audit tells of it")
	return cmd
}

func (a *app) phoneAdopt() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "adopt MAC", Short: "Add a device that asked for something but was not added", Args: usage(cobra.ExactArgs(1)),
		Long:    "Add a device that asked for something but was not added. `dialtone phone list --seen` lists them.",
		Example: "  dialtone phone adopt 00:15:65:aa:bb:cc",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.AdoptSightingWithResponse(cmd.Context(), args[0], &api.AdoptSightingParams{DryRun: dry})
			if err != nil {
				return fmt.Errorf("adopt: %w", err)
			}
			if r.JSON200 != nil {
				return a.foreseen(r.JSON200)
			}
			if r.JSON201 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON201, func(w io.Writer) error { return writePhone(w, *r.JSON201) })
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

// modelText is what a device is, or as long as that isn't known, whose its MAC is.
func modelText(vendor, model, macVendor string) string {
	if vendor == "" && model == "" && macVendor != "" {
		return "(" + macVendor + ")"
	}
	return strings.TrimSpace(vendor + " " + model)
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
	if p.State == api.PhoneStateNew {
		state += ", nobody has confirmed it"
	}
	if p.Remote {
		state += ", remote"
	}
	if p.Static {
		state += ", with an address of its own"
	}
	mac := p.Mac
	if mac != "" {
		mac += ", " + p.MacVendor
	}
	seen := ""
	if !p.Seen.IsZero() {
		seen = p.Seen.Local().Format(time.DateTime)
	}
	for _, row := range [][2]string{
		{"id", p.ID},
		{"mac", mac},
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
