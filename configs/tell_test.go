package configs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
)

func TestTell(t *testing.T) {
	t.Parallel()
	s := configs.Default()
	s.Hooks = []configs.Hook{
		{Name: "program", Exec: []string{"/usr/bin/tell", "--key", "planted"}},
		{Name: "web", URL: "https://user:planted@192.0.2.1/hook?key=planted#planted"},
		{Name: "odd", URL: "https://planted\x7f"},
	}
	told, err := s.Tell()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(told) // it is for an API
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"/usr/bin/tell"`, `"https://192.0.2.1/hook"`, `"listen":"127.0.0.1:8080"`, `"state":"/var/lib/dialtone"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
	if strings.Contains(string(data), "planted") {
		t.Errorf("a secret is told: %s", data)
	}
	if s.Hooks[0].Exec[2] != "planted" {
		t.Error("the settings themselves were changed")
	}
}
