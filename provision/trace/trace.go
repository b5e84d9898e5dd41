// Package trace keeps the outcomes of requests on disk, so that what happened to a phone on Saturday can be seen on
// Monday.
//
// A [Log] is a folder of files with one JSON object a line, each an outcome as the API shows it: no config value and no
// body is in them. It is written in batches beside the pipeline: no phone ever waits for it, and its loss costs no more
// than history. It is bounded by size and age.
package trace

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// The bounds of a log that names none.
const (
	DefaultMaxBytes = 64 << 20
	DefaultMaxAge   = 30 * 24 * time.Hour
)

const (
	segments   = 16             // of MaxBytes, one is dropped at a time
	flushAfter = time.Second    // an outcome waits no longer than this
	gap        = 1000           // IDs that are skipped after a start: those of outcomes that were lost with the process
	buffered   = 4096           // outcomes between the pipeline and the writer, and at most in a batch
	chunkSize  = 256 << 10      // bytes of lines that are written at a time
	suffix     = ".trace.jsonl" // of a segment's name, after the ID of its first outcome
)

// Log is a folder of outcomes. Fill it in, then call Load once, then Run; the other methods may be called at any time.
type Log struct {
	Dir      string
	MaxBytes int64         // zero: DefaultMaxBytes
	MaxAge   time.Duration // zero: DefaultMaxAge
	Log      *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	mu   sync.Mutex // guards the folder: one writes, or one reads
	file *os.File   // the segment that is written to; nil: none yet
	size int64
	last uint64 // the last ID in the files

	chunk   bytes.Buffer // of Run
	fetches fetches
	index   index
}

// Load returns the newest n outcomes, the oldest first, and the number after which new IDs may be given. A line that
// can't be read, such as one that a power cut has torn, is left out and said in the log.
func (l *Log) Load(ctx context.Context, n int) ([]*provision.Outcome, uint64, error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("trace: %w", err)
	}
	newest := make(map[uint64]*provision.Outcome, n)
	err := l.scan(ctx, nil, nil, func(o *provision.Outcome) bool {
		l.last = max(l.last, o.Request.ID)
		if _, ok := newest[o.Request.ID]; ok || len(newest) < n {
			if !ok { // of two lines about one request the newer one, which is met first, has more to tell
				newest[o.Request.ID] = o
			}
			return true
		}
		return false
	})
	if err != nil {
		return nil, 0, err
	}
	if l.last == 0 {
		return nil, 0, nil
	}
	return sorted(newest), l.last + gap, nil
}

func sorted(m map[uint64]*provision.Outcome) []*provision.Outcome {
	out := make([]*provision.Outcome, 0, len(m))
	for _, o := range m {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *provision.Outcome) int { return cmp.Compare(a.Request.ID, b.Request.ID) })
	return out
}

// Run writes what the journal concludes until ctx ends; what waits then is still written. A disk that is full or fails
// costs history, never an answer: it is logged once, and tried again with the next batch.
func (l *Log) Run(ctx context.Context, j *provision.Journal) error {
	sub := j.Subscribe(buffered)
	defer sub.Close()
	defer l.close()
	tick := time.NewTicker(flushAfter)
	defer tick.Stop()
	batch := make(map[uint64]*provision.Outcome)
	take := func(o *provision.Outcome) {
		if worthKeeping(o) {
			batch[o.Request.ID] = o
			l.fetches.note(o) // what a phone has is asked for while it boots
		}
	}
	failing := false
	behind := true // the journal may have more than what comes from now on
	l.recall(ctx)
	l.follow(ctx)
	flush := func() {
		if sub.Lagged() || behind {
			behind = false
			for _, o := range j.Recent(0) {
				if _, ok := batch[o.Request.ID]; !ok && o.Request.ID > l.last {
					take(o)
				}
			}
		}
		if len(batch) == 0 {
			return
		}
		all := sorted(batch)
		clear(batch)
		err := l.write(all)
		if err != nil && !failing {
			l.log().ErrorContext(ctx, "the trace of requests can't be written: what phones do now will not be known after a restart", "err", err)
		}
		failing = err != nil
		l.follow(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			for {
				select {
				case o := <-sub.C:
					take(o)
					continue
				default:
				}
				flush()
				return ctx.Err()
			}
		case o := <-sub.C:
			if take(o); len(batch) >= buffered { // a flood isn't kept in memory
				flush()
			}
		case <-tick.C:
			flush()
		}
	}
}

// worthKeeping leaves out the leases of what is no phone: the lease table has them, and a flood of them would take the
// time and the room of what phones did.
func worthKeeping(o *provision.Outcome) bool {
	return o.Request.Proto != provision.DHCP || o.Device.ID != ""
}

// write appends outcomes, some at a time, and sees to the bounds.
func (l *Log) write(batch []*provision.Outcome) error {
	l.chunk.Reset()
	limit := min(chunkSize, int(l.maxBytes()/segments/4))
	first := batch[0].Request.ID
	for i, o := range batch {
		line, err := o.MarshalJSON() // json.Marshal would go through it all once more
		if err != nil {
			return fmt.Errorf("outcome %d: %w", o.Request.ID, err)
		}
		l.chunk.Write(line)
		l.chunk.WriteByte('\n')
		if l.chunk.Len() < limit && i+1 < len(batch) {
			continue
		}
		if err := l.append(first, o.Request.ID, l.chunk.Bytes()); err != nil {
			return err
		}
		l.chunk.Reset()
		first = o.Request.ID + 1
	}
	return nil
}

