package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// deviceRecord is a device in the file. Its ID is the key, its revision is before it.
type deviceRecord struct {
	MAC      hwaddr.Addr     `json:"mac,omitzero"`
	Serial   string          `json:"sn,omitempty"`
	UUID     string          `json:"uuid,omitempty"`
	Vendor   string          `json:"vendor,omitempty"`
	Model    string          `json:"model,omitempty"`
	Version  string          `json:"version,omitempty"`
	Plugin   string          `json:"plugin,omitempty"`
	Pinned   bool            `json:"pinned,omitempty"`
	Config   string          `json:"config,omitempty"`
	Override json.RawMessage `json:"override,omitempty"`
	Options  json.RawMessage `json:"options,omitempty"`
	Label    string          `json:"label,omitempty"`
	Created  time.Time       `json:"created,omitzero"`
	Auto     bool            `json:"auto,omitempty"`
	Network  string          `json:"network,omitempty"`
	State    string          `json:"state,omitempty"`
	Remote   bool            `json:"remote,omitempty"`
	Static   bool            `json:"static,omitempty"`
	Port     string          `json:"port,omitempty"`
}

func deviceTable() table[provision.Device] {
	return table[provision.Device]{
		bucket:  bucketDevices,
		encode:  encodeDevice,
		decode:  decodeDevice,
		refs:    deviceRefs,
		indexes: []string{bucketDeviceMAC, bucketDeviceSerial, bucketDeviceUUID, bucketDeviceConfig},
	}
}

func deviceRefs(d provision.Device) (refs []ref) {
	if !d.HW.IsZero() {
		refs = append(refs, ref{bucketDeviceMAC, string(d.HW[:]), "mac " + d.HW.String()})
	}
	if d.Serial != "" {
		refs = append(refs, ref{bucketDeviceSerial, d.Serial, "serial " + d.Serial})
	}
	if d.UUID != "" {
		refs = append(refs, ref{bucketDeviceUUID, d.UUID, "uuid " + d.UUID})
	}
	if d.Config != "" {
		refs = append(refs, ref{bucketDeviceConfig, pair(string(d.Config), string(d.ID)), "config " + string(d.Config)})
	}
	return refs
}

func encodeDevice(at place, d provision.Device) ([]byte, error) {
	texts := []struct{ name, s string }{
		{"serial", d.Serial},
		{"uuid", d.UUID},
		{"vendor", d.Vendor},
		{"model", d.Model},
		{"version", d.Version},
		{"plugin", string(d.Plugin)},
		{"label", d.Label},
		{"network", d.Network},
		{"state", string(d.State)},
		{"port", d.Port},
	}
	for _, t := range texts {
		if err := checkText(t.name, t.s); err != nil {
			return nil, err
		}
	}
	if d.Config != "" {
		if err := checkKey(string(d.Config)); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	override, err := at.marshalParams("override", d.Override)
	if err != nil {
		return nil, err
	}
	options, err := at.marshalParams("options", d.Options)
	if err != nil {
		return nil, err
	}
	return json.Marshal(deviceRecord{
		MAC: d.HW, Serial: d.Serial, UUID: d.UUID, Vendor: d.Vendor, Model: d.Model, Version: d.Version,
		Plugin: string(d.Plugin), Pinned: d.Pinned, Config: string(d.Config), Override: override, Options: options,
		Label: d.Label, Created: d.Created.UTC(), Auto: d.Auto, Network: d.Network,
		State: string(d.State), Remote: d.Remote, Static: d.Static, Port: d.Port,
	})
}

func decodeDevice(at place, id string, rev uint64, body []byte) (provision.Device, error) {
	var r deviceRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return provision.Device{}, err
	}
	override, err := at.decodeMap("override", r.Override)
	if err != nil {
		return provision.Device{}, fmt.Errorf("override: %w", err)
	}
	options, err := at.decodeMap("options", r.Options)
	if err != nil {
		return provision.Device{}, fmt.Errorf("options: %w", err)
	}
	return provision.Device{
		ID: provision.DeviceID(id), Rev: rev, HW: r.MAC, Serial: r.Serial, UUID: r.UUID, Vendor: r.Vendor, Model: r.Model,
		Version: r.Version, Plugin: provision.PluginID(r.Plugin), Pinned: r.Pinned, Config: provision.ConfigID(r.Config),
		Override: override, Options: options, Label: r.Label, Created: r.Created, Auto: r.Auto, Network: r.Network,
		State: provision.DeviceState(r.State), Remote: r.Remote, Static: r.Static, Port: r.Port,
	}, nil
}

