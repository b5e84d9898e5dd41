package provision

import "errors"

// The kinds of errors that callers tell apart; match with errors.Is. An error that is none of these is a failure of
// ours and must never look like ErrNotFound to a client.
var (
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("conflict")
	ErrAmbiguous = errors.New("ambiguous")
	ErrForbidden = errors.New("forbidden")
	ErrInvalid   = errors.New("invalid")
)
