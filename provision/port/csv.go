package port

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// Table is a list of phones.
type Table struct {
	Rows    []Row
	Unknown []string // columns that nothing here has the name of, as the heading spells them
}

// Row is one phone of a list.
type Row struct {
	Line                             int // in the file
	HW                               hwaddr.Addr
	Label, Config, SN, Vendor, Model string
	// Account has the parameters of its first SIP line; nil: the row says nothing of it.
	Account provision.Params
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

// accountColumns are those of the first SIP line: names of its parameters, with other words for each.
func accountColumns() map[string][]string {
	return map[string][]string{
		"username":      {"username", "user name", "user", "extension", "ext", "sip user", "sip username", "account"},
		"auth_username": {"auth username", "auth user", "auth name", "auth id"}, "password": {"password", "secret", "sip password"},
		"display_name": {"display name", "displayname", "caller id"}, "number": {"number", "phone number"},
		"proxy_ip": {"proxy ip", "proxy", "server", "sip server", "registrar"},
	}
}

// placesOf finds columns in a heading; one that isn't there has no place. Of two columns for one thing the first counts.
func placesOf(heading []string, columns map[string][]string) map[string]int {
	place := make(map[string]int)
	for name, words := range columns {
		i := slices.IndexFunc(heading, func(s string) bool {
			return slices.Contains(words, strings.Join(strings.FieldsFunc(strings.ToLower(s), func(c rune) bool { return c == ' ' || c == '_' || c == '-' }), " "))
		})
		if i >= 0 {
			place[name] = i
		}
	}
	return place
}

// CSV reads a table with a heading. Columns are separated by commas, semicolons or tabs, whichever the heading has most of,
// and found by their names in any order and case. The error says why it is no such table. A row that is wrong, or of a
// phone that stands in an earlier one, has its Fault.
func CSV(data []byte) (Table, error) {
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
		return Table{}, fmt.Errorf("there is no heading: %w", err)
	}
	place, account := placesOf(names, columns()), placesOf(names, accountColumns())
	if _, ok := place["mac"]; !ok {
		return Table{}, errors.New("its heading has no column mac")
	}
	var t Table
	used := slices.AppendSeq(slices.Collect(maps.Values(place)), maps.Values(account))
	for i, name := range names {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(used, i) {
			t.Unknown = append(t.Unknown, name)
		}
	}
	macs, serials := make(map[hwaddr.Addr]int), make(map[string]int)
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return Table{}, err
		}
		get := func(name string) string { return field(fields, place, name) }
		row := Row{Label: get("label"), Config: get("config"), SN: get("sn"), Vendor: get("vendor"), Model: get("model")}
		row.Line, _ = r.FieldPos(0)
		row.HW, err = hwaddr.Parse(get("mac"))
		var wrong error
		row.Account, wrong = accountOf(fields, account, row.Label)
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
		case wrong != nil:
			row.Fault = wrong.Error()
		default:
			macs[row.HW], serials[row.SN] = row.Line, row.Line
		}
		t.Rows = append(t.Rows, row)
	}
}

// field returns what a row has in a column; empty if it ends before, or the heading lacks it.
func field(fields []string, place map[string]int, name string) string {
	if i, ok := place[name]; ok && i < len(fields) {
		return strings.TrimSpace(fields[i])
	}
	return ""
}

// accountOf returns the parameters of a row's SIP line, nil if it has none. Who isn't named otherwise is named as the
// phone is, or as the account; an account of digits is an extension, and so the number.
func accountOf(fields []string, place map[string]int, label string) (provision.Params, error) {
	line := provision.Params{}
	for name := range place {
		if v := field(fields, place, name); v != "" {
			line[name] = v
		}
	}
	switch _, named := line["username"]; {
	case len(line) == 0:
		return nil, nil //nolint:nilnil // the row says nothing of a line
	case !named:
		return nil, errors.New("what it says of a SIP line is of no use without a username")
	}
	if _, ok := line["display_name"]; !ok {
		line["display_name"] = cmp.Or(label, field(fields, place, "username"))
	}
	if _, ok := line["number"]; !ok && strings.Trim(field(fields, place, "username"), "0123456789") == "" {
		line["number"] = line["username"]
	}
	return line, provision.CheckLayer(override(line))
}

// override are a phone's own parameters, of which the table has those of one line.
func override(line provision.Params) provision.Params {
	return provision.Params{"sip_lines": map[string]any{"1": map[string]any(line)}}
}

// readCSV reads one table, each row a phone. They are confirmed: who lists them knows them.
func readCSV(found *Found, files []File) error {
	if len(files) > 1 {
		return fmt.Errorf("%s: a table is one file, and there are %d", files[0].Name, len(files))
	}
	t, err := CSV(files[0].Data)
	if err != nil {
		return fmt.Errorf("%s: %w", files[0].Name, err)
	}
	known := slices.AppendSeq(slices.Collect(maps.Keys(columns())), maps.Keys(accountColumns()))
	slices.Sort(known)
	for _, name := range t.Unknown {
		found.say(at{files[0].Name, 1}, "column", name, Dropped, "there is nothing of that name here; known are %s",
			strings.Join(known, ", "))
	}
	for _, r := range t.Rows {
		p, name := at{files[0].Name, r.Line}, r.Label
		if !r.HW.IsZero() {
			name = r.HW.String()
		}
		if r.Fault != "" {
			found.say(p, "phone", name, Wrong, "%s", r.Fault)
			continue
		}
		d := provision.Device{
			ID: provision.DeviceID(r.HW.Join("")), HW: r.HW, Label: r.Label, Config: provision.ConfigID(r.Config), Serial: r.SN,
			Vendor: r.Vendor, Model: r.Model, State: provision.StateEnrolled,
		}
		note := ""
		if r.Account != nil {
			d.Override = override(r.Account)
			note = "with line 1"
			if _, ok := r.Account["password"]; !ok {
				note = "with line 1, whose password is that of its config, if that has one"
			}
		}
		found.Phones = append(found.Phones, Item[provision.Device]{d, found.say(p, "phone", name, Added, "%s", note)})
	}
	return nil
}
