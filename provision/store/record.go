package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The buckets; doc.go has their layout.
const (
	bucketMeta         = "meta"
	bucketLeases       = "leases"
	bucketEvents       = "events"
	bucketCursors      = "cursors"
	bucketDevices      = "devices"
	bucketDeviceMAC    = "device-mac"
	bucketDeviceSerial = "device-serial"
	bucketDeviceUUID   = "device-uuid"
	bucketDeviceConfig = "device-config"
	bucketConfigs      = "configs"
	bucketConfigRole   = "config-role"
	bucketConfigParent = "config-parent"
	bucketNetworks     = "networks"
	bucketRevisions    = "revisions"
	bucketGate         = "gate"
	bucketAccess       = "access"
	bucketAudit        = "audit"
)

var (
	errChecksum = errors.New("the checksum does not fit")
	errShort    = errors.New("it is cut short")
)

const sumSize = 4

// seal returns the value that stands for a payload under a key.
func seal(bucket string, key, payload []byte) []byte {
	value := make([]byte, sumSize, sumSize+len(payload))
	binary.BigEndian.PutUint32(value, checksum(bucket, key, payload))
	return append(value, payload...)
}

// unseal returns the payload of a value that was read under a key. It is a part of the value.
func unseal(bucket string, key, value []byte) ([]byte, error) {
	if len(value) < sumSize {
		return nil, errShort
	}
	payload := value[sumSize:]
	if binary.BigEndian.Uint32(value) != checksum(bucket, key, payload) {
		return nil, errChecksum
	}
	return payload, nil
}

// checksum takes the key's length in, too, so that no byte can move between key and payload unnoticed.
func checksum(bucket string, key, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(bucket))
	sum = crc32.Update(sum, table, binary.BigEndian.AppendUint32(nil, uint32(len(key)))) //nolint:gosec // bbolt's keys end at 32 KiB
	sum = crc32.Update(sum, table, key)
	return crc32.Update(sum, table, payload)
}

// withRev puts a revision before a record's body; splitRev takes it off.
func withRev(rev uint64, body []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), rev), body...)
}

func splitRev(payload []byte) (rev uint64, body []byte, err error) {
	if len(payload) < 8 {
		return 0, nil, errShort
	}
	return binary.BigEndian.Uint64(payload), payload[8:], nil
}
