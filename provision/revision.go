package provision

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
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

// Difference is one thing in which two configs differ: "label", "parents", "role", "transient", "locked", or the path of a
// parameter as "params.sip_lines.1.username". Old and New are the values as JSON, empty where there is none. A secret
// reads "[secret]" on both sides, even where it changed.
type Difference struct{ Path, Old, New string }

// DiffConfigs returns in what two states of a config differ, by path. Their ID and Rev aren't looked at.
func DiffConfigs(a, b *Config) []Difference {
	var d differences
	d.value("label", a.Label, b.Label)
	d.value("parents", a.Parents, b.Parents)
	d.value("role", string(a.Role), string(b.Role))
	d.value("transient", a.Transient, b.Transient)
	d.value("locked", a.Locked, b.Locked)
	d.params("params", a.Params, b.Params)
	return d
}

type differences []Difference

func (d *differences) value(path string, a, b any) {
	if !reflect.DeepEqual(a, b) {
		*d = append(*d, Difference{path, jsonText(a), jsonText(b)})
	}
}

func (d *differences) params(prefix string, a, b map[string]any) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, CompareVersions)
	for _, name := range names {
		path := prefix + "." + name
		x, isX := a[name]
		y, isY := b[name]
		xm, xIsMap := asMap(x)
		ym, yIsMap := asMap(y)
		switch {
		case xIsMap && yIsMap, xIsMap && !isY && len(xm) > 0, yIsMap && !isX && len(ym) > 0:
			d.params(path, xm, ym)
		case isX && isY:
			d.value(path, x, y)
		case isX:
			*d = append(*d, Difference{Path: path, Old: jsonText(x)})
		default:
			*d = append(*d, Difference{Path: path, New: jsonText(y)})
		}
	}
}

// jsonText writes a value of a config. Secrets are masked: they write themselves so.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?" // params hold nothing that JSON can't, but NaN
	}
	return string(b)
}
