package trace

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/dialtone-project/dialtone/provision"
)

// index knows which lines of the segments are about which device, so that a phone's history is read without reading
// everybody's. It follows the files: what was written since it last looked is read when it is next asked, or, which Run
// sees to, before. The zero value knows nothing yet. It is as bounded as the log: 16 bytes a line, and the devices' IDs.
type index struct {
	mu       sync.Mutex // guards what follows, and is held while files are read: one reads, the others get what it found
	segments map[string]*segment
}

// segment is what is known of one file.
type segment struct {
	read  int64             // bytes: up to the end of a line
	lines map[string][]line // by the device's ID as JSON, in the order of the file
}

type line struct {
	at     int64
	length int32
}

// What begins a device, and a request's path, in an outcome's line. In a text of a client's the quotes would have backslashes.
const (
	ofDevice = `"device":{"id":`
	ofPath   = `,"path":`
)

// follow takes in what the segments have got, and forgets those that are gone.
func (x *index) follow(names []string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := make(map[string]*segment, len(names))
	for _, name := range names {
		s := x.segments[name]
		if s == nil {
			s = &segment{lines: make(map[string][]line)}
		}
		if err := s.follow(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		known[name] = s
	}
	x.segments = known
	return nil
}

func (s *segment) follow(name string) error {
	info, err := os.Stat(name)
	if err != nil || info.Size() == s.read {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.NewSectionReader(f, s.read, info.Size()-s.read), 64<<10)
	var begun []byte // of a line that is longer than the reader's buffer
	for {
		part, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			begun = append(begun, part...)
			continue
		case errors.Is(err, io.EOF): // what follows the last newline isn't written to its end
			return nil
		case err != nil:
			return err
		}
		if len(begun) > 0 {
			begun = append(begun, part...)
			part = begun
		}
		s.add(part)
		begun = begun[:0]
	}
}

// add takes in the next line, with its newline.
func (s *segment) add(text []byte) {
	l := line{at: s.read, length: int32(len(text))} //nolint:gosec // a line is of one outcome, whose parts are bounded
	s.read += int64(len(text))
	if id := quoted(text, ofDevice); id != nil {
		s.lines[string(id)] = append(s.lines[string(id)], l)
	}
}

// quoted returns the JSON string that follows the first occurrence of a text, with its quotes; nil: there is none.
func quoted(line []byte, after string) []byte {
	_, rest, ok := bytes.Cut(line, []byte(after))
	if !ok {
		return nil
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[:i+1]
		}
	}
	return nil
}

// of returns where a device's lines stand in a segment.
func (x *index) of(name string, id []byte) []line {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.segments[name]; s != nil {
		return s.lines[string(id)] // what is there already doesn't change
	}
	return nil
}

// ByDevice returns the last n outcomes of a device, newest first; all if n isn't positive.
func (l *Log) ByDevice(ctx context.Context, id provision.DeviceID, n int) ([]*provision.Outcome, error) {
	quoted, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	names, err := l.indexed()
	if err != nil {
		return nil, err
	}
	seen := make(map[uint64]bool)
	var out []*provision.Outcome
	for i := len(names) - 1; i >= 0 && (n <= 0 || len(out) < n); i-- {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		lines := l.index.of(names[i], quoted)
		if len(lines) == 0 {
			continue
		}
		err := l.read(ctx, names[i], lines, func(o *provision.Outcome) bool {
			if o.Device.ID == id && !seen[o.Request.ID] {
				seen[o.Request.ID] = true
				out = append(out, o)
			}
			return n <= 0 || len(out) < n
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) { // dropped meanwhile
			return out, err
		}
	}
	return out, nil
}

// read yields the outcomes of some lines of a segment, the last first, until yield says that it is enough.
func (l *Log) read(ctx context.Context, name string, lines []line, yield func(*provision.Outcome) bool) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	var text []byte
	var reader provision.OutcomeReader
	for _, at := range slices.Backward(lines) {
		text = slices.Grow(text[:0], int(at.length))[:at.length]
		if _, err := f.ReadAt(text, at.at); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		o := new(provision.Outcome)
		if err := reader.Read(text, o); err != nil {
			l.log().WarnContext(ctx, "a line of the trace can't be read and is left out", "file", name, "err", err)
			continue
		}
		if !yield(o) {
			return nil
		}
	}
	return nil
}

// indexed returns the segments, the oldest first, all of whose lines the index knows.
func (l *Log) indexed() ([]string, error) {
	l.mu.Lock()
	names, err := l.names()
	l.mu.Unlock()
	if err == nil {
		err = l.index.follow(names)
	}
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return names, nil
}

// follow lets the index know what was written, so that nobody who asks has to wait for it.
func (l *Log) follow(ctx context.Context) {
	if _, err := l.indexed(); err != nil && ctx.Err() == nil {
		l.log().DebugContext(ctx, "the trace's index will be made when it is asked", "err", err)
	}
}
