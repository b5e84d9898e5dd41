package main

import (
	"context"
	"log/slog"
)

// The parts of the program that log at levels of their own.
const (
	logMain      = "main"
	logDHCP      = "dhcp"
	logLeases    = "leases"
	logStore     = "store"
	logPlugins   = "plugins"
	logProvision = "provision"
	logTFTP      = "tftp"
	logHTTP      = "http"
	logWeb       = "web"
	logHooks     = "hooks"
)

// partLogs are the parts' logs, whose levels can be changed while they are used.
type partLogs struct {
	to     slog.Handler
	levels map[string]*slog.LevelVar
}

func newPartLogs(to slog.Handler, start slog.Level) partLogs {
	l := partLogs{to: to, levels: make(map[string]*slog.LevelVar)}
	for _, part := range []string{logMain, logDHCP, logLeases, logStore, logPlugins, logProvision, logTFTP, logHTTP, logWeb, logHooks} {
		l.levels[part] = new(slog.LevelVar)
		l.levels[part].Set(start)
	}
	return l
}

// of returns the log of a part.
func (l partLogs) of(part string) *slog.Logger {
	return slog.New(levelled{l.to, l.levels[part]}).With("component", part)
}

// levelled is a handler with a level that is its own: what it lets through is written, whatever the other's is.
type levelled struct {
	slog.Handler

	level slog.Leveler
}

// Enabled implements slog.Handler.
func (h levelled) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h levelled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelled{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h levelled) WithGroup(name string) slog.Handler {
	return levelled{h.Handler.WithGroup(name), h.level}
}
