package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/dialtone-project/dialtone/provision"
)

// window is how far from where a request's line is expected it is looked for.
const window = 128 << 10

// near returns the newest of the outcomes of a request that stand in a segment where they are expected to: the lines rise
// by ID, but for those of transfers that took long. Nil: it isn't there, and may be elsewhere.
func near(name string, id uint64) (found *provision.Outcome) {
	f, err := os.Open(name)
	if err != nil {
		return nil // whoever looks everywhere says what is wrong
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	low, high := int64(0), info.Size()
	for high-low > window {
		middle := (low + high) / 2
		at, err := lineAfter(f, middle)
		if err != nil {
			return nil
		}
		if at < id {
			low = middle
		} else {
			high = middle
		}
	}
	low, high = max(0, low-window), min(info.Size(), high+window)
	part := make([]byte, high-low)
	if _, err := f.ReadAt(part, low); err != nil {
		return nil
	}
	begin := fmt.Appendf(nil, `{"id":%d,`, id)
	for line := range bytes.Lines(part) {
		if !bytes.HasPrefix(line, begin) || line[len(line)-1] != '\n' {
			continue
		}
		var o provision.Outcome
		if json.Unmarshal(line, &o) == nil {
			found = &o
		}
	}
	return found
}

// lineAfter returns the ID of the first line that begins after an offset; the largest there is if none does.
func lineAfter(f io.ReaderAt, offset int64) (id uint64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, offset, 1<<62-offset), 4<<10)
	for {
		_, err := r.ReadSlice('\n')
		if err == io.EOF {
			return 1<<64 - 1, nil
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull { //nolint:errorlint // as above
			return 0, err
		}
	}
	head, err := r.Peek(len(`{"id":18446744073709551615`))
	if len(head) == 0 && err == io.EOF { //nolint:errorlint // as above
		return 1<<64 - 1, nil
	}
	_, err = fmt.Sscanf(string(head), `{"id":%d`, &id)
	return id, err
}
