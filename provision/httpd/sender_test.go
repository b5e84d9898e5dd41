package httpd

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/dialtone-project/dialtone/provision"
)

// TestBehaviour/U13: the phone behind proxies is found in X-Forwarded-For. The ancestor counted a configured number of
// hops from the right, and failed where there were fewer; we walk from the right past the proxies that are listed, which
// can't be off by one.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	t.Run("U13", func(t *testing.T) {
		t.Parallel()
		proxies := []netip.Addr{netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr("192.0.2.5")}
		h := serving(files)
		s := start(t, h, func(s *Server) { s.Proxies = proxies })
		for _, c := range []struct {
			name, from string
			headers    []string
			peer       string // empty: nobody
			via        string
		}{
			{"no proxy", "127.0.0.9", nil, "127.0.0.9", ""},
			{"S29: no proxy of ours", "127.0.0.9", []string{"X-Forwarded-For: 192.0.2.10"}, "127.0.0.9", ""},
			{"one", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.10"}, "192.0.2.10", "127.0.0.5"},
			{"S29: the phone wrote one itself", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.99, 192.0.2.10"}, "192.0.2.10", "127.0.0.5"},
			{"S29: the phone wrote a proxy's", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.5, 192.0.2.10"}, "192.0.2.10", "127.0.0.5"},
			{"two proxies", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.10, 192.0.2.5"}, "192.0.2.10", "127.0.0.5"},
			{"two headers", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.99, 192.0.2.10", "X-Forwarded-For: 192.0.2.5"}, "192.0.2.10", "127.0.0.5"},
			{"with a port", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.10:5123"}, "192.0.2.10", "127.0.0.5"},
			{"IPv4 as IPv6", "127.0.0.5", []string{"X-Forwarded-For: [::ffff:192.0.2.10]"}, "192.0.2.10", "127.0.0.5"},
			{"C10: no header", "127.0.0.5", nil, "", "127.0.0.5"},
			{"C10: an empty one", "127.0.0.5", []string{"X-Forwarded-For: "}, "", "127.0.0.5"},
			{"C10: an empty last", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.10,"}, "", "127.0.0.5"},
			{"C10: no address", "127.0.0.5", []string{"X-Forwarded-For: unknown"}, "", "127.0.0.5"},
			{"C10: hidden by one that isn't listed", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.10, 192.0.2.6"}, "192.0.2.6", "127.0.0.5"},
			{"C10: proxies only", "127.0.0.5", []string{"X-Forwarded-For: 192.0.2.5"}, "", "127.0.0.5"},
		} {
			conn := dial(t, s, c.from)
			if _, err := conn.Write([]byte(get("/dir/x", append(c.headers, "Connection: close")...))); err != nil {
				t.Fatal(err)
			}
			r, _ := h.last(t)
			var want, via netip.Addr
			if c.peer != "" {
				want = netip.MustParseAddr(c.peer)
			}
			if c.via != "" {
				via = netip.MustParseAddr(c.via)
			}
			if r.Peer != want || r.Via != via {
				t.Errorf("%s: got %v by %v, want %v by %v", c.name, r.Peer, r.Via, want, via)
			}
		}
	})
}

// What the connection to a proxy is like proves nothing of the phone behind it.
func TestProxyOverTLS(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	h := serving(files)
	change, k := secured(t, v, func(s *Server) { s.Proxies = []netip.Addr{netip.MustParseAddr("127.0.0.1")} })
	s := start(t, h, change)
	got := askTLS(t, s, k, v.device("001565AABBCC", nil), get("/dir/x", "X-Forwarded-For: 192.0.2.10", "X-Forwarded-Proto: https"))
	r, _ := h.last(t)
	if got.StatusCode != http.StatusOK || r.TLS || r.Cert != nil || r.Fields[provision.FieldTLSName] != "" {
		t.Errorf("got %d, TLS %v, %+v, want 200 and nothing proven", got.StatusCode, r.TLS, r.Cert)
	}
}

// A proxy has many phones behind it, so it may have many connections.
func TestProxyIsNotCapped(t *testing.T) {
	t.Parallel()
	s := start(t, serving(files), func(s *Server) {
		s.PeerConnections, s.Proxies = 1, []netip.Addr{netip.MustParseAddr("127.0.0.5")}
	})
	for range 3 {
		c := dial(t, s, "127.0.0.5")
		if _, err := c.Write([]byte(get("/dir/x"))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are served", func() bool { return s.Stats().Results["sent"] == 3 })
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "192.0.2.10", "a, b", "192.0.2.10:80", "[2001:db8::1]:80", "::1%eth0", ",,,", "192.0.2.5"} {
		f.Add(s)
	}
	proxies := []netip.Addr{netip.MustParseAddr("192.0.2.5")}
	f.Fuzz(func(t *testing.T, header string) {
		a := forwarded([]string{header}, proxies)
		if a.IsValid() && (a == proxies[0] || a.Is4In6() || a.Zone() != "") {
			t.Errorf("%q: got %v", header, a)
		}
	})
}
