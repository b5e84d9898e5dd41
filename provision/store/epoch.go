package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// keyEpoch is the store's own copy of its epoch.
const keyEpoch = "epoch"

// Epoch is one opening of the store. It is kept in the store and in a file beside it, so that the store can be told from
// an older copy that somebody put in its place: a backup, or a copy from another machine. What puts the whole folder
// back, as the snapshot of a virtual machine does, can't be noticed that way.
type Epoch struct {
	Generation uint64 `json:"generation"` // rises by one with each opening
	ID         string `json:"id"`         // of no other epoch
	Prev       string `json:"prev,omitempty"`
	// Txid is, in the file, that of a transaction which the disk has, at most a minute old. In the store it is zero.
	Txid uint64 `json:"txid,omitempty"`
	// Boot is, in the file, the run of the system's kernel in which it was written, if that is known.
	Boot string `json:"boot,omitempty"`
}

func (e Epoch) next(least uint64) Epoch {
	return Epoch{Generation: max(e.Generation, least) + 1, ID: rand.Text(), Prev: e.ID}
}

// judge returns why the store that was found is older than the one that was here last, or nothing if it isn't.
func (db *DB) judge(is Epoch, txid uint64) (string, error) {
	last, err := lastEpoch(db.dir)
	if err != nil {
		return "", err
	}
	db.epoch = last
	return last.judge(is, txid), nil
}

// lastEpoch reads the file; a zero epoch is as good as none.
func lastEpoch(dir string) (last Epoch, err error) {
	b, err := os.ReadFile(filepath.Join(dir, fileEpoch))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return last, err
	}
	if json.Unmarshal(b, &last) != nil {
		last = Epoch{} // cut off, or not ours
	}
	return last, nil
}

// judge returns why a store of that epoch, which ends with that transaction, is older than this one, the last that was here.
func (e Epoch) judge(is Epoch, txid uint64) string {
	switch {
	case is == Epoch{} && e == Epoch{}: // of a version that didn't know of epochs
	case is.Generation == e.Generation+1 && is.Prev == e.ID: // the file was not written any more
	case is.ID == e.ID && txid >= e.Txid:
	case e == Epoch{}:
		return fmt.Sprintf("%s is missing: the store was moved here", fileEpoch)
	case is.ID == e.ID:
		return fmt.Sprintf("it ends with transaction %d, but there was transaction %d", txid, e.Txid)
	default:
		return fmt.Sprintf("it is of generation %d, but the last one was %d", is.Generation, e.Generation)
	}
	return ""
}

// bootID names this run of the kernel, whose memory has all that was written in it; nothing if it isn't known.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// begin starts a new epoch: in the store, then in the file. A full disk doesn't keep the store from being opened.
func (db *DB) begin(ctx context.Context, stored Epoch, older string) error {
	next := stored.next(db.epoch.Generation)
	err := db.transact(func(tx *bbolt.Tx, _ books) (bool, error) {
		if older != "" {
			if err := putTime(tx, keyRestored, time.Now()); err != nil {
				return false, err
			}
		}
		return true, putEpoch(tx, next)
	})
	if err != nil {
		if db.stopped.Load() != nil {
			return fmt.Errorf("begin epoch: %w", err)
		}
		next = stored
	}
	if older != "" {
		db.trouble(ProblemRestored, fmt.Errorf("an older copy of the store was put in place (%s): leases may be in use that it doesn't know of", older))
	}
	db.epoch.ID, db.epoch.Generation = next.ID, next.Generation
	db.epoch.Txid = 0 // so that the file is written
	if err := db.keepEpoch(); err != nil {
		db.log.WarnContext(ctx, "epoch of the store not written", "err", err)
	}
	return db.view(func(tx *bbolt.Tx) error {
		value := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyRestored))
		if payload, err := unseal(bucketMeta, []byte(keyRestored), value); err == nil && len(payload) == 8 {
			db.restored = time.Unix(int64(binary.BigEndian.Uint64(payload)), 0) //nolint:gosec // a bit pattern
		}
		return nil
	})
}

func putEpoch(tx *bbolt.Tx, e Epoch) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return put(tx, bucketMeta, []byte(keyEpoch), payload)
}

// keepEpoch brings the file up to the store's last transaction that is on the disk.
func (db *DB) keepEpoch() error {
	id := db.synced.Load()
	err := db.view(func(*bbolt.Tx) error { return nil })
	if err != nil || id == db.epoch.Txid || db.stopped.Load() != nil {
		return nil //nolint:nilerr // it was closed already, or nobody knows what the disk holds
	}
	e := Epoch{Generation: db.epoch.Generation, ID: db.epoch.ID, Txid: id, Boot: bootID()}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := filepath.Join(db.dir, fileEpoch)
	err = writeFile(path+".new", func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(append(b, '\n')))
		return err
	})
	if err == nil {
		err = errors.Join(os.Rename(path+".new", path), syncDir(db.dir))
	}
	if err != nil {
		return fmt.Errorf("keep epoch: %w", err)
	}
	db.epoch = e
	return nil
}

// MarkRestored says in a state folder that the store in it, of which r is the report, is an older one that was put there:
// as from a backup. Then the next opening takes it for restored; see [DB.Restored].
func MarkRestored(dir string, r Report) error {
	b, err := json.Marshal(Epoch{Generation: r.Epoch.Generation + 1, ID: rand.Text()})
	if err == nil {
		err = writeFile(filepath.Join(dir, fileEpoch), func(w io.Writer) error {
			_, err := w.Write(append(b, '\n'))
			return err
		})
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("mark the store as restored: %w", err)
	}
	return nil
}
