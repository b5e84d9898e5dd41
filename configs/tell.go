package configs

import (
	"fmt"
	"net/url"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Tell returns the settings as they are in force, in the shape of their file, for whoever may look at them. Words of a
// hook's program after its name, and what its URL has besides host and path, are left out: they may be secrets.
func (s Settings) Tell() (map[string]any, error) {
	s.Hooks = slices.Clone(s.Hooks)
	for i := range s.Hooks {
		h := &s.Hooks[i]
		if len(h.Exec) > 1 {
			h.Exec = []string{h.Exec[0], "[hidden]"}
		}
		if u, err := url.Parse(h.URL); err != nil {
			h.URL = "[hidden]"
		} else {
			h.URL = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		}
	}
	data, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("tell settings: %w", err)
	}
	var told map[string]any
	if err := yaml.Unmarshal(data, &told); err != nil {
		return nil, fmt.Errorf("tell settings: %w", err)
	}
	return told, nil
}
