package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// station is a listener that the server is to have.
type station struct {
	spec Listener
	port *port // guarded by Server.mu; nil: it is lost, or was never there
	why  error // guarded by Server.mu; what stands in the way while port is nil
	// Set by Server.man.
	stop context.CancelFunc
	done chan struct{} // closed when nobody reads its port any more
}

// Open opens the listeners, so that what stands in the way is known before the server runs. Its error names every
// listener that fails, and the remedy. After an error nothing is open. Run closes what Open opened.
func (s *Server) Open(ctx context.Context) error {
	var ports []*port
	var errs []error
	for _, spec := range s.Listen {
		p, err := openPort(ctx, spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ports = append(ports, p)
	}
	if err := errors.Join(errs...); err != nil {
		for _, p := range ports {
			p.close()
		}
		return fmt.Errorf("open dhcp: %w", err)
	}
	s.mu.Lock()
	s.isOpen = true
	for i, p := range ports {
		s.stations = append(s.stations, &station{spec: s.Listen[i], port: p})
	}
	s.mu.Unlock()
	for _, p := range ports {
		s.opened(ctx, p)
	}
	s.openPings(ctx)
	return nil
}

// Addrs returns the addresses that the open listeners are bound to, in the order of the listeners; it tells which port an
// [Listener].Addr with port 0 got.
func (s *Server) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, p := range s.ports() {
		if p != nil {
			addrs = append(addrs, p.local)
		}
	}
	return addrs
}

// Listeners returns the listeners that the server has been told of last, whether they are open or not.
func (s *Server) Listeners() []Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Listener, len(s.stations))
	for i, st := range s.stations {
		list[i] = st.spec
	}
	return list
}

// Deaf returns the listeners that nobody is served on now, and what stands in the way.
func (s *Server) Deaf() map[Listener]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	deaf := make(map[Listener]error)
	for _, st := range s.stations {
		if st.port == nil {
			deaf[st.spec] = st.why
		}
	}
	return deaf
}

// ports returns the port of each listener, nil while it is lost.
func (s *Server) ports() []*port {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*port, len(s.stations))
	for i, st := range s.stations {
		list[i] = st.port
	}
	return list
}

// Relisten replaces the listeners while the server runs, or before it does. One that stays is not touched and loses
// nothing. Of one that goes, what was begun is answered before its port is closed. A new one that can't be opened yet is
// tried again until it can be, or goes; the error names each of these and the remedy, and so does [Server.Problems]. An
// empty list serves nobody. Before Open, and after Run has ended, it does nothing but say so. It is safe for concurrent use.
func (s *Server) Relisten(ctx context.Context, list []Listener) error {
	s.listening.Lock()
	defer s.listening.Unlock()
	s.mu.Lock()
	if !s.isOpen {
		s.mu.Unlock()
		return errors.New("the DHCP server is not open")
	}
	var stations, gone []*station
	for _, st := range s.stations {
		if !slices.Contains(list, st.spec) {
			gone = append(gone, st)
		}
	}
	s.stations = slices.DeleteFunc(s.stations, func(st *station) bool { return slices.Contains(gone, st) })
	s.mu.Unlock()
	for _, st := range gone {
		s.leave(ctx, st)
	}
	var errs []error
	for _, spec := range list {
		if i := slices.IndexFunc(s.stations, func(st *station) bool { return st.spec == spec }); i >= 0 {
			stations = append(stations, s.stations[i])
			continue
		}
		st, err := s.arrive(ctx, spec)
		stations = append(stations, st)
		errs = append(errs, err)
	}
	s.mu.Lock()
	s.stations = stations
	for _, st := range stations {
		if s.man != nil && st.stop == nil {
			s.man(st)
		}
	}
	s.mu.Unlock()
	s.locate()
	return errors.Join(errs...)
}

