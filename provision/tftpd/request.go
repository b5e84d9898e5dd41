package tftpd

import (
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

// largestWindow is how many blocks are sent without an acknowledgement at most: more than 64 gain little.
const largestWindow = 64

// request is a read request with only what we understand.
type request struct {
	name     string
	netascii bool
	block    int  // the block size to acknowledge; zero: the client gets 512 without asking
	size     bool // the file's size is asked for
	timeout  int  // the resend timer to acknowledge, in seconds; zero: ours
	window   int  // how many blocks to send before waiting; zero: one, and not acknowledged
}

// parseRequest reads a datagram that came to the listening port. limit is the largest block that we send.
//
// Of an option that stands twice the first one counts; unknown ones and those with senseless values are left out, which
// RFC 2347 takes for a refusal of that option alone. So are block sizes under 512: the library has none. A phone that
// asked for less must be ready to get 512, the size that is used when the server doesn't acknowledge one. A text gets
// neither its size, which isn't known before it is converted, nor a window.
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
		case name == "timeout" && value >= 1 && value <= 255:
			rq.timeout = value
		case name == "tsize" && !rq.netascii:
			rq.size = true
		case name == "windowsize" && !rq.netascii && value >= 1 && value <= 65535:
			rq.window = min(value, largestWindow)
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

// datagram returns the request as the library is to see it: it cuts and converts the file. Its name is the pipeline's
// affair, and the other options are the transfer's.
func (r request) datagram() []byte {
	b := append(make([]byte, 0, 64), 0, opRead)
	if r.netascii {
		b = append(b, "file\x00netascii\x00"...)
	} else {
		b = append(b, "file\x00octet\x00"...)
	}
	if r.block > 0 {
		b = option(b, "blksize", int64(r.block))
	}
	return b
}

// oack returns the acknowledgement of the options (RFC 2347), or nil if there is nothing to acknowledge. size is the
// file's.
func (r request) oack(size int64) []byte {
	if r.block == 0 && !r.size && r.timeout == 0 && r.window == 0 {
		return nil
	}
	b := append(make([]byte, 0, 80), 0, opOAck)
	if r.block > 0 {
		b = option(b, "blksize", int64(r.block))
	}
	if r.size {
		b = option(b, "tsize", size)
	}
	if r.timeout > 0 {
		b = option(b, "timeout", int64(r.timeout))
	}
	if r.window > 0 {
		b = option(b, "windowsize", int64(r.window))
	}
	return b
}

// option appends an option (RFC 2347).
func option(b []byte, name string, value int64) []byte {
	b = append(append(b, name...), 0)
	return append(strconv.AppendInt(b, value, 10), 0)
}

// blockSize returns the size of the blocks that the client will get.
func (r request) blockSize() int {
	if r.block > 0 {
		return r.block
	}
	return defaultBlock
}

// refusal is a whole ERROR datagram (RFC 1350 §5). There are no others: what went wrong stands in the outcome and the
// log, never on the wire.
type refusal string

// The refusals. A file that is forbidden is refused like one that doesn't exist.
const (
	notFound   refusal = "\x00\x05\x00\x01File not found\x00"
	violation  refusal = "\x00\x05\x00\x02Access violation\x00"
	illegal    refusal = "\x00\x05\x00\x04Illegal TFTP operation\x00"
	unknownTID refusal = "\x00\x05\x00\x05Unknown transfer ID\x00"
	temporary  refusal = "\x00\x05\x00\x00Temporary failure, try again\x00"
)
