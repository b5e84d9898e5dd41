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
// the file and is renamed into place, and a marker tells a store that was lost from one that never was ([Open]).
//
// # Keys and values
//
// Integers are big-endian, so that iteration is in order. Each value is a CRC-32C in four bytes and a payload.
//
//	bucket          key                      payload
//	meta            "schema"                 version of this layout, 4 bytes; this line holds for all versions
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
//
// Fields that a newer version added to a record are skipped by an older one of the same schema.
package store
