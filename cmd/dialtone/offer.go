package main

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// askDHCP asks the DHCP server what it would offer. A phone's token is not told: who has it gets the phone's passwords.
func (p *parts) askDHCP(ctx context.Context, q admin.OfferQuery) admin.Offer {
	d := p.dhcp.Load()
	if d == nil {
		return admin.Offer{HW: q.Client.HW, Why: "DHCP isn't served"}
	}
	tokens := []string{p.tokenFor(q.Client.HW)}
	x := d.Preview(ctx, dhcp.Query{Client: q.Client, Network: q.Network, Want: q.Want, Supposed: q.Supposed})
	tokens = append(tokens, p.tokenFor(q.Client.HW)) // it may have started meanwhile
	v := x.Verdict
	o := admin.Offer{
		HW: q.Client.HW, Answered: x.Hold != "", Network: v.Network, Classes: x.Classes, Addr: v.Addr, Hold: string(x.Hold), Lifetime: v.Life,
		Fields: offered(x.Fields, tokens), Options: offered(x.Options, tokens), LeftOut: x.LeftOut,
	}
	switch {
	case v.Wait:
		o.Why = "it isn't known yet whether another server answers there; ask again in a few seconds"
	case v.Why != "":
		o.Why = v.Why
	case v.Reason != dhcp.ReasonNone:
		o.Why = v.Reason.String()
	}
	return o
}

// offered returns values without tokens.
func offered(list []dhcp.Told, tokens []string) (out []admin.OfferedValue) {
	for _, x := range list {
		for _, t := range tokens {
			if t == "" {
				continue
			}
			x.Value = strings.ReplaceAll(x.Value, t, masked())
			if strings.Contains(x.Value, hex.EncodeToString([]byte(t))) {
				x.Value = masked()
			}
		}
		out = append(out, admin.OfferedValue(x))
	}
	return out
}

// masked stands for a value that would let its reader in as the phone.
func masked() string { return provision.Secret("x").String() }
