package dhcp

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Standing is what is known of other servers on a link.
type Standing uint8

// The standings.
const (
	Alone   Standing = iota // no other server was heard lately
	Unsure                  // we have only begun to ask
	Heard                   // another one was heard after we had begun to serve
	Refused                 // another one answered before we had begun to serve, and is still there
)

// String returns the standing in words.
func (s Standing) String() string {
	return [...]string{"alone", "unsure", "another server was heard", "another server was there first"}[s]
}

const (
	// The watch asks for other servers as a client does: twice, in case that one message is lost. Some servers answer
	// only after they have pinged the address for up to three seconds.
	askAgain  = time.Second
	settleFor = 4 * time.Second
	// watchPause lies between two rounds, and refusedPause where a network waits for the other server to go.
	watchPause   = 10 * time.Minute
	refusedPause = 30 * time.Second
	// rogueStays is for how long a server counts as there after it was last heard: two rounds without an answer.
	rogueStays = 2*watchPause + time.Minute
	// rogueKept is for how long it is remembered.
	rogueKept = 7 * 24 * time.Hour
	maxRogues = 64
)

// Rogue is another DHCP server that was heard on one of our links.
type Rogue struct {
	Interface string
	Server    netip.Addr  // as it calls itself (option 54), else where its reply came from
	From      netip.Addr  // where its reply came from
	HW        hwaddr.Addr // who sent the frame: the server, or the relay agent before it; zero: not known
	Relay     netip.Addr  // the relay agent by which it reaches the link; none if it is on the link
	// What it offered last.
	Offered  netip.Addr
	Routers  []netip.Addr
	TFTPName string       // option 66, or sname
	TFTP     []netip.Addr // option 150
	BootFile string       // option 67, or file
	Since    time.Time    // when it was first heard
	Last     time.Time    // when it was last heard
}

// String describes the server in one line, as an administrator would want to look for it. Its own texts are escaped.
func (r Rogue) String() string {
	var b strings.Builder
	b.WriteString(r.Server.String())
	if !r.HW.IsZero() {
		b.WriteString(" (" + r.HW.String() + ", " + r.HW.Vendor() + ")")
	}
	b.WriteString(" on " + r.Interface)
	if r.Relay.IsValid() {
		b.WriteString(" by relay agent " + r.Relay.String())
	}
	if r.Offered.IsValid() {
		b.WriteString(" offers " + r.Offered.String())
	}
	for _, a := range r.Routers {
		b.WriteString(", router " + a.String())
	}
	if r.TFTPName != "" {
		b.WriteString(", option 66 " + printable(r.TFTPName))
	}
	for _, a := range r.TFTP {
		b.WriteString(", option 150 " + a.String())
	}
	return b.String()
}

// watch has what is known of other servers. Its zero value is ready for use.
type watch struct {
	macs atomic.Pointer[[]hwaddr.Addr] // that we ask with

	mu     sync.Mutex // guards what follows
	links  map[string]*link
	rogues map[rogueKey]*Rogue
}

type rogueKey struct {
	iface  string
	server netip.Addr
	hw     hwaddr.Addr
}

// link is an interface as the watch sees it. It outlives the port, whose interface may go and come back.
type link struct {
	done chan struct{} // closed when the first round has ended
	once sync.Once
	now  atomic.Uint32 // Standing

	mu       sync.Mutex // guards what follows
	xid      dhcpv4.TransactionID
	hw       hwaddr.Addr
	answered bool // in this round
	misses   int  // rounds without an answer in a row
}

// link returns what is known of an interface.
func (w *watch) link(iface string) *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.links[iface]
	if l == nil {
		l = &link{done: make(chan struct{})}
		l.now.Store(uint32(Unsure))
		if w.links == nil {
			w.links = make(map[string]*link)
		}
		w.links[iface] = l
	}
	return l
}

// forget drops what is known of an interface that isn't watched any more. Who waits for it waits no longer.
func (w *watch) forget(iface string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.links[iface]; l != nil {
		l.once.Do(func() { close(l.done) })
		delete(w.links, iface)
	}
}

// own reports whether it is the watch that asks with that address: by another interface on the same link, we must not
// answer ourselves.
func (w *watch) own(hw hwaddr.Addr) bool {
	macs := w.macs.Load()
	return macs != nil && slices.Contains(*macs, hw)
}

func (w *watch) claim(hw hwaddr.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.own(hw) {
		var macs []hwaddr.Addr
		if old := w.macs.Load(); old != nil {
			macs = slices.Clone(*old)
		}
		macs = append(macs, hw)
		w.macs.Store(&macs)
	}
}

// standing returns what is known now. A nil link is one that isn't watched.
func (l *link) standing() Standing {
	if l == nil {
		return Alone
	}
	return Standing(l.now.Load()) //nolint:gosec // one of the four
}

