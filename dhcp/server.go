package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Server is a DHCPv4 server. Its parts are set before it is used and not changed after.
type Server struct {
	Table    Table
	Networks network.Source
	Boot     BootSource // nil: there is nothing to add to what the administrator declared
	Listen   []Listener // at the start; see Relisten
	Log      *slog.Logger
	// Directory tells what classes may go by beside what the client says. Nil: nothing.
	Directory Directory
	Limits    Limits
	// Doubt is until when the table may know less than was promised, because it was restored from an earlier time: so long
	// every address is asked for before it is offered, where it can be, even to who held it. Zero: there is no doubt.
	Doubt time.Time
	// Askers are the hosts that may ask who has which lease (RFC 4388).
	Askers []netip.Addr

	limiter limiter
	census  census
	board   board
	watch   watch
	aliases aliases

	count     counters
	pings     atomic.Pointer[pinger] // nil: not permitted
	ours      atomic.Pointer[[]netip.Addr]
	echoes    echoes
	wanderers wanderers

	listening sync.Mutex // held while the listeners are replaced

	mu       sync.Mutex // guards what follows
	isOpen   bool
	stations []*station     // in the order of the listeners
	man      func(*station) // has a station's port read; nil while the server doesn't run
	hands    map[hwaddr.Addr]*hand
	inHand   int
	warned   map[string]time.Time
	flows    map[string]*flow // by listener
}

const (
	// maxInHand bounds the messages that are worked on or wait. Each waits for a disk at worst; a client whose message
	// is dropped sends it again.
	maxInHand = 1024
	// maxStrangersInHand leaves room for clients that we know.
	maxStrangersInHand = maxInHand * 3 / 4
	// watchEvery is how soon we notice that an interface has come, gone or changed its address.
	watchEvery = 2 * time.Second
	reopenMin  = 250 * time.Millisecond
	reopenMax  = 5 * time.Second
	// warnEvery bounds the log where the same trouble may come with every message.
	warnEvery = time.Minute
)

// hand is the client whose message is in hand, and the one that waits for it.
type hand struct{ next *job }

// job is one message on its way.
type job struct {
	msg   *dhcpv4.DHCPv4
	ing   Ingress
	port  *port
	sum   uint64 // of its bytes, for echoes
	known bool   // the client has a lease or a reservation; asked only when there is much to do
}

// Run serves until ctx ends, and returns nil after its goroutines have ended and the listeners are closed. It opens the
// listeners unless Open has. A listener that is lost later, because its interface is, is opened again as soon as it can
// be; the others are served meanwhile. Without listeners it waits for Relisten.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	open := s.isOpen
	s.mu.Unlock()
	if !open {
		if err := s.Open(ctx); err != nil {
			return err
		}
	}
	var readers sync.WaitGroup
	crew := newCrew(s.work)
	readers.Go(func() { s.survey(ctx) })
	pings := s.pings.Load()
	if pings != nil {
		readers.Go(func() { pings.listen(ctx) })
	}
	// Answers go on when a listener is given up, so they have a context of their own.
	take := func(p *port, b []byte, ing Ingress) { s.intake(ctx, p, b, ing, crew) }
	s.mu.Lock()
	s.man = func(st *station) {
		stCtx, stop := context.WithCancel(ctx)
		st.stop, st.done = stop, make(chan struct{})
		readers.Go(func() {
			defer close(st.done)
			defer stop()
			s.serve(stCtx, st, take)
		})
	}
	for _, st := range s.stations {
		s.man(st)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.listening.Lock()
	s.mu.Lock()
	stations := s.stations
	s.man, s.isOpen = nil, false // the listeners are these
	s.mu.Unlock()
	s.listening.Unlock()
	readers.Wait()
	crew.workers.Wait() // what was begun is answered
	s.mu.Lock()
	s.stations = nil
	s.mu.Unlock()
	for _, st := range stations {
		if st.port != nil {
			st.port.close()
		}
	}
	if pings != nil {
		pings.close()
	}
	return nil
}

