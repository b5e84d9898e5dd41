// Package backup writes the whole state of an appliance into one file and reads it back.
//
// A backup is a tar archive, compressed with gzip and, if a key was given, encrypted with age
// (https://age-encryption.org/v1), so that it can be opened without this program: `age -d | tar xz`. Its last entry is the
// manifest, with the SHA-256 of every other one: an archive that is cut short has none.
package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

const (
	manifestName = "manifest.json"
	format       = 1
	maxManifest  = 64 << 20 // bytes
	maxFile      = 4 << 30  // bytes of one file
)

// ErrDamaged says that a backup isn't as it was written; ErrKey that the key doesn't open it, or that it needs one.
var (
	ErrDamaged = errors.New("the backup is damaged")
	ErrKey     = errors.New("the backup can't be opened with this key")
)

// File is one file of a backup.
type File struct {
	Path   string      `json:"path"` // below the state folder, with slashes
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
}

// Manifest says what a backup holds.
type Manifest struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Program string    `json:"program"` // version of the program that wrote it
	Files   []File    `json:"files"`
}

// Writer writes backups.
type Writer struct {
	Program string
	Key     Key // zero: not encrypted
	Now     func() time.Time
}

// Source is where a backup's files come from.
type Source struct {
	// Dir is the state folder. Files are read one after the other while the appliance runs.
	Dir string
	// Skip leaves out a file or folder, by its path below Dir with slashes.
	Skip func(path string) bool
	// Store is the path below Dir of the store, of which Snapshot gives a consistent copy in place of the file itself.
	Store    string
	Snapshot func(ctx context.Context) (path string, err error)
}

// Create writes a backup. What can't be read is an error: a backup that lacks something would be found out too late.
// A file that goes meanwhile is left out, as if it had gone before.
func (b Writer) Create(ctx context.Context, w io.Writer, src Source) (Manifest, error) {
	m, err := b.create(ctx, w, src)
	if err != nil {
		return Manifest{}, fmt.Errorf("back up %s: %w", src.Dir, err)
	}
	return m, nil
}

func (b Writer) create(ctx context.Context, w io.Writer, src Source) (Manifest, error) {
	sealed, err := b.Key.Seal(w)
	if err != nil {
		return Manifest{}, err
	}
	zip := gzip.NewWriter(sealed)
	a := archive{tar: tar.NewWriter(zip), m: Manifest{Format: format, Program: b.Program, Created: time.Now().UTC()}}
	if b.Now != nil {
		a.m.Created = b.Now().UTC()
	}
	if src.Store != "" {
		copied, err := src.Snapshot(ctx)
		if err != nil {
			return Manifest{}, err
		}
		if err := a.add(src.Store, copied, 0o600); err != nil {
			return Manifest{}, err
		}
	}
	err = filepath.WalkDir(src.Dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(src.Dir, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case rel == ".":
			return nil
		case rel == src.Store || src.Skip != nil && src.Skip(rel):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil // sockets, and links, which nothing of ours makes
		}
		info, err := d.Info()
		if err == nil {
			err = a.add(rel, name, info.Mode().Perm())
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return Manifest{}, err
	}
	return a.m, errors.Join(a.finish(), zip.Close(), sealed.Close())
}

// archive is a backup on its way.
type archive struct {
	tar *tar.Writer
	m   Manifest
}

// add writes one file, as long as it is when it is opened.
func (a *archive) add(name, from string, mode fs.FileMode) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(mode), ModTime: info.ModTime().UTC().Truncate(time.Second), Format: tar.FormatPAX,
	}); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(a.tar, sum), f, info.Size()); err != nil {
		return fmt.Errorf("%s became shorter while it was read: %w", name, err)
	}
	a.m.Files = append(a.m.Files, File{Path: name, Size: info.Size(), SHA256: hex.EncodeToString(sum.Sum(nil)), Mode: mode})
	return nil
}

func (a *archive) finish() error {
	data, err := json.MarshalIndent(a.m, "", " ")
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: manifestName, Size: int64(len(data)), Mode: 0o600, ModTime: a.m.Created, Format: tar.FormatPAX,
	}); err != nil {
		return err
	}
	if _, err := a.tar.Write(data); err != nil {
		return err
	}
	return a.tar.Close()
}

// Verify reads a whole backup and checks it against its manifest. Errors are ErrDamaged, ErrKey or the reader's.
func Verify(ctx context.Context, r io.Reader, key Key) (Manifest, error) {
	return read(ctx, r, key, func(string, fs.FileMode, io.Reader) error { return nil })
}

