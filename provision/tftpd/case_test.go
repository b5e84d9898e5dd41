package tftpd

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCase runs the cases of the conformance list by their ids.
func TestCase(t *testing.T) {
	t.Parallel()
	steps := make(map[string][]func(*testing.T))
	s := start(t, serving(names), nil)
	for _, x := range exchanges() {
		steps[x.id] = append(steps[x.id], func(t *testing.T) { t.Run(x.variant, func(t *testing.T) { x.run(t, s) }) })
	}
	for _, group := range []map[string]func(*testing.T){
		requestCases(), optionCases(), flowCases(), limitCases(), pipelineCases(), engineCases(),
	} {
		for id, run := range group {
			steps[id] = append(steps[id], run)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(steps)) {
		t.Run(id, func(t *testing.T) {
			for i, run := range steps[id] {
				t.Run(string(rune('a'+i)), run)
			}
		})
	}
}

// exchange is a case that is a request and its answer.
type exchange struct {
	id, variant string
	request     []byte
	want        string
	options     map[string]string
	err         error
}

func (x exchange) run(t *testing.T, s *Server) {
	t.Helper()
	got, options, err := dial(t, s).fetch(x.request)
	if !errors.Is(err, x.err) {
		t.Fatalf("error: got %v, want %v", err, x.err)
	}
	if string(got) != x.want {
		t.Errorf("content: got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(x.want), x.want)
	}
	if diff := cmp.Diff(x.options, options); diff != "" {
		t.Errorf("OACK (-want +got):\n%s", diff)
	}
}

func exchanges() []exchange {
	big := map[string]string{"blksize": "1428"}
	return []exchange{
		{"T-RRQ-01", "", rrq("SEP001122334455.cnf.xml", "octet"), names["SEP001122334455.cnf.xml"], nil, nil},
		{"T-RRQ-02", "512", rrq("b512", "octet"), names["b512"], nil, nil},
		{"T-RRQ-02", "1024", rrq("b1024", "octet"), names["b1024"], nil, nil},
		{"T-RRQ-02", "511", rrq("b511", "octet"), names["b511"], nil, nil},
		{"T-RRQ-02", "513", rrq("b513", "octet"), names["b513"], nil, nil},
		{"T-RRQ-02", "2x1428", rrq("b2856", "octet", "blksize", "1428"), names["b2856"], big, nil},
		{"T-RRQ-03", "", rrq("empty", "octet"), "", nil, nil},
		{"T-RRQ-04", "", rrq("missing", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-06", "dot", rrq(".", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-06", "directory", rrq("dir", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-07", "OCTET", rrq("dir/x", "OCTET"), names["dir/x"], nil, nil},
		{"T-RRQ-07", "NetASCII", rrq("text", "NetASCII"), "one\r\ntwo\r\x00three\r\x00\r\n", nil, nil},
		{"T-RRQ-08", "mail", rrq("dir/x", "mail"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-08", "empty", rrq("dir/x", ""), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-09", "no mode", rrq("dir/x"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-09", "no NUL", []byte("\x00\x01dir/x\x00octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-10", "", rrq("", "octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-11", "slash", rrq("/dir/x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-11", "slashes", rrq("//dir//x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-11", "dot", rrq("./dir/x", "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-12", "", rrq(`\dir\x`, "octet"), names["dir/x"], nil, nil},
		{"T-RRQ-14", "", rrq("../x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14", "backslash", rrq(`..\x`, "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14", "inside", rrq("a/../../x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14", "percent", rrq("%2e%2e/x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-14", "overlong", rrq("\xc0\xae\xc0\xae/x", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-RRQ-17", "name", rrq(strings.Repeat("n", 256), "octet"), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-17", "request", rrq("dir/x", "octet", "x", strings.Repeat("y", 600)), "", nil, wireError{4, "Illegal TFTP operation"}},
		{"T-RRQ-18", "", rrq("a\x1b[31mb", "octet"), "", nil, wireError{1, "File not found"}},
		{"T-OPT-01", "", rrq("dir/x", "octet", "BLKSIZE", "1428"), names["dir/x"], big, nil},
		{"T-OPT-02", "", rrq("dir/x", "octet", "utimeout", "9", "blksize", "1428"), names["dir/x"], big, nil},
		{"T-OPT-03", "", rrq("dir/x", "octet", "multicast", "", "rollover", "0", "windowsize", "0", "timeout", "0"), names["dir/x"], nil, nil},
		{"T-OPT-04", "512", rrq("b513", "octet", "blksize", "512"), names["b513"], map[string]string{"blksize": "512"}, nil},
		{"T-OPT-06", "65464", rrq("b2856", "octet", "blksize", "65464"), names["b2856"], big, nil},
		{"T-OPT-04", "1428", rrq("b2856", "octet", "blksize", "1428"), names["b2856"], big, nil},
		{"T-OPT-04", "1468", rrq("b2856", "octet", "blksize", "1468"), names["b2856"], big, nil},
		{"T-OPT-05", "7", rrq("b513", "octet", "blksize", "7"), names["b513"], nil, nil},
		{"T-OPT-05", "0", rrq("b513", "octet", "blksize", "0"), names["b513"], nil, nil},
		{"T-OPT-05", "-1", rrq("b513", "octet", "blksize", "-1"), names["b513"], nil, nil},
		{"T-OPT-05", "abc", rrq("b513", "octet", "blksize", "abc"), names["b513"], nil, nil},
		{"T-OPT-05", "65465", rrq("b513", "octet", "blksize", "65465"), names["b513"], nil, nil},
		{"T-OPT-05", "huge", rrq("b513", "octet", "blksize", strings.Repeat("9", 40)), names["b513"], nil, nil},
		{"T-OPT-08", "", rrq("b513", "octet", "tsize", "0"), names["b513"], map[string]string{"tsize": "513"}, nil},
		{"T-OPT-08", "empty", rrq("empty", "octet", "tsize", "0"), "", map[string]string{"tsize": "0"}, nil},
		{"T-OPT-09", "", rrq("b513", "octet", "tsize", "777"), names["b513"], map[string]string{"tsize": "513"}, nil},
		{"T-OPT-10", "", rrq("text", "netascii", "tsize", "0"), "one\r\ntwo\r\x00three\r\x00\r\n", nil, nil},
		{
			"T-OPT-14", "", rrq("b513", "octet", "windowsize", "4", "tsize", "0", "blksize", "600"), names["b513"],
			map[string]string{"tsize": "513", "blksize": "600", "windowsize": "4"},
			nil,
		},
		{"T-OPT-17", "", rrq("b513", "octet", "blksize", "600", "BlkSize", "700"), names["b513"], map[string]string{"blksize": "600"}, nil},
		{"T-OPT-18", "", rrq("b513", "octet", "blksize"), names["b513"], nil, nil},
		{"T-OPT-19", "", rrq("b513", "octet", "x", strings.Repeat("z", 400), "blksize", "1428"), names["b513"], big, nil},
		{"T-OPT-11", "1", rrq("b513", "octet", "timeout", "1"), names["b513"], map[string]string{"timeout": "1"}, nil},
		{"T-OPT-11", "255", rrq("b513", "octet", "timeout", "255"), names["b513"], map[string]string{"timeout": "255"}, nil},
		{"T-OPT-11", "0", rrq("b513", "octet", "timeout", "0"), names["b513"], nil, nil},
		{"T-OPT-11", "256", rrq("b513", "octet", "timeout", "256"), names["b513"], nil, nil},
		{"T-OPT-11", "abc", rrq("b513", "octet", "timeout", "abc"), names["b513"], nil, nil},
		{"T-OPT-12", "4", rrq("long", "octet", "windowsize", "4"), names["long"], map[string]string{"windowsize": "4"}, nil},
		{"T-OPT-12", "16", rrq("long", "octet", "windowsize", "16"), names["long"], map[string]string{"windowsize": "16"}, nil},
		{"T-OPT-12", "64", rrq("long", "octet", "windowsize", "64"), names["long"], map[string]string{"windowsize": "64"}, nil},
		{"T-OPT-12", "1000", rrq("long", "octet", "windowsize", "1000"), names["long"], map[string]string{"windowsize": "64"}, nil},
		{"T-OPT-12", "0", rrq("long", "octet", "windowsize", "0"), names["long"], nil, nil},
		{"T-OPT-12", "65536", rrq("long", "octet", "windowsize", "65536"), names["long"], nil, nil},
		{
			"T-ASC-02", "", rrq("text", "netascii", "windowsize", "8", "tsize", "0", "blksize", "600"),
			"one\r\ntwo\r\x00three\r\x00\r\n",
			map[string]string{"blksize": "600"},
			nil,
		},
		{"T-WRQ-01", "", append([]byte{0, opWrite}, "dir/x\x00octet\x00"...), "", nil, wireError{2, "Access violation"}},
		{"T-WRQ-01", "malformed", []byte{0, opWrite, 0}, "", nil, wireError{2, "Access violation"}},
	}
}
