package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/backup"
)

var created = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

const secret = "seven green kettles"

// state makes a state folder with one of everything.
func state(t *testing.T) backup.Source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dialtone.db": "torn, because it is being written", "plugins/p-1/plugin.yaml": "format: 1", "plugins/p-1/files/ring.wav": strings.Repeat("ring", 5000),
		"tls/ca.key": "key", "trace/1.jsonl": "{}", "empty": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	snapshot := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(snapshot, []byte("the store"), 0o600); err != nil {
		t.Fatal(err)
	}
	return backup.Source{
		Dir: dir, Skip: func(path string) bool { return path == "trace" }, Store: "dialtone.db",
		Snapshot: func(context.Context) (string, error) { return snapshot, nil },
	}
}

func write(t *testing.T, src backup.Source, key backup.Key) []byte {
	t.Helper()
	var b bytes.Buffer
	w := backup.Writer{Program: "1.2.3", Key: key, Now: func() time.Time { return created }}
	if _, err := w.Create(t.Context(), &b, src); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func passphrase(t *testing.T, text string) backup.Key {
	t.Helper()
	k, err := backup.Passphrase(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRestore(t *testing.T) {
	t.Parallel()
	src := state(t)
	for name, key := range map[string]backup.Key{"plain": {}, "encrypted": passphrase(t, secret)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := write(t, src, key)
			if key.Encrypts() == bytes.HasPrefix(data, []byte("\x1f\x8b")) {
				t.Error("the key makes no difference")
			}
			m, err := backup.Verify(t.Context(), bytes.NewReader(data), key)
			if err != nil || len(m.Files) != 5 || m.Program != "1.2.3" || !m.Created.Equal(created) {
				t.Fatalf("verify: %+v, %v", m, err)
			}
			dir := filepath.Join(t.TempDir(), "state")
			restored, err := backup.Restore(t.Context(), bytes.NewReader(data), key, dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, restored); diff != "" {
				t.Errorf("manifest (-verify +restore):\n%s", diff)
			}
			got := map[string]string{}
			err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				text, err := os.ReadFile(filepath.Join(dir, path))
				got[path] = string(text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"dialtone.db": "the store", "plugins/p-1/plugin.yaml": "format: 1", "plugins/p-1/files/ring.wav": strings.Repeat("ring", 5000),
				"tls/ca.key": "key", "empty": "",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if _, err := backup.Restore(t.Context(), bytes.NewReader(data), key, dir); err == nil || !strings.Contains(err.Error(), "isn't empty") {
				t.Errorf("restore over a state: %v", err)
			}
		})
	}
}

// Whatever happens to a backup, it is refused, and nothing is left where it was to be restored.
func TestDamage(t *testing.T) {
	t.Parallel()
	src := state(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := backup.ParseKey([]byte(identity.String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]backup.Key{"plain": {}, "encrypted": encrypted} {
		data := write(t, src, key)
		whole, err := backup.Verify(t.Context(), bytes.NewReader(data), key)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(t *testing.T, data []byte) {
			t.Helper()
			dir := t.TempDir()
			target := filepath.Join(dir, "state")
			if _, err := backup.Restore(t.Context(), bytes.NewReader(data), key, target); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrKey) {
				t.Errorf("restore: %v, want damage", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		}
		t.Run(name+" truncated", func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{0, 1, 10, 30, len(data) / 4, len(data) / 2, len(data) - 200, len(data) - 9, len(data) - 1} {
				refused(t, data[:n])
			}
		})
		t.Run(name+" flipped", func(t *testing.T) {
			t.Parallel()
			for at := 10; at < len(data); at += 7 { // gzip's header before that has bytes that mean nothing, such as the time
				bad := bytes.Clone(data)
				bad[at] ^= 0x10
				// A few bits of deflate mean nothing; then what comes out is the same.
				if got, err := backup.Verify(t.Context(), bytes.NewReader(bad), key); err == nil && cmp.Equal(got, whole) {
					continue
				}
				refused(t, bad)
			}
		})
		t.Run(name+" appended", func(t *testing.T) {
			t.Parallel()
			refused(t, append(bytes.Clone(data), "more"...))
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	src := state(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	parse := func(text string) backup.Key {
		t.Helper()
		k, err := backup.ParseKey([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	public := parse("# the office's\n" + identity.Recipient().String() + "\n")
	private := parse(identity.String())
	data := write(t, src, public)
	if _, err := backup.Verify(t.Context(), bytes.NewReader(data), private); err != nil {
		t.Errorf("with the private key: %v", err)
	}
	for name, key := range map[string]backup.Key{"no": {}, "the public": public, "another": passphrase(t, secret)} {
		if _, err := backup.Verify(t.Context(), bytes.NewReader(data), key); !errors.Is(err, backup.ErrKey) {
			t.Errorf("with %s key: %v, want the key refused", name, err)
		}
	}
	data = write(t, src, parse(secret+"\n"))
	if _, err := backup.Verify(t.Context(), bytes.NewReader(data), passphrase(t, secret)); err != nil {
		t.Errorf("with the passphrase: %v", err)
	}
	if _, err := backup.Verify(t.Context(), bytes.NewReader(data), passphrase(t, secret+"!")); !errors.Is(err, backup.ErrKey) {
		t.Errorf("with another passphrase: %v", err)
	}
	for _, bad := range []string{"", "# nothing\n", "short", "age1nonsense", "AGE-SECRET-KEY-1X", identity.String() + "\nand a word"} {
		if _, err := backup.ParseKey([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("key %q: %v, want a refusal that doesn't repeat it", bad, err)
		}
	}
}

// An archive of somebody else's making doesn't get out of its folder.
func TestForeignArchives(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*tar.Header{
		"upwards":  {Typeflag: tar.TypeReg, Name: "../x"},
		"absolute": {Typeflag: tar.TypeReg, Name: "/etc/x"},
		"link":     {Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc"},
		"folder":   {Typeflag: tar.TypeDir, Name: "x/"},
		"device":   {Typeflag: tar.TypeChar, Name: "x"},
		"back":     {Typeflag: tar.TypeReg, Name: `..\x`},
		"no dot":   {Typeflag: tar.TypeReg, Name: "a//b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			zip := gzip.NewWriter(&b)
			w := tar.NewWriter(zip)
			if err := errors.Join(w.WriteHeader(h), w.Close(), zip.Close()); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "state")
			if _, err := backup.Restore(t.Context(), &b, backup.Key{}, dir); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("restore: %v, want a refusal", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder is there: %v", err)
			}
		})
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	src := state(t)
	broken := errors.New("no room")
	src.Snapshot = func(context.Context) (string, error) { return "", broken }
	if _, err := (backup.Writer{}).Create(t.Context(), &bytes.Buffer{}, src); !errors.Is(err, broken) {
		t.Errorf("without a copy of the store: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (backup.Writer{}).Create(ctx, &bytes.Buffer{}, state(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := (backup.Writer{}).Create(t.Context(), full{}, state(t)); !errors.Is(err, errFull) {
		t.Errorf("disk full: %v", err)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func FuzzVerify(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n"))
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	body := []byte(`{"format":1}`)
	if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Size: int64(len(body))})); err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := backup.Verify(t.Context(), bytes.NewReader(data), backup.Key{}); err == nil && len(m.Files) > 0 && m.Format != 1 {
			t.Errorf("a backup of format %d is taken", m.Format)
		}
	})
}
