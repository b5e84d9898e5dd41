package dhcp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// arpReply is a host's answer to a probe.
func arpReply(hw hwaddr.Addr, a netip.Addr) []byte {
	b := arpProbe(hw, a)
	binary.BigEndian.PutUint16(b[20:], 2)
	copy(b[28:], a.AsSlice()) // sender's protocol address
	return b
}

func arpSenderOf(t *testing.T, frame []byte) (netip.Addr, hwaddr.Addr) {
	t.Helper()
	addr, hw, ok := arpSender(frame)
	if !ok {
		t.Errorf("% x is no ARP", frame)
	}
	return addr, hw
}

func TestProbe(t *testing.T) {
	t.Parallel()
	a := ip("192.0.2.20")
	for name, c := range map[string]struct {
		by   hwaddr.Addr // who answers
		want Sighting
		sent int
	}{
		"nobody":     {want: Vacant, sent: 2},
		"a stranger": {by: phone2, want: Occupied, sent: 1},
		"the client": {by: phone, want: Vacant, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var p *prober
				sent := 0
				p = newProber(func(addr netip.Addr) error {
					sent++
					if from, _, ok := arpSender(arpProbe(fixed, addr)); ok {
						t.Errorf("the probe claims %s", from)
					}
					if !c.by.IsZero() {
						go p.answered(arpSenderOf(t, arpReply(c.by, addr)))
					}
					return nil
				})
				if got := p.sighting(a, phone); got != Unasked {
					t.Errorf("before: %v", got)
				}
				start := time.Now()
				if _, err := p.probe(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > probeFor || sent != c.sent {
					t.Errorf("%d probes in %s, want %d", sent, took, c.sent)
				}
				if got := p.sighting(a, phone); got != c.want {
					t.Errorf("after: %v, want %v", got, c.want)
				}
				<-time.After(probeFresh + time.Second)
				if got := p.sighting(a, phone); got != Unasked {
					t.Errorf("much later: %v", got)
				}
			})
		})
	}
}

// D-DISC-19, D-DISC-20: too many probes, or none that can be sent, keep nobody from an address.
func TestProbeGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProber(func(netip.Addr) error { return nil })
		for i := range byte(maxProbes) {
			go func() { _, _ = p.probe(t.Context(), netip.AddrFrom4([4]byte{198, 51, 100, i})) }()
		}
		synctest.Wait()
		start, a := time.Now(), ip("192.0.2.20")
		if _, err := p.probe(t.Context(), a); !errors.Is(err, errProbes) || time.Since(start) > 0 || p.sighting(a, phone) != Vacant {
			t.Errorf("beyond the bound: %v after %s, %v", err, time.Since(start), p.sighting(a, phone))
		}
		<-time.After(probeFor)
		synctest.Wait()
		p.send = func(netip.Addr) error { return errors.New("network is down") }
		b := ip("192.0.2.21")
		if _, err := p.probe(t.Context(), b); err == nil || p.sighting(b, phone) != Vacant {
			t.Errorf("with a dead wire: %v, %v", err, p.sighting(b, phone))
		}
		synctest.Wait()
	})
}

func TestProbeForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProber(func(netip.Addr) error { return nil })
		for i := range 3 * maxSeen {
			p.remember(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), phone)
			if len(p.seen) > maxSeen {
				t.Fatalf("%d are remembered", len(p.seen))
			}
		}
	})
}

func FuzzARP(f *testing.F) {
	f.Add(arpProbe(phone, ip("192.0.2.20")))
	f.Add(arpReply(phone, ip("192.0.2.20")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, hw, ok := arpSender(b); ok && (!a.Is4() || hw.IsZero()) {
			t.Errorf("%s at %s", hw, a)
		}
	})
}
