package lease

// eachBatch is how many leases Each reads at a time.
const eachBatch = 256

// Each hands out what [Table.At] returns for each address, in no order, until yield returns false. What changes
// meanwhile is handed out as it was before or after, or, if it comes or goes, perhaps not at all. Other operations go on
// between the pieces, so that a long table delays no client.
func (t *Table) Each(yield func(Lease) bool) {
	now := t.clock.now()
	batch := make([]Lease, 0, eachBatch)
	t.mu.RLock()
	defer t.mu.RUnlock()
	// The lock is let go in the midst of the loop: iterating over a map allows for entries that come and go.
	for _, e := range t.entries {
		if l, ok := e.known(now); ok {
			batch = append(batch, l)
		}
		if len(batch) == eachBatch {
			if !t.handOut(batch, yield) {
				return
			}
			batch = batch[:0]
		}
	}
	t.handOut(batch, yield)
}

// handOut lets go of t.mu, which is held for reading, while it hands out leases.
func (t *Table) handOut(batch []Lease, yield func(Lease) bool) bool {
	t.mu.RUnlock()
	defer t.mu.RLock()
	for _, l := range batch {
		if !yield(l) {
			return false
		}
	}
	return true
}
