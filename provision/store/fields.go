package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Leases and events are written on the path of a reply and read by the ten thousand, so they have a binary form: a
// format byte, then fields, each of them a tag, a length (both as uvarint) and that many bytes. Fields that are empty
// are left out, and tags that aren't known are skipped.
const formatFields = 1

// The tags of a lease's fields. Numbers are never used for another meaning.
const (
	tagAddr = iota + 1
	tagNetwork
	tagState
	tagOrigin
	tagStart
	tagExpiry
	tagRev
	tagHW
	tagClientID
	tagVendorClass
	tagUserClass
	tagHostname
	tagParams
	tagCircuit
	tagRemote
	tagRelay
	tagBoot
	tagLastBoot
)

// The tags of an event's fields. Its number is its key.
const (
	tagEventAt = iota + 1
	tagEventKind
	tagEventLease
	tagEventPrev
)

// maxFields bounds what one lease or event may take. What a client says fits a packet, and is far from it.
const maxFields = 64 << 10

var (
	errFormat = errors.New("its format is unknown")
	errLarge  = fmt.Errorf("it would take more than %d bytes", maxFields)
)

func encodeLease(l lease.Lease) ([]byte, error) {
	if !l.Addr.Is4() {
		return nil, fmt.Errorf("%s is not an IPv4 address", l.Addr)
	}
	if relay := l.Client.Relay; relay.IsValid() && !relay.Is4() {
		return nil, fmt.Errorf("relay agent %s: not an IPv4 address", relay)
	}
	b := appendLease([]byte{formatFields}, l)
	if len(b) > maxFields {
		return nil, errLarge
	}
	return b, nil
}

func appendLease(b []byte, l lease.Lease) []byte {
	b = appendField(b, tagAddr, l.Addr.AsSlice())
	b = appendField(b, tagNetwork, l.Network)
	b = appendNumber(b, tagState, uint64(l.State))
	b = appendNumber(b, tagOrigin, uint64(l.Origin))
	b = appendTime(b, tagStart, l.Start)
	b = appendTime(b, tagExpiry, l.Expiry)
	b = appendNumber(b, tagRev, l.Rev)
	c := l.Client
	if !c.HW.IsZero() {
		b = appendField(b, tagHW, c.HW[:])
	}
	b = appendField(b, tagClientID, c.ID)
	b = appendField(b, tagVendorClass, c.VendorClass)
	b = appendField(b, tagUserClass, c.UserClass)
	b = appendField(b, tagHostname, c.Hostname)
	b = appendField(b, tagParams, c.Params)
	b = appendField(b, tagCircuit, c.Circuit)
	b = appendField(b, tagRemote, c.Remote)
	b = appendField(b, tagRelay, c.Relay.AsSlice())
	b = appendNumber(b, tagBoot, uint64(l.Boot))
	return appendNumber(b, tagLastBoot, uint64(l.LastBoot))
}

func decodeLease(payload []byte) (lease.Lease, error) {
	fields, err := trimFormat(payload)
	if err != nil {
		return lease.Lease{}, err
	}
	return readLease(fields)
}

func readLease(fields []byte) (l lease.Lease, err error) {
	err = eachField(fields, func(tag uint64, v []byte) (err error) {
		switch tag {
		case tagAddr:
			if len(v) != 4 {
				return fmt.Errorf("an address of %d bytes", len(v))
			}
			l.Addr = netip.AddrFrom4([4]byte(v))
		case tagNetwork:
			l.Network = network.ID(v)
		case tagState:
			l.State, err = readByte[lease.State](v)
		case tagOrigin:
			l.Origin, err = readByte[lease.Origin](v)
		case tagStart:
			l.Start, err = readTime(v)
		case tagExpiry:
			l.Expiry, err = readTime(v)
		case tagRev:
			l.Rev, err = readNumber(v)
		case tagHW:
			if len(v) != len(hwaddr.Addr{}) {
				return fmt.Errorf("a hardware address of %d bytes", len(v))
			}
			l.Client.HW = hwaddr.Addr(v)
		case tagClientID:
			l.Client.ID = string(v)
		case tagVendorClass:
			l.Client.VendorClass = string(v)
		case tagUserClass:
			l.Client.UserClass = string(v)
		case tagHostname:
			l.Client.Hostname = string(v)
		case tagParams:
			l.Client.Params = slices.Clone(v)
		case tagCircuit:
			l.Client.Circuit = string(v)
		case tagRemote:
			l.Client.Remote = string(v)
		case tagRelay:
			if len(v) != 4 {
				return fmt.Errorf("a relay agent's address of %d bytes", len(v))
			}
			l.Client.Relay = netip.AddrFrom4([4]byte(v))
		case tagBoot:
			l.Boot, err = readBoot(v)
		case tagLastBoot:
			l.LastBoot, err = readBoot(v)
		}
		return err
	})
	if err == nil && !l.Addr.IsValid() {
		err = errors.New("a lease without an address")
	}
	return l, err
}

