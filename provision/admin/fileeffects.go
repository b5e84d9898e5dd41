package admin

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// FileEffect is what other policies of networks would mean to a phone that asks once more for the last file with secrets that
// it asked for.
type FileEffect struct {
	Device   provision.DeviceID
	HW       hwaddr.Addr
	Request  uint64 // the one that is asked again
	Path     string
	From, To Fate
	Why      string // why To
}

// Fate is what becomes of a request for a file with secrets.
type Fate string

// The fates.
const (
	FateServed   Fate = "served"
	FateWithout  Fate = "without-secrets"
	FateHeld     Fate = "held" // until somebody approves of the phone
	FateRefused  Fate = "refused"
	FateNoAnswer Fate = "no-answer" // for another reason than the guard's, such as that no plugin has the file
)

// fateOf tells what became of a request, and why.
func fateOf(o *provision.Outcome) (Fate, string) {
	why := o.Verdict.Why
	switch {
	case o.Err == nil && o.Verdict.Secrets:
		return FateServed, why
	case o.Err == nil:
		return FateWithout, why
	case o.Verdict.Held:
		return FateHeld, why
	case o.Verdict.Why != "" && !o.Verdict.Allow:
		return FateRefused, why
	}
	return FateNoAnswer, o.Err.Error()
}

// fileEffects asks once more for each phone's last file with secrets that is remembered, by the networks in force and by
// others, and returns the phones that would fare differently, in order of their MACs.
func (s *Service) fileEffects(ctx context.Context, set *network.Set) ([]FileEffect, error) {
	if s.PolicyBy == nil || s.PolicyFor == nil {
		return nil, nil
	}
	policy := s.PolicyBy(set)
	seen := make(map[provision.DeviceID]bool)
	var list []FileEffect
	for _, o := range s.Journal.Recent(0) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("phones whose files are affected: %w", err)
		}
		id := o.Device.ID
		if id == "" || seen[id] || o.Route.Class != provision.ClassSecret || o.Request.Proto == provision.DHCP {
			continue
		}
		seen[id] = true
		if reflect.DeepEqual(s.PolicyFor(o.Request.Peer), policy(o.Request.Peer)) {
			continue
		}
		req := o.Request
		req.At = time.Now()
		e := FileEffect{Device: id, HW: o.Device.HW, Request: o.Request.ID, Path: o.Request.Path}
		now, err := outcomeOf(s.Pipeline.Explain(ctx, &req))
		if err != nil {
			return nil, err
		}
		then, err := outcomeOf(s.Pipeline.ExplainBy(ctx, &req, policy))
		if err != nil {
			return nil, err
		}
		e.From, _ = fateOf(now)
		if e.To, e.Why = fateOf(then); e.From != e.To {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b FileEffect) int {
		return cmp.Or(slices.Compare(a.HW[:], b.HW[:]), cmp.Compare(a.Device, b.Device))
	})
	return list, nil
}

// outcomeOf closes the answer of an explanation.
func outcomeOf(a *provision.Answer, o *provision.Outcome) (*provision.Outcome, error) {
	if a == nil {
		return o, nil
	}
	if err := a.Body.Close(); err != nil {
		return nil, fmt.Errorf("ask again for %s: %w", provision.Printable(o.Request.Path), err)
	}
	return o, nil
}
