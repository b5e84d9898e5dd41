// Dialtone gives desk phones their dial tone: it leases them addresses, tells them where to provision from, and serves
// each of them its own files.
//
// This command is wiring and verbs and nothing else; serve.go is the place to start reading.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // phones are told the rules of their time zone, also where the system has no zone files

	"github.com/dialtone-project/dialtone/provision"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes, the same for every verb.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitForbidden   = 4
	exitConflict    = 5
	exitInvalid     = 6
	exitUnreachable = 7
	exitPartly      = 8
	exitTimeout     = 9
	exitWarnings    = 10 // of the doctor
	exitErrors      = 11
	exitInterrupted = 130 // as a shell says it
)

// run is the program: its verbs, on these streams. It returns the exit code.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := app.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(stderr, "dialtone: %v\n", err)
	}
	return exitCode(err)
}

// Errors that only the command line knows.
var (
	errUsage       = errors.New("usage")
	errUnreachable = errors.New("the daemon can't be reached")
	errReported    = errors.New("reported already")
	errPartly      = errors.New("done in part only")
)

func exitCode(err error) int {
	for _, c := range []struct {
		kind error
		code int
	}{
		{errUsage, exitUsage},
		{errPartly, exitPartly},
		{errWarnings, exitWarnings},
		{errErrors, exitErrors},
		{errUnreachable, exitUnreachable},
		{provision.ErrNotFound, exitNotFound},
		{provision.ErrForbidden, exitForbidden},
		{provision.ErrConflict, exitConflict},
		{provision.ErrAmbiguous, exitConflict},
		{provision.ErrInvalid, exitInvalid},
	} {
		if errors.Is(err, c.kind) {
			return c.code
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case timedOut(err):
		return exitTimeout
	}
	return exitFailure
}
