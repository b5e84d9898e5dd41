package store

import (
	"sync"
	"unique"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// maxCached bounds how many devices are kept decoded; each takes about half a KiB.
const maxCached = 1 << 17

// deviceCache has devices as they were last read, by their MAC: each request of a phone looks its device up, and hardly
// any changes it. What a write has touched goes before the write is acknowledged.
type deviceCache struct {
	mu    sync.RWMutex // guards what follows
	byHW  map[hwaddr.Addr]provision.Device
	byID  map[string]hwaddr.Addr
	touch uint64 // counts what may have changed a device
}

// get returns a device, and what keep wants to know if there is none.
func (c *deviceCache) get(hw hwaddr.Addr) (d provision.Device, touch uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, ok = c.byHW[hw]
	return copied(d), c.touch, ok
}

// keep keeps a device that was read after get, unless any has been written since.
func (c *deviceCache) keep(d provision.Device, touch uint64) {
	d = shared(copied(d))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.touch != touch {
		return
	}
	if len(c.byHW) >= maxCached || c.byHW == nil {
		c.byHW, c.byID = make(map[hwaddr.Addr]provision.Device), make(map[string]hwaddr.Addr)
	}
	c.byHW[d.HW], c.byID[string(d.ID)] = d, d.HW
}

// forget drops what writes have touched; everything if it isn't known which did.
func (c *deviceCache) forget(group []*request, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if all {
		c.touch++
		clear(c.byHW)
		clear(c.byID)
		return
	}
	for _, r := range group {
		for _, o := range r.ops {
			switch o.bucket {
			case bucketDevices:
				c.touch++
				delete(c.byHW, c.byID[string(o.key)])
				delete(c.byID, string(o.key))
			case bucketDeviceMAC:
				c.touch++
				if hw, ok := hwaddr.FromBytes(o.key); ok {
					delete(c.byID, string(c.byHW[hw].ID))
					delete(c.byHW, hw)
				}
			}
		}
	}
}

// shared returns a device whose words that many have are one in memory: what all requests read stays near.
func shared(d provision.Device) provision.Device {
	for _, s := range []*string{&d.Vendor, &d.Model, &d.Version, (*string)(&d.Plugin), (*string)(&d.Config), (*string)(&d.State), &d.Network} {
		*s = unique.Make(*s).Value()
	}
	return d
}

// copied returns a device that shares no map with d.
func copied(d provision.Device) provision.Device {
	d.Override = d.Override.Clone()
	d.Options = provision.Params(d.Options).Clone()
	return d
}
