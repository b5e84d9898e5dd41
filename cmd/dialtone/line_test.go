package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
)

// Lines, firmware and settings can be looked at.
func TestLookVerbs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, func(s *configs.Settings) {
		s.Hooks = []configs.Hook{{Name: "web", URL: "https://192.0.2.1/?key=planted", Timeout: 1}}
	})
	o.known("00:08:5d:00:00:07")
	folder := filepath.Join(o.state, "firmware", "aastra-67xx-3.3.1")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "6730i.st"), []byte("firmware"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.steps(
		step{[]string{"plugin", "rescan"}, 0, ""},
		step{[]string{"firmware", "list", "--output", "csv"}, 0, fmt.Sprintf("aastra-67xx-3.3.1,6730i.st,8,%x\n", sha256.Sum256([]byte("firmware")))},
		step{[]string{"line", "list"}, 0, "sandbox-guest"},
		step{[]string{"line", "list", "--sort", "colour"}, exitInvalid, ""},
		step{[]string{"problem", "list", "--output", "csv", "--columns", "part"}, 0, ""},
	)
	c, err := (&app{state: o.state, env: func(string) string { return "" }}).client()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.GetSettingsWithResponse(t.Context())
	if err != nil || r.JSON200 == nil {
		t.Fatalf("settings: %v, %s", err, r.Body)
	}
	data, err := json.Marshal(r.JSON200.Settings)
	if err != nil || !strings.Contains(string(data), o.state) || strings.Contains(string(data), "planted") {
		t.Errorf("settings: %v, %s", err, data)
	}
}
