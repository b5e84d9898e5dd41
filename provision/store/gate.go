package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
)

var _ provision.GateStore = (*DB)(nil)

// The kinds of records in the bucket gate: their keys begin so.
const (
	gateWindow = "window"
	gateAside  = "aside"
)

type (
	windowRecord struct {
		Device  provision.DeviceID   `json:"device,omitempty"`
		Network string               `json:"network,omitempty"`
		OUI     string               `json:"oui,omitempty"`
		Vendor  string               `json:"vendor,omitempty"`
		Count   int                  `json:"count,omitempty"`
		Opened  time.Time            `json:"opened"`
		Closes  time.Time            `json:"closes"`
		By      string               `json:"by,omitempty"`
		Used    []provision.DeviceID `json:"used,omitempty"`
	}
	asideRecord struct {
		Why  string    `json:"why,omitempty"`
		By   string    `json:"by,omitempty"`
		When time.Time `json:"when"`
	}
)

// checkGate sees whether a record of the bucket can be read.
func checkGate(key, payload []byte) error {
	kind, _, _ := strings.Cut(string(key), "\x00")
	switch kind {
	case gateWindow:
		return json.Unmarshal(payload, &windowRecord{})
	case gateAside:
		return json.Unmarshal(payload, &asideRecord{})
	}
	return fmt.Errorf("a record of kind %q", kind)
}

// Windows implements [provision.GateStore]. Damaged ones are left out; see [DB.Problems].
func (db *DB) Windows(context.Context) (list []provision.Window, err error) {
	err = gateRecords(db, gateWindow, func(id string, r windowRecord) {
		list = append(list, provision.Window{
			ID: id, Device: r.Device, Network: r.Network, OUI: r.OUI, Vendor: r.Vendor, Count: r.Count, Opened: r.Opened, Closes: r.Closes,
			By: r.By, Used: r.Used,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list windows: %w", err)
	}
	return list, nil
}

// PutWindow implements [provision.GateStore].
func (db *DB) PutWindow(ctx context.Context, w provision.Window) error {
	err := db.putGate(ctx, gateWindow, w.ID, windowRecord{
		w.Device, w.Network, w.OUI, w.Vendor, w.Count, w.Opened.UTC(), w.Closes.UTC(), w.By, w.Used,
	}, string(w.Device), w.Network, w.OUI, w.Vendor, w.By)
	if err != nil {
		return fmt.Errorf("put window %s: %w", w.ID, err)
	}
	return nil
}

// DeleteWindow implements [provision.GateStore].
func (db *DB) DeleteWindow(ctx context.Context, id string) error {
	if err := db.dropGate(ctx, gateWindow, id); err != nil {
		return fmt.Errorf("delete window %s: %w", id, err)
	}
	return nil
}

// Asides implements [provision.GateStore]. Damaged ones are left out; see [DB.Problems].
func (db *DB) Asides(context.Context) (list []provision.Aside, err error) {
	err = gateRecords(db, gateAside, func(key string, r asideRecord) {
		list = append(list, provision.Aside{Key: key, Why: r.Why, By: r.By, When: r.When})
	})
	if err != nil {
		return nil, fmt.Errorf("list devices set aside: %w", err)
	}
	return list, nil
}

// PutAside implements [provision.GateStore].
func (db *DB) PutAside(ctx context.Context, a provision.Aside) error {
	if err := db.putGate(ctx, gateAside, a.Key, asideRecord{a.Why, a.By, a.When.UTC()}, a.Why, a.By); err != nil {
		return fmt.Errorf("set %s aside: %w", a.Key, err)
	}
	return nil
}

// DeleteAside implements [provision.GateStore].
func (db *DB) DeleteAside(ctx context.Context, key string) error {
	if err := db.dropGate(ctx, gateAside, key); err != nil {
		return fmt.Errorf("take %s back: %w", key, err)
	}
	return nil
}

// gateRecords gives every record of a kind to take.
func gateRecords[R any](db *DB, kind string, take func(id string, r R)) error {
	return db.view(func(tx *bbolt.Tx) error {
		prefix := []byte(pair(kind, ""))
		c := tx.Bucket([]byte(bucketGate)).Cursor()
		for k, value := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, value = c.Next() {
			payload, err := unseal(bucketGate, k, value)
			var r R
			if err == nil {
				err = json.Unmarshal(payload, &r)
			}
			if err != nil {
				_ = db.damaged(bucketGate, string(k), err) // noted there
				continue
			}
			take(string(k[len(prefix):]), r)
		}
		return nil
	})
}

func (db *DB) putGate(ctx context.Context, kind, id string, record any, texts ...string) error {
	if err := checkKey(id); err != nil {
		return err
	}
	for _, s := range texts {
		if err := checkText("text", s); err != nil {
			return err
		}
	}
	payload, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if len(payload) > maxBody {
		return fmt.Errorf("it takes more than %d bytes: %w", maxBody, provision.ErrInvalid)
	}
	key := []byte(pair(kind, id))
	return db.do(ctx, func(*bbolt.Tx) ([]op, error) {
		return []op{{bucketGate, key, seal(bucketGate, key, payload)}}, nil
	})
}

func (db *DB) dropGate(ctx context.Context, kind, id string) error {
	key := []byte(pair(kind, id))
	return db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		if tx.Bucket([]byte(bucketGate)).Get(key) == nil {
			return nil, provision.ErrNotFound
		}
		return []op{{bucketGate, key, nil}}, nil
	})
}
