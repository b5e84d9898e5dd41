package plugin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dialtone-project/dialtone/provision"
)

// recordFile says what was installed from the bundle, so that an administrator's edit can be told from an old version.
const recordFile = ".bundled.json"

type record map[provision.PluginID]installed

type installed struct {
	Version string `json:"version"`
	Hash    string `json:"sha256"`
}

// InstallBundled puts the plugins that ship with the program, one directory each at the root of bundle, into Dir, which
// it makes if need be. One that is there already is replaced if it is as we installed it and not newer than the
// bundle's; an edited one is left alone, and its status says so. One that an administrator took away stays away.
func (h *Host) InstallBundled(ctx context.Context, bundle fs.FS) error {
	h.scanning.Lock()
	defer h.scanning.Unlock()
	if err := os.MkdirAll(h.Dir, 0o750); err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	rec, err := h.readRecord()
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(bundle, ".")
	if err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	before := maps.Clone(rec)
	h.notes = make(map[provision.PluginID]string)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		id := provision.PluginID(e.Name())
		sub, err := fs.Sub(bundle, e.Name())
		if err == nil {
			err = h.install(ctx, id, sub, rec)
		}
		if err != nil {
			return fmt.Errorf("install plugin %s: %w", id, err)
		}
	}
	if maps.Equal(before, rec) {
		return nil
	}
	return h.writeRecord(rec)
}

// install brings one plugin to the bundle's version, if that is right.
func (h *Host) install(ctx context.Context, id provision.PluginID, bundled fs.FS, rec record) error {
	if err := checkID(id); err != nil {
		return err
	}
	files, err := readAll(bundled)
	if err != nil {
		return err
	}
	m, err := manifestOf(files)
	if err != nil {
		return err
	}
	now := installed{Version: m.Version, Hash: hashOf(files)}
	dir, aside := filepath.Join(h.Dir, string(id)), filepath.Join(h.Dir, ".old-"+string(id))
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		// A replacement that was interrupted between its two renames.
		if err := os.Rename(aside, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	was, ours := rec[id]
	present, err := hashDir(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil {
		present = "" // what can't be read isn't as we installed it
	}
	switch {
	case missing && ours:
		return nil
	case missing:
	case present == now.Hash:
		rec[id] = now
		return nil
	case !ours || present != was.Hash:
		h.notes[id] = fmt.Sprintf("it has been edited; version %s that ships with this program isn't installed", m.Version)
		return nil
	case provision.CompareVersions(m.Version, was.Version) < 0:
		return nil
	}
	if err := h.unpack(files, dir, aside); err != nil {
		return err
	}
	rec[id] = now
	h.log().InfoContext(ctx, "plugin installed", "plugin", id, "version", m.Version)
	return nil
}

// unpack writes the files beside dir and renames: dir is wholly the old or wholly the new one.
func (h *Host) unpack(files tree, dir, aside string) error {
	staging, err := os.MkdirTemp(h.Dir, ".staging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staging) // it has been renamed, or is passed over for its name
	root, err := os.OpenRoot(staging)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			return err
		}
		if err := writeSynced(root, name, files[name].data); err != nil {
			return err
		}
	}
	if err := os.Chmod(staging, 0o750); err != nil { //nolint:gosec // a directory
		return err
	}
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(staging, dir); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

func writeSynced(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func readAll(fsys fs.FS) (tree, error) {
	t, err := readTree(fsys, "", func(string) bool { return true }, nil)
	if err != nil {
		return nil, err
	}
	for name, b := range t {
		if b.from != nil {
			return nil, &Fault{File: name, Text: fmt.Sprintf("a bundled file has at most %d KiB", maxSmall>>10)}
		}
	}
	return t, nil
}

func manifestOf(files tree) (*Manifest, error) {
	b := files[ManifestFile]
	if b == nil {
		return nil, &Fault{File: ManifestFile, Text: "there is no such file"}
	}
	return ParseManifest(b.data)
}

func hashOf(t tree) string {
	s := t.sum()
	return hex.EncodeToString(s[:])
}

// hashDir hashes a directory of the disk.
func hashDir(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	t, err := readTree(root.FS(), "", func(string) bool { return true }, nil)
	return hashOf(t), err
}

func (h *Host) readRecord() (record, error) {
	rec := make(record)
	data, err := os.ReadFile(filepath.Join(h.Dir, recordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rec, nil
	case err != nil:
		return nil, fmt.Errorf("install plugins: %w", err)
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		// Without it every plugin counts as edited, which does no harm.
		h.log().Warn("record of bundled plugins is damaged; it begins anew", "path", recordFile, "err", err)
		return make(record), nil
	}
	return rec, nil
}

func (h *Host) writeRecord(rec record) error {
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	root, err := os.OpenRoot(h.Dir)
	if err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	defer root.Close()
	if err := writeSynced(root, recordFile+".new", data); err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	if err := root.Rename(recordFile+".new", recordFile); err != nil {
		return fmt.Errorf("install plugins: %w", err)
	}
	return nil
}
