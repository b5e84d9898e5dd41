package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// run starts the program and waits for it. It returns what it printed, escaped and clipped.
func (h *Hook) run(ctx context.Context, body []byte) (string, error) {
	if len(h.Exec) == 0 {
		return "", nil
	}
	var out clip
	cmd := exec.CommandContext(ctx, h.Exec[0], h.Exec[1:]...) //nolint:gosec // the administrator's own program
	cmd.Dir = "/"
	// A program that doesn't read its input to the end is no failure: os/exec passes over the broken pipe.
	cmd.Stdin = bytes.NewReader(body)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"DIALTONE_HOOK=" + h.Name,
	}
	// What hangs is killed with its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%w: %w", errAway, err)
	}
	err := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it is done, but left somebody behind who holds its output
	}
	if err != nil {
		err = fmt.Errorf("run %s: %w", h.Exec[0], err)
	}
	return out.String(), err
}
