package main

import (
	"context"

	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// directory tells the DHCP server what the rest of the house knows of a client.
type directory struct {
	devices provision.DeviceStore
	plugins *plugin.Host
}

var _ dhcp.Directory = directory{}

// Known implements [dhcp.Directory]. A device that can't be looked up isn't known.
func (d directory) Known(hw hwaddr.Addr) bool {
	_, err := d.devices.DeviceByHW(context.Background(), hw)
	return err == nil
}

// Vendor implements [dhcp.Directory].
func (d directory) Vendor(c lease.Client) string { return d.plugins.Vendor(c) }
