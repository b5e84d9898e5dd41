package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
)

func (a *app) sim() *cobra.Command {
	return parent("sim", "Simulated phones", a.simBoot(), a.simDHCP(), a.simFetch("tftp"), a.simFetch("http"))
}

// simFlags are what a simulated phone is told.
type simFlags struct {
	model, mac, plugin, server, relay, iface string
	tftp, http                               uint16
	count, parallel                          int
	timeout                                  time.Duration
}

// howItSpeaks says what all verbs of simulated phones do.
const howItSpeaks = `Without flags it speaks to the sandbox on this machine (` + "`make run`" + `), as its own relay agent on loopback. With
--interface it speaks as a real phone on that link; this needs root and an interface that has no address.`

// flags are those of all verbs of simulated phones.
func (f *simFlags) flags(cmd *cobra.Command) {
	s := configs.Sandbox()
	f.count = 1
	fl := cmd.Flags()
	fl.StringVar(&f.model, "model", "", "`model` as its plugin spells it, such as 7941G")
	fl.StringVar(&f.mac, "mac", "", "hardware `address`; left out: a made-up one")
	fl.StringVar(&f.plugin, "plugin", "", "`plugin` whose boot order is followed; left out: the newest that knows the model")
	fl.StringVar(&f.server, "server", s.DHCP.Relay[0].String(), "DHCP server's `address:port`")
	fl.StringVar(&f.relay, "relay", "127.64.0.1", "own `address` to relay from (giaddr)")
	fl.StringVar(&f.iface, "interface", "", "`interface` to speak on, instead of relaying")
	fl.Uint16Var(&f.tftp, "tftp-port", s.TFTP.Listen.Port(), "TFTP `port`, where DHCP names none")
	fl.Uint16Var(&f.http, "http-port", s.HTTP.Listen.Port(), "HTTP `port`, where DHCP names none")
	fl.DurationVar(&f.timeout, "timeout", 10*time.Second, "`time` for each step")
}

func (a *app) simBoot() *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use:   "boot --model MODEL",
		Short: "Boot a simulated phone: get an address, then ask for its files as a real one does",
		Long: `Boot a simulated phone: it gets an address by DHCP, then asks for its files in the order that its plugin says a
real one does. Each step is printed with what it got.

` + howItSpeaks,
		Example: "  dialtone sim boot --model 7941G\n  dialtone sim boot --model 6730i --mac 00:08:5d:00:00:01 --json\n  dialtone sim boot --model 7941G --count 300",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			phone, err := a.simPhone(cmd.Context(), f)
			if err != nil {
				return err
			}
			if f.count > 1 {
				return a.bootMany(cmd.Context(), phone, f)
			}
			if !a.json {
				phone.Report = func(s sim.Step) { writeStep(a.stdout, s) }
			}
			r, err := phone.Boot(cmd.Context())
			if a.json {
				if perr := a.print(r, nil); perr != nil {
					return perr
				}
			}
			if err != nil {
				return fmt.Errorf("the phone doesn't come up: %w", err)
			}
			if !a.json {
				fmt.Fprintf(a.stdout, "\n%s %s has %s and came up in %s.\n", r.Model, r.HW, r.Addr, r.Took.Round(time.Millisecond))
			}
			return nil
		},
	}
	f.flags(cmd)
	fl := cmd.Flags()
	fl.IntVar(&f.count, "count", 1, "how `many` phones, with consecutive addresses")
	fl.IntVar(&f.parallel, "parallel", 50, "how `many` boot at the same time")
	return cmd
}

