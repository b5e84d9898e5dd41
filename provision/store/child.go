package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// checkTimeout bounds a check. That of 60 000 leases takes a fraction of a second; a file that big on a card that reads
// a megabyte a second takes one minute.
const checkTimeout = 2 * time.Minute

// verify checks a file in a process of its own. That process's death over the file is damage; that it could not be run
// to its end is an error, since it says nothing about the file.
func (db *DB) verify(ctx context.Context, path string) (Report, error) {
	if len(db.child) == 0 {
		r, err := inspect(path)
		if err != nil {
			return r, fmt.Errorf("check %s: %w", path, err)
		}
		return r, nil
	}
	r, err := CheckBy(ctx, db.child, path)
	if err == nil && r.InUse {
		err = errors.New("another program has it open")
	}
	if err != nil {
		return r, fmt.Errorf("check %s: %w", path, err)
	}
	return r, nil
}

// CheckBy has another process check a file, as [Opener] does.
func CheckBy(ctx context.Context, child []string, path string) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, child[0], append(child[1:len(child):len(child)], path)...) //nolint:gosec // the program is ourselves
	cmd.Args[0] = "dialtone"                                                                   // whatever the file is called now
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Report{Path: path}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("it was not finished: %w", ctx.Err())
	case err == nil:
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			return r, fmt.Errorf("what the checking process said: %w", err)
		}
		return r, nil
	case !ended:
		return r, err
	case died(exit, errs.String()):
		r.Damage = []string{"the checking process died of it: " + lastWords(errs.String(), err)}
		return r, nil
	}
	return r, fmt.Errorf("%w: %s", err, lastWords(errs.String(), err))
}

// died reports whether a process died of what it read: by a panic, a fault or a stack overflow, which the runtime tells
// of and ends it with status 2, or by a signal. Being killed is no such thing: that was somebody, or the lack of memory.
func died(exit *exec.ExitError, said string) bool {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal() != syscall.SIGKILL && status.Signal() != syscall.SIGTERM && status.Signal() != syscall.SIGINT
	}
	return exit.ExitCode() == 2 && (strings.Contains(said, "panic: ") || strings.Contains(said, "fatal error: ")) && strings.Contains(said, "\ngoroutine ")
}

// lastWords returns the first line that the process wrote, which says why in case of a panic.
func lastWords(said string, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if line == "" {
		return err.Error()
	}
	return line
}
