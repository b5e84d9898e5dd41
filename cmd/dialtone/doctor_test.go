package main

import (
	"net"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	a := &app{state: o.state, env: func(string) string { return "" }}
	site, data := configs.SandboxSite()
	c, err := readSite(site, data)
	if err != nil {
		t.Fatal(err)
	}
	text := func() string {
		t.Helper()
		var b strings.Builder
		if err := writeFindings(&b, a.examine(t.Context(), o.parts.settings, c)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got := text(); !strings.Contains(got, "ok       daemon: it runs\n") || strings.Contains(got, "port ") {
		t.Errorf("beside a daemon that runs:\n%s", got)
	}
	o.stop()
	l, err := net.Listen("tcp", o.parts.settings.HTTP.Listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := text()
	for _, want := range []string{
		"warning  daemon: it isn't running\n", "error    port http.listen: " + l.Addr().String() + " is taken by dialtone.test",
		"ok       port tftp.listen: ", "ok       own address: 127.0.0.1 on lo\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("without a daemon there is no %q:\n%s", want, got)
		}
	}
	if _, code := o.cli("doctor", "--sandbox"); code != exitWarnings && code != exitErrors {
		t.Errorf("exit %d, want %d or %d", code, exitWarnings, exitErrors)
	}
}
