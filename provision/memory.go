package provision

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Memory keeps devices and configs in memory: the store of golden requests and of tests. [NewMemory] makes one. It is
// safe for concurrent use and shares no map or slice with its callers.
type Memory struct {
	mu      sync.RWMutex // guards the maps
	devices map[DeviceID]Device
	byKey   map[deviceKey]DeviceID
	configs map[ConfigID]Config
	rev     uint64 // counts the changes of configs
	// revisions has the history of each config, the oldest first.
	revisions map[ConfigID][]Revision
}

var (
	_ DeviceStore   = (*Memory)(nil)
	_ ConfigRev     = (*Memory)(nil)
	_ RevisionStore = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{devices: map[DeviceID]Device{}, byKey: map[deviceKey]DeviceID{}, configs: map[ConfigID]Config{}}
}

// deviceKey is a mac, serial or uuid.
type deviceKey struct{ attr, value string }

// deviceKeys are what no two devices share.
func deviceKeys(d *Device) []deviceKey {
	keys := []deviceKey{{AttrMAC, d.HW.String()}, {AttrSerial, d.Serial}, {AttrUUID, d.UUID}}
	return slices.DeleteFunc(keys, func(k deviceKey) bool { return k.value == "" })
}

// Device implements [DeviceStore].
func (m *Memory) Device(_ context.Context, id DeviceID) (Device, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if d, ok := m.devices[id]; ok {
		return cloneDevice(d), nil
	}
	return Device{}, fmt.Errorf("device with id %s: %w", id, ErrNotFound)
}

// DeviceByHW implements [DeviceStore].
func (m *Memory) DeviceByHW(ctx context.Context, hw hwaddr.Addr) (Device, error) {
	return m.find(ctx, deviceKey{AttrMAC, hw.String()})
}

// DeviceBySerial implements [DeviceStore].
func (m *Memory) DeviceBySerial(ctx context.Context, serial string) (Device, error) {
	return m.find(ctx, deviceKey{AttrSerial, serial})
}

// DeviceByUUID implements [DeviceStore].
func (m *Memory) DeviceByUUID(ctx context.Context, uuid string) (Device, error) {
	return m.find(ctx, deviceKey{AttrUUID, uuid})
}

func (m *Memory) find(_ context.Context, key deviceKey) (Device, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if id, ok := m.byKey[key]; ok {
		return cloneDevice(m.devices[id]), nil
	}
	return Device{}, fmt.Errorf("device with %s %s: %w", key.attr, key.value, ErrNotFound)
}

// PutDevice implements [DeviceStore].
func (m *Memory) PutDevice(ctx context.Context, d Device) (Device, error) {
	list, err := m.PutDevices(ctx, d)
	if err != nil {
		return Device{}, err
	}
	return list[0], nil
}

// PutDevices writes several devices, all or none, each as by PutDevice, and returns them with their new Revs.
func (m *Memory) PutDevices(_ context.Context, list ...Device) ([]Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	owners := map[deviceKey]DeviceID{}
	for _, d := range list {
		if err := m.admitDevice(d); err != nil {
			return nil, err
		}
		for _, k := range deviceKeys(&d) {
			if id, twice := owners[k]; twice {
				return nil, fmt.Errorf("device %s: %s has its mac, serial or uuid: %w", d.ID, id, ErrConflict)
			}
			owners[k] = d.ID
		}
	}
	list = slices.Clone(list)
	var old []ConfigID
	for i, d := range list {
		old = append(old, m.devices[d.ID].Config)
		list[i] = m.setDevice(d)
	}
	for _, id := range old {
		m.abandon(id)
	}
	return list, nil
}

// DeleteDevice deletes a device, and its config with it if that is transient, isn't locked and nobody else uses it. ErrConflict
// if rev isn't the device's; 0 is any.
func (m *Memory) DeleteDevice(_ context.Context, id DeviceID, rev uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.devices[id]
	switch {
	case !ok:
		return fmt.Errorf("delete device %s: %w", id, ErrNotFound)
	case rev != 0 && rev != d.Rev:
		return fmt.Errorf("delete device %s: %w", id, ErrConflict)
	}
	for _, k := range deviceKeys(&d) {
		delete(m.byKey, k)
	}
	delete(m.devices, id)
	m.abandon(d.Config)
	return nil
}

