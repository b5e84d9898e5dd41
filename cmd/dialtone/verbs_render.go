package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) phoneRender() *cobra.Command {
	return &cobra.Command{
		Use: "render PHONE [PATH]", Short: "Make a phone's files as it would get them now, or show one of them", Args: usage(cobra.RangeArgs(1, 2)),
		Long: `Make the files that a phone would get now if it proved who it is, and list them; or print one of them, with [secret] in
the place of each password. A phone without a config is taken for one that is given one by asking. Nothing is sent to the
phone.`,
		Example: "  dialtone phone render 192.0.2.23\n  dialtone phone render 00:08:5d:00:00:01 00085D000001.cfg",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var params api.ListFilesParams
			if len(args) == 2 {
				params.Path = args[1]
			}
			r, err := c.ListFilesWithResponse(cmd.Context(), args[0], &params)
			if err != nil {
				return fmt.Errorf("render phone: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				if params.Path != "" && len(r.JSON200.Files) == 1 && r.JSON200.Files[0].Text != "" {
					_, err := io.WriteString(w, r.JSON200.Files[0].Text)
					return err
				}
				if len(r.JSON200.Files) == 0 {
					return empty(w, "It has no plugin yet, or one that says of no file that the phone asks for it.")
				}
				var rows [][]string
				for _, f := range r.JSON200.Files {
					size := ""
					if f.Error == "" {
						size = strconv.FormatInt(f.Size, 10)
					}
					rows = append(rows, []string{string(f.Proto), provision.Printable(f.Path), f.Class, size, f.Note + f.Error})
				}
				return table(w, []string{"BY", "FILE", "CLASS", "BYTES", "NOTE"}, rows)
			})
		},
	}
}
