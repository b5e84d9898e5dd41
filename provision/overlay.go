package provision

import (
	"context"
	"errors"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// overlay reads through to two stores and keeps what is written to itself, so that a request can be answered as if it
// had changed something. It is for one request in one goroutine.
type overlay struct {
	devices DeviceStore
	configs ConfigStore
	top     *Memory // what was written
}

func newOverlay(devices DeviceStore, configs ConfigStore) *overlay {
	return &overlay{devices: devices, configs: configs, top: NewMemory()}
}

// first returns what is written in the overlay, else what is beneath.
func first[K, V any](ctx context.Context, top, below func(context.Context, K) (V, error), key K) (V, error) {
	v, err := top(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return below(ctx, key)
	}
	return v, err
}

// Device reads the overlay first.
func (o *overlay) Device(ctx context.Context, id DeviceID) (Device, error) {
	return first(ctx, o.top.Device, o.devices.Device, id)
}

// DeviceByHW reads the overlay first.
func (o *overlay) DeviceByHW(ctx context.Context, hw hwaddr.Addr) (Device, error) {
	return first(ctx, o.top.DeviceByHW, o.devices.DeviceByHW, hw)
}

// DeviceBySerial reads the overlay first.
func (o *overlay) DeviceBySerial(ctx context.Context, serial string) (Device, error) {
	return first(ctx, o.top.DeviceBySerial, o.devices.DeviceBySerial, serial)
}

// DeviceByUUID reads the overlay first.
func (o *overlay) DeviceByUUID(ctx context.Context, uuid string) (Device, error) {
	return first(ctx, o.top.DeviceByUUID, o.devices.DeviceByUUID, uuid)
}

// Config reads the overlay first.
func (o *overlay) Config(ctx context.Context, id ConfigID) (Config, error) {
	return first(ctx, o.top.Config, o.configs.Config, id)
}

// ConfigByRole reads the overlay first.
func (o *overlay) ConfigByRole(ctx context.Context, role Role) (Config, error) {
	return first(ctx, o.top.ConfigByRole, o.configs.ConfigByRole, role)
}

// PutDevice keeps the write, whose Rev is the caller's business: there is nobody else here to be in conflict with,
// but a new device must still not take an ID that is beneath.
func (o *overlay) PutDevice(ctx context.Context, d Device) (Device, error) {
	if d.Rev == 0 {
		if _, err := o.devices.Device(ctx, d.ID); !errors.Is(err, ErrNotFound) {
			return Device{}, conflictOr(err)
		}
	}
	o.top.mu.Lock()
	defer o.top.mu.Unlock()
	return o.top.setDevice(d), nil
}

// AddDevice keeps both writes.
func (o *overlay) AddDevice(ctx context.Context, d Device, c Config) (Device, error) {
	if c.ID != "" && c.Rev == 0 {
		if _, err := o.PutConfig(ctx, c); err != nil {
			return Device{}, err
		}
	}
	return o.PutDevice(ctx, d)
}

// PutConfig is to configs what PutDevice is to devices.
func (o *overlay) PutConfig(ctx context.Context, c Config) (Config, error) {
	if c.Rev == 0 {
		if _, err := o.configs.Config(ctx, c.ID); !errors.Is(err, ErrNotFound) {
			return Config{}, conflictOr(err)
		}
	}
	o.top.mu.Lock()
	defer o.top.mu.Unlock()
	return o.top.setConfig(c), nil
}

// conflictOr turns the result of a look-up that should have found nothing into the write's error.
func conflictOr(err error) error {
	if err == nil {
		return ErrConflict
	}
	return err
}
