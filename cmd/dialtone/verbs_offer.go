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

func (a *app) phoneOffer() *cobra.Command {
	var params api.GetOfferParams
	cmd := &cobra.Command{
		Use: "offer PHONE", Short: "Tell what a phone would be told by DHCP if it started now",
		Long: `Tell what a phone would be told by DHCP if it started now: whether it is answered, with which address, and each
option with where it comes from. Nothing is changed: no address is kept for the phone, and nothing is counted.

PHONE may be the MAC of a phone that nobody knows. What the flags leave out is as it was when the phone had its last
lease; one that never had any needs --network or --relay.`,
		Example: "  dialtone phone offer 00:15:65:11:22:33\n  dialtone phone offer 00:15:65:11:22:33 --network voice --vendor-class yealink --params 1,3,6,43,66",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.GetOfferWithResponse(cmd.Context(), args[0], &params)
			if err != nil {
				return fmt.Errorf("phone offer: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error { return writeOffer(w, r.JSON200) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&params.Network, "network", "", "`network` that it is in")
	f.StringVar(&params.Relay, "relay", "", "`address` of the relay agent that it comes by")
	f.StringVar(&params.Circuit, "circuit", "", "circuit `ID` that the relay agent adds")
	f.StringVar(&params.VendorClass, "vendor-class", "", "option 60, `text`")
	f.StringVar(&params.UserClass, "user-class", "", "option 77, `text`")
	f.Int32SliceVar(&params.Params, "params", nil, "option 55, the `codes` that it asks for")
	return cmd
}

func writeOffer(w io.Writer, o *api.Offer) error {
	if !o.Answered {
		_, err := fmt.Fprintf(w, "%s would get no address: %s.\n", o.Mac, o.Why)
		return err
	}
	if _, err := fmt.Fprintf(w, "%s would be offered %s (%s) of network %s for %s.\n",
		o.Mac, o.Address, o.Hold, o.Network, time.Duration(o.Seconds)*time.Second); err != nil {
		return err
	}
	if len(o.Classes) > 0 {
		fmt.Fprintf(w, "Its classes: %s.\n", strings.Join(o.Classes, ", "))
	}
	var rows [][]string
	for _, v := range append(o.Fields, o.Options...) {
		code := ""
		if v.Code > 0 {
			code = strconv.Itoa(int(v.Code))
		}
		rows = append(rows, []string{code, v.Name, v.Value, v.Origin})
	}
	if err := table(w, []string{"CODE", "NAME", "VALUE", "FROM"}, rows); err != nil {
		return err
	}
	if len(o.LeftOut) > 0 {
		fmt.Fprintf(w, "The reply has no room for the options %s.\n", strings.Trim(fmt.Sprint(o.LeftOut), "[]"))
	}
	return nil
}