// marshalParams writes parameters; none at all are nil.
func (p place) marshalParams(name string, m map[string]any) (json.RawMessage, error) {
	if len(m) == 0 {
		return nil, nil
	}
	v, err := p.encodeMap(name, m, 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Device implements [provision.DeviceStore].
func (db *DB) Device(_ context.Context, id provision.DeviceID) (d provision.Device, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		d, err = deviceTable().find(db, tx, string(id))
		return err
	})
	if err != nil {
		return d, fmt.Errorf("device %s: %w", id, err)
	}
	return d, nil
}

// DeviceByHW implements [provision.DeviceStore].
func (db *DB) DeviceByHW(_ context.Context, hw hwaddr.Addr) (provision.Device, error) {
	if hw.IsZero() {
		return provision.Device{}, fmt.Errorf("device without a mac: %w", provision.ErrNotFound)
	}
	d, touch, ok, err := db.devices.get(hw)
	if ok {
		return d, err
	}
	d, err = db.deviceBy(bucketDeviceMAC, string(hw[:]), "mac", hw.String())
	switch {
	case err == nil:
		db.devices.keep(d, touch)
	case errors.Is(err, provision.ErrNotFound):
		db.devices.keepNone(hw, touch)
	}
	return d, err
}

// DeviceBySerial implements [provision.DeviceStore].
func (db *DB) DeviceBySerial(_ context.Context, serial string) (provision.Device, error) {
	return db.deviceBy(bucketDeviceSerial, serial, "serial", serial)
}

// DeviceByUUID implements [provision.DeviceStore].
func (db *DB) DeviceByUUID(_ context.Context, uuid string) (provision.Device, error) {
	return db.deviceBy(bucketDeviceUUID, uuid, "uuid", uuid)
}

func (db *DB) deviceBy(index, key, name, text string) (d provision.Device, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		d, err = deviceTable().findBy(db, tx, index, key)
		return err
	})
	if err != nil {
		return d, fmt.Errorf("device with %s %s: %w", name, text, err)
	}
	return d, nil
}

// Devices returns all devices, by ID. Damaged ones are left out; see [DB.Problems].
func (db *DB) Devices(_ context.Context) ([]provision.Device, error) {
	var all []provision.Device
	touch := db.devices.state()
	err := db.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketDevices)).ForEach(func(k, _ []byte) error {
			d, ok := db.devices.named(string(k))
			if !ok {
				var err error
				if d, err = deviceTable().find(db, tx, string(k)); err != nil {
					return nil //nolint:nilerr // damaged has noted it
				}
				if !d.HW.IsZero() {
					db.devices.keep(d, touch)
				}
			}
			all = append(all, d)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return all, nil
}

// PutDevice implements [provision.DeviceStore]. A write that changes nothing is skipped and leaves Rev as it is. A transient
// config that the device had before goes if nobody else uses it.
func (db *DB) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	list, err := db.PutDevices(ctx, d)
	if err != nil {
		return provision.Device{}, err
	}
	return list[0], nil
}