// read takes messages from a port until it fails or ctx ends. The port can still send then.
func (s *Server) read(ctx context.Context, p *port, take func(*port, []byte, Ingress)) error {
	stop := context.AfterFunc(ctx, p.interrupt)
	defer stop()
	gone := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(p.listen)
	beside.Go(func() { s.keepUp(p, gone) })
	link := s.patrol(ctx, p, gone, &beside)
	defer beside.Wait()
	defer p.interrupt()
	defer close(gone)

	pings := s.pings.Load()
	b, oob := make([]byte, maxRequest), make([]byte, 64)
	for {
		n, ing, err := p.read(b, oob)
		if err != nil {
			return err
		}
		ing.Ours = *s.ours.Load()
		if pings != nil {
			ing.SeenFar = pings.sighting
		}
		ing.link, ing.Standing = link, link.standing()
		take(p, b[:n], ing)
	}
}

// intake decodes a datagram and hands it on. Of each client one message is in hand, and the newest waits; so a client's
// messages stay in order, and a slow disk or wire delays nobody else.
func (s *Server) intake(ctx context.Context, p *port, b []byte, ing Ingress, crew *crew) {
	defer s.rescue(ctx)
	if s.query(ctx, p, b, ing, &crew.workers) {
		return
	}
	m, flaws, reason := decode(b)
	if reason == ReasonReply && p.spec.Interface != "" {
		s.overheard(ctx, p.spec.Interface, hwaddr.Addr{}, ing.Src.Addr(), b)
	}
	if reason != ReasonNone {
		s.heard(p, dhcpv4.MessageTypeNone)
		s.count.dropped[reason].Add(1)
		s.Log.DebugContext(ctx, "dhcp not a message", "from", ing.Src, "why", reason.String())
		return
	}
	if flaws&flawTruncated != 0 {
		s.count.truncated.Add(1)
	}
	if flaws&flawLongType != 0 {
		s.count.violations.Add(1)
	}
	start, reason := s.admit(&job{msg: m, ing: ing, port: p, sum: s.echoes.sum(b)})
	if reason != ReasonNone {
		s.heard(p, messageType(m))
		s.count.dropped[reason].Add(1)
		if reason == ReasonBusy {
			s.passing(ctx, "", Problem{
				Kind: ProblemBusy,
				Text: "messages are dropped because more come than can be answered; clients with a lease come first. " +
					"Look who sends them, or whether the disk is slow",
			})
		}
	}
	if start != nil {
		crew.start(ctx, start)
	}
}

// admit queues a message unless its client sends too much or is our own watch. When there is much to do, who has a lease
// or a reservation comes before who hasn't.
func (s *Server) admit(j *job) (start *job, drop Reason) {
	hw := hwaddr.Addr(j.msg.ClientHWAddr)
	switch {
	case s.watch.own(hw):
		return nil, ReasonLoop
	case s.limiter.tooMuch(j.msg):
		return nil, ReasonRate
	}
	start, drop = s.queue(j)
	if drop == ReasonBusy && s.known(hw) {
		j.known = true
		start, drop = s.queue(j)
	}
	return start, drop
}

// queue puts a message in hand. It returns the job that a new worker has to start with, and why a message, this one or
// the one that it replaces, is dropped.
func (s *Server) queue(j *job) (start *job, drop Reason) {
	hw := hwaddr.Addr(j.msg.ClientHWAddr)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hands[hw]
	switch {
	case h != nil && h.next != nil:
		// What waits is out of date, unless the client will not say it again.
		if t := messageType(h.next.msg); t != dhcpv4.MessageTypeRelease && t != dhcpv4.MessageTypeDecline {
			h.next.port.begun.Done()
			j.port.begun.Add(1)
			h.next = j
		}
		return nil, ReasonSuperseded
	case s.inHand >= maxInHand, s.inHand >= maxStrangersInHand && !j.known:
		return nil, ReasonBusy
	case h != nil:
		s.inHand++
		j.port.begun.Add(1)
		h.next = j
		return nil, ReasonNone
	}
	if s.hands == nil {
		s.hands = make(map[hwaddr.Addr]*hand)
	}
	s.inHand++
	j.port.begun.Add(1)
	s.hands[hw] = &hand{}
	return j, ReasonNone
}

// work handles a client's message, and then those that came meanwhile.
func (s *Server) work(ctx context.Context, j *job) {
	for j != nil {
		s.handle(ctx, j)
		port := j.port
		j = s.next(hwaddr.Addr(j.msg.ClientHWAddr))
		port.begun.Done() // not before it is out of our hands: who waits for it may ask what is in them
	}
}

// next returns the client's message that waits; without one the client is let go.
func (s *Server) next(hw hwaddr.Addr) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand--
	h := s.hands[hw]
	if h.next == nil {
		delete(s.hands, hw)
		return nil
	}
	j := h.next
	h.next = nil
	return j
}

