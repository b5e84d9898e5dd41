package port

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// Row is one phone of a list.
type Row struct {
	Line                             int // in the file
	HW                               hwaddr.Addr
	Label, Config, SN, Vendor, Model string
	// Fault is why the row is no phone; empty: it is one.
	Fault string
}

// columns are the names of the columns, with other words for each.
func columns() map[string][]string {
	return map[string][]string{
		"mac": {"mac", "mac address", "hwaddr", "ethernet"}, "label": {"label", "name", "description"}, "config": {"config"},
		"sn": {"sn", "serial", "serial number"}, "vendor": {"vendor", "brand"}, "model": {"model"},
	}
}

// CSV reads a table with a heading. Columns are separated by commas, semicolons or tabs, whichever the heading has most of,
// and found by their names in any order and case; unknown ones are left out. The error says why it is no such table. A row
// that is wrong, or of a phone that stands in an earlier one, has its Fault.
func CSV(data []byte) ([]Row, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	heading, _, _ := bytes.Cut(data, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = -1, true, true
	for _, c := range ";\t" {
		if bytes.Count(heading, []byte(string(c))) > bytes.Count(heading, []byte(string(r.Comma))) {
			r.Comma = c
		}
	}
	names, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("there is no heading: %w", err)
	}
	place := make(map[string]int)
	for name, words := range columns() {
		place[name] = slices.IndexFunc(names, func(s string) bool { return slices.Contains(words, strings.ToLower(strings.TrimSpace(s))) })
	}
	if place["mac"] < 0 {
		return nil, errors.New("its heading has no column mac")
	}
	var rows []Row
	macs, serials := make(map[hwaddr.Addr]int), make(map[string]int)
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		get := func(name string) string {
			if i := place[name]; i >= 0 && i < len(fields) {
				return strings.TrimSpace(fields[i])
			}
			return ""
		}
		row := Row{Label: get("label"), Config: get("config"), SN: get("sn"), Vendor: get("vendor"), Model: get("model")}
		row.Line, _ = r.FieldPos(0)
		row.HW, err = hwaddr.Parse(get("mac"))
		switch {
		case get("mac") == "":
			row.Fault = "it has no mac"
		case err != nil:
			row.Fault = err.Error()
		case row.HW.IsGroup():
			row.Fault = row.HW.String() + " is the address of a group, not of a phone"
		case macs[row.HW] > 0:
			row.Fault = fmt.Sprintf("%s stands in line %d already", row.HW, macs[row.HW])
		case row.SN != "" && serials[row.SN] > 0:
			row.Fault = fmt.Sprintf("serial number %s stands in line %d already", row.SN, serials[row.SN])
		default:
			macs[row.HW], serials[row.SN] = row.Line, row.Line
		}
		rows = append(rows, row)
	}
}

// readCSV reads one table, each row a phone. They are confirmed: who lists them knows them.
func readCSV(found *Found, files []File) error {
	if len(files) > 1 {
		return fmt.Errorf("%s: a table is one file, and there are %d", files[0].Name, len(files))
	}
	rows, err := CSV(files[0].Data)
	if err != nil {
		return fmt.Errorf("%s: %w", files[0].Name, err)
	}
	for _, r := range rows {
		p, name := at{files[0].Name, r.Line}, r.Label
		if !r.HW.IsZero() {
			name = r.HW.String()
		}
		if r.Fault != "" {
			found.say(p, "phone", name, Wrong, "%s", r.Fault)
			continue
		}
		found.Phones = append(found.Phones, Item[provision.Device]{provision.Device{
			ID: provision.DeviceID(r.HW.Join("")), HW: r.HW, Label: r.Label, Config: provision.ConfigID(r.Config), Serial: r.SN,
			Vendor: r.Vendor, Model: r.Model, State: provision.StateEnrolled,
		}, found.say(p, "phone", name, Added, "")})
	}
	return nil
}
