package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileKey has the keys of the store's secrets, the one that seals first.
const fileKey = "dialtone.key"

const keyFileText = `# The secrets in ` + fileDB + `, such as the phones' passwords, are sealed with the first of these keys. Without this
# file they are lost, and who has both files has the secrets. Backups hold it. To change it: dialtone secret rotate
`

// maxKeyFile bounds what is read of a key file: a few lines.
const maxKeyFile = 64 << 10

// readKeys reads the key file of a state folder; false: there is none. No error repeats what it read.
func readKeys(dir string) (*ring, bool, error) {
	path := filepath.Join(dir, fileKey)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("read the key file: %w", err)
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("key file %s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, false, fmt.Errorf("key file %s may be used by others than its owner (its mode is %04o): run `chmod 600 %s`, and if anybody "+
			"may have read it, `dialtone secret rotate` once dialtone runs", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, false, fmt.Errorf("read the key file: %w", err)
	}
	r, err := parseKeys(string(data))
	if err != nil {
		return nil, false, fmt.Errorf("key file %s is damaged: %w: put it back from a backup", path, err)
	}
	return r, true, nil
}

// parseKeys reads lines "key ID BASE64".
func parseKeys(text string) (*ring, error) {
	r := new(ring)
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "key" {
			return nil, fmt.Errorf("line %d isn't a key", n)
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(words[2])
		var k sealKey
		if err == nil {
			k, err = newSealKey(raw)
		}
		if err != nil || k.id != words[1] {
			return nil, fmt.Errorf("line %d isn't the key that it says", n)
		}
		r.keys = append(r.keys, k)
	}
	if len(r.keys) == 0 {
		return nil, errors.New("it has no key")
	}
	return r, nil
}

func formatKeys(r *ring) string {
	var b strings.Builder
	b.WriteString(keyFileText)
	for _, k := range r.keys {
		fmt.Fprintf(&b, "key %s %s\n", k.id, base64.StdEncoding.EncodeToString(k.raw))
	}
	return b.String()
}

// writeKeys puts a key file in place: after a crash there is the earlier one or this one.
func writeKeys(dir string, r *ring) error {
	path := filepath.Join(dir, fileKey)
	temp := path + ".new"
	err := os.RemoveAll(temp) // so that the mode is this one's
	if err == nil {
		err = writeFile(temp, func(w io.Writer) error {
			_, err := io.WriteString(w, formatKeys(r))
			return err
		})
	}
	if err == nil {
		err = errors.Join(os.Rename(temp, path), syncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return nil
}
