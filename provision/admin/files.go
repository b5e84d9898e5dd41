package admin

import (
	"context"
	"fmt"

	"github.com/dialtone-project/dialtone/provision"
)

// PhoneFiles makes the files of a phone, as it would get them now, with [secret] in the place of each secret. A phone without
// a config is taken for one that is given one by asking. With a path it is that file only, ErrNotFound if the phone's plugin
// doesn't say that it asks for it or there is none.
func (s *Service) PhoneFiles(ctx context.Context, phone, path string) ([]provision.PhoneFile, error) {
	p, err := s.Phone(ctx, phone)
	if err != nil {
		return nil, err
	}
	if p.Config == "" {
		if p.Config, err = s.configOfNew(ctx); err != nil {
			return nil, fmt.Errorf("files of phone %s: %w", p.ID, err)
		}
	}
	c := s.comparison(provision.Scene{Configs: s.Configs, Plugins: s.Plugins.Plugins()}, provision.Scene{})
	files, err := c.Files(ctx, p.Device)
	if err != nil || path == "" {
		return files, err
	}
	for _, f := range files {
		if f.Path == path {
			return []provision.PhoneFile{f}, nil
		}
	}
	return nil, fmt.Errorf("phone %s has no file %q that its plugin says it asks for: %w", phone, provision.Printable(path), provision.ErrNotFound)
}
