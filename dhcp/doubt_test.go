package dhcp

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// While the table may be older than what was promised, an address is asked for before it is offered, in a network that
// is never probed else and to the client that the table takes for its holder, too.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, ing := newLab(t), direct()
		ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Unasked }
		l.say(client(phone, discover), ing).want(t, offer)
		l.lease(phone)
		l.Doubt = time.Now().Add(time.Hour)
		for _, hw := range []hwaddr.Addr{phone, {0x00, 0x08, 0x5d, 0, 0, 0x77}} {
			if a := l.say(client(hw, discover), ing).want(t, silence); !a.v.Probe.IsValid() {
				t.Errorf("%s is answered without a probe: %+v", hw, a.v)
			}
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // the bubble's time
		l.say(client(phone, discover), ing).want(t, offer)
	})
}
