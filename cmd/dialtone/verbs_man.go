package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) man() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages, one for each command", Args: usage(cobra.ExactArgs(1)),
		Long: `Write the manual pages, one for each command, into a folder, which is made if it isn't there. They are written from what
the commands say of themselves, so they are those of this very program.`,
		Example: "  dialtone man /usr/local/share/man/man1\n  dialtone man . && man ./dialtone-phone-list.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // for everybody to read
				return fmt.Errorf("write manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			date := built()
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "Dialtone " + build().Version, Manual: "Dialtone"}, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return nil
		},
	}
}

// built is when the sources were committed: the same program writes the same pages.
func built() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
					return t
				}
			}
		}
	}
	return time.Unix(0, 0).UTC()
}
