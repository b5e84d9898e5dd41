package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/backup"
	"github.com/dialtone-project/dialtone/provision/store"
	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) backup() *cobra.Command {
	return parent("backup", "The whole state in one file", a.backupCreate(), a.backupList(), a.backupRemove(), a.backupVerify(), a.backupRestore())
}

// backedUp is what the verbs write with --json.
type backedUp struct {
	File      string          `json:"file"`
	Encrypted bool            `json:"encrypted"`
	Manifest  backup.Manifest `json:"manifest"`
	Store     *store.Report   `json:"store,omitempty"`
}

func (b backedUp) write(w io.Writer) error {
	var size int64
	for _, f := range b.Manifest.Files {
		size += f.Size
	}
	how := "not encrypted: it holds every password"
	if b.Encrypted {
		how = "encrypted"
	}
	_, err := fmt.Fprintf(w, "%s: %d files, %d bytes, of %s, %s\n", b.File, len(b.Manifest.Files), size, b.Manifest.Created.Local().Format(time.DateTime), how)
	if err == nil && b.Store != nil {
		_, err = fmt.Fprintf(w, "its store is whole: %d leases, %d phones, %d configs\n", b.Store.Leases, b.Store.Devices, b.Store.Configs)
	}
	return err
}

func (a *app) backupCreate() *cobra.Command {
	var (
		keyFile string
		dry     bool
	)
	cmd := &cobra.Command{
		Use: "create [FILE]", Short: "Write the whole state into a file, while the daemon runs", Args: usage(cobra.MaximumNArgs(1)),
		Long: `Write the whole state into a file, while the daemon runs: leases, phones, configs, networks, plugins, firmware, keys.
What was acknowledged before it began is in it. The file is checked as it is written. Without FILE the appliance keeps it, in
the folder backups of the state folder: that helps against mistakes, not against a disk that breaks.

It holds every password of every phone, and the key that they are sealed with, so that it can be restored on an empty machine.
With --key-file it is encrypted: the file has a passphrase in one line, or keys of
age (https://age-encryption.org), of which a public one is enough to encrypt.`,
		Example: "  dialtone backup create /mnt/usb/dialtone.backup --key-file /root/backup.key\n  dialtone backup create   # before a change that one may regret",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if keyFile != "" {
					return fmt.Errorf("%w: a backup that the appliance keeps lies beside its own keys, so it isn't encrypted; name a FILE for one that is", errUsage)
				}
				return a.keepBackup(cmd.Context(), dry)
			}
			if dry {
				return fmt.Errorf("%w: --dry-run is for backups that the appliance keeps; one in a FILE changes nothing else", errUsage)
			}
			key, err := a.backupKey(keyFile)
			if err != nil {
				return err
			}
			m, err := a.saveBackup(cmd.Context(), args[0], key)
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			b := backedUp{File: args[0], Encrypted: key.Encrypts(), Manifest: m}
			return a.print(b, b.write)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`file` with a passphrase or keys to encrypt with")
	dryFlag(cmd, &dry)
	return cmd
}

func (a *app) backupKey(file string) (backup.Key, error) {
	if file == "" {
		return backup.Key{}, nil
	}
	data, err := a.read(file)
	if err != nil {
		return backup.Key{}, err
	}
	key, err := backup.ParseKey(data)
	if err != nil {
		return backup.Key{}, kindError(provision.ErrInvalid, "%s: %s", file, err)
	}
	return key, nil
}

// saveBackup writes what the daemon sends to a file, which is there only once all of it is known to be right.
func (a *app) saveBackup(ctx context.Context, name string, key backup.Key) (m backup.Manifest, err error) {
	c, err := a.transport(0)
	if err != nil {
		return m, err
	}
	resp, err := c.GetBackup(ctx)
	if err != nil {
		return m, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r, err := api.ParseGetBackupResponse(resp)
		if err != nil {
			return m, err
		}
		return m, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".backup-")
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	sealed, err := key.Seal(f)
	if err != nil {
		return m, err
	}
	if m, err = backup.Verify(ctx, io.TeeReader(resp.Body, sealed), backup.Key{}); err != nil {
		return m, fmt.Errorf("what the daemon sent isn't whole, its log says why: %w", err)
	}
	if err = errors.Join(sealed.Close(), f.Sync()); err != nil {
		return m, err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return m, err
	}
	return m, f.Close()
}

