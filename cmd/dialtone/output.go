package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v4"
)

// layout is how a verb's answer is written.
type layout struct {
	format  string   // --output
	columns []string // --columns
	bare    bool     // --no-headers
}

const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatCSV   = "csv"
)

func formats() []string { return []string{formatTable, formatJSON, formatYAML, formatCSV} }

// settle makes the flags of the output agree.
func (a *app) settle() error {
	switch {
	case !slices.Contains(formats(), a.layout.format):
		return fmt.Errorf("%w: --output is one of %s, not %q", errUsage, strings.Join(formats(), ", "), a.layout.format)
	case a.json && a.layout.format != formatTable && a.layout.format != formatJSON:
		return fmt.Errorf("%w: --json and --output %s contradict each other", errUsage, a.layout.format)
	case a.json:
		a.layout.format = formatJSON
	}
	a.json = a.layout.format == formatJSON || a.layout.format == formatYAML
	if a.json && (a.layout.bare || len(a.layout.columns) > 0) {
		return fmt.Errorf("%w: --columns and --no-headers are for tables", errUsage)
	}
	return nil
}

// print writes v as JSON or YAML, or calls text for people.
func (a *app) print(v any, text func(io.Writer) error) error {
	switch a.layout.format {
	case formatJSON:
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		return nil
	case formatYAML:
		if err := writeYAML(a.stdout, v); err != nil {
			return fmt.Errorf("write YAML: %w", err)
		}
		return nil
	case formatCSV:
		s := &sheet{layout: a.layout, out: a.stdout}
		if err := text(s); err != nil {
			return err
		}
		if !s.written {
			return fmt.Errorf("%w: there is no table in this answer; use --output json or yaml", errUsage)
		}
		return nil
	}
	return text(&sheet{layout: a.layout, out: a.stdout, words: true})
}

// writeYAML writes v as its JSON says it, in the same order.
func writeYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil { // JSON is YAML
		return err
	}
	unquoted(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(&doc), enc.Close())
}

// unquoted takes from a node how JSON wrote it. A string that would read as something else keeps its quotes.
func unquoted(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0
	}
	for _, c := range n.Content {
		unquoted(c)
	}
}

// sheet is where a verb writes its answer for people. It knows how tables are to be laid out.
type sheet struct {
	layout
	out     io.Writer
	words   bool // what is not a table is written, too
	written bool // a table was
}

func (s *sheet) Write(p []byte) (int, error) {
	if !s.words {
		return len(p), nil
	}
	return s.out.Write(p)
}

// empty says in words that a table has no rows; to a program, no rows say it.
func empty(w io.Writer, words string) error {
	if s, ok := w.(*sheet); ok {
		s.written = true
	}
	if _, err := fmt.Fprintln(w, words); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// table writes rows under headings, in columns.
func table(w io.Writer, heads []string, rows [][]string) error {
	s, ok := w.(*sheet)
	if !ok {
		s = &sheet{out: w}
	}
	s.written = true
	show, err := pick(heads, s.columns)
	if err != nil {
		return err
	}
	if s.format == formatCSV {
		err = s.csv(heads, rows, show)
	} else {
		err = s.aligned(heads, rows, show)
	}
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// pick returns the places of the columns that are wanted, all if none is.
func pick(heads, wanted []string) (show []int, err error) {
	if len(wanted) == 0 {
		for i := range heads {
			show = append(show, i)
		}
	}
	for _, name := range wanted {
		i := slices.IndexFunc(heads, func(h string) bool { return strings.EqualFold(h, strings.TrimSpace(name)) })
		if i < 0 {
			return nil, fmt.Errorf("%w: --columns: there is no column %q; the table has %s", errUsage, name, strings.ToLower(strings.Join(heads, ", ")))
		}
		show = append(show, i)
	}
	return show, nil
}

func cellsAt(row []string, show []int) []string {
	cells := make([]string, len(show))
	for i, at := range show {
		cells[i] = row[at]
	}
	return cells
}

func (s *sheet) csv(heads []string, rows [][]string, show []int) error {
	var lines [][]string
	if !s.bare {
		lines = append(lines, cellsAt(heads, show))
	}
	for _, r := range rows {
		cells := cellsAt(r, show)
		for i, cell := range cells {
			// Phones name themselves, and a spreadsheet would take that for a formula.
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				cells[i] = "'" + cell
			}
		}
		lines = append(lines, cells)
	}
	return csv.NewWriter(s.out).WriteAll(lines)
}

func (s *sheet) aligned(heads []string, rows [][]string, show []int) error {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	if !s.bare {
		fmt.Fprintln(t, strings.Join(cellsAt(heads, show), "\t"))
	}
	for _, r := range rows {
		cells := cellsAt(r, show)
		for i, cell := range cells {
			if cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}
