package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// signIn signs in at the console's port and returns the status.
func (o *office) signIn(name, password string) int {
	o.t.Helper()
	body, err := json.Marshal(api.Credentials{Name: name, Password: password})
	if err != nil {
		o.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, "http://"+o.parts.consoleAddr()+"/api/v1/login", bytes.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Users, tokens and sessions are managed by verbs, and what they do is in the audit.
func TestUserVerbs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, strictly)
	secret := func(word string) string {
		name := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(name, []byte(word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	old, fresh := "seven green kettles", "nine blue teapots"

	var invited bytes.Buffer
	a := &app{stderr: &invited}
	if err := a.firstSignIn(t.Context(), o.parts); err != nil || !strings.Contains(invited.String(), "Setup code") {
		t.Errorf("without users, serve says %q, %v", &invited, err)
	}
	o.steps(
		step{[]string{"user", "add", "desk", "--role", "owner"}, exitUsage, ""},
		step{[]string{"user", "add", "desk", "--role", "owner", "--password-file", secret("short")}, exitInvalid, ""},
		step{[]string{"user", "add", "desk", "--role", "king", "--password-file", secret(old)}, exitInvalid, ""},
		step{[]string{"user", "add", "desk", "--role", "owner", "--password-file", secret(old)}, 0, "desk may sign in as owner"},
		step{[]string{"user", "add", "desk", "--role", "owner", "--password-file", secret(old)}, exitConflict, ""},
		step{[]string{"user", "add", "porter", "--password-file", secret(old)}, 0, "viewer"},
		step{[]string{"user", "role", "porter", "helpdesk"}, 0, ""},
		step{[]string{"user", "role", "desk", "viewer"}, exitConflict, ""},
		step{[]string{"user", "list"}, 0, "helpdesk"},
		step{[]string{"user", "passwd", "desk", "--password-file", secret(fresh)}, 0, ""},
		step{[]string{"user", "totp-reset", "porter"}, 0, ""},
		step{[]string{"user", "totp-reset", "nobody"}, exitNotFound, ""},
	)
	invited.Reset()
	if err := a.firstSignIn(t.Context(), o.parts); err != nil || invited.Len() > 0 {
		t.Errorf("with users, serve says %q, %v", &invited, err)
	}
	if got := o.signIn("desk", old); got != http.StatusUnauthorized {
		t.Errorf("the old password: %d", got)
	}
	if got := o.signIn("desk", fresh); got != http.StatusOK {
		t.Errorf("the new password: %d", got)
	}
	out, _ := o.cli("session", "list", "--json")
	var sessions api.SessionList
	if err := json.Unmarshal([]byte(out), &sessions); err != nil || len(sessions.Sessions) != 1 {
		t.Fatalf("sessions: %s, %v", out, err)
	}
	out, _ = o.cli("token", "create", "ansible", "--user", "porter", "--scope", "phones:write", "--json")
	var created api.CreatedAPIToken
	if err := json.Unmarshal([]byte(out), &created); err != nil || !strings.HasPrefix(created.Secret, "dialtone_pat_") {
		t.Fatalf("token: %s, %v", out, err)
	}
	o.known("00:08:5d:00:00:07")
	o.steps(
		step{[]string{"session", "list"}, 0, "desk"},
		step{[]string{"session", "revoke", sessions.Sessions[0].ID}, 0, ""},
		step{[]string{"session", "revoke", sessions.Sessions[0].ID}, exitNotFound, ""},
		step{[]string{"token", "create", "x"}, exitUsage, ""},
		step{[]string{"token", "create", "x", "--user", "porter", "--scope", "admin"}, exitInvalid, ""},
		step{[]string{"token", "list"}, 0, created.Token.ID},
		step{[]string{"token", "revoke", created.Token.ID}, 0, ""},
		step{[]string{"token", "revoke", created.Token.ID}, exitNotFound, ""},
		step{[]string{"window", "open", "--network", string(o.parts.Networks().All()[0].ID)}, 0, ""},
		step{[]string{"phone", "approve", "00:08:5d:00:00:07"}, 0, ""},
		step{[]string{"phone", "retire", "00:08:5d:00:00:07"}, 0, ""},
		step{[]string{"phone", "deny", "00:08:5d:00:00:07"}, 0, ""},
		step{[]string{"aside", "rm", "00:08:5d:00:00:07"}, 0, ""},
		step{[]string{"user", "rm", "porter"}, 0, ""},
		step{[]string{"user", "rm", "desk"}, exitConflict, ""},
		step{[]string{"audit", "verify"}, 0, "none is altered"},
	)
	out, _ = o.cli("audit", "list")
	for _, action := range []string{
		"createUser", "setUserRole", "setUserPassword", "resetUserTotp", "createAPIToken", "revokeSession", "revokeAPIToken", "openWindow",
		"approvePhone", "retirePhone", "denyPhone", "takeBack",
		"deleteUser", "login",
	} {
		if !strings.Contains(out, action) {
			t.Errorf("%s isn't in the audit:\n%s", action, out)
		}
	}
	for _, planted := range []string{old, fresh, created.Secret} {
		if strings.Contains(out, planted) || strings.Contains(o.log.String(), planted) {
			t.Errorf("%q is in the audit or the log", planted)
		}
	}
}
