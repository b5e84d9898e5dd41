package store

import (
	"hash/maphash"
	"maps"
	"runtime"
	"sync"
)

// To decode the records of devices is most of what a check takes, so several goroutines do that, while one reads on.

// rowsTogether is how many records are handed over at a time.
const rowsTogether = 256

// rows are records of a bucket whose checksums were right.
type rows struct {
	ids      []string
	payloads [][]byte
}

// rowCheck decodes rows in goroutines of its own, which end with close.
type rowCheck struct {
	check   func(hash *maphash.Hash, id string, payload []byte) (wanted uint64, err error)
	pending rows
	hand    chan rows
	done    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	wanted uint64
	bad    map[string]error // by ID
}

func newRowCheck(seed maphash.Seed, check func(*maphash.Hash, string, []byte) (uint64, error)) *rowCheck {
	k := &rowCheck{check: check, hand: make(chan rows, 1), bad: make(map[string]error)}
	for range runtime.GOMAXPROCS(0) {
		k.done.Go(func() {
			var hash maphash.Hash
			hash.SetSeed(seed)
			for some := range k.hand {
				k.some(&hash, some)
			}
		})
	}
	return k
}

// add takes a record. The payload must stay as it is.
func (k *rowCheck) add(id string, payload []byte) {
	k.pending.ids, k.pending.payloads = append(k.pending.ids, id), append(k.pending.payloads, payload)
	if len(k.pending.ids) == rowsTogether {
		k.hand <- k.pending
		k.pending = rows{}
	}
}

func (k *rowCheck) some(hash *maphash.Hash, some rows) {
	sum, bad := uint64(0), map[string]error(nil)
	for i, id := range some.ids {
		wanted, err := k.check(hash, id, some.payloads[i])
		if err != nil {
			if bad == nil {
				bad = make(map[string]error)
			}
			bad[id] = err
			continue
		}
		sum += wanted
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted += sum
	maps.Copy(k.bad, bad)
}

// close waits for the last record. It returns the sum of the hashes of what the records should be found by, and what is
// wrong with those that make no sense, by ID.
func (k *rowCheck) close() (wanted uint64, bad map[string]error) {
	k.hand <- k.pending
	close(k.hand)
	k.done.Wait()
	return k.wanted, k.bad
}