// Restore unpacks a backup into a folder that doesn't exist yet or is empty. The folder is only there once everything in
// it is known to be right; after an error nothing is left.
func Restore(ctx context.Context, r io.Reader, key Key, dir string) (Manifest, error) {
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		return Manifest{}, fmt.Errorf("restore: %s isn't empty: move it away first", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("restore: %w", err)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	temp, err := os.MkdirTemp(parent, ".restoring-")
	if err != nil {
		return Manifest{}, fmt.Errorf("restore: %w", err)
	}
	m, err := unpack(ctx, r, key, temp)
	if err == nil {
		err = os.Remove(dir)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		return Manifest{}, errors.Join(fmt.Errorf("restore: %w", err), os.RemoveAll(temp))
	}
	return m, nil
}

func unpack(ctx context.Context, r io.Reader, key Key, dir string) (m Manifest, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return read(ctx, r, key, func(name string, mode fs.FileMode, body io.Reader) error {
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode&0o700)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, body); err != nil {
			return errors.Join(err, f.Close())
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// read goes through a backup and gives each file to visit. The files are right only if it returns no error.
func read(ctx context.Context, r io.Reader, key Key, visit func(string, fs.FileMode, io.Reader) error) (Manifest, error) {
	plain, err := key.open(bufio.NewReader(r))
	if err != nil {
		return Manifest{}, err
	}
	zip, err := gzip.NewReader(plain)
	if err != nil {
		return Manifest{}, damaged(err)
	}
	t := tar.NewReader(zip)
	var found []File
	for {
		if err := ctx.Err(); err != nil {
			return Manifest{}, err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return Manifest{}, fmt.Errorf("%w: it is cut short", ErrDamaged)
		}
		if err != nil {
			return Manifest{}, damaged(err)
		}
		if h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || h.Size > maxFile || strings.ContainsAny(h.Name, "\\\x00") {
			return Manifest{}, fmt.Errorf("%w: it holds %q, which no backup of ours does", ErrDamaged, h.Name)
		}
		if h.Name == manifestName {
			return manifest(t, zip, h.Size, found)
		}
		sum := sha256.New()
		body := &source{r: t}
		if err := visit(h.Name, fs.FileMode(h.Mode).Perm(), io.TeeReader(body, sum)); err != nil { //nolint:gosec // permission bits
			if body.err != nil {
				return Manifest{}, damaged(body.err)
			}
			return Manifest{}, err
		}
		if _, err := io.Copy(sum, body); err != nil {
			return Manifest{}, damaged(err)
		}
		found = append(found, File{Path: h.Name, Size: h.Size, SHA256: hex.EncodeToString(sum.Sum(nil)), Mode: fs.FileMode(h.Mode).Perm()}) //nolint:gosec // permission bits
	}
}

// source tells errors of the archive from errors of where its files go.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// manifest reads the last entry and compares it with what was found before it.
func manifest(t *tar.Reader, zip *gzip.Reader, size int64, found []File) (Manifest, error) {
	if size > maxManifest {
		return Manifest{}, fmt.Errorf("%w: its manifest is too long", ErrDamaged)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return Manifest{}, damaged(err)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil {
		return Manifest{}, damaged(err)
	}
	// The rest of the stream is checked by gzip's own sum and by age's. Only after that is it what somebody wrote.
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return Manifest{}, fmt.Errorf("%w: something follows its manifest", ErrDamaged)
	}
	if _, err := io.Copy(io.Discard, zip); err != nil {
		return Manifest{}, damaged(err)
	}
	if m.Format != format {
		return Manifest{}, fmt.Errorf("the backup has format %d, and this program reads %d: use the program that wrote it, %s", m.Format, format, m.Program)
	}
	if !slices.Equal(m.Files, found) {
		return Manifest{}, fmt.Errorf("%w: its files aren't those of its manifest", ErrDamaged)
	}
	return m, nil
}

func damaged(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }

// nopCloser ends nothing.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Key encrypts and opens backups. The zero value does neither.
type Key struct {
	recipients []age.Recipient
	identities []age.Identity
}

// Passphrase returns the key that a passphrase makes.
func Passphrase(text string) (Key, error) {
	if len(text) < 12 {
		return Key{}, errors.New("passphrase: at least 12 letters")
	}
	r, err := age.NewScryptRecipient(text)
	if err != nil {
		return Key{}, fmt.Errorf("passphrase: %w", err)
	}
	i, err := age.NewScryptIdentity(text)
	if err != nil {
		return Key{}, fmt.Errorf("passphrase: %w", err)
	}
	return Key{[]age.Recipient{r}, []age.Identity{i}}, nil
}

// ParseKey reads a key file: age's own, with public keys ("age1…"), which only encrypt, or private ones
// ("AGE-SECRET-KEY-1…"), which open as well; or a passphrase in one line. No error repeats what it read.
func ParseKey(data []byte) (Key, error) {
	var k Key
	lines := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		switch {
		case strings.HasPrefix(line, "age1"):
			r, err := age.ParseX25519Recipient(line)
			if err != nil {
				return Key{}, errors.New("key: a line begins like a public key of age, but is none")
			}
			k.recipients = append(k.recipients, r)
		case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
			i, err := age.ParseX25519Identity(line)
			if err != nil {
				return Key{}, errors.New("key: a line begins like a private key of age, but is none")
			}
			k.recipients, k.identities = append(k.recipients, i.Recipient()), append(k.identities, i)
		case lines == 1:
			return Passphrase(line)
		default:
			return Key{}, errors.New("key: a line is no key of age; a passphrase stands alone in its file")
		}
	}
	if lines == 0 {
		return Key{}, errors.New("key: the file is empty")
	}
	return k, nil
}

// Encrypts reports whether backups are encrypted with the key.
func (k Key) Encrypts() bool { return len(k.recipients) > 0 }

// Seal returns a writer that encrypts what is written to w, or, for the zero key, writes it as it is. Close doesn't close
// w.
func (k Key) Seal(w io.Writer) (io.WriteCloser, error) {
	if !k.Encrypts() {
		return nopCloser{w}, nil
	}
	return age.Encrypt(w, k.recipients...)
}

const ageMagic = "age-encryption.org/"

func (k Key) open(r *bufio.Reader) (io.Reader, error) {
	head, err := r.Peek(len(ageMagic))
	if err != nil {
		return nil, fmt.Errorf("%w: it is too short to be one", ErrDamaged)
	}
	if string(head) != ageMagic {
		return r, nil
	}
	if len(k.identities) == 0 {
		return nil, fmt.Errorf("%w: it is encrypted, and no key that opens it was given", ErrKey)
	}
	plain, err := age.Decrypt(r, k.identities...)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, ErrKey
	}
	if err != nil {
		if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
			return nil, ErrKey
		}
		return nil, damaged(err)
	}
	return plain, nil
}
