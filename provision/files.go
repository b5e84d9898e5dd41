package provision

import (
	"context"
	"fmt"
)

// PhoneFile is a file as a phone would get it.
type PhoneFile struct {
	Proto Proto
	Path  string
	Class Class
	Size  int64    // bytes
	Hash  [32]byte // SHA-256 of what the phone would get
	// Text is the file with [secret] in the place of each secret. Empty: it can't be shown; see Note.
	Text string
	Note string
	Err  string // why the file can't be made, without secrets; then the others but Proto and Path say nothing
}

// Files makes the files that a device's plugin says it asks for, in that order, as it would get them in c.Before if it had
// proved who it is. Those that don't exist are left out. Nothing is written and no phone is told.
func (c *Comparison) Files(ctx context.Context, d Device) ([]PhoneFile, error) {
	s := newStage(c, c.Before)
	var files []PhoneFile
	for _, step := range steps(s.boot(&d), nil) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("make files of %s: %w", d.ID, err)
		}
		whole := s.make(ctx, &d, step, nil)
		if !whole.there && whole.err == nil {
			continue
		}
		f := PhoneFile{Proto: step.Proto, Path: step.Path, Class: whole.class, Size: whole.size, Hash: whole.hash}
		shown := made{}
		if whole.err == nil {
			shown = s.make(ctx, &d, step, []byte{})
		}
		switch {
		case whole.err != nil:
			f.Err = oneLine(whole.err)
		case shown.err != nil:
			f.Note = "it can't be shown without secrets"
		case !isText(shown.text):
			f.Note = "it is no text, or too long to be shown"
		default:
			f.Text = string(shown.text)
		}
		files = append(files, f)
	}
	return files, nil
}
