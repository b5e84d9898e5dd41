package web

import (
	"context"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

const (
	watchBuffer = 1024            // outcomes and lease events that wait to be told of; more are told of as missed
	lookEvery   = 2 * time.Second // how often problems and plugins are looked at
)

// watch tells the bus of what the parts do, until ctx ends. It takes from buffers, so that no part waits for it.
func (s *Server) watch(ctx context.Context) error {
	outcomes := s.Admin.Journal.Subscribe(watchBuffer)
	defer outcomes.Close()
	var leases <-chan lease.Event
	lagged := outcomes.Lagged
	if s.Leases != nil {
		sub := s.Leases(watchBuffer)
		defer sub.Close()
		leases = sub.C
		lagged = func() bool { return outcomes.Lagged() || sub.Lagged() }
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	plugins, problems := s.Admin.Plugins.Plugins(), problemSet(s.Admin.ListProblems())
	for {
		select {
		case <-ctx.Done():
			close(s.bus.ended)
			return nil
		case o := <-outcomes.C:
			s.tellOutcome(o)
		case e := <-leases:
			s.bus.publish(access.Read, leaseEvent(e))
		case <-look.C:
			if lagged() {
				s.bus.gap()
			}
			if now := s.Admin.Plugins.Plugins(); now != plugins {
				plugins = now
				s.bus.publish(access.Read, api.Event{Topic: api.EventTopicPlugin, Action: "reloaded"})
			}
			now := problemSet(s.Admin.ListProblems())
			s.tellProblems(problems, now, "solved")
			s.tellProblems(now, problems, "raised")
			problems = now
		}
	}
}

// problemKey tells problems apart, whatever numbers their texts have at the moment.
type problemKey struct {
	part, kind, network string
	since               time.Time
	text                string // of those whose beginning isn't known
}

func problemSet(list []admin.Problem) map[problemKey]string {
	set := make(map[problemKey]string, len(list))
	for _, p := range list {
		k := problemKey{part: p.Part, kind: p.Kind, network: p.Network, since: p.Since}
		if p.Since.IsZero() {
			k.text = p.Text
		}
		set[k] = p.Text
	}
	return set
}

// tellProblems tells of those that are in one set and not in the other.
func (s *Server) tellProblems(in, notIn map[problemKey]string, action string) {
	for k, text := range in {
		if _, there := notIn[k]; !there {
			s.bus.publish(access.Read, api.Event{
				Topic: api.EventTopicProblem, Action: action, Object: k.part + " " + k.kind, Network: k.network, Text: provision.Printable(text),
			})
		}
	}
}

// tellOutcome tells of a request, and of what it changed. That its answer has been delivered too isn't worth an event.
func (s *Server) tellOutcome(o *provision.Outcome) {
	if o.Delivery != nil {
		return
	}
	e := api.Event{
		Topic: api.EventTopicRequest, Action: string(o.Status()), At: o.Request.At, Proto: string(o.Request.Proto),
		Request: int64(min(o.Request.ID, math.MaxInt64)), Path: provision.Printable(o.Request.Path),
		Phone: string(o.Device.ID), Plugin: string(o.Plugin), Network: o.Policy.Network,
	}
	if o.Request.Peer.IsValid() {
		e.IP = o.Request.Peer.String()
	}
	if !o.Identity.HW.IsZero() {
		e.Mac = o.Identity.HW.String()
	}
	s.bus.publish(access.Read, e)
	if !o.Created && len(o.Changes) == 0 {
		return
	}
	x := api.Event{Topic: api.EventTopicPhone, Action: "learnt", Object: "phone " + e.Phone, Phone: e.Phone, Mac: e.Mac, Request: e.Request, Plugin: e.Plugin}
	if o.Created {
		x.Action = "created"
	}
	s.bus.publish(access.Read, x)
}

func leaseEvent(e lease.Event) api.Event {
	out := api.Event{
		Topic: api.EventTopicLease, Action: e.Kind.String(), At: e.At, IP: e.Lease.Addr.String(), Network: string(e.Lease.Network),
		Text: provision.Printable(e.Lease.Client.Hostname),
	}
	if !e.Lease.Client.HW.IsZero() {
		out.Mac = e.Lease.Client.HW.String()
	}
	return out
}

// tellJob tells of a job's new state to who may look at jobs, and the log of why one failed.
func (s *Server) tellJob(j admin.Job) {
	if j.Err != nil {
		s.Log.Warn("job failed", "job", j.ID, "kind", j.Kind, "object", j.Object, "by", j.By, "err", j.Err)
	}
	s.bus.publish(access.Admin, api.Event{Topic: api.EventTopicJob, Action: string(j.State), Object: "job " + j.ID, Actor: j.By, Text: strings.TrimSpace(string(j.Kind) + " " + j.Object)})
}

// topicOf is the topic of what an operation changes, by its path. Leases and jobs have their own events.
func topicOf(path string) api.EventTopic {
	noun, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if noun == "leases" && strings.HasSuffix(rest, "/reserve") {
		return api.EventTopicNetwork
	}
	switch noun {
	case "phones", "sightings":
		return api.EventTopicPhone
	case "windows", "asides":
		return api.EventTopicGuard
	case "configs":
		return api.EventTopicConfig
	case "networks", "pools", "reservations", "options", "classes":
		return api.EventTopicNetwork
	case "plugins":
		return api.EventTopicPlugin
	case "users", "tokens", "sessions", "me", "logout", "audit":
		return api.EventTopicAccess
	case "leases", "jobs":
		return ""
	}
	return api.EventTopicSite
}

// changed tells of what an operation changed: that it did is what its note says. Who may see it is who may look on, but for
// what is the owner's.
func (s *Server) changed(known rule, path string, note *access.Note, a access.Actor) {
	topic := topicOf(path)
	if topic == "" || !note.Written() {
		return
	}
	needs := access.Read
	if known.needs == access.Admin || topic == api.EventTopicAccess {
		needs = access.Admin
	}
	s.bus.publish(needs, api.Event{Topic: topic, Action: known.name, Object: provision.Printable(note.Object()), Actor: a.Name})
}

// again returns how to find out whether who asks on the console's port may still do so; nil: for ever.
func (s *Server) again(r *http.Request, a access.Actor) func(context.Context) error {
	switch a.Via {
	case access.ViaSession:
		return func(ctx context.Context) error { return s.Access.Still(ctx, a) }
	case access.ViaToken:
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return func(ctx context.Context) error {
			now, err := s.Access.Bearer(ctx, strings.TrimSpace(token), a.Remote)
			if err != nil {
				return err
			}
			return a.Same(now)
		}
	case access.ViaSocket:
	}
	return nil
}