// rescue ends a panic where one message ends: the others are worth more than knowing at once.
func (s *Server) rescue(ctx context.Context) {
	if p := recover(); p != nil {
		s.count.dropped[ReasonPanic].Add(1)
		s.Log.ErrorContext(ctx, "dhcp message dropped: fault of ours", "panic", p, "stack", string(debug.Stack()))
	}
}

// handle answers one message.
func (s *Server) handle(ctx context.Context, j *job) {
	defer s.rescue(ctx)
	begun := time.Now()
	if s.echoes.answered(j) {
		s.heard(j.port, messageType(j.msg))
		s.count.dropped[ReasonEcho].Add(1)
		return
	}
	reply, v := s.resolve(ctx, j)
	s.heard(j.port, v.Type)
	level, text := s.tally(v)
	defer s.record(ctx, j, v, level, text)
	handled := &s.count.handled[counted(v.Type)]
	defer func() { handled.observe(time.Since(begun)) }() // before the line, which can take its time
	if reply == nil {
		return
	}
	b, left := Encode(reply, Limit(j.msg, j.ing.MTU))
	if len(left) > 0 {
		s.count.leftOut.Add(uint64(len(left)))
		if s.mayWarn("left out " + string(v.Network)) {
			s.Log.WarnContext(ctx, "dhcp options left out: the client takes no longer reply",
				"mac", v.Client.HW, "network", v.Network, "options", fmt.Sprintf("%d", left), "size", len(b))
		}
	}
	to := deliver(j.msg, reply, j.ing)
	fellBack, err := j.port.send(to, b)
	if fellBack {
		s.count.fallbacks.Add(1)
	}
	if err != nil {
		s.count.sendErrors.Add(1)
		if s.mayWarn("send " + j.port.spec.String()) {
			s.Log.WarnContext(ctx, "dhcp reply not sent", "listener", j.port.spec.String(), "mac", v.Client.HW, "to", to.To, "err", err)
		}
		return
	}
	s.echoes.answer(j)
	s.said(j.port, v.Reply)
}

// resolve asks Respond, and the wire where Respond wants to know.
func (s *Server) resolve(ctx context.Context, j *job) (*dhcpv4.DHCPv4, Verdict) {
	for range maxStrangers + 2 {
		reply, v := s.Respond(ctx, j.msg, j.ing)
		if v.Wait {
			j.ing.Standing = j.ing.link.settled(ctx)
			continue
		}
		if !v.Probe.IsValid() {
			return reply, v
		}
		probe, where := j.port.probe, j.port.spec.String()
		if fromIP(j.msg.GatewayIPAddr).IsValid() {
			probe, where = s.pings.Load().prober, "ping"
		}
		s.count.probes.Add(1)
		by, err := probe.probe(ctx, v.Probe)
		switch {
		case errors.Is(err, errProbes):
			s.count.probesLeftOut.Add(1)
			if s.mayWarn("probes " + where) {
				s.Log.WarnContext(ctx, "dhcp probes left out: too many clients at once", "network", v.Network)
			}
		case err != nil:
			s.count.probeFails.Add(1)
			if s.mayWarn("probe " + where) {
				s.Log.WarnContext(ctx, "dhcp probe not sent; the address counts as free", "ip", v.Probe, "err", err)
			}
		case !by.IsZero() && by != v.Client.HW:
			s.count.conflicts.Add(1)
			s.Log.WarnContext(ctx, "dhcp address is in use by a stranger", "ip", v.Probe, "mac", by, "network", v.Network)
		}
	}
	v := Verdict{Type: messageType(j.msg), Reason: ReasonConflict}
	v.Client.HW = hwaddr.Addr(j.msg.ClientHWAddr)
	return nil, v
}

func messageType(m *dhcpv4.DHCPv4) dhcpv4.MessageType {
	if v := m.Options[optType]; len(v) == 1 {
		return dhcpv4.MessageType(v[0])
	}
	return dhcpv4.MessageTypeNone
}

// mayWarn reports whether it is time to warn of something again.
func (s *Server) mayWarn(what string) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.warned[what]; ok && now.Sub(last) < warnEvery {
		return false
	}
	if s.warned == nil {
		s.warned = make(map[string]time.Time)
	}
	s.warned[what] = now // the keys are listeners and networks: few
	return true
}
