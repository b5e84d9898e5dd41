package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
)

func TestUsersAndTokensSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	user := access.User{Name: "desk", Role: access.Owner, Password: "$hash", TOTP: []byte("secret"), TOTPStep: 7, Created: at, Changed: at}
	token := access.Token{ID: "t1", User: "desk", Name: "ansible", Sum: [32]byte{1}, Scopes: []access.Scope{access.Read}, Created: at, Expiry: at.Add(time.Hour)}
	user = must[access.User](t)(db.PutUser(t.Context(), user))
	token = must[access.Token](t)(db.PutToken(t.Context(), token))
	if _, err := db.PutUser(t.Context(), access.User{Name: "desk"}); !errors.Is(err, access.ErrConflict) {
		t.Errorf("a second user of the name: %v", err)
	}
	if _, err := db.PutUser(t.Context(), access.User{Name: "a\x00b"}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("a name that could be another's key: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir)
	if diff := cmp.Diff([]access.User{user}, must[[]access.User](t)(db.Users(t.Context()))); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(token, must[access.Token](t)(db.TokenBySum(t.Context(), token.Sum))); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	for _, err := range []error{
		second(db.User(t.Context(), "porter")), second(db.TokenBySum(t.Context(), [32]byte{2})), db.DeleteUser(t.Context(), "porter"), db.DeleteToken(t.Context(), "t2"),
	} {
		if !errors.Is(err, access.ErrNotFound) {
			t.Errorf("what isn't there: %v", err)
		}
	}
	if err := db.DeleteUser(t.Context(), "desk"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.TokenBySum(t.Context(), token.Sum); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("the token of a deleted user: %v", err)
	}
	token.Rev, token.ID = 0, "t3"
	must[access.Token](t)(db.PutToken(t.Context(), token))
	if err := db.DeleteToken(t.Context(), "t3"); err != nil {
		t.Fatal(err)
	}
	if all := must[[]access.Token](t)(db.Tokens(t.Context())); len(all) != 0 {
		t.Errorf("tokens %v, want none", all)
	}
}

func second[T any](_ T, err error) error { return err }

// audit returns the whole audit, the oldest first, after having checked its chain.
func audit(t *testing.T, db *DB) []access.Entry {
	t.Helper()
	all := must[[]access.Entry](t)(db.Audit(t.Context(), 0, maxAudit))
	slices.Reverse(all)
	if err := access.VerifyChain(all); err != nil {
		t.Error(err)
	}
	return all
}

func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	actor := access.Actor{Name: "desk", Via: access.ViaSession, Remote: "192.0.2.7"}
	var group sync.WaitGroup
	for n := range 50 { // they share transactions
		group.Go(func() {
			ctx, note := access.WithNote(t.Context(), actor, "createPhone")
			if err := note.Describe(fmt.Sprint("phone ", n), nil, map[string]int{"n": n}); err != nil {
				t.Error(err)
			}
			d := provision.Device{ID: provision.DeviceID(strconv.Itoa(n))}
			if _, err := db.PutDevice(ctx, d); err != nil || !note.Written() {
				t.Errorf("phone %d: %v, written %v", n, err, note.Written())
			}
			if _, err := db.PutDevice(ctx, d); err == nil { // refused: it is there
				t.Errorf("phone %d twice", n)
			}
			if !note.Written() {
				t.Errorf("phone %d: a refusal takes back the entry of what was done before", n)
			}
		})
	}
	group.Wait()
	all := audit(t, db)
	if len(all) != 50 || all[0].Actor != "desk" || all[0].Action != "createPhone" || all[0].Remote != actor.Remote || all[49].Seq != 50 {
		t.Fatalf("%d entries, the first %+v; want one for each phone", len(all), all[0])
	}
	ctx, note := access.WithNote(t.Context(), actor, "createPhone")
	if _, err := db.PutDevice(ctx, provision.Device{ID: "0"}); err == nil || note.Written() || len(audit(t, db)) != 50 {
		t.Errorf("a refused change (%v) is in the audit", err)
	}
	if err := db.Append(t.Context(), access.Entry{Actor: "nobody", Action: "login", Refused: "wrong"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir)
	if all = audit(t, db); len(all) != 51 || all[50].Refused != "wrong" {
		t.Errorf("after a restart there are %d entries", len(all))
	}
	page := must[[]access.Entry](t)(db.Audit(t.Context(), 11, 5))
	if len(page) != 5 || page[0].Seq != 10 || page[4].Seq != 6 {
		t.Errorf("page before 11: %+v", page)
	}
	if page = must[[]access.Entry](t)(db.Audit(t.Context(), 1000, 1)); len(page) != 1 || page[0].Seq != 51 {
		t.Errorf("page before 1000: %+v", page)
	}
	if page = must[[]access.Entry](t)(db.Audit(t.Context(), 1, 1)); len(page) != 0 {
		t.Errorf("page before the first: %+v", page)
	}
	if r := must[Report](t)(inspect(filepath.Join(dir, fileDB))); !r.Whole() {
		t.Errorf("the check finds fault: %+v", r)
	}
}

func TestAuditIsBounded(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	// One that is as long as it may be, as if its first entries were long gone.
	err := db.do(t.Context(), func(tx *bbolt.Tx) ([]op, error) {
		ops, err := db.entryOps(tx, access.Entry{Action: "old"})
		return ops, err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.do(context.Background(), func(tx *bbolt.Tx) ([]op, error) {
		first := tx.Bucket([]byte(bucketAudit)).Get([]byte{0, 0, 0, 0, 0, 0, 0, 1})
		if first == nil {
			return nil, errors.New("no first entry")
		}
		e := access.Entry{Seq: maxAudit, Action: "later"}
		payload := fmt.Appendf(nil, `{"seq":%d,"sum":"%s"}`, e.Seq, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
		key := []byte{0, 0, 0, 0, 0, 0, 0xc3, 0x50}
		return []op{{bucketAudit, key, seal(bucketAudit, key, payload)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), access.Entry{Action: "new"}); err != nil {
		t.Fatal(err)
	}
	all := must[[]access.Entry](t)(db.Audit(t.Context(), 0, 10))
	if len(all) != 2 || all[0].Seq != maxAudit+1 || all[1].Seq != maxAudit {
		t.Errorf("the audit has %+v, want the first entry gone", all)
	}
}
