package provision

import (
	"context"
	"time"
)

// Author is who changes something and why. Both are for people; Who names a user, a token or "phone <device ID>".
type Author struct{ Who, Why string }

// BySystem is the author of what nobody asked for.
const BySystem = "system"

// MaxRevisions is how many revisions a store keeps of one config; the oldest go first.
const MaxRevisions = 100

// Revision is one change of a config, with the config as it was after it.
type Revision struct {
	Config ConfigID
	// Number counts the config's revisions from 1. It goes on after a deletion, unlike a config's Rev.
	Number uint64
	At     time.Time
	By     Author
	// Deleted: the change was the config's deletion, and State is what was deleted.
	Deleted bool
	State   Config
}

// RevisionStore is a [ConfigStore] that keeps the history of its configs. PutConfig is PutConfigBy with [BySystem].
type RevisionStore interface {
	ConfigStore
	// PutConfigBy writes a config and its revision in one transaction. A write that changes nothing makes no revision.
	PutConfigBy(context.Context, Config, Author) (Config, error)
	// DeleteConfigBy deletes a config and writes the revision that says so. ErrForbidden if it is locked, ErrConflict if a
	// device or another config uses it. The history of a transient config goes with it, that of others stays.
	DeleteConfigBy(context.Context, ConfigID, Author) error
	// Revisions returns a config's revisions, the newest first; also those of a config that was deleted.
	Revisions(context.Context, ConfigID) ([]Revision, error)
}