// PutDevices writes several devices, all or none, each as by PutDevice, and returns them with their new Revs. What is
// unique must be free before the first of them is written: no device takes over a mac, serial or uuid from another.
func (db *DB) PutDevices(ctx context.Context, list ...provision.Device) ([]provision.Device, error) {
	list = slices.Clone(list)
	entries := make([]entry[provision.Device], len(list))
	owners := make(map[ref]string)
	for i := range list {
		d := &list[i]
		e, err := deviceTable().entry(db, string(d.ID), d.Rev, *d)
		for _, r := range e.refs {
			if other, twice := owners[r]; twice && err == nil {
				err = conflict("%s belongs to %s", r.name, other)
			}
			owners[r] = e.id
		}
		if err != nil {
			return nil, fmt.Errorf("put device %s: %w", d.ID, err)
		}
		entries[i] = e
	}
	err := db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		for i, e := range entries {
			more, rev, err := deviceTable().put(db, tx, e)
			if err != nil {
				return nil, fmt.Errorf("put device %s: %w", e.id, err)
			}
			ops, list[i].Rev = append(ops, more...), rev
		}
		more, err := db.leave(tx, list)
		return append(ops, more...), err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// leave plans the deletion of transient configs that the devices have had and nobody will use when they are written.
func (db *DB) leave(tx *bbolt.Tx, list []provision.Device) (ops []op, err error) {
	leavers := make(map[provision.ConfigID][]provision.DeviceID)
	for _, d := range list {
		old, err := deviceTable().find(db, tx, string(d.ID))
		if err != nil || old.Config == "" || slices.ContainsFunc(list, func(x provision.Device) bool { return x.Config == old.Config }) {
			continue // it is new, or somebody has the config afterwards
		}
		leavers[old.Config] = append(leavers[old.Config], d.ID)
	}
	for id, who := range leavers {
		more, err := db.abandon(tx, id, who...)
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	return ops, nil
}

// AddDevice implements [provision.DeviceStore]. Both device and config are made or none.
func (db *DB) AddDevice(ctx context.Context, d provision.Device, c provision.Config) (provision.Device, error) {
	if d.Rev != 0 {
		return provision.Device{}, fmt.Errorf("add device %s: %w", d.ID, conflict("it has been stored before"))
	}
	de, err := deviceTable().entry(db, string(d.ID), 0, d)
	if err != nil {
		return provision.Device{}, fmt.Errorf("add device %s: %w", d.ID, err)
	}
	withConfig := c.ID != "" && c.Rev == 0
	var ce entry[provision.Config]
	if withConfig {
		if ce, err = configTable().entry(db, string(c.ID), 0, c); err != nil {
			return provision.Device{}, fmt.Errorf("add device %s with config %s: %w", d.ID, c.ID, err)
		}
	}
	err = db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		if ops, d.Rev, err = deviceTable().put(db, tx, de); err != nil || !withConfig {
			return ops, err
		}
		more, _, err := db.putConfig(tx, ce, provision.Author{Who: "phone " + string(d.ID), Why: "made with the phone"})
		if err != nil {
			return nil, fmt.Errorf("config %s: %w", c.ID, err)
		}
		return append(ops, more...), nil
	})
	if err != nil {
		return provision.Device{}, fmt.Errorf("add device %s: %w", d.ID, err)
	}
	return d, nil
}

// DeleteDevice deletes a device, and its config with it if that is transient, isn't locked and nobody else uses it. ErrConflict
// if rev isn't the device's; 0 is any. A damaged device can be deleted; its config, which isn't known any more, then
// stays.
func (db *DB) DeleteDevice(ctx context.Context, id provision.DeviceID, rev uint64) error {
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		ops, err := deviceTable().remove(db, tx, string(id))
		if err != nil {
			return nil, err
		}
		d, err := deviceTable().find(db, tx, string(id))
		if err != nil {
			return ops, nil //nolint:nilerr // a damaged device goes alone
		}
		if rev != 0 && d.Rev != rev {
			return nil, conflict("it has changed meanwhile: its revision is %d, not %d", d.Rev, rev)
		}
		if d.Config == "" {
			return ops, nil
		}
		more, err := db.abandon(tx, d.Config, id)
		return append(ops, more...), err
	})
	if err != nil {
		return fmt.Errorf("delete device %s: %w", id, err)
	}
	return nil
}
