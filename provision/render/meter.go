package render

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What one render may take. A phone's config has a few hundred lines and takes about a millisecond.
const (
	maxOutput = 1 << 20
	maxSteps  = 50_000
	maxTime   = time.Second
	maxText   = 64 << 10 // of any value that a template makes
)

var errTooLong = errors.New("the text would be over 64 KiB")

// limited passes a text that isn't too long.
func limited(s string) (string, error) {
	if len(s) > maxText {
		return "", errTooLong
	}
	return s, nil
}

// meter is the Writer of a render. text/template can't be cancelled, but it ends at a Writer's first error and calls
// the Writer for every text node, also for the empty ones that [Parse] puts into each loop body and template.
type meter struct {
	ctx    context.Context //nolint:containedctx // a Writer has no other way to hear of it
	start  time.Time
	writes int
	steps  int
	out    []byte
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.count(len(p)); err != nil {
		return 0, err
	}
	m.out = append(m.out, p...)
	return len(p), nil
}

// count takes account of so many bytes to come, and tells if they are too many.
func (m *meter) count(n int) error {
	if n == 0 {
		if m.steps++; m.steps > maxSteps {
			return fmt.Errorf("stopped: over %d loop rounds and templates; does a loop run too far?", maxSteps)
		}
	}
	if len(m.out)+n > maxOutput {
		return fmt.Errorf("stopped: over %d KiB of output; does a loop run too far?", maxOutput>>10)
	}
	if m.writes++; m.writes%32 == 0 {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		if time.Since(m.start) > maxTime {
			return fmt.Errorf("stopped: over %s; does a loop do too much?", maxTime)
		}
	}
	return nil
}
