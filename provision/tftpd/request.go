package tftpd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// Opcodes (RFC 1350 §5, RFC 2347).
const (
	opRead  = 1
	opWrite = 2
	opData  = 3
	opAck   = 4
	opError = 5
	opOAck  = 6
)

// Limits of a request. RFC 2347 bounds the datagram.
const (
	maxRequest = 512
	maxName    = 255
)

// Sizes of a data block. defaultBlock is RFC 1350's, largestBlock RFC 2348's. wireBlock fits an Ethernet frame with
// room for a tunnel, so that blocks aren't cut into IP fragments.
const (
	defaultBlock = 512
	wireBlock    = 1428
	largestBlock = 65464
)

// Why a datagram isn't a read request that we serve.
var (
	errNoRequest = errors.New("neither read nor write request") // answered with silence: it may be a stray reply
	errWrite     = errors.New("write request")
	errIllegal   = errors.New("malformed request")
)

// request is a read request with only what the library understands.
type request struct {
	name     string
	netascii bool
	block    int // the block size to acknowledge; zero: the client gets 512 without asking
	size     bool
}

// parseRequest reads a datagram that came to the listening port. limit is the largest block that we send.
//
// Of an option that stands twice the first one counts; unknown ones and those with senseless values are left out, which
// RFC 2347 takes for a refusal of that option alone. So are block sizes under 512: the library has none. A phone that
// asked for less must be ready to get 512, the size that is used when the server doesn't acknowledge one.
func parseRequest(b []byte, limit int) (request, error) {
	if len(b) < 2 {
		return request{}, errNoRequest
	}
	switch binary.BigEndian.Uint16(b) {
	case opRead:
	case opWrite:
		return request{}, errWrite
	default:
		return request{}, errNoRequest
	}
	body := b[2:]
	if len(b) > maxRequest || len(body) == 0 || body[len(body)-1] != 0 {
		return request{}, errIllegal
	}
	parts := strings.Split(string(body[:len(body)-1]), "\x00")
	if len(parts) < 2 || parts[0] == "" || len(parts[0]) > maxName {
		return request{}, errIllegal
	}
	rq := request{name: parts[0]}
	switch strings.ToLower(parts[1]) {
	case "octet":
	case "netascii":
		rq.netascii = true
	default: // RFC 1350 §1: mail is obsolete
		return request{}, errIllegal
	}
	seen := map[string]bool{}
	for opts := parts[2:]; len(opts) >= 2; opts = opts[2:] {
		name := strings.ToLower(opts[0])
		if seen[name] {
			continue
		}
		seen[name] = true
		value, ok := number(opts[1])
		switch {
		case !ok:
		case name == "blksize" && value >= defaultBlock && value <= largestBlock:
			rq.block = min(value, limit)
		case name == "tsize" && !rq.netascii:
			// The size of a text isn't known before it is converted.
			rq.size = true
		}
	}
	return rq, nil
}

// number reads an option's value: decimal digits (RFC 2347), not too many.
func number(s string) (int, bool) {
	if s == "" || len(s) > 10 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// sizeUnset stands for the size in the request that the library gets. It takes "0" for "no size known" and would leave
// the option out for an empty file; "00" it takes for a number. [trueSize] makes a zero of it again.
const sizeUnset = "00"

// datagram returns the request as the library is to see it. It is never longer than RFC 2347 allows.
func (r request) datagram() []byte {
	mode := "octet"
	if r.netascii {
		mode = "netascii"
	}
	// The library asks the pipeline nothing, so the name doesn't matter to it.
	b := append([]byte{0, opRead}, "file\x00"+mode+"\x00"...)
	if r.block > 0 {
		b = append(b, "blksize\x00"+strconv.Itoa(r.block)+"\x00"...)
	}
	if r.size {
		b = append(b, "tsize\x00"+sizeUnset+"\x00"...)
	}
	return b
}

// blockSize returns the size of the blocks that the client will get.
func (r request) blockSize() int {
	if r.block > 0 {
		return r.block
	}
	return defaultBlock
}

// trueSize puts the size of an empty file into an OACK.
func trueSize(oack []byte) []byte {
	return bytes.Replace(oack, []byte("tsize\x00"+sizeUnset+"\x00"), []byte("tsize\x000\x00"), 1)
}

// refusal is a whole ERROR datagram (RFC 1350 §5). There are no others: what went wrong stands in the outcome and the
// log, never on the wire.
type refusal string

// The refusals. A file that is forbidden is refused like one that doesn't exist.
const (
	notFound    refusal = "\x00\x05\x00\x01File not found\x00"
	violation   refusal = "\x00\x05\x00\x02Access violation\x00"
	illegal     refusal = "\x00\x05\x00\x04Illegal TFTP operation\x00"
	unknownTID  refusal = "\x00\x05\x00\x05Unknown transfer ID\x00"
	temporary   refusal = "\x00\x05\x00\x00Temporary failure, try again\x00"
	endOfClient refusal = "\x00\x05\x00\x00\x00" // given to the library, never sent
)
