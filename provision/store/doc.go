// Package store is the durable truth of the appliance: one bbolt file with the leases and the outbox of their events,
// the devices, the configs and the declared networks. It is the only package that knows bbolt.
//
// [DB] implements [lease.Store], [lease.Cursors], [provision.DeviceStore] and [provision.ConfigStore], and has what an
// administrator needs beyond them: lists, deletion, the networks as a whole, the damaged records.
//
// # Guarantees
//
// A write that returned nil is on the disk. All writers share transactions: whoever finds nobody writing writes for
// all who wait (see queue), so that many clients cost one fsync and a single one waits for nobody. What a write checks
// (revisions, uniqueness) is checked inside the transaction, and a request that is refused fails alone.
//
// bbolt has no checksum on data, so each record carries one, over its bucket and key as well: a flipped bit, and a
// record that turns up under another key, are noticed on reading. Such a record is reported ([ErrDamaged],
// [DB.Problems], the log), never served and never taken for "not found"; all others are served.
//
// bbolt makes a new database of an empty file and can be killed while it does. So the first creation happens beside
// the file and is renamed into place, and a marker tells a store that was lost from one that never was.
//
// # A power failure amid a commit
//
// bbolt syncs twice for a commit: its pages, then the meta page that leads to them. Here one sync takes both to the disk,
// in any order, and the next transaction begins after it. So a power failure may leave a meta page whose transaction is
// there in part. It is noticed: the books say which transaction they are of, and what every bucket then had. The other
// meta page leads to the tree before, none of whose pages the last transaction wrote to; the store goes back to it
// ([RemedyUndo]), and as nobody was told that the transaction was done, nothing is lost and the store isn't taken for
// restored.
//
// That is believed only where it can have happened. The file of the epoch mustn't know that the disk had the transaction,
// the system must have been started anew since, and what is found on its pages must be what some transaction wrote. If it
// isn't, the transaction may have been acknowledged and then damaged: its leases are taken as far as they can be read, and
// the store is taken for restored ([RemedyStepBack]). What can't be told apart is a flipped bit in the number of a page,
// in a transaction of the minute before a power failure; then what one group of writes was told is undone, as the log says.
//
// # Damage
//
// bbolt answers a damaged file with a panic or a bus error. So [Opener.Open] has the file checked before it opens it, each
// time; that of 60 000 leases takes a fifth of a second, so nothing is gained by trusting the last shutdown. The check
// first reads the file by itself (see image), then has bbolt look, in a process of its own ([Check]). It finds what bbolt
// can't: each record's checksum, indices and records that disagree, and, by the books that each transaction keeps, trees
// that are whole but lack a page's records or have earlier ones.
//
// A single damaged record doesn't matter to the others. A lease is mended from its last event, an index from the
// records; what is known from nowhere else is left out until it is overwritten or deleted.
//
// A file that is damaged as a whole, or gone, is kept under another name and replaced by the newest good snapshot and
// what can be read of the file itself, record by record. What is lost at worst is what was written since that snapshot
// (ten minutes) on pages that can't be read. Numbers of events that were lost may be used again. [DB.Restored] says
// since when the leases may be incomplete, so that addresses are probed before they are offered. Without a good snapshot
// the store isn't opened. Snapshots are hot copies that passed the same check: dialtone.db.1 is the newest.
//
// An older copy that somebody puts in the store's place is noticed by its epoch, which a file beside it knows, too
// ([Epoch]), and is treated as restored.
//
// # Secrets
//
// Values of type Secret, and the seeds of second factors, are sealed one by one with a key in a file of its own, dialtone.key
// (see place and ring), when a record is encoded, and opened when it is decoded. What needs no secret, [Check] above all,
// needs no key. A secret that doesn't open makes its record a damaged one. [DB.RotateKey] changes the key.
//
// # A disk that fails
//
// A commit that fails for want of space was surely not written (ErrReadOnly), and the next one is tried as ever: it is
// over when there is space again. After any other failure, of the sync above all, nobody knows what the disk holds. Then
// nothing is written, and leases and events aren't read, until [DB.Run] has written all of the file to a new one, without
// the failed commit if pages of that are gone, had that checked and put it in place, at most eight seconds after the disk
// takes it. The process goes on: it can still serve files and confirm leases.
//
// # Keys and values
//
// Integers are big-endian, so that iteration is in order. Each value is a CRC-32C in four bytes and a payload.
//
//	bucket          key                      payload
//	meta            "schema"                 version of this layout, 4 bytes; this line holds for all versions
//	meta            "books"                  count and sum of the records of each bucket, and the transaction, JSON
//	meta            "epoch"                  the opening of the store, JSON; see Epoch
//	meta            "restored"               when an earlier store was put in place, seconds since 1970, 8 bytes
//	meta            "key"                    ID of the key that all secrets are sealed with
//	meta            "scrub"                  there while copies of before they were may be on the disk
//	leases          IPv4 address, 4 bytes    tagged fields, see fields.go
//	events          Seq, 8 bytes             tagged fields
//	cursors         name of the reader       Seq, 8 bytes
//	devices         device ID                Rev, 8 bytes, then JSON
//	device-mac      MAC, 6 bytes             device ID
//	device-serial   serial number            device ID
//	device-uuid     UUID                     device ID
//	device-config   config ID, 0, device ID  device ID
//	configs         config ID                Rev, 8 bytes, then JSON
//	config-role     role                     config ID
//	config-parent   parent ID, 0, config ID  config ID
//	networks        "declared"               Rev, 8 bytes, then JSON
//	revisions       config ID, 0, Number     JSON; the number in 8 bytes
//	gate            "window", 0, ID          JSON
//	gate            "aside", 0, key          JSON
//	access          "user", 0, name          Rev, 8 bytes, then JSON
//	access          "token", 0, ID           Rev, 8 bytes, then JSON
//	access          "sum", 0, sum of token   token ID
//	audit           Seq, 8 bytes             JSON
//
// Fields that a newer version added to a record are skipped by an older one of the same schema.
package store
