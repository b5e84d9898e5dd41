package dhcp

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Limits keep clients that nobody knows from taking all that there is: whoever can make up hardware addresses can ask
// for every address of a pool (RFC 2131 §7). Clients with a reservation, a lease or a former lease are not limited. The
// zero value limits nobody.
type Limits struct {
	// Newcomers is how many new clients one interface or relay agent may bring in a minute, all at once or one after the
	// other. Those that the [Directory] recognises are counted apart from the rest, so that an office's phones can be
	// unpacked during a flood. A port of a switch (circuit id) may bring a tenth of that. As many addresses may be given
	// back. Zero: any number.
	Newcomers int
	// Share is how much of the pools, in percent, clients may hold that the Directory doesn't recognise. Zero: all.
	Share int
}

const (
	// perClient is what one client may send: some exchanges at once, then a message each interval. A phone that goes
	// round in circles sends some ten messages a minute.
	perClientBurst = 30
	perClientEvery = 200 * time.Millisecond
	// perClientDeclines in an hour: some clients take every address for occupied, since they are broken or a router
	// answers ARP for everybody. Then they have to wait.
	perClientDeclines = 3
	declineEvery      = time.Hour / perClientDeclines
	// minPort is how many new clients a port of a switch may bring in a minute at least: a phone, and the PC behind it.
	minPort = 10
	// minQuarantine addresses of a pool may be in quarantine, or a tenth of the pool if that is more. When more are said
	// to be in use, what says so is not believed any more.
	minQuarantine = 3
)

// meters are token buckets, one for each of many keys, in memory that doesn't grow: keys share a place by their hash, and
// one that takes another's place begins with a full bucket. Its zero value is ready for use.
type meters struct {
	mu    sync.Mutex // guards what follows
	seed  maphash.Seed
	start time.Time
	slots []meter
}

// meter is a bucket: when it will be full again, counted from the start of all (GCRA's theoretical arrival time).
type meter struct {
	key  uint64
	full time.Duration
}

const meterSlots = 4096

// take takes a token from the key's bucket, which holds as many as burst says and gets one each interval. It returns
// false if there is none.
func (m *meters) take(key string, burst int, every time.Duration) bool {
	return m.use(key, burst, every, every)
}

// empty reports whether take would fail.
func (m *meters) empty(key string, burst int, every time.Duration) bool {
	return !m.use(key, burst, every, 0)
}

func (m *meters) use(key string, burst int, every, cost time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		if cost == 0 {
			return true
		}
		m.slots, m.seed, m.start = make([]meter, meterSlots), maphash.MakeSeed(), time.Now()
	}
	h := maphash.String(m.seed, key)
	now, slot := time.Since(m.start), &m.slots[h%meterSlots]
	full := now
	if slot.key == h {
		full = max(full, slot.full)
	}
	if full-now > time.Duration(burst-1)*every {
		return false
	}
	if cost > 0 {
		*slot = meter{h, full + cost}
	}
	return true
}

// limiter has what the server counts of its clients. Its zero value is ready for use.
type limiter struct {
	messages meters // by client
	declines meters // by client
	welcomed meters // by client in a network: new clients that were let in lately
	arrivals meters // by interface or relay agent, and by circuit
	leaving  meters // by interface or relay agent
	queries  meters // by asker
}

// where names the interface or relay agent that brought the message.
func (x *exchange) where() string {
	if x.giaddr.IsValid() {
		return "relay " + x.giaddr.String()
	}
	return "interface " + x.ing.Iface
}

// tooMuch reports whether the client of a message sends more than its part.
func (l *limiter) tooMuch(m *dhcpv4.DHCPv4) bool {
	return !l.messages.take(string(m.ClientHWAddr), perClientBurst, perClientEvery)
}

// resident reports whether the client belongs in the network: it has a reservation or a lease, or had one.
func (x *exchange) resident() bool {
	if x.choice.Reservation != nil {
		return true
	}
	if _, held := x.srv.Table.Held(x.net.ID, x.client.HW); held || !x.shares() {
		return held
	}
	return slices.ContainsFunc(x.nets.Link(x.net), func(n *network.Network) bool {
		_, held := x.srv.Table.Held(n.ID, x.client.HW)
		return held
	})
}

// recognised reports whether the client is one of the site's devices or of a kind that a plugin knows.
func (x *exchange) recognised() bool { return x.facts.Known || x.facts.Vendor != "" }

// welcome says whether the client may have an address, whichever: ReasonNone if so. It is asked as often as the client
// asks, and counts a new client once a minute.
func (x *exchange) welcome(ctx context.Context) Reason {
	lim := &x.srv.limiter
	if x.kind == dhcpv4.MessageTypeDiscover && lim.declines.empty(string(x.client.HW[:]), perClientDeclines, declineEvery) {
		return ReasonDeclines
	}
	if x.srv.Limits == (Limits{}) || x.resident() {
		return ReasonNone
	}
	who := string(x.net.ID) + " " + string(x.client.HW[:])
	if lim.welcomed.empty(who, 1, time.Minute) {
		return ReasonNone
	}
	strange := !x.recognised()
	if strange && !x.shareLeft(ctx) {
		return ReasonShare
	}
	if !x.newcomer(ctx, strange) {
		return ReasonNewcomers
	}
	lim.welcomed.take(who, 1, time.Minute)
	if pools := x.first.Pools; strange && len(pools) > 0 {
		x.srv.census.add(keyOf(x.first.Network.ID, pools[0]), count{strangers: 1})
	}
	return ReasonNone
}

