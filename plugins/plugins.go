// Package plugins has the vendor plugins that ship with Dialtone, as files: a directory for each, whose name is the
// plugin's ID, with its manifest, templates, files and golden requests (ARCHITECTURE.md §9).
//
// It is data only. The binary installs these files into the state folder, where an administrator may change them, and
// package provision/plugin serves them from there.
package plugins

import (
	"embed"
	"io/fs"
)

// all: takes along names that begin with a dot or an underscore, so that what is installed is the whole directory.
//
//go:embed all:aastra-67xx-3.2.2 all:aastra-67xx-3.3.1 all:cisco-79xx-sccp-9.4
var files embed.FS

// Files returns the plugins as a read-only tree, one directory at its root for each plugin.
func Files() fs.FS { return files }
