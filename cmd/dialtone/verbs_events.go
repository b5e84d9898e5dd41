package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// maxEvent is how long a line of the stream may be.
const maxEvent = 1 << 20

func (a *app) events() *cobra.Command {
	var follow bool
	var topics []string
	cmd := &cobra.Command{
		Use: "events", Short: "Tell what happened lately, or what happens", Args: usage(cobra.NoArgs),
		Long: `Tell what happened lately: requests, leases, phones, changes by administrators, problems. With --follow, what happens
from now on, until it is interrupted; with --json, a line for each event.`,
		Example: "  dialtone events --topics problem,config\n  dialtone events --follow --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.followEvents(cmd.Context(), &api.FollowEventsParams{Topics: strings.Join(topics, ","), Once: !follow})
			if cmd.Context().Err() != nil {
				return nil //nolint:nilerr // it was interrupted, as it is meant to be
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	cmd.Flags().StringSliceVar(&topics, "topics", nil, "only events of these `topics`: "+
		"request, lease, phone, guard, config, network, plugin, site, problem, job, access")
	return cmd
}

func (a *app) followEvents(ctx context.Context, params *api.FollowEventsParams) error {
	c, err := a.transport(0)
	if err != nil {
		return err
	}
	resp, err := c.FollowEvents(ctx, params)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r, err := api.ParseFollowEventsResponse(resp)
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	name := ""
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "event":
			name = value
		case "data":
			if err := a.showEvent(name, value); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if !params.Once {
		return errors.New("events: the daemon has ended")
	}
	return nil
}

// showEvent writes one event as a line.
func (a *app) showEvent(name, data string) error {
	if name == "lagged" {
		_, err := fmt.Fprintln(a.stderr, "Some events are missing: more came than could be shown.")
		return err
	}
	if a.json {
		_, err := fmt.Fprintln(a.stdout, data)
		return err
	}
	var e api.Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return fmt.Errorf("events: read %q: %w", printable(data), err)
	}
	return eventLine(a.stdout, e)
}

func eventLine(w io.Writer, e api.Event) error {
	words := []string{e.At.Local().Format(time.DateTime), string(e.Topic), e.Action}
	for _, s := range []string{e.Object, e.Proto, e.Path, cmp.Or(e.Mac, e.Phone), e.IP, e.Network, e.Actor, e.Text} {
		if s != "" {
			words = append(words, printable(s))
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(words, "  "))
	return err
}
