package store

import (
	"encoding/json"
	"math"
	"testing"
)

// TestBooksAppend: the books are the same JSON as before, by whichever way they are written.
func TestBooksAppend(t *testing.T) {
	for _, b := range []books{
		{},
		{bucketLeases: {}},
		{bucketMeta: {Txid: 7}, bucketLeases: {Records: 3, Sum: math.MaxUint64}, bucketDeviceMAC: {Records: 1, Sum: 2}},
	} {
		want, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.append(nil); string(got) != string(want) {
			t.Errorf("books: got %s, want %s", got, want)
		}
	}
}
