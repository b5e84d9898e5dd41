package hook

import "time"

// SetPause shortens the pauses between tries.
func (h *Hook) SetPause(d time.Duration) { h.pause = d }

// Escape is escape.
func Escape(s string) string { return escape(s) }
