package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// siteFile turns the whole site into a file and back, for the API.
type siteFile struct{ admin *admin.Service }

// ExportSite implements web.SiteFile.
func (f siteFile) ExportSite(ctx context.Context, clear bool) ([]byte, error) {
	s, err := f.admin.ExportSite(ctx)
	if err != nil {
		return nil, err
	}
	site := fromSite(s, clear)
	return configs.FormatSite(&site)
}

// ApplySite implements web.SiteFile.
func (f siteFile) ApplySite(ctx context.Context, data []byte, prune bool, w admin.Write) ([]admin.SiteChange, error) {
	c, err := readSite("site", data)
	if err != nil {
		return nil, fmt.Errorf("apply: %w", admin.Faults{{Text: err.Error(), Kind: provision.ErrInvalid}})
	}
	changes, err := f.admin.ApplySite(ctx, admin.Site{Networks: c.declared, Configs: c.configs, Phones: c.devices}, prune, w)
	faults, ok := errors.AsType[admin.Faults](err)
	if !ok {
		return changes, err
	}
	lines := pointerLines(&c.site)
	located := make(admin.Faults, len(faults))
	for i, x := range faults {
		x.Text = fmt.Sprintf("line %d: %s", lines(x.Pointer), x.Text)
		if x.Other != "" {
			x.Text += fmt.Sprintf(" (the other is in line %d)", lines(x.Other))
		}
		located[i] = x
	}
	return nil, fmt.Errorf("apply: %w", located)
}

// pointerLines returns the line of the nearest item around a JSON pointer.
func pointerLines(site *configs.Site) func(pointer string) int {
	lines := siteLines(site)
	for i, c := range site.Configs {
		lines[fmt.Sprintf("configs[%d]", i)] = c.Line
	}
	for i, d := range site.Devices {
		lines[fmt.Sprintf("devices[%d]", i)] = d.Line
	}
	return func(pointer string) int {
		var path strings.Builder
		for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
			switch _, err := strconv.Atoi(step); {
			case err == nil:
				path.WriteString("[" + step + "]")
			case path.Len() > 0:
				path.WriteString("." + step)
			default:
				path.WriteString(step)
			}
		}
		return lineOf(lines, path.String())
	}
}
