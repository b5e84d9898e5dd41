package store

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// keyNetworks is the one record of its bucket: the networks are valid as a whole, so they are kept as a whole.
const keyNetworks = "declared"

// maxNetworks bounds that record in bytes.
const maxNetworks = 8 << 20

// LoadDeclared returns what the administrator declared about DHCP, and its revision: nothing and 0 if there never was
// anything. It was valid when it was saved; the caller makes a [network.Set] of it.
func (db *DB) LoadDeclared(_ context.Context) (d network.Declared, rev uint64, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		r, _, err := networksRow(db, tx)
		if err != nil || r.rev == 0 {
			return err
		}
		rev = r.rev
		if d, err = decodeDeclared(r.body); err != nil {
			return db.damaged(bucketNetworks, keyNetworks, err)
		}
		return nil
	})
	if err != nil {
		return network.Declared{}, 0, fmt.Errorf("load networks: %w", err)
	}
	return d, rev, nil
}

// SaveDeclared replaces all that is declared and returns its new revision. ErrInvalid if it isn't valid as a whole;
// ErrConflict if rev isn't that of what is stored. The slices stay the caller's. What changes nothing isn't written and
// leaves the revision as it is.
func (db *DB) SaveDeclared(ctx context.Context, d network.Declared, rev uint64) (uint64, error) {
	// New fills in defaults; what is stored is what was declared.
	filled := d
	filled.Networks = slices.Clone(d.Networks)
	if _, err := network.New(filled); err != nil {
		return 0, fmt.Errorf("save networks: %w: %w", provision.ErrInvalid, err)
	}
	body, err := encodeDeclared(d)
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

// LoadNetworks returns the networks of LoadDeclared, in the order in which they were declared.
func (db *DB) LoadNetworks(ctx context.Context) (nets []network.Network, rev uint64, err error) {
	d, rev, err := db.LoadDeclared(ctx)
	return d.Networks, rev, err
}

// SaveNetworks replaces the networks and leaves classes and options of all networks as they are; otherwise it is as
// SaveDeclared.
func (db *DB) SaveNetworks(ctx context.Context, nets []network.Network, rev uint64) (uint64, error) {
	d, _, err := db.LoadDeclared(ctx)
	if err != nil {
		return 0, err
	}
	d.Networks = nets
	return db.SaveDeclared(ctx, d, rev)
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
