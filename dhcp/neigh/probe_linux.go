package neigh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const (
	// askFor is how long Probe listens. A host on the same wire answers within milliseconds; who answers second may be the
	// one that we ask for.
	askFor = 200 * time.Millisecond
	// maxAsks are under way at a time.
	maxAsks = 16

	etherARP   = 0x0806
	etherIPv4  = 0x0800
	arpLen     = 28
	arpRequest = 1
)

// Errors of Probe. ErrBusy: too many questions are under way. ErrOffLink: the address is on none of our links.
var (
	ErrBusy    = errors.New("too many questions are under way")
	ErrOffLink = errors.New("address is on no link of ours")
)

// asks are the questions under way, so that many who want to know the same cost one.
type asks struct {
	mu      sync.Mutex
	pending map[netip.Addr]*ask
}

type ask struct {
	done chan struct{}
	hws  []hwaddr.Addr // set before done is closed
	err  error         // likewise
}

// Probe asks the wire who is at an address now, by ARP, and returns everybody who answered within a fifth of a second:
// none, one, or several that dispute it. The kernel hears the answers, too, and so does the table. It needs CAP_NET_RAW.
func (t *Table) Probe(ctx context.Context, addr netip.Addr) ([]hwaddr.Addr, error) {
	q, first, err := t.asks.begin(addr)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", addr, err)
	}
	if first {
		q.hws, q.err = askWire(addr)
		t.asks.end(addr, q)
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("ask for %s: %w", addr, ctx.Err())
	}
	if q.err != nil {
		return nil, fmt.Errorf("ask for %s: %w", addr, q.err)
	}
	return slices.Clone(q.hws), nil
}

func (a *asks) begin(addr netip.Addr) (q *ask, first bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.pending[addr]; q != nil {
		return q, false, nil
	}
	if len(a.pending) >= maxAsks {
		return nil, false, ErrBusy
	}
	if a.pending == nil {
		a.pending = make(map[netip.Addr]*ask)
	}
	q = &ask{done: make(chan struct{})}
	a.pending[addr] = q
	return q, true, nil
}

func (a *asks) end(addr netip.Addr, q *ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.pending, addr)
	close(q.done)
}

// askWire asks and listens.
func askWire(addr netip.Addr) ([]hwaddr.Addr, error) {
	ifi, own, err := linkOf(addr)
	if err != nil {
		return nil, err
	}
	hw, ok := hwaddr.FromBytes(ifi.HardwareAddr)
	if !ok {
		return nil, ErrOffLink // such as loopback
	}
	c, err := packet.Listen(ifi, packet.Datagram, etherARP, nil)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", ifi.Name, err)
	}
	defer c.Close()
	everybody := &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if _, err := c.WriteTo(arpQuestion(hw, own, addr), everybody); err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", ifi.Name, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(askFor)); err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", ifi.Name, err)
	}
	var hws []hwaddr.Addr
	b := make([]byte, 128)
	for {
		n, _, err := c.ReadFrom(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return hws, nil
		case err != nil:
			return nil, fmt.Errorf("ARP on %s: %w", ifi.Name, err)
		}
		if from, by, ok := readARP(b[:n]); ok && from == addr && by != hw && !slices.Contains(hws, by) {
			hws = append(hws, by)
		}
	}
}

// linkOf returns the interface whose link an address is on, and our address there.
func linkOf(addr netip.Addr) (*net.Interface, netip.Addr, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, netip.Addr{}, fmt.Errorf("list interfaces: %w", err)
	}
	for _, ifi := range all {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().Is4() && p.Contains(addr) && p.Addr() != addr {
				return &ifi, p.Addr(), nil
			}
		}
	}
	return nil, netip.Addr{}, ErrOffLink
}

// arpQuestion asks for an address, saying who we are, so that the answer comes to us alone and our kernel takes note.
func arpQuestion(hw hwaddr.Addr, own, addr netip.Addr) []byte {
	b := make([]byte, arpLen)
	binary.BigEndian.PutUint16(b, 1) // Ethernet
	binary.BigEndian.PutUint16(b[2:], etherIPv4)
	b[4], b[5] = 6, 4
	binary.BigEndian.PutUint16(b[6:], arpRequest)
	copy(b[8:], hw[:])
	copy(b[14:], own.AsSlice())
	copy(b[24:], addr.AsSlice())
	return b
}

// readARP returns who sent an ARP message, and from which address.
func readARP(b []byte) (netip.Addr, hwaddr.Addr, bool) {
	if len(b) < arpLen || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != etherIPv4 || b[4] != 6 || b[5] != 4 {
		return netip.Addr{}, hwaddr.Addr{}, false
	}
	hw, ok := hwaddr.FromBytes(b[8:14])
	addr := netip.AddrFrom4([4]byte(b[14:18]))
	return addr, hw, ok && !hw.IsGroup() && !addr.IsUnspecified()
}