func (a *app) backupVerify() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "See that a backup is whole, by restoring it beside", Args: usage(cobra.ExactArgs(1)),
		Long: `See that a backup is whole: it is unpacked into a folder for temporary files, each file is compared with the manifest,
and the store in it is checked record by record. Then the folder is removed.`,
		Example: "  dialtone backup verify /mnt/usb/dialtone.backup --key-file /root/backup.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			temp, err := os.MkdirTemp("", "dialtone-verify-")
			if err != nil {
				return fmt.Errorf("verify: %w", err)
			}
			b, err := a.unpack(cmd.Context(), args[0], keyFile, filepath.Join(temp, "state"))
			if err = errors.Join(err, os.RemoveAll(temp)); err != nil {
				return err
			}
			return a.print(b, b.write)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`file` with the passphrase or the private key")
	return cmd
}

// unpack restores a backup into a new folder and checks its store.
func (a *app) unpack(ctx context.Context, file, keyFile, dir string) (backedUp, error) {
	b := backedUp{File: file}
	key, err := a.backupKey(keyFile)
	if err != nil {
		return b, err
	}
	f, err := os.Open(file)
	if err != nil {
		return b, fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	b.Encrypted = key.Encrypts()
	if b.Manifest, err = backup.Restore(ctx, f, key, dir); err != nil {
		if errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrKey) {
			return b, kindError(provision.ErrInvalid, "%s: %s", file, err)
		}
		return b, fmt.Errorf("%s: %w", file, err)
	}
	r, err := checkRestored(ctx, dir)
	if err != nil {
		return b, errors.Join(fmt.Errorf("%s: %w", file, err), os.RemoveAll(dir))
	}
	b.Store = &r
	return b, store.MarkRestored(dir, r)
}

func (a *app) backupRestore() *cobra.Command {
	var keyFile string
	var replace bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of the state folder", Args: usage(cobra.ExactArgs(1)),
		Long: `Put a backup in the place of the state folder, which must be empty or not exist; with --replace, the one that is there is
moved aside and kept. The daemon must not run. Nothing changes unless the whole backup is right.

Leases may have been given since the backup was made. So after a restoration the daemon asks the network for each address
before it leases it.`,
		Example: "  dialtone backup restore /mnt/usb/dialtone.backup --state /var/lib/dialtone --replace",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, running := a.daemonFindings(cmd.Context()); running {
				return kindError(provision.ErrConflict, "restore: the daemon runs on %s: stop it first", a.state)
			}
			left, err := os.ReadDir(a.state)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("restore: %w", err)
			}
			if len(left) > 0 && !replace {
				return kindError(provision.ErrConflict, "restore: %s isn't empty; --replace moves it aside and keeps it", a.state)
			}
			fresh := a.state + ".restored"
			b, err := a.unpack(cmd.Context(), args[0], keyFile, fresh)
			if err != nil {
				return err
			}
			aside := a.state + ".before-" + time.Now().UTC().Format("20060102T150405Z")
			if err := os.Rename(a.state, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(fmt.Errorf("restore: move the present state aside: %w", err), os.RemoveAll(fresh))
			}
			if err := os.Rename(fresh, a.state); err != nil {
				return errors.Join(fmt.Errorf("restore: %w", err), os.Rename(aside, a.state))
			}
			if len(left) == 0 {
				_ = os.Remove(aside) // it was empty, if it was there
			} else if _, err := fmt.Fprintf(a.stderr, "What was there before is in %s.\n", aside); err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			return a.print(b, b.write)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`file` with the passphrase or the private key")
	cmd.Flags().BoolVar(&replace, "replace", false, "move the present state aside")
	return cmd
}
