package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// Line is a SIP line of a phone, as the phone's files have it: with all that its config inherits. Those of a phone that has
// no config yet are its own, with what it will inherit as a new one.
type Line struct {
	Phone      provision.DeviceID
	HW         hwaddr.Addr
	PhoneLabel string
	Config     provision.ConfigID // of the phone
	Position   int                // N of sip_lines.N
	Enabled    bool
	Number     string // for display
	Name       string // display_name
	Label      string
	Username   string
	Registrar  string // the line's own, else what the line's proxy or the phone's registrar is; empty: none is said
}

// ListLines returns a page of the lines of all phones, by phone and position if nothing else is said. Phones whose config
// can't be resolved have none; that they can't is among their problems.
func (s *Service) ListLines(ctx context.Context, p Page) (List[Line], error) {
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return List[Line]{}, fmt.Errorf("list lines: %w", err)
	}
	type shared struct {
		params provision.Params
		err    error
	}
	known := make(map[provision.ConfigID]shared) // of the phones without an override, most of them
	given, err := s.configOfNew(ctx)
	if err != nil {
		return List[Line]{}, fmt.Errorf("list lines: %w", err)
	}
	var lines []Line
	for i := range devices {
		d := &devices[i]
		as := *d
		as.Config = cmp.Or(d.Config, given)
		got, ok := known[as.Config]
		if !ok || len(d.Override) > 0 {
			r, _, err := provision.Resolve(ctx, s.Configs, &as, provision.ClassDevice)
			got = shared{r.Params, err}
			if errors.Is(err, provision.ErrNotFound) {
				got = shared{params: d.Override}
			}
			if len(d.Override) == 0 {
				known[as.Config] = got
			}
		}
		if errors.Is(got.err, context.Canceled) || errors.Is(got.err, context.DeadlineExceeded) {
			return List[Line]{}, fmt.Errorf("list lines: %w", got.err)
		}
		lines = append(lines, linesOf(d, got.params)...)
	}
	return lineTable().page(lines, p)
}

// configOfNew returns the config that new phones are given, or that theirs inherit from; empty: none.
func (s *Service) configOfNew(ctx context.Context) (provision.ConfigID, error) {
	for _, role := range []provision.Role{provision.RoleAutocreate, provision.RoleDefault} {
		c, err := s.Configs.ConfigByRole(ctx, role)
		if err == nil {
			return c.ID, nil
		}
		if !errors.Is(err, provision.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}

// linesOf reads the lines that params have.
func linesOf(d *provision.Device, params provision.Params) (lines []Line) {
	all, _ := params["sip_lines"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		line, _ := all[key].(map[string]any)
		n, err := strconv.Atoi(key)
		if err != nil || line == nil {
			continue
		}
		text := func(name string) string {
			t, _ := line[name].(string)
			return t
		}
		outer := func(name string) string {
			t, _ := params[name].(string)
			return t
		}
		enabled, said := line["enabled"].(bool)
		lines = append(lines, Line{
			Phone: d.ID, HW: d.HW, PhoneLabel: d.Label, Config: d.Config, Position: n, Enabled: enabled || !said,
			Number: text("number"), Name: text("display_name"), Label: text("label"), Username: text("username"),
			Registrar: cmp.Or(text("registrar_ip"), text("proxy_ip"), outer("sip_registrar_ip"), outer("sip_proxy_ip")),
		})
	}
	return lines
}

func lineTable() *table[Line] {
	id := func(l *Line) string { return fmt.Sprintf("%s %03d", l.Phone, l.Position) }
	return &table[Line]{sort: "phone", id: id, fields: map[string]field[Line]{
		"phone":     {text: func(l *Line) string { return string(l.Phone) }, exact: true, free: true},
		"mac":       {text: func(l *Line) string { return l.HW.String() }, free: true, mac: true},
		"config":    {text: func(l *Line) string { return string(l.Config) }, exact: true},
		"position":  {text: func(l *Line) string { return strconv.Itoa(l.Position) }, key: func(l *Line) string { return fmt.Sprintf("%03d", l.Position) }, exact: true},
		"enabled":   {text: func(l *Line) string { return strconv.FormatBool(l.Enabled) }, exact: true},
		"number":    {text: func(l *Line) string { return l.Number }, free: true},
		"name":      {text: func(l *Line) string { return l.Name }, free: true},
		"label":     {text: func(l *Line) string { return cmp.Or(l.Label, l.PhoneLabel) }, free: true},
		"username":  {text: func(l *Line) string { return l.Username }, free: true},
		"registrar": {text: func(l *Line) string { return l.Registrar }, exact: true},
	}}
}