// simPhone makes the phone that the flags describe.
func (a *app) simPhone(ctx context.Context, f simFlags) (*sim.Phone, error) {
	bad := func(format string, args ...any) (*sim.Phone, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
	}
	if f.model == "" {
		return bad("--model is needed; `dialtone plugin list --json` names the models")
	}
	if f.count < 1 || f.count > 1 && f.iface != "" {
		return bad("--count %d: at least one, and only one on an interface", f.count)
	}
	set, err := a.pluginSet(ctx)
	if err != nil {
		return nil, err
	}
	p := pluginFor(set, f.model, provision.PluginID(f.plugin))
	if p == nil {
		return nil, fmt.Errorf("no plugin knows the model %q: %w", f.model, provision.ErrNotFound)
	}
	phone := &sim.Phone{Model: f.model, Steps: p.Boot(), Timeout: f.timeout, TFTPPort: f.tftp, HTTPPort: f.http, Wire: sim.Wire{Interface: f.iface}}
	if phone.HW, err = simAddr(f.mac); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.iface == "" {
		if phone.Wire.Server, err = netip.ParseAddrPort(f.server); err != nil {
			return bad("--server %q: write address:port", f.server)
		}
		if phone.Wire.Relay, err = netip.ParseAddr(f.relay); err != nil {
			return bad("--relay %q is not an address", f.relay)
		}
	}
	return phone, nil
}

// pluginFor returns the newest plugin that knows a model, or the one that was asked for if it does.
func pluginFor(set []*plugin.Plugin, model string, id provision.PluginID) *plugin.Plugin {
	for _, p := range slices.Backward(set) {
		if _, ok := p.Model(model); ok && (id == "" || p.ID() == id) {
			return p
		}
	}
	return nil
}

// simAddr reads a hardware address, or makes up a locally administered one.
func simAddr(text string) (hwaddr.Addr, error) {
	if text != "" {
		return hwaddr.Parse(text)
	}
	var hw hwaddr.Addr
	_, _ = rand.Read(hw[:]) // never fails
	hw[0] = hw[0]&^1 | 2
	return hw, nil
}

// bootMany boots phones side by side and tells how it went.
func (a *app) bootMany(ctx context.Context, first *sim.Phone, f simFlags) error {
	results := make([]sim.Result, f.count)
	faults := make([]error, f.count)
	var group errgroup.Group
	group.SetLimit(max(f.parallel, 1))
	var mu sync.Mutex // guards the output
	begun := time.Now()
	for i := range f.count {
		phone := *first
		phone.HW = plus(first.HW, i)
		group.Go(func() error {
			results[i], faults[i] = phone.Boot(ctx)
			if faults[i] != nil && !a.json {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintf(a.stderr, "%s: %v\n", phone.HW, faults[i])
			}
			return nil
		})
	}
	_ = group.Wait() // the faults are kept
	took := time.Since(begun)
	failed := slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	if a.json {
		if err := a.print(results, nil); err != nil {
			return err
		}
	} else if err := writeSummary(a.stdout, results, len(failed), took); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d phones don't come up; the first: %w", len(failed), f.count, failed[0])
	}
	return nil
}

// plus returns the address that comes n after hw, in the last three bytes.
func plus(hw hwaddr.Addr, n int) hwaddr.Addr {
	v := (int(hw[3])<<16 | int(hw[4])<<8 | int(hw[5])) + n
	hw[3], hw[4], hw[5] = byte(v>>16&0xff), byte(v>>8&0xff), byte(v&0xff)
	return hw
}

func writeSummary(w io.Writer, results []sim.Result, failed int, took time.Duration) error {
	times := make([]time.Duration, 0, len(results))
	for _, r := range results {
		times = append(times, r.Took)
	}
	slices.Sort(times)
	_, err := fmt.Fprintf(w, "%d phones booted, %d failed, in %s; each took %s at the median, %s at most.\n",
		len(results)-failed, failed, took.Round(time.Millisecond),
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
	return err
}

func writeStep(w io.Writer, s sim.Step) {
	mark := "ok"
	switch {
	case s.OK:
	case s.Required:
		mark = "FAILED"
	default:
		mark = "-"
	}
	fmt.Fprintf(w, "%-6s  %-4s  %-34s  %s\n", mark, s.Ask, s.What, s.Got)
}
