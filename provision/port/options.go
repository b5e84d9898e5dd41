package port

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// dnsmasqCode returns the option that dnsmasq calls so.
func dnsmasqCode(name string) (int, bool) {
	code, ok := map[string]int{
		"netmask": 1, "time-offset": 2, "router": 3, "dns-server": 6, "log-server": 7, "lpr-server": 9, "hostname": 12, "boot-file-size": 13,
		"domain-name": 15, "swap-server": 16, "root-path": 17, "extension-path": 18, "ip-forward-enable": 19,
		"non-local-source-routing": 20, "policy-filter": 21, "max-datagram-reassembly": 22, "default-ttl": 23, "mtu": 26,
		"all-subnets-local": 27, "broadcast": 28, "router-discovery": 31, "router-solicitation": 32, "static-route": 33,
		"trailer-encapsulation": 34, "arp-timeout": 35, "ethernet-encap": 36, "tcp-ttl": 37, "tcp-keepalive": 38, "nis-domain": 40,
		"nis-server": 41, "ntp-server": 42, "vendor-encap": 43, "netbios-ns": 44, "netbios-dd": 45, "netbios-nodetype": 46,
		"netbios-scope": 47, "x-windows-fs": 48, "x-windows-dm": 49, "T1": 58, "T2": 59, "vendor-class": 60, "nis+-domain": 64,
		"nis+-server": 65, "tftp-server": 66, "bootfile-name": 67, "mobile-ip-home": 68, "smtp-server": 69, "pop3-server": 70,
		"nntp-server": 71, "irc-server": 74, "user-class": 77, "rapid-commit": 80, "client-arch": 93, "client-interface-id": 94,
		"client-machine-id": 97, "posix-timezone": 100, "tzdb-timezone": 101, "ipv6-only": 108, "domain-search": 119, "sip-server": 120,
		"classless-static-route": 121, "vendor-id-encap": 125, "tftp-server-address": 150,
	}[name]
	return code, ok
}

// iscCode returns the option that ISC's server calls so.
func iscCode(name string) (int, bool) {
	code, ok := map[string]int{
		"subnet-mask": 1, "time-offset": 2, "routers": 3, "time-servers": 4, "ien116-name-servers": 5, "domain-name-servers": 6,
		"log-servers": 7, "cookie-servers": 8, "lpr-servers": 9, "impress-servers": 10, "resource-location-servers": 11, "host-name": 12,
		"boot-size": 13, "merit-dump": 14, "domain-name": 15, "swap-server": 16, "root-path": 17, "extensions-path": 18,
		"ip-forwarding": 19, "non-local-source-routing": 20, "policy-filter": 21, "max-dgram-reassembly": 22, "default-ip-ttl": 23,
		"path-mtu-aging-timeout": 24, "path-mtu-plateau-table": 25, "interface-mtu": 26, "all-subnets-local": 27,
		"broadcast-address": 28, "perform-mask-discovery": 29, "mask-supplier": 30, "router-discovery": 31,
		"router-solicitation-address": 32, "static-routes": 33, "trailer-encapsulation": 34, "arp-cache-timeout": 35,
		"ieee802-3-encapsulation": 36, "default-tcp-ttl": 37, "tcp-keepalive-interval": 38, "tcp-keepalive-garbage": 39, "nis-domain": 40,
		"nis-servers": 41, "ntp-servers": 42, "vendor-encapsulated-options": 43, "netbios-name-servers": 44, "netbios-dd-server": 45,
		"netbios-node-type": 46, "netbios-scope": 47, "font-servers": 48, "x-display-manager": 49, "dhcp-lease-time": 51,
		"dhcp-server-identifier": 54, "dhcp-parameter-request-list": 55, "dhcp-renewal-time": 58, "dhcp-rebinding-time": 59,
		"vendor-class-identifier": 60, "dhcp-client-identifier": 61, "nisplus-domain": 64, "nisplus-servers": 65, "tftp-server-name": 66,
		"bootfile-name": 67, "mobile-ip-home-agent": 68, "smtp-server": 69, "pop-server": 70, "nntp-server": 71, "www-server": 72,
		"finger-server": 73, "irc-server": 74, "streettalk-server": 75, "streettalk-directory-assistance-server": 76, "user-class": 77,
		"slp-directory-agent": 78, "slp-service-scope": 79, "nds-servers": 85, "bcms-controller-names": 88,
		"bcms-controller-address": 89, "uap-servers": 98, "pcode": 100, "tcode": 101, "v6-only-preferred": 108,
		"netinfo-server-address": 112, "netinfo-server-tag": 113, "default-url": 114, "name-service-search": 117, "domain-search": 119,
		"vivco": 124, "vivso": 125, "pana-agent": 136, "v4-lost": 137, "capwap-ac-v4": 138, "rdnss-selection": 146,
		"tftp-server-address": 150, "loader-configfile": 209, "loader-pathprefix": 210,
	}[name]
	return code, ok
}