// append writes the lines of outcomes from one ID to another.
func (l *Log) append(first, last uint64, lines []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size > 0 && l.size+int64(len(lines)) > l.maxBytes()/segments {
		if err := l.rotate(first); err != nil {
			return err
		}
	}
	n, err := l.file.Write(lines)
	l.size += int64(n)
	if err != nil {
		// What was half written would spoil the next line.
		err = errors.Join(err, l.file.Close())
		l.file = nil
		return err
	}
	l.last = max(l.last, last)
	return nil
}

// rotate begins a new segment and drops those that are beyond the bounds.
func (l *Log) rotate(first uint64) error {
	if l.file != nil {
		err := l.file.Close()
		if l.file = nil; err != nil {
			return err
		}
	}
	if err := l.drop(); err != nil {
		return err
	}
	name := l.segment(first)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if info.Size() > 0 { // a line may have been torn: the next one begins on its own
		if _, err := f.WriteString("\n"); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	l.file, l.size = f, info.Size()
	return nil
}

// segment is the name of the one that begins with an ID.
func (l *Log) segment(first uint64) string {
	return filepath.Join(l.Dir, fmt.Sprintf("%020d%s", first, suffix))
}

// drop removes the oldest segments that are too much or too old. One segment's room is left for what comes.
func (l *Log) drop() error {
	names, err := l.names()
	if err != nil {
		return err
	}
	slices.Reverse(names) // the newest first
	var total int64
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		total += info.Size()
		if total > l.maxBytes()-l.maxBytes()/segments || l.now().Sub(info.ModTime()) > l.maxAge() {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns the segments, the oldest first.
func (l *Log) names() ([]string, error) {
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), suffix)
		if _, err := strconv.ParseUint(id, 10, 64); ok && err == nil {
			names = append(names, filepath.Join(l.Dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Get returns the outcome of a request; false: the trace doesn't have it, or has it no longer.
func (l *Log) Get(ctx context.Context, id uint64) (*provision.Outcome, bool, error) {
	l.mu.Lock()
	last := l.last
	names, err := l.names()
	l.mu.Unlock()
	if id > last {
		return nil, false, nil // a number that nobody has yet isn't looked for in all files
	}
	if err != nil {
		return nil, false, fmt.Errorf("trace: %w", err)
	}
	var found *provision.Outcome
	look := func(names []string) error {
		return l.scanIn(ctx, names, []byte(`"id":`+strconv.FormatUint(id, 10)+`,`), nil, func(o *provision.Outcome) bool {
			if o.Request.ID == id {
				found = o
			}
			return found == nil
		})
	}
	// A line stands in the segment that begins with its ID or a lower one, but for a transfer that took long: then in one
	// beside it, or, which is rare enough to look through all, somewhere else.
	next, _ := slices.BinarySearch(names, l.segment(id+1))
	if next > 0 {
		o := near(names[next-1], id)
		if o != nil && (o.Delivery != nil || o.Status() != provision.StatusOK || o.Request.Proto == provision.DHCP) {
			return o, true, nil // else the line that tells how the transfer ended may stand further on
		}
	}
	if err = look(names[max(0, next-2):min(len(names), next+1)]); err == nil && found == nil {
		err = look(names)
	}
	return found, found != nil, err
}

// scan yields the outcomes whose line has the text and isn't to be skipped (nil: none is), the newest first, until yield
// says that it is enough.
func (l *Log) scan(ctx context.Context, text []byte, skip func(line []byte) bool, yield func(*provision.Outcome) bool) error {
	l.mu.Lock()
	names, err := l.names()
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return l.scanIn(ctx, names, text, skip, yield)
}

// scanIn is scan of some segments, the oldest first.
func (l *Log) scanIn(
	ctx context.Context, names []string, text []byte, skip func(line []byte) bool, yield func(*provision.Outcome) bool,
) error {
	var buf bytes.Buffer
	for _, name := range slices.Backward(names) {
		if err := ctx.Err(); err != nil {
			return err
		}
		lines, err := linesOf(name, text, &buf)
		if errors.Is(err, os.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		var reader provision.OutcomeReader
		for _, line := range slices.Backward(lines) {
			if skip != nil && skip(line) {
				continue
			}
			o := new(provision.Outcome)
			if err := reader.Read(line, o); err != nil {
				l.log().WarnContext(ctx, "a line of the trace can't be read and is left out", "file", name, "err", err)
				continue
			}
			if !yield(o) {
				return nil
			}
		}
	}
	return nil
}

// linesOf returns the complete lines of a segment that have the text. They stand in the buffer, which is made larger if it
// must be.
func linesOf(name string, text []byte, buf *bytes.Buffer) ([][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf.Reset()
	if info, err := f.Stat(); err == nil {
		buf.Grow(int(info.Size()) + bytes.MinRead) // else it would grow by doubling
	}
	if _, err := buf.ReadFrom(f); err != nil {
		return nil, err
	}
	var lines [][]byte
	for line := range bytes.Lines(buf.Bytes()) {
		whole := line[len(line)-1] == '\n' // what follows the last newline isn't written to its end
		if line = bytes.TrimSpace(line); whole && len(line) > 0 && bytes.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			l.log().Error("the trace of requests was not closed well", "err", err)
		}
		l.file = nil
	}
}

func (l *Log) maxBytes() int64       { return cmp.Or(l.MaxBytes, DefaultMaxBytes) }
func (l *Log) maxAge() time.Duration { return cmp.Or(l.MaxAge, DefaultMaxAge) }

func (l *Log) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

func (l *Log) log() *slog.Logger {
	if l.Log != nil {
		return l.Log
	}
	return slog.New(slog.DiscardHandler)
}
