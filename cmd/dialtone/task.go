package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Task is one thing that lives as long as the program: a server, a sweeper, a watcher.
type Task struct {
	Name string
	// Run works until its context ends and then returns nil, after all that it started has ended. An error ends the
	// program.
	Run func(context.Context) error
}

// runTasks runs the tasks until ctx ends or one of them fails, then stops them one by one, the last first: what was
// started later may need what was started earlier. It returns the first failure, or nil.
func runTasks(ctx context.Context, log *slog.Logger, tasks []Task) error {
	group, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	type running struct {
		stop context.CancelFunc
		done chan struct{}
	}
	started := make([]running, 0, len(tasks))
	for _, t := range tasks {
		taskCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop: stop, done: make(chan struct{})}
		started = append(started, r)
		group.Go(func() error {
			defer close(r.done)
			defer stop()
			err := t.Run(taskCtx)
			switch {
			case err != nil && !errors.Is(err, context.Canceled):
				return fmt.Errorf("%s: %w", t.Name, err)
			case taskCtx.Err() == nil:
				return fmt.Errorf("%s: ended by itself", t.Name)
			}
			return nil
		})
	}
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	for i, r := range slices.Backward(started) {
		begun := time.Now()
		r.stop()
		<-r.done
		log.DebugContext(ctx, "task stopped", "task", tasks[i].Name, "took", time.Since(begun))
	}
	return group.Wait()
}

// notifier speaks systemd's protocol (sd_notify(3)). Without NOTIFY_SOCKET it says nothing.
type notifier struct{ socket string }

func (n notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	name := n.socket
	if name[0] == '@' { // an abstract socket
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// watchdog tells systemd that the program is alive, at half the interval that it asks for, as long as alive returns.
// A lock that is held forever makes alive hang, the notices end, and systemd restarts the program.
func (n notifier) watchdog(env func(string) string, alive func()) Task {
	return Task{Name: "watchdog", Run: func(ctx context.Context) error {
		usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
		if err != nil || usec <= 0 || env("WATCHDOG_PID") != "" && env("WATCHDOG_PID") != strconv.Itoa(os.Getpid()) {
			<-ctx.Done()
			return nil
		}
		tick := time.NewTicker(time.Duration(usec) * time.Microsecond / 2)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				alive()
				if err := n.send("WATCHDOG=1"); err != nil {
					return err
				}
			}
		}
	}}
}
