package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

// version is set by the build (-ldflags "-X main.version=…"); else the module's own is shown.
var version string

// app is what the verbs share: the streams, the environment and the flags that all of them have.
type app struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer

	state  string // --state
	json   bool   // whoever reads the answer is a program: --json, or --output json or yaml
	layout layout
	remote remote
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dialtone",
		Short: "Gives desk phones their dial tone: DHCP, TFTP, HTTP and the vendors' plugins in one program",
		Long: `Gives desk phones their dial tone: DHCP, TFTP, HTTP and the vendors' plugins in one program.

The verbs speak to the daemon of the folder --state by its socket, or with --server and a token to that of another machine.
Without a terminal they never ask; what they print is data, what they have to say besides goes to standard error.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 conflict or changed meanwhile, 6 invalid, 7 the
daemon can't be reached, 8 done in part, 9 no answer in time, 10 the doctor warns, 11 the doctor found errors, 130
interrupted. Of diff: 0 the same, 1 different.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	fl := root.PersistentFlags()
	fl.StringVar(&a.state, "state", a.defaultState(), "state `folder` of the daemon")
	fl.StringVar(&a.remote.server, "server", "", "`URL` of a daemon on another machine, such as https://192.0.2.1:8080 (DIALTONE_SERVER)")
	fl.StringVar(&a.remote.token, "token-file", "", "`file` with the token for --server (DIALTONE_TOKEN_FILE; the token itself: DIALTONE_TOKEN)")
	fl.StringVar(&a.remote.ca, "ca", "", "`file` with the authorities to trust for --server, PEM (DIALTONE_CA)")
	fl.DurationVar(&a.remote.limit, "timeout", 0, "how long an answer may take, such as 90s (default 1m, any for backups)")
	fl.BoolVar(&a.json, "json", false, "the same as --output json")
	fl.StringVar(&a.layout.format, "output", formatTable, "`format` of the answer: "+strings.Join(formats(), ", "))
	fl.StringSliceVar(&a.layout.columns, "columns", nil, "the `names` of the columns to write, such as mac,label")
	fl.BoolVar(&a.layout.bare, "no-headers", false, "write tables without their headings")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.settle() }
	root.AddCommand(
		a.serve(), a.check(), a.version(), a.explain(), a.identify(),
		a.phone(), a.config(), a.line(), a.window(), a.aside(), a.lease(), a.network(), a.pool(), a.reservation(), a.option(), a.class(), a.store(), a.plugin(), a.firmware(), a.problem(), a.sim(),
		a.requests(), a.trace(), a.replay(), a.doctor(),
		a.backup(), a.job(), a.secret(), a.export(), a.diff(), a.apply(), a.importPhones(),
		a.user(), a.token(), a.session(), a.audit(), a.leaseEvent(), a.events(), a.logs(), a.man(),
	)
	a.completions(root)
	return root
}

// defaultState is where the daemon keeps its state unless it is told otherwise.
func (a *app) defaultState() string {
	if dir := a.env("DIALTONE_STATE"); dir != "" {
		return dir
	}
	return configs.Default().State
}

// usage marks the errors of an argument check as what they are.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
		}
		return nil
	}
}

// parent is a noun: it does nothing by itself but to list its verbs.
func parent(noun, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: noun, Short: short, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// answer turns what the daemon said instead of the wanted answer into an error.
func answer(status int, problem *api.Problem) error {
	if problem == nil {
		return fmt.Errorf("the daemon answered %d %s", status, http.StatusText(status))
	}
	kinds := map[int]error{
		http.StatusBadRequest: provision.ErrInvalid, http.StatusNotFound: provision.ErrNotFound,
		http.StatusForbidden: provision.ErrForbidden, http.StatusUnauthorized: provision.ErrForbidden, http.StatusConflict: provision.ErrConflict,
		http.StatusUnprocessableEntity: provision.ErrInvalid, http.StatusPreconditionFailed: provision.ErrConflict,
	}
	if kind := kinds[status]; kind != nil {
		return &daemonError{text: problem.Detail, kind: kind}
	}
	return errors.New(problem.Detail)
}

// kindError returns an error of a kind whose own words would say nothing more.
func kindError(kind error, format string, args ...any) error {
	return &daemonError{text: fmt.Sprintf(format, args...), kind: kind}
}

// daemonError carries a kind across the socket; its text names the kind already.
type daemonError struct {
	text string
	kind error
}

func (e *daemonError) Error() string { return e.text }
func (e *daemonError) Unwrap() error { return e.kind }

// build is what `dialtone version` and the API say.
func build() api.Version {
	v := api.Version{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	return v
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print what program this is", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := build()
			return a.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dialtone %s (%s)\n", v.Version, v.Go)
				return err
			})
		},
	}
}

// read returns a file's bytes, or standard input's for "-".
func (a *app) read(name string) ([]byte, error) {
	if name == "-" {
		data, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return data, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return data, nil
}
