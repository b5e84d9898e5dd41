package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

func isNotFound(err error) bool { return errors.Is(err, provision.ErrNotFound) }

// ListLeases returns what the lease table has, by address; with active, only what is held now.
func (s *Service) ListLeases(active bool, now time.Time) []lease.Lease {
	leases := s.Leases.All()
	if active {
		leases = slices.DeleteFunc(leases, func(l lease.Lease) bool { return !l.Active(now) })
	}
	slices.SortFunc(leases, func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
	return leases
}

// ListSightings returns the devices that asked for something and were not added, the newest first.
func (s *Service) ListSightings() []provision.Sighting { return s.Sightings.List() }

// Adopt makes a phone of the sighting with that key, or of the one of that MAC in any spelling.
func (s *Service) Adopt(ctx context.Context, key string) (Phone, error) {
	hw, _ := hwaddr.Parse(key)
	all := s.Sightings.List()
	i := slices.IndexFunc(all, func(x provision.Sighting) bool {
		return x.Key == key || !hw.IsZero() && x.Identity.HW == hw
	})
	if i < 0 {
		return Phone{}, fmt.Errorf("sighting %q: %w", key, provision.ErrNotFound)
	}
	about := &all[i].Identity
	if err := describe(ctx, "sighting "+provision.Printable(all[i].Key), nil, map[string]any{
		"mac": about.HW.String(), "serial": about.Serial, "uuid": about.UUID, "vendor": about.Vendor, "model": about.Model, "version": about.Version,
	}); err != nil {
		return Phone{}, err
	}
	outcome := s.Pipeline.Adopt(ctx, all[i].Key)
	if outcome.Err != nil {
		return Phone{}, fmt.Errorf("adopt %s: %w", all[i].Key, outcome.Err)
	}
	return s.phone(outcome.Device), nil
}

// Question is a request that somebody wants explained.
type Question struct {
	Proto   provision.Proto // HTTP or TFTP
	Path    string          // as the phone would write it
	From    netip.Addr
	Headers map[string]string // names in any case; only those that plugins can see count
	Head    bool
}

// Explain tells what a request would come to. Nothing is changed by it.
func (s *Service) Explain(ctx context.Context, q Question) (*provision.Outcome, error) {
	if q.Proto != provision.HTTP && q.Proto != provision.TFTP {
		return nil, fmt.Errorf("explain: %w", invalidField("/proto", "only http and tftp are asked by, not %q", q.Proto))
	}
	if !q.From.Is4() {
		return nil, fmt.Errorf("explain: %w", invalidField("/from", "the phone's IPv4 address is needed, not %q", q.From))
	}
	path, err := provision.Clean(q.Path)
	if err != nil {
		return nil, fmt.Errorf("explain %q: %w", q.Path, err)
	}
	fields := make(map[string]string)
	for name, value := range q.Headers {
		switch name = strings.ToLower(name); name {
		case provision.FieldUserAgent, provision.FieldHost:
			fields[name] = value
		}
	}
	req := &provision.Request{
		Proto: q.Proto, At: time.Now(), Peer: q.From, Local: s.Local(q.From), Path: path, Raw: q.Path, Fields: fields, Head: q.Head,
	}
	answer, outcome := s.Pipeline.Explain(ctx, req)
	if answer != nil {
		if err := answer.Body.Close(); err != nil {
			return nil, fmt.Errorf("explain %q: %w", q.Path, err)
		}
	}
	return outcome, nil
}

// Requests returns the last outcomes, the newest first.
func (s *Service) Requests(limit int) []*provision.Outcome { return s.Journal.Recent(limit) }

// ListPlugins returns how each plugin stands.
func (s *Service) ListPlugins() []PluginStatus { return s.Plugins.Statuses() }

// RescanPlugins reads the plugin folder again and returns how each plugin stands then.
func (s *Service) RescanPlugins(ctx context.Context) ([]PluginStatus, error) {
	if err := s.Plugins.Rescan(ctx); err != nil {
		return nil, fmt.Errorf("rescan plugins: %w", err)
	}
	return s.Plugins.Statuses(), nil
}

// ListProblems returns what an administrator should look into, the oldest first.
func (s *Service) ListProblems() []Problem {
	var list []Problem
	if s.Problems != nil {
		list = s.Problems()
	}
	list = append(list, s.alarms()...)
	for _, p := range s.Plugins.Statuses() {
		if p.Problem != "" {
			list = append(list, Problem{Part: "plugins", Kind: "plugin", Text: fmt.Sprintf("plugin %s: %s", p.ID, p.Problem)})
		}
	}
	slices.SortStableFunc(list, func(a, b Problem) int { return a.Since.Compare(b.Since) })
	return list
}
