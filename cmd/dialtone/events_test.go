package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// A phone that boots is heard of by who follows, and afterwards by who asks.
func TestEventsVerb(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	var live, errs syncBuffer
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"events", "--follow", "--json", "--state", o.state}, func(string) string { return "" }, strings.NewReader(""), &live, &errs)
	}()
	waitFor(t, "the listener", func() bool {
		_, body := o.socket("/metrics")
		return strings.Contains(body, "dialtone_events_subscribers 1")
	})
	if _, err := o.phone("6730i", "00:08:5d:00:00:62").Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the phone's own file", func() bool { return strings.Contains(live.String(), "00085D000062.cfg") })
	interrupt()
	if code := <-done; code != exitOK {
		t.Errorf("interrupted: exit %d: %s", code, &errs)
	}
	seen := make(map[string]bool)
	for line := range bytes.Lines([]byte(live.String())) {
		var e api.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		seen[string(e.Topic)+" "+e.Action] = true
	}
	for _, want := range []string{"lease bound", "phone created", "request ok", "request missing"} {
		if !seen[want] {
			t.Errorf("nothing was told of %s: %v", want, seen)
		}
	}
	if _, code := o.set("events", "params: {timezone: Europe/Berlin}\n"); code != exitOK {
		t.Fatalf("config set: exit %d", code)
	}
	out, code := o.cli("events", "--topics", "config,phone")
	if code != exitOK || !strings.Contains(out, "putConfig") || !strings.Contains(out, "created") || strings.Contains(out, "request") {
		t.Errorf("events: exit %d:\n%s", code, out)
	}
	if _, code := o.cli("events", "--topics", "phones"); code != exitInvalid {
		t.Errorf("an unknown topic: exit %d, want %d", code, exitInvalid)
	}
}
