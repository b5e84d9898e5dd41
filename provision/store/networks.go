package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// keyNetworks is the one record of its bucket: the networks are valid as a whole, so they are kept as a whole.
const keyNetworks = "declared"

// maxNetworks bounds that record in bytes.
const maxNetworks = 8 << 20

type (
	networkRecord struct {
		ID            network.ID          `json:"id"`
		Prefix        netip.Prefix        `json:"prefix"`
		Interface     string              `json:"interface,omitempty"`
		Server        netip.Addr          `json:"server,omitzero"`
		Relays        []netip.Addr        `json:"relays,omitempty"`
		Pools         []poolRecord        `json:"pools,omitempty"`
		Reservations  []reservationRecord `json:"reservations,omitempty"`
		Options       []optionRecord      `json:"options,omitempty"`
		Lease         lifetimeRecord      `json:"lease,omitzero"`
		Authoritative bool                `json:"authoritative,omitempty"`
		Probe         bool                `json:"probe,omitempty"`
		AutoAdd       network.AutoAdd     `json:"auto_add,omitempty"`
		Configure     bool                `json:"configure,omitempty"`
	}
	poolRecord struct {
		First   netip.Addr   `json:"first"`
		Last    netip.Addr   `json:"last"`
		Exclude []netip.Addr `json:"exclude,omitempty"`
	}
	reservationRecord struct {
		HW       hwaddr.Addr    `json:"mac"`
		Addr     netip.Addr     `json:"addr"`
		Hostname string         `json:"hostname,omitempty"`
		Options  []optionRecord `json:"options,omitempty"`
	}
	optionRecord struct {
		Code  uint8  `json:"code"`
		Data  []byte `json:"data,omitempty"`
		Force bool   `json:"force,omitempty"`
	}
	lifetimeRecord struct { // nanoseconds
		Default time.Duration `json:"default,omitempty"`
		Min     time.Duration `json:"min,omitempty"`
		Max     time.Duration `json:"max,omitempty"`
	}
)

// LoadNetworks returns the networks as the administrator declared them, in that order, and their revision: none and 0
// if there never were any. They were valid when they were saved; the caller makes a [network.Set] of them.
func (db *DB) LoadNetworks(_ context.Context) (nets []network.Network, rev uint64, err error) {
	err = db.bolt.View(func(tx *bbolt.Tx) (err error) {
		r, _, err := networksRow(db, tx)
		if err != nil || r.rev == 0 {
			return err
		}
		rev = r.rev
		if nets, err = decodeNetworks(r.body); err != nil {
			return db.damaged(bucketNetworks, keyNetworks, err)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("load networks: %w", err)
	}
	return nets, rev, nil
}

// SaveNetworks replaces all declared networks and returns their new revision. ErrInvalid if they aren't valid as a
// whole; ErrConflict if rev isn't that of the stored ones. The slice stays the caller's. What changes nothing isn't
// written and leaves the revision as it is.
func (db *DB) SaveNetworks(ctx context.Context, nets []network.Network, rev uint64) (uint64, error) {
	// NewSet fills in defaults; what is stored is what was declared.
	if _, err := network.NewSet(slices.Clone(nets)); err != nil {
		return 0, fmt.Errorf("save networks: %w: %w", provision.ErrInvalid, err)
	}
	body, err := encodeNetworks(nets)
	if err != nil {
		return 0, fmt.Errorf("save networks: %w", err)
	}
	err = db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		now, there, err := networksRow(db, tx)
		if err != nil {
			return nil, err
		}
		if now.rev != rev {
			return nil, conflict("they have changed meanwhile: their revision is %d, not %d", now.rev, rev)
		}
		if there && string(now.body) == string(body) {
			return nil, nil
		}
		rev++
		key := []byte(keyNetworks)
		return []op{{bucketNetworks, key, seal(bucketNetworks, key, withRev(rev, body))}}, nil
	})
	if err != nil {
		return 0, fmt.Errorf("save networks: %w", err)
	}
	return rev, nil
}

func networksRow(db *DB, tx *bbolt.Tx) (row, bool, error) {
	payload, ok, err := db.get(tx, bucketNetworks, []byte(keyNetworks))
	if err != nil || !ok {
		return row{}, false, err
	}
	rev, body, err := splitRev(payload)
	if err != nil {
		return row{}, false, db.damaged(bucketNetworks, keyNetworks, err)
	}
	return row{rev, body}, true, nil
}

func encodeNetworks(nets []network.Network) ([]byte, error) {
	records := make([]networkRecord, len(nets))
	for i, n := range nets {
		r := networkRecord{
			ID: n.ID, Prefix: n.Prefix, Interface: n.Interface, Server: n.Server, Relays: n.Relays, Options: encodeOptions(n.Options),
			Lease: lifetimeRecord(n.Lease), Authoritative: n.Authoritative, Probe: n.Probe, AutoAdd: n.AutoAdd, Configure: n.Configure,
		}
		for _, p := range n.Pools {
			r.Pools = append(r.Pools, poolRecord(p))
		}
		for _, v := range n.Reservations {
			r.Reservations = append(r.Reservations, reservationRecord{v.HW, v.Addr, v.Hostname, encodeOptions(v.Options)})
			if err := checkText("hostname of "+v.Addr.String(), v.Hostname); err != nil {
				return nil, err
			}
		}
		records[i] = r
		for _, s := range []string{string(n.ID), n.Interface} {
			if err := checkText("network "+string(n.ID), s); err != nil {
				return nil, err
			}
		}
	}
	body, err := json.Marshal(records)
	if err == nil && len(body) > maxNetworks {
		err = fmt.Errorf("they take more than %d bytes: %w", maxNetworks, provision.ErrInvalid)
	}
	return body, err
}

func decodeNetworks(body []byte) ([]network.Network, error) {
	var records []networkRecord
	if err := json.Unmarshal(body, &records); err != nil {
		return nil, err
	}
	nets := make([]network.Network, len(records))
	for i, r := range records {
		n := network.Network{
			ID: r.ID, Prefix: r.Prefix, Interface: r.Interface, Server: r.Server, Relays: r.Relays, Options: decodeOptions(r.Options),
			Lease: network.Lifetime(r.Lease), Authoritative: r.Authoritative, Probe: r.Probe, AutoAdd: r.AutoAdd, Configure: r.Configure,
		}
		for _, p := range r.Pools {
			n.Pools = append(n.Pools, network.Pool(p))
		}
		for _, v := range r.Reservations {
			n.Reservations = append(n.Reservations, network.Reservation{
				HW: v.HW, Addr: v.Addr, Hostname: v.Hostname, Options: decodeOptions(v.Options),
			})
		}
		nets[i] = n
	}
	return nets, nil
}

func encodeOptions(options []network.Option) (out []optionRecord) {
	for _, o := range options {
		out = append(out, optionRecord(o))
	}
	return out
}

func decodeOptions(records []optionRecord) (out []network.Option) {
	for _, r := range records {
		out = append(out, network.Option(r))
	}
	return out
}
