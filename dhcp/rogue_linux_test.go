package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// neighbour lays a cable from a new interface of ours to a new host with an address, in a network namespace of its own,
// which then runs a shell script until the test ends.
func neighbour(t *testing.T, ours, addr, script string) {
	t.Helper()
	// The host waits for its interface, which can only be put there when there is a process.
	script = `until ip link show peer0 >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up; ip addr add ` + addr + ` dev peer0; ip link set peer0 up
` + script
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	run(t, fmt.Sprintf("ip link add %s type veth peer name peer0 netns %d", ours, cmd.Process.Pid))
	run(t, "ip link set "+ours+" up")
	eventually(t, ours+" has a carrier", func() bool {
		ifi, err := net.InterfaceByName(ours)
		return err == nil && ifi.Flags&net.FlagRunning != 0
	})
}

// rogue has dnsmasq serve a link before we do: it is found, named, and left alone there.
func (w *wire) rogue(t *testing.T) {
	t.Helper()
	dnsmasq, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("needs dnsmasq")
	}
	if b, err := os.ReadFile("/proc/self/setgroups"); err != nil || strings.TrimSpace(string(b)) != "allow" {
		t.Skip("needs root: dnsmasq insists on setting its groups")
	}
	dir := t.TempDir()
	neighbour(t, "srv1", "198.51.100.9/24", "exec "+dnsmasq+" -k -p 0 -C /dev/null -u root -g root -i peer0 --no-ping"+
		" --dhcp-range=198.51.100.50,198.51.100.60,1h --dhcp-option=66,192.0.2.66 --dhcp-option=150,192.0.2.150"+
		" --dhcp-authoritative --dhcp-leasefile="+filepath.Join(dir, "leases")+" --pid-file="+filepath.Join(dir, "pid"))
	run(t, "ip addr add 198.51.100.1/24 dev srv1")

	far := site()[1]
	far.ID, far.Relays, far.Interface = "beside", nil, "srv1"
	l := newLab(t, far)
	l.Log = textLog(w.log)
	l.Listen = []Listener{{Interface: "srv1"}}
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	eventually(t, "the network is refused", func() bool { return l.problem(ProblemRefused).Network == "beside" })
	rogues := l.Rogues()
	if len(rogues) != 1 {
		t.Fatalf("rogues %v", rogues)
	}
	r := rogues[0]
	first, last := ip("198.51.100.50"), ip("198.51.100.60")
	if r.Server != ip("198.51.100.9") || r.HW.IsZero() || r.Offered.Less(first) || last.Less(r.Offered) ||
		r.TFTPName != "192.0.2.66" || !slices.Contains(r.TFTP, ip("192.0.2.150")) || !slices.Contains(r.Routers, r.Server) {
		t.Errorf("found %+v", r)
	}
	if p := l.problem(ProblemRogue); !strings.Contains(p.Text, r.HW.String()) || time.Since(p.Since) > time.Minute {
		t.Errorf("problem %+v", p)
	}
	m, _, _ := decode(client(phone, discover).bytes())
	ing := Ingress{Iface: "srv1", Addrs: []netip.Addr{ip("198.51.100.1")}, Broadcast: true, Standing: l.watch.link("srv1").standing()}
	if reply, v := l.Respond(t.Context(), m, ing); reply != nil || v.Reason != ReasonRival {
		t.Errorf("a client there gets %v (%s)", reply, v.Reason)
	}
}

// ping asks a host that is there and one that isn't.
func (w *wire) ping(t *testing.T) {
	t.Helper()
	neighbour(t, "srv2", "203.0.113.2/24", "exec sleep 60")
	run(t, "ip addr add 203.0.113.1/24 dev srv2")
	p := w.pings.Load()
	if p == nil {
		t.Fatal("no pinger, although we are root")
	}
	start := time.Now()
	if by, err := p.probe(t.Context(), ip("203.0.113.2")); err != nil || by != somebody() || p.sighting(ip("203.0.113.2"), phone) != Occupied {
		t.Errorf("a host that is there: %s, %v after %s", by, err, time.Since(start))
	}
	start = time.Now()
	if by, err := p.probe(t.Context(), ip("203.0.113.3")); err != nil || !by.IsZero() || time.Since(start) > 2*probeFor {
		t.Errorf("one that isn't: %s, %v after %s", by, err, time.Since(start))
	}
	if by, err := p.probe(t.Context(), ip("127.1.2.3")); err != nil || !by.IsZero() {
		t.Errorf("loopback: %s, %v", by, err)
	}
}
