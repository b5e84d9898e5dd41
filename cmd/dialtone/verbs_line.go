package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) line() *cobra.Command {
	return parent("line", "The SIP lines of the phones", a.lineList())
}

func (a *app) lineList() *cobra.Command {
	var filter, sort string
	cmd := &cobra.Command{
		Use: "list", Short: "List the SIP lines of all phones", Args: usage(cobra.NoArgs),
		Long: `List the SIP lines of all phones, as their files have them: with what their configs inherit. What a line is, is changed in
the phone's config or override.`,
		Example: "  dialtone line list --filter 'registrar:192.0.2.5' --sort number\n  dialtone line list --output csv > lines.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list := api.LineList{Lines: []api.Line{}}
			params := api.ListLinesParams{Limit: maxPage, Filter: filter, Sort: sort}
			err = pages(func(cursor string) (string, error) {
				params.Cursor = cursor
				r, err := c.ListLinesWithResponse(cmd.Context(), &params)
				if err != nil {
					return "", fmt.Errorf("list lines: %w", err)
				}
				if r.JSON200 == nil {
					return "", answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
				}
				list.Lines = append(list.Lines, r.JSON200.Lines...)
				list.Total = r.JSON200.Total
				return r.JSON200.Next, nil
			})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, l := range list.Lines {
					used := "no"
					if l.Enabled {
						used = "yes"
					}
					rows = append(rows, []string{l.Mac, l.PhoneLabel, strconv.Itoa(int(l.Position)), l.Number, l.Name, l.Username, l.Registrar, used})
				}
				return table(w, []string{"PHONE", "LABEL", "LINE", "NUMBER", "NAME", "USER NAME", "REGISTRAR", "IN USE"}, rows)
			})
		},
	}
	listFlags(cmd, &filter, &sort)
	return cmd
}
