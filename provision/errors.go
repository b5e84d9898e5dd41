package provision

import (
	"context"
	"errors"
)

// The kinds of errors that callers tell apart; match with errors.Is. An error that is none of these is a failure of
// ours and must never look like ErrNotFound to a client.
var (
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("conflict")
	ErrAmbiguous = errors.New("ambiguous")
	ErrForbidden = errors.New("forbidden")
	ErrInvalid   = errors.New("invalid")
)

// goneError is that of a request whose context was cancelled: it is told in words that a person understands.
type goneError struct{}

func (goneError) Error() string { return "whoever asked hung up before there was an answer" }
func (goneError) Unwrap() error { return context.Canceled }
