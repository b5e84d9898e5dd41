package store

import (
	"fmt"
	"sync"
	"unique"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

const (
	// maxCached bounds how many devices are kept decoded; each takes about half a KiB.
	maxCached = 1 << 17
	// maxAbsent bounds how many MACs are known to be no device's. Whoever makes them up only has them looked up again.
	maxAbsent = 1 << 14
)

// deviceCache has devices as they were last read, by their MAC, and MACs that no device has: each request of a phone and
// each DHCP message looks its device up, and hardly any changes it. What a write has touched goes before the write is
// acknowledged.
type deviceCache struct {
	mu    sync.RWMutex // guards what follows
	byHW  map[hwaddr.Addr]provision.Device
	byID  map[string]hwaddr.Addr
	none  map[hwaddr.Addr]struct{}
	touch uint64 // counts what may have changed a device
}

// get returns a device, or ok and an absence where there is none. Without ok it has neither; then touch is what keep and
// keepNone want to know.
func (c *deviceCache) get(hw hwaddr.Addr) (d provision.Device, touch uint64, ok bool, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if d, ok = c.byHW[hw]; ok {
		return copied(d), c.touch, true, nil
	}
	if _, ok = c.none[hw]; ok {
		return d, c.touch, true, absence(hw)
	}
	return d, c.touch, false, nil
}

// state returns what keep wants to know of a time before the device was read.
func (c *deviceCache) state() (touch uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.touch
}

// named returns the device with an ID, if it has a MAC and is kept.
func (c *deviceCache) named(id string) (provision.Device, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	hw, ok := c.byID[id]
	if !ok {
		return provision.Device{}, false
	}
	d, ok := c.byHW[hw]
	return copied(d), ok
}

// keepNone keeps that no device was found after get, unless any has been written since.
func (c *deviceCache) keepNone(hw hwaddr.Addr, touch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.touch != touch {
		return
	}
	if len(c.none) >= maxAbsent || c.none == nil {
		c.none = make(map[hwaddr.Addr]struct{})
	}
	c.none[hw] = struct{}{}
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
		clear(c.none)
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
					delete(c.none, hw)
				}
			}
		}
	}
}

// absence says that no device has a MAC. Most who ask want to know no more than that, so the words come later.
type absence hwaddr.Addr

func (a absence) Error() string {
	return fmt.Sprintf("device with mac %s: %v", hwaddr.Addr(a), provision.ErrNotFound)
}

func (a absence) Unwrap() error { return provision.ErrNotFound }

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
