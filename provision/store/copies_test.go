package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is sealed as a whole opens as it was, and doesn't if anything of it is altered, cut off or left out.
func TestSealedCopy(t *testing.T) {
	t.Parallel()
	key := must[sealKey](t)(randomSealKey())
	keys := &ring{[]sealKey{key}}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize}).Draw(t, "size")
		plain := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, size)
		var box, out bytes.Buffer
		if err := sealTo(&box, bytes.NewReader(plain), key); err != nil {
			t.Fatal(err)
		}
		if err := unsealFrom(&out, bytes.NewReader(box.Bytes()), keys); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Fatalf("%d bytes: got %d, %v", size, out.Len(), err)
		}
		at := rapid.IntRange(0, box.Len()-1).Draw(t, "at")
		bad := map[string][]byte{"cut": box.Bytes()[:at], "flipped": bytes.Clone(box.Bytes())}
		bad["flipped"][at] ^= 1
		if size == 3*chunkSize {
			const box1 = chunkSize + 16
			head := box.Len() - 3*box1 - 16
			bad["left out"] = append(bytes.Clone(box.Bytes()[:head+box1]), box.Bytes()[head+2*box1:]...)
		}
		for what, b := range bad {
			if err := unsealFrom(&bytes.Buffer{}, bytes.NewReader(b), keys); err == nil {
				t.Errorf("%d bytes, %s at %d: it opens", size, what, at)
			}
		}
	})
	var box bytes.Buffer
	if err := sealTo(&box, strings.NewReader("x"), must[sealKey](t)(randomSealKey())); err != nil {
		t.Fatal(err)
	}
	if err := unsealFrom(&bytes.Buffer{}, &box, keys); err == nil || !strings.Contains(err.Error(), fileKey) {
		t.Errorf("with another key: %v", err)
	}
}

// A rotation seals the copies anew, so that the old key opens nothing any more; and a copy that can't be sealed for want of
// room is sealed by the next start.
func TestCopiesAreSealedAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := strings.Repeat("x", 64+chunkSize-5) + `{"` + keySecret + `":"s3cr3t"}`
	copied := filepath.Join(dir, fileDB+".schema5")
	write(t, copied, plain)
	if err := os.Mkdir(copied+sealedSuffix+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(copied+sealedSuffix+".new", "in the way"), "")
	db := openDB(t, dir)
	if _, err := os.Stat(copied); err != nil {
		t.Errorf("the plain copy went before it was sealed: %v", err)
	}
	if err := errors.Join(db.Close(), os.RemoveAll(copied+sealedSuffix+".new")); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir)
	nowhere(t, dir, "s3cr3t")
	old := must[string](t)(copyKey(copied + sealedSuffix))
	r := must[Rotation](t)(db.RotateKey(t.Context()))
	if now := must[string](t)(copyKey(copied + sealedSuffix)); old != r.Old || now != r.New {
		t.Errorf("sealed with %s and then %s, want %s and %s", old, now, r.Old, r.New)
	}
	out := filepath.Join(dir, "out")
	if err := Unseal(dir, copied+sealedSuffix, out); err != nil || string(must[[]byte](t)(os.ReadFile(out))) != plain {
		t.Errorf("unsealed: %v", err)
	}
	private(t, dir)
	if err := Unseal(dir, copied+sealedSuffix, out); err == nil {
		t.Error("a file that was there is overwritten")
	}
	if err := Unseal(t.TempDir(), copied+sealedSuffix, out+"2"); err == nil {
		t.Error("it opens without a key file")
	}
}

func FuzzUnseal(f *testing.F) {
	key, err := randomSealKey()
	var box bytes.Buffer
	if err := errors.Join(err, sealTo(&box, strings.NewReader("text"), key)); err != nil {
		f.Fatal(err)
	}
	f.Add(box.Bytes())
	f.Add([]byte(copyMagic + "0011223344556677\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = unsealFrom(&bytes.Buffer{}, bytes.NewReader(b), &ring{[]sealKey{key}}) // whatever it is, no panic
	})
}
