package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/trace"
)

// History is the trace on disk. A nil one reaches no further back than the journal.
type History interface {
	Get(ctx context.Context, id uint64) (*provision.Outcome, bool, error)
	ByDevice(ctx context.Context, id provision.DeviceID, n int) ([]*provision.Outcome, error)
	Fetched(id provision.DeviceID) []trace.Fetch
}

// Request returns the outcome of a request by its number, from the journal or from disk.
func (s *Service) Request(ctx context.Context, id uint64) (*provision.Outcome, error) {
	if o, ok := s.Journal.Get(id); ok {
		return o, nil
	}
	if s.History != nil {
		o, ok, err := s.History.Get(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", id, err)
		}
		if ok {
			return o, nil
		}
	}
	return nil, fmt.Errorf("request %d: %w: it never was, or is too long ago", id, provision.ErrNotFound)
}

// RequestsOf returns the last n requests of a phone, the newest first.
func (s *Service) RequestsOf(ctx context.Context, phone string, n int) ([]*provision.Outcome, error) {
	p, err := s.Phone(ctx, phone)
	if err != nil {
		return nil, err
	}
	return s.outcomes(ctx, p.ID, n)
}

// outcomes returns a device's last n outcomes, newest first: what the journal has, and before that what the disk has.
func (s *Service) outcomes(ctx context.Context, id provision.DeviceID, n int) ([]*provision.Outcome, error) {
	recent := s.Journal.ByDevice(id, n)
	if s.History == nil || n > 0 && len(recent) >= n {
		return recent, nil
	}
	old, err := s.History.ByDevice(ctx, id, n)
	if err != nil {
		return nil, fmt.Errorf("requests of %s: %w", id, err)
	}
	seen := make(map[uint64]bool, len(recent))
	for _, o := range recent {
		seen[o.Request.ID] = true
	}
	for _, o := range old {
		if !seen[o.Request.ID] {
			recent = append(recent, o)
		}
	}
	slices.SortFunc(recent, func(a, b *provision.Outcome) int { return cmp.Compare(b.Request.ID, a.Request.ID) })
	if n > 0 && len(recent) > n {
		recent = recent[:n]
	}
	return recent, nil
}

// bootOutcomes is how many outcomes the timeline looks at: those of several boots of any phone. From disk, 64 take less
// than two milliseconds.
const bootOutcomes = 64

// Boots tells how a phone came up, the newest boot first.
func (s *Service) Boots(ctx context.Context, phone string) ([]provision.Boot, error) {
	p, err := s.Phone(ctx, phone)
	if err != nil {
		return nil, err
	}
	outcomes, err := s.outcomes(ctx, p.ID, bootOutcomes)
	if err != nil {
		return nil, err
	}
	return provision.Timeline(s.bootOrder(p.Device), outcomes, time.Now()), nil
}

func (s *Service) bootOrder(d provision.Device) []provision.BootStep {
	plugin, ok := s.Plugins.Plugins().Get(d.Plugin)
	if !ok {
		return nil
	}
	if b, ok := plugin.(provision.Booter); ok {
		return b.BootOrder(d)
	}
	return nil
}

// Replayed is a request of the past as it would be answered now.
type Replayed struct {
	Then, Now *provision.Outcome
	Changes   []provision.Change // what differs, in words
}

// Replay asks what a request of the past would come to now. Nothing is changed by it.
func (s *Service) Replay(ctx context.Context, id uint64) (Replayed, error) {
	then, err := s.Request(ctx, id)
	if err != nil {
		return Replayed{}, err
	}
	if then.Request.Proto == provision.DHCP {
		return Replayed{}, fmt.Errorf("request %d is a lease, which has no answer to compare: %w", id, provision.ErrInvalid)
	}
	req := then.Request
	req.At = time.Now()
	answer, now := s.Pipeline.Explain(ctx, &req)
	if answer != nil {
		if err := answer.Body.Close(); err != nil {
			return Replayed{}, fmt.Errorf("replay request %d: %w", id, err)
		}
	}
	return Replayed{Then: then, Now: now, Changes: differences(then, now)}, nil
}

func differences(then, now *provision.Outcome) []provision.Change {
	var list []provision.Change
	for _, f := range [...]struct{ name, then, now string }{
		{"status", string(then.Status()), string(now.Status())},
		{"mac", then.Identity.HW.String(), now.Identity.HW.String()},
		{"serial", then.Identity.Serial, now.Identity.Serial},
		{"vendor", then.Identity.Vendor, now.Identity.Vendor},
		{"model", then.Identity.Model, now.Identity.Model},
		{"version", then.Identity.Version, now.Identity.Version},
		{"evidence", then.Identity.Assurance.String(), now.Identity.Assurance.String()},
		{"device", string(then.Device.ID), string(now.Device.ID)},
		{"plugin", string(then.Plugin), string(now.Plugin)},
		{"rule", then.Route.Rule, now.Route.Rule},
		{"verdict", then.Verdict.Rule, now.Verdict.Rule},
		{"content", contentText(then), contentText(now)},
	} {
		if f.then != f.now {
			list = append(list, provision.Change{Field: f.name, Old: f.then, New: f.now})
		}
	}
	return list
}

func contentText(o *provision.Outcome) string {
	if o.Err != nil {
		return "none"
	}
	return fmt.Sprintf("%d bytes, sha256 %x", o.Size, o.Hash[:8])
}

// DriftState is how what a phone has compares with what it would get.
type DriftState string

// The states.
const (
	DriftNone    DriftState = "same"
	DriftChanged DriftState = "drifted" // it would get other bytes
	DriftGone    DriftState = "gone"    // there is no such file any more
	DriftUnknown DriftState = "unknown" // what it would get can't be told; Now says why
)

// Drift is a file that a phone was sent, compared with what it would be sent now.
type Drift struct {
	trace.Fetch
	State DriftState
	Now   *provision.Outcome
}

// Drift compares what a phone was last sent, file by file, with what it would get now. A phone whose files have drifted
// runs with old settings until it asks again.
func (s *Service) Drift(ctx context.Context, phone string) ([]Drift, error) {
	p, err := s.Phone(ctx, phone)
	if err != nil {
		return nil, err
	}
	if s.History == nil {
		return nil, nil
	}
	var list []Drift
	for _, f := range s.History.Fetched(p.ID) {
		req := provision.Request{Proto: f.Proto, At: time.Now(), HW: p.HW, Path: f.Path, Raw: f.Path, Fields: map[string]string{}}
		if f.UserAgent != "" {
			req.Fields[provision.FieldUserAgent] = f.UserAgent
		}
		if len(p.Addresses) > 0 {
			req.Peer = p.Addresses[0]
			req.Local = s.Local(req.Peer)
		}
		answer, now := s.Pipeline.Explain(ctx, &req)
		if answer != nil {
			if err := answer.Body.Close(); err != nil {
				return nil, fmt.Errorf("drift of %s: %w", f.Path, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list = append(list, Drift{Fetch: f, State: driftState(f, now), Now: now})
	}
	return list, nil
}

func driftState(f trace.Fetch, now *provision.Outcome) DriftState {
	switch now.Status() {
	case provision.StatusOK:
		if now.Hash == f.Hash {
			return DriftNone
		}
		return DriftChanged
	case provision.StatusMissing:
		return DriftGone
	case provision.StatusForbidden, provision.StatusInvalid, provision.StatusGone, provision.StatusFailed:
	}
	return DriftUnknown
}
