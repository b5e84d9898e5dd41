package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealedSuffix ends the name of a copy of the store that is sealed as a whole.
const sealedSuffix = ".sealed"

// A sealed copy is the line copyMagic with the key's ID, 16 random bytes, and the file in chunks of chunkSize, the last one
// shorter, each sealed with those bytes, its number and whether it is the last as its nonce (the STREAM construction): so
// no chunk can be altered, moved, left out or cut off.
const (
	copyMagic  = "dialtone sealed copy 1 "
	chunkSize  = 64 << 10
	noncePart  = 16
	maxCopyKey = 64
)

var errNoCopy = errors.New("it isn't a sealed copy of a store")

// copies returns the copies of the store that are kept beside it: from before a migration, and damaged ones.
func (db *DB) copies() (paths []string, err error) {
	for _, kind := range []string{".schema*", ".damaged-*"} {
		more, err := filepath.Glob(filepath.Join(db.dir, fileDB+kind))
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	return paths, nil
}

// sealCopies seals those of the copies as a whole that an earlier version's secrets are in, in the clear, and those anew that
// are sealed with an earlier key. It comes after the store was migrated, verified and opened, so whoever wants to go back
// finds in the sealed copy ([Unseal]) what the plain one had.
func (db *DB) sealCopies(ctx context.Context) error {
	paths, err := db.copies()
	if err != nil {
		return err
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".new") {
			err = os.Remove(path) // cut off; the next one was whole
		} else {
			err = db.sealCopy(ctx, path)
		}
		if err != nil {
			return fmt.Errorf("seal the copy %s: %w", path, err)
		}
	}
	return nil
}

func (db *DB) sealCopy(ctx context.Context, path string) error {
	keys, target := db.ring.Load(), strings.TrimSuffix(path, sealedSuffix)+sealedSuffix
	if path == target {
		if id, err := copyKey(path); err != nil || id == keys.first().id {
			return err
		}
	} else if open, err := hasOpenSecrets(path); err != nil || !open {
		return err
	}
	temp := target + ".new"
	sum := sha256.New()
	err := writeFile(temp, func(w io.Writer) error {
		if path == target {
			return pipeThrough(func(plain io.Writer) error { return unsealFile(plain, path, keys) },
				func(plain io.Reader) error { return sealTo(w, io.TeeReader(plain, sum), keys.first()) })
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return sealTo(w, io.TeeReader(f, sum), keys.first())
	})
	if err != nil {
		return err
	}
	again := sha256.New()
	err = unsealFile(again, temp, keys)
	if err == nil && !bytes.Equal(sum.Sum(nil), again.Sum(nil)) {
		err = errors.New("what was written can't be read back")
	}
	if err == nil {
		err = errors.Join(os.Rename(temp, target), syncDir(db.dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	if path != target {
		err = errors.Join(os.Remove(path), syncDir(db.dir))
	}
	db.log.InfoContext(ctx, "copy of the store sealed; dialtone store unseal opens it", "path", target, "key", keys.first().id)
	return err
}

// pipeThrough lets the one read what the other writes.
func pipeThrough(from func(io.Writer) error, to func(io.Reader) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := from(w)
		done <- errors.Join(err, w.CloseWithError(err))
	}()
	err := to(r)
	return errors.Join(err, r.CloseWithError(err), <-done)
}

// hasOpenSecrets reports whether a file, damaged or not, has secrets in the clear, wherever in it.
func hasOpenSecrets(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	const overlap = 64 // longer than any mark
	buf, kept := make([]byte, overlap+chunkSize), 0
	for {
		n, err := io.ReadFull(f, buf[kept:])
		if isOpen(buf[:kept+n]) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buf, buf[kept+n-overlap:kept+n])
	}
}

// nonceOf is the nonce of a chunk.
func nonceOf(random []byte, n uint64, last bool) []byte {
	nonce := binary.BigEndian.AppendUint64(bytes.Clone(random), n<<1)
	if last {
		nonce[chacha20poly1305.NonceSizeX-1] |= 1
	}
	return nonce
}

func sealTo(w io.Writer, r io.Reader, k sealKey) error {
	random := make([]byte, noncePart)
	_, _ = rand.Read(random) // never fails
	if _, err := fmt.Fprintf(w, "%s%s\n%s", copyMagic, k.id, random); err != nil {
		return err
	}
	in, chunk := bufio.NewReaderSize(r, chunkSize), make([]byte, chunkSize)
	for n := uint64(0); ; n++ {
		got, err := io.ReadFull(in, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		last := got < chunkSize
		if _, err := w.Write(k.aead.Seal(nil, nonceOf(random, n, last), chunk[:got], []byte(copyMagic))); err != nil || last {
			return err
		}
	}
}

// copyHead reads the beginning of a sealed copy.
func copyHead(r *bufio.Reader) (id string, random []byte, err error) {
	line := make([]byte, len(copyMagic))
	if _, err := io.ReadFull(r, line); err != nil || string(line) != copyMagic {
		return "", nil, errNoCopy
	}
	name, err := r.ReadSlice('\n')
	if err != nil || len(name) > maxCopyKey {
		return "", nil, errNoCopy
	}
	id = strings.TrimSuffix(string(name), "\n")
	random = make([]byte, noncePart)
	if _, err := io.ReadFull(r, random); err != nil {
		return "", nil, errNoCopy
	}
	return id, random, nil
}

// copyKey returns the ID of the key that a copy is sealed with.
func copyKey(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	id, _, err := copyHead(bufio.NewReader(f))
	return id, err
}

func unsealFile(w io.Writer, path string, keys *ring) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unsealFrom(w, f, keys)
}

func unsealFrom(w io.Writer, r io.Reader, keys *ring) error {
	in := bufio.NewReaderSize(r, chunkSize)
	id, random, err := copyHead(in)
	if err != nil {
		return err
	}
	k, ok := keys.find(id)
	if !ok {
		return fmt.Errorf("it is sealed with key %q, which %s hasn't got", id, fileKey)
	}
	chunk := make([]byte, chunkSize+chacha20poly1305.Overhead)
	for n := uint64(0); ; n++ {
		got, err := io.ReadFull(in, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		last := got < len(chunk)
		plain, err := k.aead.Open(chunk[:0], nonceOf(random, n, last), chunk[:got], []byte(copyMagic))
		if err != nil {
			return fmt.Errorf("%w: it is cut off or altered", ErrDamaged)
		}
		if _, err := w.Write(plain); err != nil || last {
			return err
		}
	}
}

// Unseal writes what a sealed copy of a store holds into a new file, with the key file of a state folder. The file has its
// secrets as the version had them that wrote it: in the clear.
func Unseal(dir, path, to string) error {
	keys, there, err := readKeys(dir)
	if err == nil && !there {
		err = fmt.Errorf("there is no %s in %s", fileKey, dir)
	}
	if err != nil {
		return fmt.Errorf("unseal %s: %w", path, err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("unseal %s: %w", path, err)
	}
	if err := errors.Join(unsealFile(f, path, keys), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("unseal %s: %w", path, errors.Join(err, os.Remove(to)))
	}
	return nil
}
