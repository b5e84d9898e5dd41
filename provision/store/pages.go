package store

import (
	"context"
	"iter"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// LoadLeases yields every stored lease, in order of address. A damaged record yields its address and an error
// (ErrDamaged), and the iteration goes on. What is written meanwhile may be seen or not. When it has come to its end the pages of the file that it read are given
// back: the table has all of it in memory now, and they would count as ours although nobody needs them.
func (db *DB) LoadLeases(ctx context.Context) iter.Seq2[lease.Lease, error] {
	return func(yield func(lease.Lease, error) bool) {
		scan(ctx, db, bucketLeases, nil, leaseAt, yield)
		db.forget()
	}
}

// forget lets the kernel take back the file's pages that this process has mapped in. They stay in its cache, and whoever
// reads one again gets it again.
func (db *DB) forget() {
	_ = db.view(func(tx *bbolt.Tx) error { // a transaction keeps the mapping where it is
		// Without effect if it fails. syscall.Madvise wants a slice, which an address that bbolt tells can't safely become.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), syscall.MADV_DONTNEED)
		return nil
	})
}
