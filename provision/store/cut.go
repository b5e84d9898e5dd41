package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Before is a damaged file without its last transaction, if it is whole that way: the older meta page leads to the tree of
// the transaction before, none of whose pages the last one wrote to.
type Before struct {
	Txid  uint64 `json:"txid"`
	Epoch Epoch  `json:"epoch"`
	// Stale says that the last transaction's pages are all as some transaction left them, though not all as the last one
	// did, or were never written: that is what a power failure leaves that comes while the disk writes them. Else there is
	// something on them that nobody ever wrote in one piece.
	Stale bool `json:"stale"`
}

// Remedy is what [Opener.Open] does about the file that it finds.
type Remedy string

// The remedies.
const (
	RemedyNone     Remedy = ""          // it opens it; single damaged records are mended or left out
	RemedyUndo     Remedy = "undo"      // it undoes the last transaction, which nobody was told of
	RemedyStepBack Remedy = "step-back" // it undoes the last transaction but for its leases; what else it wrote is lost
	RemedyRestore  Remedy = "restore"   // it restores a snapshot, or steps back if there is none
)

// Remedy says what is done about the file in a state folder that the report is of.
//
// A transaction whose pages are stale was cut off by a power failure, before anybody was told that it was done, if the
// epoch's file doesn't know it (see [Epoch]) and the system was started anew meanwhile. If the kernel is the same one, it
// has all that was written in its memory, so that something else is the matter.
func (r Report) Remedy(dir string) (Remedy, error) {
	last, err := lastEpoch(dir)
	if err != nil {
		return RemedyNone, err
	}
	sameBoot := last.Boot != "" && last.Boot == bootID()
	b := r.Before
	switch {
	case r.Sound() && (b == nil || sameBoot):
		return RemedyNone, nil
	case b == nil, last.judge(b.Epoch, b.Txid) != "" && last.Txid != 0: // zero says nothing of the disk; see MarkRestored
		if r.Sound() {
			return RemedyNone, nil
		}
		return RemedyRestore, nil
	case b.Stale && !sameBoot:
		return RemedyUndo, nil
	}
	return RemedyStepBack, nil
}

// firstFault returns the first thing that is wrong with the file.
func (r Report) firstFault() string {
	if len(r.Damage) > 0 {
		return r.Damage[0]
	}
	if len(r.Flaws) > 0 {
		return fmt.Sprintf("%s %s: %s", r.Flaws[0].Bucket, r.Flaws[0].Key, r.Flaws[0].Why)
	}
	return ""
}

// before looks at the tree before the newest one, and returns what it is of a file that is better off with it.
func before(m *image, newest *checker) *Before {
	older := &image{r: m.r, size: m.size, page: m.page, metas: m.metas[1:]}
	var r Report
	c := survey(older, &r)
	if !r.Sound() {
		return nil
	}
	if newest.report.Sound() { // records that were damaged already are no reason
		worse := false
		for k := range newest.flawed {
			worse = worse || !c.flawed[k]
		}
		if !worse {
			return nil
		}
	}
	b := &Before{Txid: r.Txid, Epoch: r.Epoch, Stale: true}
	for _, id := range m.asked {
		if !older.has(id) {
			b.Stale = b.Stale && m.plausible(id)
		}
	}
	return b
}

// plausible reports whether a page is as some transaction wrote it, as far as can be told, or was never written.
func (m *image) plausible(id uint64) bool {
	data, err := m.load(id)
	if err != nil {
		page := make([]byte, m.page)
		_, err := m.r.ReadAt(page, int64(min(id, m.pages()))*m.page) //nolint:gosec // within the file, or it fails
		return err == nil && len(bytes.Trim(page, "\x00")) == 0
	}
	if binary.NativeEndian.Uint16(data[8:]) == rawFreelist { // bbolt begins a file with one
		return true
	}
	p, err := parsePage(data)
	return err == nil && m.plausiblePage(p, buckets())
}

// plausiblePage looks at a page that may be of any of these buckets, or of the buckets themselves.
func (m *image) plausiblePage(p rawPage, names []string) bool {
	var last []byte
	next := rawHeader * (p.count + 1)
	for i := range p.count {
		e, err := p.at(i)
		if err != nil || e.start != next || i > 0 && bytes.Compare(e.key, last) <= 0 {
			return false
		}
		next, last = e.start+len(e.key)+len(e.value), e.key
		switch {
		case !p.leaf:
			if e.child < 2 || e.child >= m.pages() {
				return false
			}
		case e.bucket:
			if !m.plausibleBucket(e) {
				return false
			}
		default:
			good := false
			for _, name := range names {
				_, err := unseal(name, e.key, e.value)
				good = good || err == nil
			}
			if !good {
				return false
			}
		}
	}
	return true
}

func (m *image) plausibleBucket(e element) bool {
	if len(e.value) < rawHeader {
		return false
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return root >= 2 && root < m.pages()
	}
	p, err := parsePage(e.value[rawHeader:])
	return err == nil && p.leaf && m.plausiblePage(p, []string{string(e.key)})
}

// undoLast undoes the last transaction of a store that nobody writes: it puts the older meta page in the place of the newer
// one. With two that are the same, the next commit leaves one as it is, whichever it overwrites.
func undoLast(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = func() error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		m, err := openImage(f, info.Size())
		if err != nil {
			return err
		}
		if len(m.metas) < 2 {
			return errors.New("there is no older meta page")
		}
		meta := make([]byte, rawMetaLen)
		if _, err := f.ReadAt(meta, m.metas[1].at+rawHeader); err != nil {
			return err
		}
		if _, err := f.WriteAt(meta, m.metas[0].at+rawHeader); err != nil {
			return err
		}
		return f.Sync()
	}()
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("undo the last transaction of %s: %w", path, err)
	}
	return nil
}

// stepBack puts the store as it was before its last transaction in its place, with the leases and events of that one which
// can be read: if it was acknowledged, it is they that matter, and if it wasn't, they hurt nobody. Other records are not
// taken: half a change may be worse than none.
func (db *DB) stepBack(ctx context.Context, r Report) (Report, error) {
	path, temp := filepath.Join(db.dir, fileDB), filepath.Join(db.dir, fileNew)
	why := strings.Join(r.Damage, "; ")
	if why == "" {
		why = r.firstFault()
	}
	db.log.ErrorContext(ctx, "store is damaged", "path", path, "err", why)
	if err := errors.Join(copyFile(path, temp), undoLast(temp)); err != nil {
		return Report{}, err
	}
	return db.replace(ctx, fmt.Sprintf("itself as it was after transaction %d", r.Before.Txid), why, true)
}
