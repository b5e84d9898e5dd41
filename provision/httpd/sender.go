package httpd

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// sender is who a request comes from.
type sender struct {
	peer netip.Addr // the phone; zero: it is behind a proxy that doesn't name it
	via  netip.Addr // the proxy of ours that passed the request on
}

// sender finds out who has sent a request. What a proxy says of it counts only if the proxy is listed; from others,
// X-Forwarded-For is what anybody can write.
func (s *Server) sender(r *http.Request) sender {
	from := peer(r)
	if !slices.Contains(s.Proxies, from) {
		return sender{peer: from}
	}
	return sender{peer: forwarded(r.Header.Values("X-Forwarded-For"), s.Proxies), via: from}
}

// forwarded returns the phone in X-Forwarded-For. Each proxy adds who spoke to it at the right, so the phone is the first
// from there that is no proxy of ours; what is left of it the phone may have written itself. The result is zero if there
// is none, or if what stands there is no address.
func forwarded(headers []string, proxies []netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(headers, ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, ok := hopAddr(strings.TrimSpace(hop))
		if !ok {
			return netip.Addr{}
		}
		if !slices.Contains(proxies, a) {
			return a
		}
	}
	return netip.Addr{}
}

// hopAddr reads an address as proxies write it: alone, with a port, IPv6 in brackets.
func hopAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		s = ap.Addr().String()
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// peer returns the address that a request's connection came from.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
