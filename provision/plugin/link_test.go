package plugin_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// A client's URL may be another one than all have, and its token is told to it and to nobody else.
func TestLink(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newHost(t)
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	// Of an address that has a token in it nothing can be made.
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(strings.Replace(acme, "150: ['{{.Base}}'", "150: ['{{.Base}}{{.Token}}'", 1)))
	rescan(t, h)
	token := ""
	h.Link = func(c lease.Client, base netip.Addr) (string, string) {
		if c.HW.IsZero() || base != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("asked for %s at %s", c.HW, base)
		}
		if token == "" {
			return "", ""
		}
		return "https://192.0.2.1/t/" + token, token
	}
	client := lease.Client{HW: hwaddr.MustParse("00:15:65:aa:bb:cc"), VendorClass: "ACMET1\x00"}
	option66 := func() string {
		for _, o := range h.Boot(client, netip.MustParseAddr("192.0.2.1")).Options {
			if o.Code == 66 {
				return string(o.Data)
			}
		}
		return ""
	}
	if got, want := option66(), "http://192.0.2.1:8667/x"; got != want {
		t.Errorf("without a token: got %q, want %q", got, want)
	}
	token = "unguessable"
	if got, want := option66(), "https://192.0.2.1/t/unguessable/x"; got != want {
		t.Errorf("with a token: got %q, want %q", got, want)
	}
	if got := log.String(); strings.Contains(got, token) || !strings.Contains(got, "[secret]") {
		t.Errorf("log: got %s", got)
	}
}
