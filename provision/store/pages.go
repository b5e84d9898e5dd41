package store

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// Forget lets the kernel take back the pages of the file that this process has mapped in. What has read all of it, as
// whoever starts has, would else carry them along as memory of its own. They stay in the kernel's cache.
func (db *DB) Forget() {
	_ = db.view(func(tx *bbolt.Tx) error { // a transaction keeps the mapping where it is
		// Without effect if it fails. syscall.Madvise wants a slice, which an address that bbolt tells can't safely become.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), syscall.MADV_DONTNEED) //nolint:gosec // a size
		return nil
	})
}
