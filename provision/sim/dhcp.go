package sim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/dialtone-project/dialtone/provision/plugin"
)

// lease is what DHCP gave the phone.
type lease struct {
	addr  netip.Addr
	tftp  netip.Addr // option 150, else 66, else siaddr, else who leased
	urls  []string   // URLs among the options, in order of the phone's preference: 43, 66, 159, 160, 161
	close func()     // takes the address off the interface again
}

// lease performs DISCOVER, OFFER, REQUEST, ACK.
func (p *Phone) lease(ctx context.Context, s plugin.BootStep, step *Step) (*lease, error) {
	class := p.expand(s.VendorClass)
	step.What = class
	var codes []dhcpv4.OptionCode
	for _, c := range s.Options {
		codes = append(codes, dhcpv4.GenericOptionCode(c))
	}
	mods := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)), dhcpv4.WithOption(dhcpv4.OptParameterRequestList(codes...))}
	exchange := p.relayed
	if p.Wire.Interface != "" {
		exchange = p.direct
	}
	ack, closer, err := exchange(ctx, mods)
	if err != nil {
		return nil, err
	}
	l := &lease{close: closer}
	l.addr, _ = netip.AddrFromSlice(ack.YourIPAddr.To4())
	if server, ok := netip.AddrFromSlice(ack.ServerIdentifier().To4()); ok {
		l.tftp, step.From = server, server.String()
	}
	if next, ok := netip.AddrFromSlice(ack.ServerIPAddr.To4()); ok && !next.IsUnspecified() {
		l.tftp = next
	}
	if a, err := netip.ParseAddr(text(ack, 66)); err == nil {
		l.tftp = a
	}
	if b := ack.Options.Get(dhcpv4.GenericOptionCode(150)); len(b) >= 4 {
		l.tftp = netip.AddrFrom4([4]byte(b))
	}
	l.urls = urls(ack)
	step.Options = make(map[uint8]string, len(ack.Options))
	for code, b := range ack.Options {
		step.Options[code] = hex.EncodeToString(b)
	}
	step.Got = fmt.Sprintf("%s for %s", l.addr, ack.IPAddressLeaseTime(0))
	return l, nil
}

func text(m *dhcpv4.DHCPv4, code uint8) string {
	return strings.TrimRight(string(m.Options.Get(dhcpv4.GenericOptionCode(code))), "\x00")
}

// urls finds where the options point to, in the order in which phones prefer them. Option 43 may be a URL or have one
// among its sub-options.
func urls(m *dhcpv4.DHCPv4) []string {
	candidates := []string{text(m, 43)}
	for b := m.Options.Get(dhcpv4.GenericOptionCode(43)); len(b) >= 2 && len(b) >= 2+int(b[1]); b = b[2+int(b[1]):] {
		candidates = append(candidates, string(b[2:2+int(b[1])]))
	}
	for _, code := range []uint8{66, 159, 160, 161} {
		candidates = append(candidates, text(m, code))
	}
	var found []string
	for _, c := range candidates {
		if strings.HasPrefix(c, "http://") || strings.HasPrefix(c, "https://") || strings.HasPrefix(c, "tftp://") {
			found = append(found, c)
		}
	}
	return found
}

// direct speaks as a client on the interface's own link.
func (p *Phone) direct(ctx context.Context, mods []dhcpv4.Modifier) (*dhcpv4.DHCPv4, func(), error) {
	hw := net.HardwareAddr(p.HW[:])
	client, err := nclient4.New(p.Wire.Interface, nclient4.WithHWAddr(hw), nclient4.WithTimeout(time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, nil, fmt.Errorf("raw socket on %s: %w; it needs root or CAP_NET_RAW", p.Wire.Interface, err)
	}
	defer client.Close()
	got, err := client.Request(ctx, append(mods, dhcpv4.WithBroadcast(true))...)
	if err != nil {
		return nil, nil, fmt.Errorf("no lease on %s: %w", p.Wire.Interface, err)
	}
	addr, _ := netip.AddrFromSlice(got.ACK.YourIPAddr.To4())
	bits, _ := got.ACK.SubnetMask().Size()
	closer, err := assign(p.Wire.Interface, netip.PrefixFrom(addr, bits))
	if err != nil {
		return nil, nil, err
	}
	return got.ACK, closer, nil
}

// relayed speaks as the phone's own relay agent. Sub-option 19 of the relay agent information asks for replies to the
// port that the request came from (RFC 8357 §5), since port 67 isn't an ordinary user's.
func (p *Phone) relayed(ctx context.Context, mods []dhcpv4.Modifier) (*dhcpv4.DHCPv4, func(), error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Wire.Relay, 0)))
	if err != nil {
		return nil, nil, fmt.Errorf("relay socket on %s: %w", p.Wire.Relay, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // wakes the reader
	defer stop()
	mods = append(mods,
		dhcpv4.WithGatewayIP(p.Wire.Relay.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(dhcpv4.RelaySourcePortSubOption, nil))))
	discover, err := dhcpv4.NewDiscovery(net.HardwareAddr(p.HW[:]), mods...)
	if err != nil {
		return nil, nil, fmt.Errorf("make DISCOVER: %w", err)
	}
	discover.HopCount = 1
	offer, err := p.ask(ctx, conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return nil, nil, fmt.Errorf("no offer: %w", err)
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, mods...)
	if err != nil {
		return nil, nil, fmt.Errorf("make REQUEST: %w", err)
	}
	request.HopCount = 1
	ack, err := p.ask(ctx, conn, request, dhcpv4.MessageTypeAck)
	if err != nil {
		return nil, nil, fmt.Errorf("no acknowledgement: %w", err)
	}
	return ack, func() {}, nil
}

// ask sends a message until its answer comes, after 1, 2, 4 … seconds (RFC 2131 §4.1 has 4, 8, 16 for a busy wire).
func (p *Phone) ask(ctx context.Context, conn *net.UDPConn, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	buf := make([]byte, 1500)
	for wait := time.Second; ; wait *= 2 {
		if _, err := conn.WriteToUDPAddrPort(m.ToBytes(), p.Wire.Server); err != nil {
			return nil, fmt.Errorf("send to %s: %w", p.Wire.Server, err)
		}
		until := time.Now().Add(wait)
		if err := conn.SetReadDeadline(until); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", p.Wire.Server, err)
		}
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buf)
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%s is silent: %w", p.Wire.Server, ctx.Err())
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w; is a DHCP server there?", p.Wire.Server, err)
			}
			reply, err := dhcpv4.FromBytes(buf[:n])
			if err != nil || reply.TransactionID != m.TransactionID {
				continue // somebody else's
			}
			switch reply.MessageType() {
			case want:
				return reply, nil
			case dhcpv4.MessageTypeNak:
				return nil, fmt.Errorf("%s refused: %s", p.Wire.Server, reply.Message())
			default:
			}
		}
	}
}
