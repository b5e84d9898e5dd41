package main

import (
	"net/netip"
	"slices"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/tftpd"
)

// openTFTP opens the socket for TFTP.
func (p *parts) openTFTP() error {
	s := p.settings.TFTP
	srv := &tftpd.Server{
		Addr: s.Listen.String(), Handler: p.pipeline, Log: p.logs.of(logTFTP),
		Transfers: s.MaxTransfers, PeerTransfers: s.MaxPerPeer, BlockSize: s.BlockSizeLimit,
		Trusted: func(addr netip.Addr) bool { return located(addr, p.table, p.near, s.Trust) },
		Allow:   s.Allow, Ports: portRange(s.Ports), SinglePort: s.SinglePort, Quirks: quirks(s.Quirks),
	}
	if err := srv.Open(); err != nil {
		return err
	}
	p.tftp = srv
	return nil
}

// located reports whether somebody is known to be at an address, so that what it asks for is no flood for another: it is
// ours, or has a lease, or is a neighbour, or the settings vouch for its network.
func located(addr netip.Addr, leases provision.LeaseView, near provision.NeighbourView, trust []netip.Prefix) bool {
	if addr.IsLoopback() {
		return true
	}
	if _, ok := leases.ByAddr(addr); ok {
		return true
	}
	if _, ok := near.Neighbour(addr); ok {
		return true
	}
	return slices.ContainsFunc(trust, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// portRange converts what was checked to be two ports or nothing.
func portRange(ports []int) tftpd.PortRange {
	if len(ports) != 2 {
		return tftpd.PortRange{}
	}
	return tftpd.PortRange{First: uint16(ports[0]), Last: uint16(ports[1])} //nolint:gosec // checked to be ports
}

func quirks(list []configs.TFTPQuirk) map[provision.PluginID]tftpd.Quirks {
	out := make(map[provision.PluginID]tftpd.Quirks, len(list))
	for _, q := range list {
		out[provision.PluginID(q.Plugin)] = tftpd.Quirks{NoBlockSize: q.NoBlksize, RollToOne: q.RollToOne}
	}
	return out
}
