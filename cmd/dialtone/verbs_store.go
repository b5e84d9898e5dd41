package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/store"
)

func (a *app) store() *cobra.Command {
	return parent("store", "The file that holds leases, phones, configs and networks", a.storeCheck(), a.storeUnseal(), a.storeVerify())
}

func (a *app) storeUnseal() *cobra.Command {
	return &cobra.Command{
		Use: "unseal COPY FILE", Short: "Open a copy of the store from before an upgrade, to go back to that version",
		Long: `Open a copy of the store that was kept before an upgrade, or as it was damaged, and that is sealed because it has passwords in
the clear. FILE, which must not be there yet, is the store as the earlier version wrote it. To go back: stop dialtone, unseal
the copy, install the earlier version, put FILE in the place of dialtone.db, start.`,
		Example: "  dialtone store unseal /var/lib/dialtone/dialtone.db.schema5.sealed /root/dialtone.db",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := store.Unseal(a.state, args[0], args[1]); err != nil {
				return err
			}
			return a.print(map[string]string{"file": args[1]}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s holds passwords in the clear: remove it when it isn't needed any more\n", args[1])
				return err
			})
		},
	}
}

// storeChecked is what `store check --json` writes.
type storeChecked struct {
	Files []store.Report `json:"files"`
	// Remedy is what the next start does about the store itself, the first of the files.
	Remedy store.Remedy `json:"remedy,omitempty"`
}

func (a *app) storeCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check the store and its snapshots for damage",
		Long: `Check the store and its snapshots for damage: their pages, the checksum of each record, whether the records make
sense and agree. The daemon does the same before it opens the store. While it runs, the store itself is left out: its
newest snapshot is a copy of it, at most ten minutes old.

A power failure amid a commit may leave a part of it in the file. The next start undoes that commit, which nobody was told
was done, so that this is no damage.

Exit status: 0 all is well, 3 there is no store, 6 a file or a record is damaged, 1 it can't be said.`,
		Example: "  dialtone store check\n  dialtone store check --state /var/lib/dialtone --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, snapshots, err := store.Files(a.state)
			if err != nil {
				return err
			}
			if db != "" {
				snapshots = append([]string{db}, snapshots...)
			}
			child, err := checker()
			if err != nil {
				return err
			}
			var all storeChecked
			damaged := db == ""
			for _, path := range snapshots {
				r, err := store.CheckBy(cmd.Context(), child, path)
				if err != nil {
					return fmt.Errorf("check %s: %w", path, err)
				}
				bad := !r.InUse && !r.Whole()
				if bad && path == db {
					if all.Remedy, err = r.Remedy(a.state); err != nil {
						return fmt.Errorf("check %s: %w", path, err)
					}
					bad = all.Remedy != store.RemedyUndo
				}
				damaged = damaged || bad
				all.Files = append(all.Files, r)
			}
			if err := a.print(all, all.write); err != nil {
				return err
			}
			if db == "" {
				return fmt.Errorf("the store itself is missing or empty, but has snapshots: %w", provision.ErrInvalid)
			}
			if damaged {
				return errors.Join(errReported, provision.ErrInvalid)
			}
			return nil
		},
	}
}

// write tells people what was found.
func (c storeChecked) write(w io.Writer) error {
	rows := make([][]string, 0, len(c.Files))
	var lines []string
	for i, r := range c.Files {
		state, name := "good", filepath.Base(r.Path)
		if i == 0 {
			if told := remedies()[c.Remedy]; told != "" {
				lines = append(lines, name+": "+told)
			}
		}
		switch {
		case r.InUse:
			state = "in use"
		case i == 0 && c.Remedy == store.RemedyUndo:
			state = "cut off"
		case !r.Sound():
			state = "damaged"
		case r.Flawed > 0:
			state = strconv.Itoa(r.Flawed) + " bad records"
		}
		rows = append(rows, []string{
			name, state, strconv.Itoa(r.Leases), strconv.Itoa(r.Devices), strconv.Itoa(r.Configs), strconv.FormatInt(r.Size>>10, 10) + " KiB",
		})
		for _, d := range r.Damage {
			lines = append(lines, name+": "+d)
		}
		for _, f := range r.Flaws {
			lines = append(lines, fmt.Sprintf("%s: %s %s: %s", name, f.Bucket, f.Key, f.Why))
		}
		for _, m := range r.Remarks {
			lines = append(lines, name+": "+m)
		}
	}
	if err := table(w, []string{"FILE", "STATE", "LEASES", "PHONES", "CONFIGS", "SIZE"}, rows); err != nil {
		return err
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

// remedies tells people what the next start does.
func remedies() map[store.Remedy]string {
	return map[store.Remedy]string{
		store.RemedyUndo:     "its last commit was cut off, as by a power failure; the next start undoes it, and nothing is lost that anybody was told was done",
		store.RemedyStepBack: "its last commit is damaged; the next start takes only the leases of it that can be read",
		store.RemedyRestore:  "the next start restores it from a snapshot",
	}
}

// maxCheckStack ends a check that goes round in a damaged file before it takes the machine's memory.
const maxCheckStack = 64 << 20

// storeVerify is what checks one file, in a process that may die of it.
func (a *app) storeVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check one file in this process and write the report as JSON", Hidden: true,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			debug.SetMaxStack(maxCheckStack)
			r, err := store.Check(args[0])
			if err != nil {
				return err
			}
			return json.NewEncoder(a.stdout).Encode(r)
		},
	}
}

// checker is the command by which this program checks a file in another process.
func checker() ([]string, error) {
	self := "/proc/self/exe" // this very program, even if its file was replaced meanwhile
	if _, err := os.Stat(self); err != nil {
		if self, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the program's own file: %w", err)
		}
	}
	return []string{self, "store", "verify"}, nil
}
