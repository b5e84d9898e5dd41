package web

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// ListLogLevels says how much each part logs.
func (o operations) ListLogLevels(context.Context, api.ListLogLevelsRequestObject) (api.ListLogLevelsResponseObject, error) {
	return api.ListLogLevels200JSONResponse(toLevels(o.server.logLevels())), nil
}

// SetLogLevels changes that, for all parts that are named or for none.
func (o operations) SetLogLevels(ctx context.Context, r api.SetLogLevelsRequestObject) (api.SetLogLevelsResponseObject, error) {
	now := o.server.logLevels()
	before, after := make(map[string]string), make(map[string]string)
	var faults admin.Faults
	for i, l := range r.Body.Levels {
		if _, ok := now[l.Part]; !ok {
			faults = append(faults, admin.Fault{
				Pointer: fmt.Sprintf("/levels/%d/part", i), Kind: provision.ErrInvalid,
				Text: fmt.Sprintf("there is no part %q; there are %s", l.Part, strings.Join(slices.Sorted(maps.Keys(now)), ", ")),
			})
			continue
		}
		before[l.Part], after[l.Part] = now[l.Part], string(l.Level)
	}
	if faults != nil {
		return nil, faults
	}
	maps.Copy(now, after)
	if r.Params.DryRun {
		return api.SetLogLevels200JSONResponse(toLevels(now)), nil
	}
	note := access.NoteOf(ctx)
	if err := note.Describe("log levels", before, after); err != nil {
		return nil, err
	}
	if e, ok := note.Take(); ok {
		if err := o.server.Audit.Append(ctx, e); err != nil { // what isn't written down isn't done
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
	for part, name := range after {
		var l slog.Level
		if err := l.UnmarshalText([]byte(name)); err != nil {
			return nil, fmt.Errorf("log level: %w", err)
		}
		o.server.LogLevels[part].Set(l)
	}
	return api.SetLogLevels200JSONResponse(toLevels(now)), nil
}

func (s *Server) logLevels() map[string]string {
	levels := make(map[string]string, len(s.LogLevels))
	for part, v := range s.LogLevels {
		levels[part] = strings.ToLower(v.Level().String())
	}
	return levels
}

func toLevels(levels map[string]string) api.LogLevelList {
	list := api.LogLevelList{Levels: []api.LogLevel{}}
	for _, part := range slices.Sorted(maps.Keys(levels)) {
		list.Levels = append(list.Levels, api.LogLevel{Part: part, Level: api.LogLevelLevel(levels[part])})
	}
	return list
}