// settled waits until it is known whether another server answers, or ctx ends.
func (l *link) settled(ctx context.Context) Standing {
	select {
	case <-l.done:
		return l.standing()
	case <-ctx.Done():
		return Refused // nobody waits for the answer
	}
}

// begin begins a round.
func (l *link) begin(hw hwaddr.Addr) dhcpv4.TransactionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = rand.Read(l.xid[:]) // never fails
	l.hw, l.answered = hw, false
	return l.xid
}

// hear notes that another server spoke, and to whom.
func (l *link) hear(xid dhcpv4.TransactionID, to hwaddr.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.misses = 0
	if xid == l.xid && to == l.hw {
		l.answered = true
	}
	l.now.CompareAndSwap(uint32(Alone), uint32(Heard))
}

// end ends a round: there says whether another server was heard lately. It returns how things stood and stand.
func (l *link) end(there bool) (before, after Standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answered {
		l.misses = 0
	} else {
		l.misses++
	}
	before, after = l.standing(), Alone
	switch {
	case before == Unsure && l.answered, before == Refused && l.misses < 2:
		after = Refused
	case there:
		after = Heard
	}
	l.now.Store(uint32(after))
	l.once.Do(func() { close(l.done) })
	return before, after
}

// patrol watches a port's link for other servers until the port is gone. It returns nil where there is nothing to watch.
func (s *Server) patrol(ctx context.Context, p *port, gone <-chan struct{}, beside *sync.WaitGroup) *link {
	if p.spec.Interface == "" {
		return nil
	}
	l := s.watch.link(p.spec.Interface)
	if p.ear == nil {
		l.end(false) // we can't hear any
		return l
	}
	beside.Go(func() {
		p.hark(func(frame []byte) {
			if hw, from, payload, ok := readFrame(frame); ok && hw != p.hw {
				s.overheard(ctx, p.spec.Interface, hw, from, payload)
			}
		})
	})
	beside.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		beside.Go(func() {
			select {
			case <-gone:
				cancel()
			case <-ctx.Done():
			}
		})
		s.lookOut(ctx, p.spec.Interface, p.hw, p.shout)
	})
	return l
}

// lookOut asks again and again who else is there, until ctx ends.
func (s *Server) lookOut(ctx context.Context, iface string, hw hwaddr.Addr, shout func(frame []byte) error) {
	l := s.watch.link(iface)
	for s.round(ctx, iface, hw, shout) {
		rest := watchPause
		if l.standing() == Refused {
			rest = refusedPause
		}
		if !pause(ctx, rest) {
			return
		}
	}
}

// round asks once who else is there. It returns false if ctx ends before that is known.
func (s *Server) round(ctx context.Context, iface string, ours hwaddr.Addr, shout func(frame []byte) error) bool {
	l, hw := s.watch.link(iface), watchMAC(ours)
	s.watch.claim(hw)
	question := frame(ours, somebody(), netip.AddrPortFrom(netip.IPv4Unspecified(), clientPort),
		netip.AddrPortFrom(limitedBroadcast(), serverPort), watchDiscover(l.begin(hw), hw))
	for _, wait := range [...]time.Duration{askAgain, settleFor - askAgain} {
		if err := shout(question); err != nil && s.mayWarn("watch "+iface) {
			s.Log.WarnContext(ctx, "dhcp can't ask for other servers", "listener", iface, "err", err)
		}
		if !pause(ctx, wait) {
			return false
		}
	}
	s.conclude(ctx, iface, l)
	return true
}

// conclude ends a round and says what follows from it.
func (s *Server) conclude(ctx context.Context, iface string, l *link) {
	there := s.watch.present(iface)
	before, after := l.end(len(there) > 0)
	if len(there) == 0 {
		s.solved(ctx, ProblemRogue, iface)
	}
	if before != after {
		s.Log.InfoContext(ctx, "dhcp other servers", "listener", iface, "before", before.String(), "now", after.String())
	}
	if after != Refused {
		s.solved(ctx, ProblemRefused, iface)
		return
	}
	for _, n := range s.refused(iface) {
		s.raise(ctx, iface, Problem{
			Kind: ProblemRefused, Network: n.ID,
			Text: "network " + string(n.ID) + " is not served: before us, a server was there: " + there[0].String() +
				". Stop it, or set the network's rivals to allow or authoritative to false",
		})
	}
}

// refused returns the networks of the link that are not served beside another server.
func (s *Server) refused(iface string) []*network.Network {
	nets := s.Networks.Networks()
	var list []*network.Network
	if n := nets.OnLink(iface, s.addrsOn(iface)); n != nil {
		for _, o := range nets.Link(n) {
			if o.Authoritative && o.Rivals != network.RivalsAllow {
				list = append(list, o)
			}
		}
	}
	return list
}

