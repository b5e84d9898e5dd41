package network

import (
	"bytes"
	"testing"
)

func TestFormatOption(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value, want string }{
		{"router", "192.0.2.1", "192.0.2.1"},
		{"6", "192.0.2.1 192.0.2.2", "192.0.2.1,192.0.2.2"},
		{"66", "http://192.0.2.1/a,b", "http://192.0.2.1/a,b"},
		{"time-offset", "-3600", "-3600"},
		{"mtu", "1500", "1500"},
		{"forwarding", "true", "true"},
		{"35", "1h", "3600"},
		{"default-ip-ttl", "64", "64"},
		{"66", "text:hex:00", "hex:6865783a3030"},
		{"43", "2 text a", "hex:020161"},
		{"66", "hex:00ff", "hex:00ff"},
		{"forwarding", "hex:02", "hex:02"},
		{"213", "0a0b", "hex:0a0b"},
		{"domain-search", "example.com", "hex:076578616d706c6503636f6d00"},
	} {
		o, err := ParseOption(tt.key, tt.value)
		if err != nil {
			t.Fatal(err)
		}
		key, value := FormatOption(o)
		if value != tt.want {
			t.Errorf("%s %s: written as %q, want %q", tt.key, tt.value, value, tt.want)
		}
		if back, err := ParseOption(key, value); err != nil || back.Code != o.Code || !bytes.Equal(back.Data, o.Data) {
			t.Errorf("%s %s: %s %s reads as %v, %v", tt.key, tt.value, key, value, back, err)
		}
	}
}
