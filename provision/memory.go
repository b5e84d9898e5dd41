package provision

import (
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
	configs map[ConfigID]Config
	rev     uint64 // counts the changes of configs
}

var (
	_ DeviceStore = (*Memory)(nil)
	_ ConfigRev   = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{devices: map[DeviceID]Device{}, configs: map[ConfigID]Config{}}
}

// Device implements [DeviceStore].
func (m *Memory) Device(_ context.Context, id DeviceID) (Device, error) {
	return m.find("id "+string(id), func(d *Device) bool { return d.ID == id })
}

// DeviceByHW implements [DeviceStore].
func (m *Memory) DeviceByHW(_ context.Context, hw hwaddr.Addr) (Device, error) {
	return m.find("mac "+hw.String(), func(d *Device) bool { return !hw.IsZero() && d.HW == hw })
}

// DeviceBySerial implements [DeviceStore].
func (m *Memory) DeviceBySerial(_ context.Context, serial string) (Device, error) {
	return m.find("serial "+serial, func(d *Device) bool { return serial != "" && d.Serial == serial })
}

// DeviceByUUID implements [DeviceStore].
func (m *Memory) DeviceByUUID(_ context.Context, uuid string) (Device, error) {
	return m.find("uuid "+uuid, func(d *Device) bool { return uuid != "" && d.UUID == uuid })
}

func (m *Memory) find(key string, is func(*Device) bool) (Device, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, d := range m.devices {
		if is(&d) {
			return cloneDevice(d), nil
		}
	}
	return Device{}, fmt.Errorf("device with %s: %w", key, ErrNotFound)
}

// PutDevice implements [DeviceStore].
func (m *Memory) PutDevice(_ context.Context, d Device) (Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.admitDevice(d); err != nil {
		return Device{}, err
	}
	return m.setDevice(d), nil
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
		m.setConfig(c)
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
	for id, o := range m.devices {
		if id == d.ID {
			continue
		}
		if !d.HW.IsZero() && o.HW == d.HW || d.Serial != "" && o.Serial == d.Serial || d.UUID != "" && o.UUID == d.UUID {
			return fmt.Errorf("device %s: %s has its mac, serial or uuid: %w", d.ID, id, ErrConflict)
		}
	}
	return nil
}

func (m *Memory) setDevice(d Device) Device {
	d = cloneDevice(d)
	d.Rev++
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
func (m *Memory) PutConfig(_ context.Context, c Config) (Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.admitConfig(c); err != nil {
		return Config{}, err
	}
	return m.setConfig(c), nil
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
