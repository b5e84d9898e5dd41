package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) explain() *cobra.Command {
	var from string
	var headers []string
	cmd := &cobra.Command{
		Use:   "explain METHOD PATH --from ADDRESS",
		Short: "Tell what a request of a phone would come to, stage by stage",
		Long: `Tell what a request of a phone would come to: who it is taken for and why, which plugin and which rule
answer, whether secrets may leave, and which config each value comes from. Nothing is changed.

METHOD is RRQ for TFTP, GET or HEAD for HTTP.`,
		Example: "  dialtone explain RRQ SEP001122334455.cnf.xml --from 192.0.2.23\n" +
			"  dialtone explain GET /aastra.cfg --from 192.0.2.24 --header 'User-Agent: Aastra6730i MAC:00-08-5D-11-22-33 V:3.3.1.4365-SIP'",
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := question(args[0], args[1], from, headers)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.ExplainWithResponse(cmd.Context(), q)
			if err != nil {
				return fmt.Errorf("explain: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200.Outcome, func(w io.Writer) error {
				_, err := io.WriteString(w, r.JSON200.Text)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`address` that the request comes from")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "HTTP header `'Name: value'`; may be repeated")
	return cmd
}

// question reads the words of the command line.
func question(method, path, from string, headers []string) (api.Question, error) {
	q := api.Question{Path: path, From: from, Headers: map[string]string{}}
	switch strings.ToUpper(method) {
	case "RRQ", "TFTP":
		q.Proto = api.QuestionProtoTftp
	case "GET", "HTTP":
		q.Proto = api.QuestionProtoHTTP
	case "HEAD":
		q.Proto, q.Head = api.QuestionProtoHTTP, true
	default:
		return q, fmt.Errorf("%w: method %q: say RRQ for TFTP, GET or HEAD for HTTP", errUsage, method)
	}
	if from == "" {
		return q, fmt.Errorf("%w: --from is needed: the address decides who is asking", errUsage)
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return q, fmt.Errorf("%w: header %q: write 'Name: value'", errUsage, h)
		}
		q.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return q, nil
}