// addrsOn returns our addresses on an interface.
func (s *Server) addrsOn(iface string) []netip.Addr {
	for _, p := range s.ports() {
		if p != nil && p.spec.Interface == iface {
			return p.ours()
		}
	}
	return nil
}

// rivalry says what the link's standing means for a message: ReasonNone if nothing, and Wait in the verdict if that is
// not known yet.
func (x *exchange) rivalry() Reason {
	if x.giaddr.IsValid() || x.ing.Standing == Alone || x.ing.Standing == Heard ||
		!x.net.Authoritative || x.net.Rivals == network.RivalsAllow ||
		x.kind != dhcpv4.MessageTypeDiscover && x.kind != dhcpv4.MessageTypeRequest || x.resident() {
		return ReasonNone
	}
	if x.ing.Standing == Unsure {
		x.v.Wait = true
		return ReasonNone
	}
	return ReasonRival
}

// authoritative reports whether we may tell the client that it is wrong: the administrator says so, and there is nobody
// who could see it otherwise.
func (x *exchange) authoritative() bool {
	return x.net.Authoritative &&
		(x.giaddr.IsValid() || x.net.Rivals == network.RivalsAllow || x.ing.Standing < Heard)
}

// Rogues returns the other servers that were heard in the last week, the latest first.
func (s *Server) Rogues() []Rogue {
	w := &s.watch
	w.mu.Lock()
	list := make([]Rogue, 0, len(w.rogues))
	for _, r := range w.rogues {
		if time.Since(r.Last) < rogueKept {
			c := *r
			c.Routers, c.TFTP = slices.Clone(r.Routers), slices.Clone(r.TFTP)
			list = append(list, c)
		}
	}
	w.mu.Unlock()
	slices.SortFunc(list, func(a, b Rogue) int { return b.Last.Compare(a.Last) })
	return list
}

// present returns the servers that were heard on an interface lately, the earliest first.
func (w *watch) present(iface string) []Rogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Rogue
	for _, r := range w.rogues {
		if r.Interface == iface && time.Since(r.Last) < rogueStays {
			list = append(list, *r)
		}
	}
	slices.SortFunc(list, func(a, b Rogue) int { return a.Since.Compare(b.Since) })
	return list
}

// note keeps what was heard, and returns it as it is known now.
func (w *watch) note(r Rogue) Rogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := rogueKey{r.Interface, r.Server, r.HW}
	r.Since = r.Last
	if old := w.rogues[key]; old != nil {
		r.Since = old.Since
		if !r.Offered.IsValid() { // a NAK, say
			r.Offered, r.Routers, r.TFTPName, r.TFTP, r.BootFile = old.Offered, old.Routers, old.TFTPName, old.TFTP, old.BootFile
		}
	} else if len(w.rogues) >= maxRogues {
		var oldest rogueKey
		for k, o := range w.rogues {
			if w.rogues[oldest] == nil || o.Last.Before(w.rogues[oldest].Last) {
				oldest = k
			}
		}
		delete(w.rogues, oldest)
	}
	if w.rogues == nil {
		w.rogues = make(map[rogueKey]*Rogue)
	}
	w.rogues[key] = &r
	return r
}

// overheard takes a server's message that was sent to a client. From and hw say who sent it.
func (s *Server) overheard(ctx context.Context, iface string, hw hwaddr.Addr, from netip.Addr, b []byte) {
	m, ok := readServer(b)
	if !ok {
		return
	}
	r := Rogue{
		Interface: iface, Server: fromIP(m.opts[optServer]), From: from, HW: hw, Relay: m.relay, Offered: m.offered,
		Routers: addrs(m.opts[optRouter]), TFTP: addrs(m.opts[optTFTPAddrs]), Last: time.Now(),
		TFTPName: cut(m.opts[optTFTPName], m.sname), BootFile: cut(m.opts[optBootFile], m.file),
	}
	if !r.Server.IsValid() {
		r.Server = from
	}
	if s.isOurs(r) {
		return
	}
	s.aliases.forget(r.Server)
	l := s.watch.link(iface)
	l.hear(m.xid, m.client)
	r = s.watch.note(r)
	s.raise(ctx, iface, Problem{
		Kind: ProblemRogue,
		Text: "another DHCP server answers: " + r.String() + ". Phones that hear it may get no address of ours, or wrong files; find and stop it",
	})
}

// isOurs reports whether it is ourselves who were heard, perhaps by way of a relay agent that calls itself the server
// (RFC 5107).
func (s *Server) isOurs(r Rogue) bool {
	if ours := s.ours.Load(); ours != nil && (slices.Contains(*ours, r.Server) || slices.Contains(*ours, r.From)) {
		return true
	}
	nets := s.Networks.Networks()
	return nets.OnRelay(r.Server) != nil ||
		slices.ContainsFunc(nets.All(), func(n *network.Network) bool { return n.Server == r.Server })
}