// option makes an option of values in the words of either program. An option without a kind of its own is of the kind that
// its values look like.
func option(code int, values []string) (network.Option, error) {
	if code < 1 || code > 254 {
		return network.Option{}, fmt.Errorf("option %d doesn't exist", code)
	}
	key, value := strconv.Itoa(code), strings.Join(values, ",")
	def, err := network.Lookup(key)
	if err != nil {
		return network.Option{}, err
	}
	digits, isHex := hexDigits(value)
	switch def.Kind { //nolint:exhaustive // the other kinds have one spelling
	case network.KindHex:
		return network.ParseOption(key, "hex:"+raw(values))
	case network.KindVendor, network.KindVIVSO:
		if !isHex {
			return network.ParseOption(key, "text:"+value)
		}
		return network.ParseOption(key, "hex:"+digits)
	case network.KindText:
		if isHex {
			return network.ParseOption(key, "hex:"+digits)
		}
		return network.ParseOption(key, "text:"+value)
	case network.KindBool:
		switch strings.ToLower(value) {
		case "on", "yes":
			value = "true"
		case "off", "no":
			value = "false"
		}
	}
	return network.ParseOption(key, value)
}

// hexDigits reads bytes such as 01:0a:ff: at least two of them.
func hexDigits(s string) (digits string, ok bool) {
	parts := strings.Split(s, ":")
	var b strings.Builder
	for _, p := range parts {
		if len(p) == 0 || len(p) > 2 {
			return "", false
		}
		if _, err := strconv.ParseUint(p, 16, 8); err != nil {
			return "", false
		}
		fmt.Fprintf(&b, "%02s", p)
	}
	return b.String(), len(parts) > 1
}

// raw returns the digits of values of an unknown kind: addresses, bytes, a number of as many bytes as it needs, or a text.
func raw(values []string) string {
	if digits, ok := hexDigits(strings.Join(values, ",")); ok {
		return digits
	}
	var out []byte
	for _, v := range values {
		a, err := netip.ParseAddr(v)
		if err != nil || !a.Is4() {
			out = nil
			break
		}
		out = append(out, a.AsSlice()...)
	}
	if out != nil {
		return hex.EncodeToString(out)
	}
	if n, err := strconv.ParseUint(values[0], 10, 32); err == nil && len(values) == 1 {
		switch {
		case n < 1<<8:
			return fmt.Sprintf("%02x", n)
		case n < 1<<16:
			return fmt.Sprintf("%04x", n)
		}
		return fmt.Sprintf("%08x", n)
	}
	return hex.EncodeToString([]byte(strings.Join(values, ",")))
}

// literal takes the meaning from what a pattern of a class would take for a star or question mark.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(s)
}

// networkName is the name of a network that has none.
func networkName(p netip.Prefix) network.ID {
	return network.ID("net-" + strings.ReplaceAll(p.Masked().Addr().String(), ".", "-"))
}

// newNetwork is a network as one is that only says its prefix.
func newNetwork(id network.ID, p netip.Prefix) network.Network {
	return network.Network{ID: id, Prefix: p, Rivals: network.RivalsRefuse, Probe: true, AutoAdd: network.AddRecognised, Configure: true}
}

// prefixOf returns the network of an address with a mask.
func prefixOf(addr, mask netip.Addr) (netip.Prefix, error) {
	if !addr.Is4() || !mask.Is4() {
		return netip.Prefix{}, fmt.Errorf("%s with the mask %s is no network", addr, mask)
	}
	b := mask.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	bits := 0
	for ; bits < 32 && n&(1<<(31-bits)) != 0; bits++ {
	}
	if n<<bits != 0 {
		return netip.Prefix{}, fmt.Errorf("%s is no mask of a network", mask)
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}
