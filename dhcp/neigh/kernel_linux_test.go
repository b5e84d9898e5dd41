package neigh

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// inNamespace says to the test binary that it runs in a network namespace of its own.
const inNamespace = "DIALTONE_TEST_IN_NAMESPACE"

// TestKernel follows a real kernel, in a network namespace of its own in which this binary is run again.
func TestKernel(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		kernelTable(t)
		return
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip (iproute2)")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKernel$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "--- SKIP") {
		t.Skip(out.String())
	}
}

func run(t *testing.T, command string) {
	t.Helper()
	f := strings.Fields(command)
	if out, err := exec.CommandContext(t.Context(), f[0], f[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", command, err, out)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within ten seconds", what)
		}
	}
}

func kernelTable(t *testing.T) {
	t.Helper()
	run(t, "ip link add eth0 type veth peer name other")
	run(t, "ip link set eth0 up")
	run(t, "ip link set other up")
	run(t, "ip addr add 192.0.2.1/24 dev eth0")
	run(t, "ip neigh add 192.0.2.7 lladdr "+phone.String()+" dev eth0 nud stale")
	table := &Table{Log: slog.New(slog.DiscardHandler)}
	if err := table.Open(); err != nil {
		t.Fatal(err)
	}
	if e, ok := table.Lookup(addr); !ok || e.HW != phone || e.Iface != "eth0" || e.State != Stale {
		t.Fatalf("at the start: %+v, %v", e, ok)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	is := func(hw hwaddr.Addr) func() bool {
		return func() bool {
			got, _ := table.Neighbour(addr)
			return got == hw
		}
	}
	run(t, "ip neigh replace 192.0.2.7 lladdr "+thief.String()+" dev eth0 nud reachable")
	eventually(t, "another one is there", is(thief))
	if e, _ := table.Lookup(addr); e.Prev != phone {
		t.Errorf("entry %+v, want the phone before it", e)
	}
	run(t, "ip neigh del 192.0.2.7 dev eth0")
	eventually(t, "it has gone", is(hwaddr.Addr{}))
	run(t, "ip neigh replace 192.0.2.7 lladdr "+phone.String()+" dev eth0 nud permanent")
	eventually(t, "the first one is back", is(phone))
	run(t, "ip link set eth0 down")
	eventually(t, "its link is down", is(hwaddr.Addr{}))
	t.Run("probe", func(t *testing.T) { probe(t, table) })
}

// probe asks a host that is there, and hears that two dispute an address.
func probe(t *testing.T, table *Table) {
	host := exec.CommandContext(t.Context(), "sleep", "60")
	host.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := host.Start(); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	defer func() {
		_ = host.Process.Kill()
		_ = host.Wait()
	}()
	inside := fmt.Sprintf("nsenter -t %d -n ", host.Process.Pid)
	run(t, fmt.Sprintf("ip link add eth1 type veth peer name host1 netns %d", host.Process.Pid))
	run(t, "ip addr add 198.51.100.1/24 dev eth1")
	run(t, "ip link set eth1 up")
	run(t, inside+"ip link set host1 address "+phone.String())
	run(t, inside+"ip addr add 198.51.100.7/24 dev host1")
	run(t, inside+"ip link set host1 up")
	there, nobody := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")
	eventually(t, "the host answers", func() bool {
		hws, err := table.Probe(t.Context(), there)
		if err != nil {
			t.Fatal(err)
		}
		return len(hws) == 1 && hws[0] == phone
	})
	if hws, err := table.Probe(t.Context(), nobody); err != nil || len(hws) > 0 {
		t.Errorf("at %s are %v, %v", nobody, hws, err)
	}
	run(t, inside+"ip link add mv0 link host1 type macvlan mode bridge")
	run(t, inside+"ip link set mv0 address "+thief.String())
	run(t, inside+"ip addr add 198.51.100.7/24 dev mv0")
	run(t, inside+"ip link set mv0 up")
	eventually(t, "two dispute it", func() bool {
		hws, err := table.Probe(t.Context(), there)
		return err == nil && len(hws) == 2
	})
	if _, err := table.Probe(t.Context(), netip.MustParseAddr("203.0.113.7")); err == nil {
		t.Error("an address on no link of ours was asked for")
	}
}