// Devices returns all devices, by ID.
func (m *Memory) Devices(context.Context) ([]Device, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]Device, 0, len(m.devices))
	for _, d := range m.devices {
		list = append(list, cloneDevice(d))
	}
	slices.SortFunc(list, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// AddDevice implements [DeviceStore].
func (m *Memory) AddDevice(_ context.Context, d Device, c Config) (Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Rev != 0 {
		return Device{}, fmt.Errorf("add device %s, which has been stored before: %w", d.ID, ErrConflict)
	}
	if err := m.admitDevice(d); err != nil {
		return Device{}, err
	}
	if c.ID != "" && c.Rev == 0 {
		if err := m.admitConfig(c); err != nil {
			return Device{}, err
		}
		m.revise(m.setConfig(c), Author{Who: "phone " + string(d.ID), Why: "made with the phone"}, false)
	}
	return m.setDevice(d), nil
}

func (m *Memory) admitDevice(d Device) error {
	if d.ID == "" {
		return fmt.Errorf("device without an id: %w", ErrInvalid)
	}
	if m.devices[d.ID].Rev != d.Rev {
		return fmt.Errorf("device %s: %w", d.ID, ErrConflict)
	}
	for _, k := range deviceKeys(&d) {
		if id, ok := m.byKey[k]; ok && id != d.ID {
			return fmt.Errorf("device %s: %s has its mac, serial or uuid: %w", d.ID, id, ErrConflict)
		}
	}
	return nil
}

func (m *Memory) setDevice(d Device) Device {
	d = cloneDevice(d)
	d.Rev++
	if old, ok := m.devices[d.ID]; ok {
		for _, k := range deviceKeys(&old) {
			delete(m.byKey, k)
		}
	}
	for _, k := range deviceKeys(&d) {
		m.byKey[k] = d.ID
	}
	m.devices[d.ID] = d
	return cloneDevice(d)
}

// Config implements [ConfigStore].
func (m *Memory) Config(_ context.Context, id ConfigID) (Config, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if c, ok := m.configs[id]; ok {
		return cloneConfig(c), nil
	}
	return Config{}, fmt.Errorf("config %s: %w", id, ErrNotFound)
}

// ConfigByRole implements [ConfigStore].
func (m *Memory) ConfigByRole(_ context.Context, role Role) (Config, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, c := range m.configs {
		if role != RoleNone && c.Role == role {
			return cloneConfig(c), nil
		}
	}
	return Config{}, fmt.Errorf("config of role %s: %w", role, ErrNotFound)
}

// PutConfig implements [ConfigStore].
func (m *Memory) PutConfig(ctx context.Context, c Config) (Config, error) {
	return m.PutConfigBy(ctx, c, Author{Who: BySystem})
}

// ConfigsRev implements [ConfigRev].
func (m *Memory) ConfigsRev() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rev
}

func (m *Memory) admitConfig(c Config) error {
	if c.ID == "" {
		return fmt.Errorf("config without an id: %w", ErrInvalid)
	}
	if m.configs[c.ID].Rev != c.Rev {
		return fmt.Errorf("config %s: %w", c.ID, ErrConflict)
	}
	for id, o := range m.configs {
		if id != c.ID && c.Role != RoleNone && o.Role == c.Role {
			return fmt.Errorf("config %s: %s has the role %s: %w", c.ID, id, c.Role, ErrConflict)
		}
	}
	return nil
}

func (m *Memory) setConfig(c Config) Config {
	c = cloneConfig(c)
	c.Rev++
	m.rev++
	m.configs[c.ID] = c
	return cloneConfig(c)
}

func cloneDevice(d Device) Device {
	d.Override = d.Override.Clone()
	d.Options = maps.Clone(d.Options)
	return d
}

func cloneConfig(c Config) Config {
	c.Parents = slices.Clone(c.Parents)
	c.Params = c.Params.Clone()
	return c
}