// newcomer counts a new client, and reports whether that many may come.
func (x *exchange) newcomer(ctx context.Context, strange bool) bool {
	n, arrivals := x.srv.Limits.Newcomers, &x.srv.limiter.arrivals
	if n <= 0 {
		return true
	}
	where, kind := x.where(), " recognised"
	if strange {
		kind = " strange"
	}
	port := max(n/10, minPort)
	circuit := x.client.Circuit + " " + x.client.Remote
	if (circuit == " " || arrivals.take(where+" circuit "+circuit+kind, port, time.Minute/time.Duration(port))) &&
		arrivals.take(where+kind, n, time.Minute/time.Duration(n)) {
		return true
	}
	x.srv.passing(ctx, where, Problem{
		Kind: ProblemNewcomers, Network: x.net.ID,
		Text: "more new clients come by " + where + " than the limit allows; those that have been here are served. " +
			"If they are meant to come, raise dhcp.limits.newcomers",
	})
	return false
}

// shareLeft reports whether strangers hold less than their share of the pools that the client could get an address of.
func (x *exchange) shareLeft(ctx context.Context) bool {
	share, size, strangers := x.srv.Limits.Share, 0, 0
	if share <= 0 || share >= 100 {
		return true
	}
	for c, ok := x.first, true; ok; c, ok = c.After() {
		for _, p := range c.Pools {
			n := x.srv.census.of(keyOf(c.Network.ID, p))
			size += n.size
			strangers += n.strangers
		}
	}
	if size == 0 || strangers < max(1, size*share/100) {
		return true
	}
	x.srv.passing(ctx, "share of "+string(x.net.ID), Problem{
		Kind: ProblemNewcomers, Network: x.net.ID,
		Text: "clients that no plugin recognises hold their share of the addresses; what is left is for phones. " +
			"Make the pools larger, or raise dhcp.limits.share",
	})
	return false
}

// mayLeave says whether an address may be given back now. A RELEASE is easily forged, but its address goes to others
// only when no other is left, and its holder gets it back at once.
func (x *exchange) mayLeave(ctx context.Context) bool {
	n := x.srv.Limits.Newcomers
	if n <= 0 {
		return true
	}
	where := x.where()
	if x.srv.limiter.leaving.take(where, n, time.Minute/time.Duration(n)) {
		return true
	}
	x.srv.passing(ctx, "leaving "+where, Problem{
		Kind: ProblemNewcomers,
		Text: "more addresses are given back by " + where + " than the limit allows; such messages are ignored, which harms nobody",
	})
	return false
}

// declined takes note of an address that its holder declined, and says what to do with it: nothing, since the client
// declines everything; put it into quarantine; or, since too many of the pool are there, only end its lease.
func (x *exchange) declined(ctx context.Context, addr netip.Addr) (heed, quarantine bool) {
	l, held := x.srv.Table.ByAddr(addr)
	if !held || l.Client.HW != x.client.HW {
		return true, true // the table refuses it
	}
	lim, who := &x.srv.limiter, string(x.client.HW[:])
	if !lim.declines.take(who, perClientDeclines, declineEvery) {
		return false, false
	}
	if lim.declines.empty(who, perClientDeclines, declineEvery) {
		x.srv.passing(ctx, x.client.HW.String(), Problem{
			Kind: ProblemDecliner, Network: x.net.ID,
			Text: "client " + x.client.HW.String() + " finds every address in use and has to wait; " +
				"look whether something on its link answers ARP for all addresses",
		})
	}
	return true, x.mayQuarantine(ctx, addr)
}

// mayQuarantine says whether one more address of the pool may be put into quarantine.
func (x *exchange) mayQuarantine(ctx context.Context, addr netip.Addr) bool {
	for _, p := range x.choice.Pools {
		if !p.Contains(addr) {
			continue
		}
		k := keyOf(x.net.ID, p)
		if x.srv.census.of(k).mayQuarantine() {
			x.srv.census.add(k, count{held: 1, quarantined: 1})
			return true
		}
		x.srv.raise(ctx, string(k.network)+" "+k.String(), Problem{
			Kind: ProblemQuarantine, Network: x.net.ID,
			Text: "a tenth of pool " + p.String() + " is in quarantine because somebody seems to use the addresses; " +
				"no more are put there. Look who has addresses without asking us, or answers ARP for all",
		})
		return false
	}
	return true
}

// known reports whether the client holds an address or has a reservation, in whichever network. It is asked only when
// there is more to do than we can.
func (s *Server) known(hw hwaddr.Addr) bool {
	if len(s.Table.ByHW(hw)) > 0 {
		return true
	}
	nets := s.Networks.Networks()
	for _, n := range nets.All() {
		if nets.ReservedFor(n.ID, hw) != nil {
			return true
		}
	}
	return false
}
