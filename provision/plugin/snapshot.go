package plugin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// What a directory may have.
const (
	maxFiles    = 2000
	maxSmall    = 1 << 20   // read at load and served from memory
	maxTemplate = 256 << 10 // bytes of one
	maxMemory   = 32 << 20  // of all small files of a plugin
	maxDepth    = 8
)

// blob is one file as it was when it was read. Small ones are kept in memory: an open file would show an edit in place.
// Of large ones we keep what tells that they are still the same.
type blob struct {
	data []byte // nil: large
	size int64
	mod  time.Time
	hash [32]byte
	from fs.FS // of large ones
	path string
}

// tree is the files below a directory, by path with slashes.
type tree map[string]*blob

// readTree reads all files below the root of fsys that keep accepts, small ones into memory. Names that begin with a
// dot are passed over; anything that is neither a plain file nor a directory is a fault. A large file that known has,
// unchanged, isn't read again. name tells what the faults call fsys, with a slash at its end if it isn't empty.
func readTree(fsys fs.FS, name string, keep func(path string) bool, known tree) (tree, error) {
	t := make(tree)
	var faults []error
	memory := int64(0)
	err := fs.WalkDir(fsys, ".", func(p string, e fs.DirEntry, err error) error {
		bad := func(format string, args ...any) {
			faults = append(faults, &Fault{File: name + p, Text: fmt.Sprintf(format, args...)})
		}
		switch {
		case err != nil:
			bad("it can't be read: %s", reason(err))
			if e != nil && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case p == ".":
			return nil
		case strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir() && strings.Count(p, "/") >= maxDepth:
			bad("folders are nested over %d deep", maxDepth)
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !keep(p):
			return nil
		case e.Type()&fs.ModeSymlink != 0:
			bad("it is a symbolic link; put the file itself in its place")
			return nil
		case !e.Type().IsRegular():
			bad("it isn't a plain file; take it away")
			return nil
		case strings.ContainsFunc(p, unicode.IsControl) || strings.Contains(p, `\`):
			bad("its name has a character that no phone can ask for; rename it")
			return nil
		case len(t) == maxFiles:
			return &Fault{File: strings.TrimSuffix(name, "/"), Text: fmt.Sprintf("there are over %d files", maxFiles)}
		}
		b, err := readBlob(fsys, p, known[p])
		if err != nil {
			bad("it can't be read: %s", reason(err))
			return nil
		}
		if memory += int64(len(b.data)); memory > maxMemory {
			return &Fault{File: strings.TrimSuffix(name, "/"), Text: fmt.Sprintf("its files of up to %d KiB come to over %d MiB", maxSmall>>10, maxMemory>>20)}
		}
		t[p] = b
		return nil
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return t, nil
}

// reason is an error without the path that it begins with.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func readBlob(fsys fs.FS, p string, known *blob) (*blob, error) {
	f, err := fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it isn't a plain file")
	}
	b := &blob{size: info.Size(), mod: info.ModTime(), from: fsys, path: p}
	if b.size > maxSmall {
		if known != nil && known.size == b.size && known.mod.Equal(b.mod) {
			b.hash = known.hash
			return b, nil
		}
		h := sha256.New()
		if n, err := io.Copy(h, f); err != nil || n != b.size {
			return nil, cmp.Or(err, errChanged)
		}
		h.Sum(b.hash[:0])
		return b, nil
	}
	// One byte more than it may have tells a file that grows from one that doesn't.
	b.data, err = io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil || int64(len(b.data)) != b.size {
		return nil, cmp.Or(err, errChanged)
	}
	b.hash = sha256.Sum256(b.data)
	b.from = nil
	return b, nil
}

var errChanged = errors.New("it changed while it was read")

func newBlob(data []byte) *blob {
	return &blob{data: data, size: int64(len(data)), hash: sha256.Sum256(data)}
}

// sum hashes names and contents.
func (t tree) sum() [32]byte {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(t)) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		io.WriteString(h, p) //nolint:errcheck // a hash never fails
		h.Write(t[p].hash[:])
	}
	var s [32]byte
	h.Sum(s[:0])
	return s
}

// open returns the file as an answer.
func (b *blob) open(contentType string) (*provision.Answer, error) {
	a := &provision.Answer{Type: contentType, Size: b.size, Hash: b.hash, ModTime: b.mod}
	if b.data != nil || b.size == 0 {
		a.Body = memory{bytes.NewReader(b.data)}
		return a, nil
	}
	f, err := b.from.Open(b.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", b.path, provision.ErrNotFound)
		}
		return nil, fmt.Errorf("open %s: %s", b.path, reason(err))
	}
	s, ok := f.(io.Seeker)
	if !ok {
		f.Close()
		return nil, fmt.Errorf("open %s: it can't be read from the middle", b.path)
	}
	g := &guarded{File: f, Seeker: s, blob: b}
	if err := g.same(); err != nil {
		f.Close()
		return nil, err
	}
	a.Body = g
	return a, nil
}

// memory is a small file as an answer's body.
type memory struct{ *bytes.Reader }

// Close does nothing.
func (memory) Close() error { return nil }

// guarded is a large file as an answer's body. A file that is overwritten in place while it is sent ends with an error:
// the phone keeps its old firmware instead of taking a mixture.
type guarded struct {
	fs.File
	io.Seeker
	blob *blob
}

func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.File.Read(p)
	if changed := g.same(); changed != nil {
		return 0, changed
	}
	return n, err
}

func (g *guarded) same() error {
	info, err := g.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %s", g.blob.path, reason(err))
	}
	if info.Size() != g.blob.size || !info.ModTime().Equal(g.blob.mod) {
		return fmt.Errorf("read %s: it has been changed and not yet been read again", g.blob.path)
	}
	return nil
}

// contentType goes by the ending of a file's name. The system's own tables aren't asked: they differ from one machine
// to the next.
func contentType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".txt", ".cfg", ".conf", ".ini", ".csv":
		return "text/plain; charset=utf-8"
	case ".xml":
		return "text/xml; charset=utf-8"
	case ".json":
		return "application/json"
	case ".html", ".htm":
		return "text/html; charset=utf-8"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".wav":
		return "audio/wav"
	}
	return "application/octet-stream"
}
