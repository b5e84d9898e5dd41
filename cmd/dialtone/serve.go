package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
)

// serve runs the daemon: settings → parts → tasks. parts.go makes the parts, task.go runs the tasks.
func (a *app) serve() *cobra.Command {
	var file, site string
	var sandbox bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: lease addresses and serve phones their files",
		Long: `Run the daemon: lease addresses and serve phones their files, until it is told to end (SIGTERM or Ctrl-C).
SIGHUP reads the plugin folder again.

The settings say where it listens and what it keeps where; without a file the built-in ones hold, which
` + "`dialtone check --print`" + ` shows. A state folder that is empty is filled from the site file: networks,
reservations, configs and phones.`,
		Example: "  dialtone serve --settings /etc/dialtone/dialtone.yaml\n  dialtone serve --sandbox --state ./state",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, c, err := a.load(cmd, file, site, sandbox)
			if err != nil {
				return err
			}
			log := newLog(a.stderr, s.Log)
			p, err := openParts(cmd.Context(), s, c, log)
			if err != nil {
				return err
			}
			if err := a.firstSignIn(cmd.Context(), p); err != nil {
				return errors.Join(err, p.close())
			}
			if sandbox {
				a.invite(p)
			}
			return p.run(cmd.Context(), notifier{socket: a.env("NOTIFY_SOCKET")}, a.env)
		},
	}
	a.settingsFlags(cmd, &file, &site, &sandbox)
	return cmd
}

// firstSignIn says on standard error how the first person gets in, as long as nobody can.
func (a *app) firstSignIn(ctx context.Context, p *parts) error {
	code, err := p.access.SetupCode(ctx)
	if err != nil || code == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "There is no user yet. Setup code for the first one, good for a day: %s\n", code)
	return err
}

func (a *app) settingsFlags(cmd *cobra.Command, file, site *string, sandbox *bool) {
	cmd.Flags().StringVar(file, "settings", "", "settings `file`")
	cmd.Flags().StringVar(site, "site", "", "site `file` with first content for an empty state")
	cmd.Flags().BoolVar(sandbox, "sandbox", false, "serve a make-believe office on loopback and high ports, without root")
}

// load reads and checks the settings and the site that the flags name.
func (a *app) load(cmd *cobra.Command, file, site string, sandbox bool) (configs.Settings, content, error) {
	s := configs.Default()
	if sandbox {
		s = configs.Sandbox()
	}
	if file != "" {
		if sandbox {
			return s, content{}, fmt.Errorf("%w: --sandbox has settings of its own; leave out --settings", errUsage)
		}
		data, err := a.read(file)
		if err != nil {
			return s, content{}, err
		}
		if s, err = configs.Parse(file, data); err != nil {
			return s, content{}, fmt.Errorf("%w: %w", errSettings, err)
		}
	}
	if cmd.Flags().Changed("state") || file == "" {
		s.State = a.state
	}
	if site != "" {
		s.Site = site
	}
	name, data := configs.DefaultSite()
	if sandbox {
		name, data = configs.SandboxSite()
	}
	if s.Site != "" {
		var err error
		name = s.Site
		if data, err = a.read(s.Site); err != nil {
			return s, content{}, err
		}
	}
	c, err := readSite(name, data)
	if err != nil {
		return s, content{}, fmt.Errorf("%w: %w", errSettings, err)
	}
	return s, c, nil
}

// invite tells whoever started the sandbox what to do next.
func (a *app) invite(p *parts) {
	bin, err := os.Executable()
	if err != nil {
		bin = "dialtone"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, bin); err == nil && filepath.IsLocal(rel) {
			bin = "./" + rel
		}
	}
	state := p.settings.State
	secure := ""
	if p.keeper != nil {
		secure = fmt.Sprintf("  fetch by HTTPS             curl --cacert %s https://%s/aastra.cfg\n",
			filepath.Join(state, "ca", "authority.pem"), p.settings.HTTP.TLS.Listen)
	}
	fmt.Fprintf(a.stdout, `
Dialtone's sandbox is running, on loopback only. In a second terminal:

  boot a simulated phone    %[1]s sim boot --model 7941G --mac 00:1b:54:00:00:01
  and another                %[1]s sim boot --model 6730i --mac 00:08:5d:00:00:01
  see who holds what         %[1]s lease list --state %[2]s
  see the phones             %[1]s phone list --state %[2]s
  ask why                    %[1]s explain RRQ SEP001B54000001.cnf.xml --state %[2]s --from ADDRESS
                             (ADDRESS: the one that the simulated phone was leased)
  watch                      http://%[3]s
%[4]s
End it with Ctrl-C.

`, bin, state, p.consoleAddr(), secure)
}

// newLog returns the log that the settings ask for.
func newLog(w io.Writer, s configs.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.Level}
	if s.Format == configs.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// run runs the parts' tasks until ctx ends, then closes the parts.
func (p *parts) run(ctx context.Context, systemd notifier, env func(string) string) (err error) {
	defer func() { err = errors.Join(err, p.close()) }()
	tasks := p.tasks()
	tasks = append(tasks, Task{Name: "reload on SIGHUP", Run: p.reloadOnHangup}, systemd.watchdog(env, p.alive))
	if err := systemd.send("READY=1"); err != nil {
		return err
	}
	p.log.InfoContext(ctx, "serving", "version", build().Version, "state", p.settings.State)
	ended := context.AfterFunc(ctx, func() { _ = systemd.send("STOPPING=1") }) // it notices anyway
	defer ended()
	return runTasks(ctx, p.log, tasks)
}

// reloadOnHangup reads the plugin folder again on each SIGHUP.
func (p *parts) reloadOnHangup(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			if err := p.plugins.Rescan(ctx); err != nil && ctx.Err() == nil {
				p.log.ErrorContext(ctx, "plugins not rescanned", "err", err)
			}
		}
	}
}

// alive returns as long as the lease table can be asked.
func (p *parts) alive() { p.table.ByAddr(netip.IPv4Unspecified()) }
