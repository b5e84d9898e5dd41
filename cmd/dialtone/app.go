package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

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

	state string // --state
	json  bool   // --json
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "dialtone",
		Short:         "Gives desk phones their dial tone: DHCP, TFTP, HTTP and the vendors' plugins in one program",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentFlags().StringVar(&a.state, "state", a.defaultState(), "state `folder` of the daemon")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "write JSON instead of text")
	root.AddCommand(a.serve(), a.check(), a.version(), a.explain(), a.identify(), a.phone(), a.config(), a.window(), a.aside(), a.lease(), a.store(), a.plugin(), a.problem(), a.sim(), a.requests(), a.trace(), a.replay(), a.doctor(), a.backup(), a.export(), a.diff(), a.apply(), a.importPhones(), a.user(), a.token(), a.session(), a.audit(), a.leaseEvent(), a.events())
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

const socketName = "api.sock" // below the state folder

// client returns a client of the daemon whose state folder was named.
func (a *app) client() (*api.ClientWithResponses, error) {
	c, err := a.transport(time.Minute)
	if err != nil {
		return nil, err
	}
	return &api.ClientWithResponses{ClientInterface: c}, nil
}

// transport returns a client that leaves the answers as they come, each within a time; zero: however long it takes.
func (a *app) transport(timeout time.Duration) (*api.Client, error) {
	socket := filepath.Join(a.state, socketName)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("%w: %w; is `dialtone serve` running, and is --state its folder?", errUnreachable, err)
		}
		return conn, nil
	}}
	c, err := api.NewClient("http://dialtone/api/v1", api.WithHTTPClient(&http.Client{Transport: transport, Timeout: timeout}))
	if err != nil {
		return nil, fmt.Errorf("daemon's client: %w", err)
	}
	return c, nil
}

// answer turns what the daemon said instead of the wanted answer into an error.
func answer(status int, problem *api.Problem) error {
	if problem == nil {
		return fmt.Errorf("the daemon answered %d %s", status, http.StatusText(status))
	}
	kinds := map[int]error{
		http.StatusBadRequest: provision.ErrInvalid, http.StatusNotFound: provision.ErrNotFound,
		http.StatusForbidden: provision.ErrForbidden, http.StatusConflict: provision.ErrConflict,
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

// print writes v as JSON, or calls text for people.
func (a *app) print(v any, text func(io.Writer) error) error {
	if !a.json {
		return text(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// table writes rows under headings, in columns.
func table(w io.Writer, heads []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	for _, r := range rows {
		for i, cell := range r {
			if cell == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

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
