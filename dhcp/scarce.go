package dhcp

import (
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// life is for how long the client gets an address. When addresses are scarce, that is as short as was declared, so that
// those that nobody needs come back soon. But what it was promised is not taken back: should the ACK be lost, the client
// goes by the one before.
func (x *exchange) life() time.Duration {
	life := x.lifetime(x.choice.Lifetime)
	if !x.scarce() {
		return life
	}
	short := x.choice.Lifetime.Min
	now := x.srv.Table.Now()
	if l, ok := x.srv.Table.Held(x.net.ID, x.client.HW); ok && l.Active(now) {
		left := l.Expiry.Sub(now) + time.Second - 1 // the options have whole seconds
		short = max(short, left.Truncate(time.Second))
	}
	return min(life, short)
}

// scarce reports whether little is left of the pools that are for the client, as of the last census.
func (x *exchange) scarce() bool {
	if x.net.ShortenAt <= 0 || x.choice.Reservation != nil {
		return false
	}
	size, held := 0, 0
	for _, p := range x.choice.Pools {
		n := x.srv.census.of(keyOf(x.net.ID, p))
		size += n.size
		held += n.held
	}
	return held*100 > size*x.net.ShortenAt
}

// The values of option 116.
const (
	doNotAutoConfigure = 0
	autoConfigure      = 1
)

// exhausted answers a DISCOVER that there is no address for: by silence, or, where it was declared, and if the client asks
// whether it may make up one, by a no (RFC 2563 §2.3).
func (x *exchange) exhausted() (*dhcpv4.DHCPv4, Verdict) {
	may := x.msg.Options[optAutoConfigure]
	if !x.net.NoAutoconfigure || len(may) != 1 || may[0] != autoConfigure {
		return x.silence(ReasonExhausted)
	}
	x.v.Reason = ReasonExhausted
	reply := x.reply(dhcpv4.MessageTypeOffer)
	reply.Options[optAutoConfigure] = []byte{doNotAutoConfigure}
	reply.SetBroadcast() // there is no other way to reach it
	return reply, x.v
}