// arrive makes a station of a listener that is new. It may not be open yet; the error says why.
func (s *Server) arrive(ctx context.Context, spec Listener) (*station, error) {
	p, err := openPort(ctx, spec)
	if err != nil {
		s.raise(ctx, spec.String(), Problem{
			Kind: ProblemLost,
			Text: "nobody is served on " + spec.String() + ": " + err.Error() + ". It is tried again until it can be",
		})
		return &station{spec: spec, why: err}, fmt.Errorf("serve DHCP on %s: %w", spec, err)
	}
	s.opened(ctx, p)
	return &station{spec: spec, port: p}, nil
}

// leave closes a station that is on the list no more.
func (s *Server) leave(ctx context.Context, st *station) {
	if st.stop != nil {
		st.stop()
		<-st.done
	}
	subject := st.spec.String()
	s.watch.forget(subject) // before the wait: who waits for what the watch finds out would do so in vain
	if st.port != nil {
		st.port.begun.Wait()
		st.port.close()
	}
	s.board.sweep(func(kind ProblemKind, of string) bool {
		return of != subject || kind != ProblemLost && kind != ProblemNoRawSocket && kind != ProblemRogue && kind != ProblemRefused
	})
	s.Log.InfoContext(ctx, "dhcp listening no more", "listener", subject)
}

// serve reads from one listener until ctx ends.
func (s *Server) serve(ctx context.Context, st *station, take func(*port, []byte, Ingress)) {
	p := st.port // nobody else sets it while we are here
	if p == nil {
		p = s.reopen(ctx, st)
	}
	for p != nil {
		err := s.read(ctx, p, take)
		if ctx.Err() != nil {
			return
		}
		s.count.listenerFails.Add(1)
		s.Log.WarnContext(ctx, "dhcp listener lost", "listener", p.spec.String(), "err", err)
		s.raise(ctx, p.spec.String(), Problem{
			Kind: ProblemLost,
			Text: "nobody is served on " + p.spec.String() + " since it is gone; it is served again as soon as it is back",
		})
		s.keep(st, nil, err)
		p.close()
		p = s.reopen(ctx, st)
	}
}

func (s *Server) keep(st *station, p *port, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.port, st.why = p, why
}

// reopen tries until it can, and returns nil when ctx ends.
func (s *Server) reopen(ctx context.Context, st *station) *port {
	spec := st.spec
	for pause := reopenMin; ; pause = min(2*pause, reopenMax) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		p, err := openPort(ctx, spec)
		if err == nil {
			s.keep(st, p, nil)
			s.solved(ctx, ProblemLost, p.spec.String())
			s.opened(ctx, p)
			return p
		}
		s.keep(st, nil, err)
		if s.mayWarn("reopen " + spec.String()) {
			s.Log.WarnContext(ctx, "dhcp listener stays closed", "listener", spec.String(), "err", err)
		}
	}
}

// opened tells of a listener, and of what it can't do.
func (s *Server) opened(ctx context.Context, p *port) {
	p.flow = s.flowOf(p.spec.String())
	s.locate()
	s.Log.InfoContext(ctx, "dhcp listening", "listener", p.spec.String(), "addrs", p.ours())
	if p.spec.Interface != "" && p.raw == nil {
		s.raise(ctx, p.spec.String(), Problem{
			Kind: ProblemNoRawSocket,
			Text: "on " + p.spec.String() + " replies are broadcast where they need not be, addresses are not probed before " +
				"they are offered, and other servers are not noticed; that needs the capability CAP_NET_RAW",
		})
	}
}

// locate collects our addresses from all listeners.
func (s *Server) locate() {
	var ours []netip.Addr
	for _, p := range s.ports() {
		if p != nil {
			ours = append(ours, p.ours()...)
		}
	}
	s.ours.Store(&ours)
}

// keepUp keeps the port's addresses up to date, and closes it when its interface is gone.
func (s *Server) keepUp(p *port, gone <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-tick.C:
			if !p.refresh() {
				p.close()
				return
			}
			s.locate()
		}
	}
}
