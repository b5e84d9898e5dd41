package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// tlsFaults returns what can't be meant of the settings of HTTPS and of proxies.
func (s Settings) tlsFaults() []fault {
	var fs []fault
	bad := func(key, format string, args ...any) { fs = append(fs, fault{key, fmt.Sprintf(format, args...)}) }
	for i, a := range s.HTTP.Proxies {
		if !a.IsValid() || a.IsUnspecified() {
			bad(fmt.Sprintf("http.proxies[%d]", i), "%s is nobody's address; name the proxy's, such as 192.0.2.5", a)
		}
	}
	t := s.HTTP.TLS
	if (t.Certificate == "") != (t.Key == "") {
		bad("http.tls.certificate", "certificate and key come together; name both or neither")
	}
	if t.MinVersion != "1.2" && t.MinVersion != "1.3" {
		bad("http.tls.min_version", "%q is unknown; use '1.2' or '1.3', and legacy for phones that can do less", t.MinVersion)
	}
	for i, n := range t.Names {
		if _, err := netip.ParseAddr(n); err != nil && !isHostName(n) {
			bad(fmt.Sprintf("http.tls.names[%d]", i), "%q is neither a host's name, such as prov.example, nor an address", n)
		}
	}
	if !t.Enabled {
		return fs
	}
	s.checkListen(bad, "http.tls.listen", t.Listen)
	switch {
	case !s.HTTP.Enabled:
		bad("http.tls.enabled", "HTTPS is served beside HTTP only; set http.enabled to true as well")
	case clash(t.Listen, s.HTTP.Listen):
		bad("http.tls.listen", "%s is where http.listen is, too; give HTTPS a port of its own", t.Listen)
	case s.Console.Enabled && clash(t.Listen, s.Console.Listen):
		bad("http.tls.listen", "%s is where console.listen is, too; give HTTPS a port of its own", t.Listen)
	}
	return fs
}

// isHostName reports whether s is a name as DNS has it (RFC 1123 §2.1), in lower case.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
