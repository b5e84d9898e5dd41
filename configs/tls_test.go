package configs

import (
	"strings"
	"testing"
)

func TestTLSFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, want string }{
		{"fine", "http: {proxies: [192.0.2.5], tls: {enabled: true, names: [prov.example, 192.0.2.9], min_version: '1.3', legacy: [192.0.2.0/24]}}", ""},
		{"half a pair", "http: {tls: {certificate: /etc/x.pem}}", "http.tls.certificate: certificate and key come together"},
		{"version", "http: {tls: {min_version: '1.0'}}", `http.tls.min_version: "1.0" is unknown`},
		{"name", "http: {tls: {names: [Prov Example]}}", "http.tls.names[0]: "},
		{"proxy", "http: {proxies: [0.0.0.0]}", "http.proxies[0]: "},
		{"legacy", "http: {tls: {legacy: [phones]}}", "is not an IPv4 network"},
		{"without HTTP", "http: {enabled: false, tls: {enabled: true}}", "http.tls.enabled: HTTPS is served beside HTTP only"},
		{"HTTP's port", "http: {listen: ':443', tls: {enabled: true}}", "http.tls.listen: 0.0.0.0:443 is where http.listen is"},
		{"the console's", "console: {listen: '127.0.0.1:443'}\nhttp: {tls: {enabled: true}}", "is where console.listen is"},
		{"no port", "http: {tls: {enabled: true, listen: '192.0.2.1:0'}}", "http.tls.listen: "},
	} {
		_, err := Parse("dialtone.yaml", []byte(c.file))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
