package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/neigh"
	"github.com/dialtone-project/dialtone/provision/doctor"
)

// What the doctor's findings come to, as exit codes.
var (
	errWarnings = errors.New("the doctor has warnings")
	errErrors   = errors.New("the doctor has found what keeps phones from being served")
)

func (a *app) doctor() *cobra.Command {
	var file, site string
	var sandbox bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what keeps phones from being served, and say what to do about it",
		Long: `Look for what keeps phones from being served, and say what to do about it: ports that other programs have, the
machine's own address, the clock, the disk, certificates, and what the running daemon has noticed, such as other DHCP
servers. Nothing is changed.

Exit status: 0 all is well, 10 there are warnings, 11 there are errors.`,
		Example: "  dialtone doctor\n  dialtone doctor --settings /etc/dialtone/dialtone.yaml --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.distantServer() != "" {
				return fmt.Errorf("%w: the doctor looks at the machine that it runs on; leave out --server and DIALTONE_SERVER", errUsage)
			}
			s, c, err := a.load(cmd, file, site, sandbox)
			if err != nil {
				return a.faults(err)
			}
			findings := a.examine(cmd.Context(), s, c)
			err = a.print(struct {
				Findings []doctor.Finding `json:"findings"`
			}{findings}, func(w io.Writer) error { return writeFindings(w, findings) })
			if err != nil {
				return err
			}
			switch doctor.Worst(findings) {
			case doctor.Error:
				return errors.Join(errReported, errErrors)
			case doctor.Warning:
				return errors.Join(errReported, errWarnings)
			case doctor.OK, doctor.Skipped:
			}
			return nil
		},
	}
	a.settingsFlags(cmd, &file, &site, &sandbox)
	return cmd
}

// examine looks at everything. A daemon that runs has its ports and rights, and knows more of itself than can be seen from
// here.
func (a *app) examine(ctx context.Context, s configs.Settings, c content) []doctor.Finding {
	findings := doctor.State(s.State)
	problems, running := a.daemonFindings(ctx)
	if running {
		findings = append(findings, problems...)
	} else {
		findings = append(findings, doctor.Finding{
			Area: "daemon", Level: doctor.Warning, Text: "it isn't running", Remedy: "Start it: systemctl start dialtone, or dialtone serve.",
		}, doctor.Rights())
		findings = append(findings, doctor.Ports(ctx, portsOf(s))...)
	}
	findings = append(findings, doctor.Clock(time.Now()))
	var servers []netip.Addr
	for _, n := range c.networks.All() {
		if n.Server.IsValid() && !slices.Contains(servers, n.Server) {
			servers = append(servers, n.Server)
		}
	}
	if own, err := ownAddresses(); err != nil {
		findings = append(findings, doctor.Finding{Area: "own address", Level: doctor.Skipped, Text: err.Error()})
	} else {
		findings = append(findings, doctor.Own(servers, own)...)
	}
	return append(findings, doctor.Certificates(filepath.Join(s.State, "ca"), time.Now())...)
}

func ownAddresses() ([]doctor.Address, error) {
	all, err := neigh.Addresses()
	list := make([]doctor.Address, len(all))
	for i, x := range all {
		list[i] = doctor.Address(x)
	}
	return list, err
}

// daemonFindings asks the daemon what it has noticed; false: none answers.
func (a *app) daemonFindings(ctx context.Context) ([]doctor.Finding, bool) {
	c, err := a.client()
	if err != nil {
		return nil, false
	}
	r, err := c.ListProblemsWithResponse(ctx)
	if err != nil {
		return nil, false
	}
	list := []doctor.Finding{{Area: "daemon", Level: doctor.OK, Text: "it runs"}}
	if r.JSON200 == nil {
		list[0] = doctor.Finding{
			Area: "daemon", Level: doctor.Warning, Text: answer(r.StatusCode(), r.ApplicationProblemJSONDefault).Error(),
			Remedy: "Look at its log: journalctl -u dialtone.",
		}
		return list, true
	}
	for _, p := range r.JSON200.Problems {
		list = append(list, doctor.Finding{
			Area: string(p.Part), Level: doctor.Warning, Text: p.Text, Remedy: "`dialtone problem list` has it with its beginning.",
		})
	}
	return list, true
}

// portsOf are the ports that the settings name.
func portsOf(s configs.Settings) []doctor.Port {
	var ports []doctor.Port
	add := func(on bool, name, network string, addr netip.AddrPort) {
		if on {
			ports = append(ports, doctor.Port{Name: name, Net: network, Addr: addr})
		}
	}
	if s.DHCP.Enabled && len(s.DHCP.Relay) == 0 {
		add(true, "dhcp", "udp4", netip.MustParseAddrPort("0.0.0.0:67"))
	}
	for _, r := range s.DHCP.Relay {
		add(s.DHCP.Enabled, "dhcp.relay", "udp4", r)
	}
	add(s.TFTP.Enabled, "tftp.listen", "udp4", s.TFTP.Listen)
	add(s.HTTP.Enabled, "http.listen", "tcp", s.HTTP.Listen)
	add(s.Console.Enabled, "console.listen", "tcp", s.Console.Listen)
	return ports
}

func writeFindings(w io.Writer, findings []doctor.Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-8s %s: %s\n", f.Level, f.Area, printable(f.Text)); err != nil {
			return fmt.Errorf("write findings: %w", err)
		}
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(w, "         %s\n", f.Remedy); err != nil {
				return fmt.Errorf("write findings: %w", err)
			}
		}
	}
	return nil
}