func readBoot(v []byte) (uint32, error) {
	n, err := readNumber(v)
	if err == nil && n > math.MaxUint32 {
		err = fmt.Errorf("a start numbered %d", n)
	}
	return uint32(n), err //nolint:gosec // as just checked
}

// encodeEvent writes an event without its number.
func encodeEvent(e lease.Event) ([]byte, error) {
	b := []byte{formatFields}
	b = appendTime(b, tagEventAt, e.At)
	b = appendNumber(b, tagEventKind, uint64(e.Kind))
	b = appendField(b, tagEventLease, appendLease(nil, e.Lease))
	if e.Prev.Addr.IsValid() {
		b = appendField(b, tagEventPrev, appendLease(nil, e.Prev))
	}
	if len(b) > maxFields {
		return nil, errLarge
	}
	return b, nil
}

func decodeEvent(seq uint64, payload []byte) (lease.Event, error) {
	e := lease.Event{Seq: seq}
	fields, err := trimFormat(payload)
	if err != nil {
		return e, err
	}
	err = eachField(fields, func(tag uint64, v []byte) (err error) {
		switch tag {
		case tagEventAt:
			e.At, err = readTime(v)
		case tagEventKind:
			e.Kind, err = readByte[lease.Kind](v)
		case tagEventLease:
			e.Lease, err = readLease(v)
		case tagEventPrev:
			e.Prev, err = readLease(v)
		}
		return err
	})
	if err == nil && !e.Lease.Addr.IsValid() {
		err = errors.New("an event without a lease")
	}
	return e, err
}

func trimFormat(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, errShort
	}
	if payload[0] != formatFields {
		return nil, errFormat
	}
	return payload[1:], nil
}

// appendField writes a field unless it is empty.
func appendField[T ~string | ~[]byte](b []byte, tag uint64, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, tag)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendNumber(b []byte, tag, n uint64) []byte {
	if n == 0 {
		return b
	}
	return appendField(b, tag, binary.AppendUvarint(nil, n))
}

// appendTime writes seconds and nanoseconds, so that any time fits, also one that means "never".
func appendTime(b []byte, tag uint64, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	v := binary.AppendVarint(make([]byte, 0, 2*binary.MaxVarintLen64), t.Unix())
	return appendField(b, tag, binary.AppendUvarint(v, uint64(t.Nanosecond()))) //nolint:gosec // never negative
}

// eachField calls f for each field in turn, to the first error. The value is a part of b.
func eachField(b []byte, f func(tag uint64, v []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return errShort
		}
		size, m := binary.Uvarint(b[n:])
		if m <= 0 || size > uint64(len(b)-n-m) { //nolint:gosec // the two numbers were within b
			return errShort
		}
		b = b[n+m:]
		if err := f(tag, b[:size]); err != nil {
			return fmt.Errorf("field %d: %w", tag, err)
		}
		b = b[size:]
	}
	return nil
}

func readNumber(v []byte) (uint64, error) {
	n, size := binary.Uvarint(v)
	if size != len(v) || size <= 0 {
		return 0, errors.New("not a number")
	}
	return n, nil
}

func readByte[T ~uint8](v []byte) (T, error) {
	n, err := readNumber(v)
	if err == nil && n > 0xff {
		err = errors.New("a number out of range")
	}
	return T(n), err
}

func readTime(v []byte) (time.Time, error) {
	sec, n := binary.Varint(v)
	if n <= 0 {
		return time.Time{}, errors.New("not a time")
	}
	nsec, err := readNumber(v[n:])
	if err != nil || nsec > 999_999_999 {
		return time.Time{}, errors.New("not a time")
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}
