package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
)

// errSettings marks faults in a settings or site file.
var errSettings = fmt.Errorf("%w settings", provision.ErrInvalid)

func (a *app) check() *cobra.Command {
	var file, site string
	var sandbox, show, example bool
	cmd := &cobra.Command{
		Use: "check", Short: "Check the settings and the site file, and tell what would be served where",
		Example: "  dialtone check --settings /etc/dialtone/dialtone.yaml --site site.yaml\n  dialtone check --print > dialtone.yaml     # the built-in settings, with comments\n  dialtone check --print-site > site.yaml    # all that a site can declare of networks",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show || example {
				data := configs.DefaultFile()
				if example {
					_, data = configs.ExampleSite()
				}
				_, err := a.stdout.Write(data)
				return err
			}
			s, c, err := a.load(cmd, file, site, sandbox)
			if err != nil {
				return a.faults(err)
			}
			plan := planOf(s, c)
			return a.print(plan, plan.write)
		},
	}
	a.settingsFlags(cmd, &file, &site, &sandbox)
	cmd.Flags().BoolVar(&show, "print", false, "print the built-in settings file instead")
	cmd.Flags().BoolVar(&example, "print-site", false, "print a site file that shows what can be declared of networks instead")
	return cmd
}

// faults writes every fault on a line of its own.
func (a *app) faults(err error) error {
	if !errors.Is(err, errSettings) {
		return err
	}
	text := strings.TrimPrefix(err.Error(), errSettings.Error()+": ")
	for line := range strings.SplitSeq(text, "\n") {
		if _, werr := fmt.Fprintln(a.stderr, line); werr != nil {
			return werr
		}
	}
	return errors.Join(errReported, err)
}

// plan is what a daemon with these settings would do.
type plan struct {
	State    string        `json:"state"`
	Services []planService `json:"services"`
	Networks []planNetwork `json:"networks"`
	Configs  int           `json:"configs"`
	Devices  int           `json:"devices"`
	Hooks    []string      `json:"hooks"`
	Notes    []string      `json:"notes"`
}

type planService struct {
	Name  string `json:"name"`
	Where string `json:"where"`
}

type planNetwork struct {
	Name         string   `json:"name"`
	Prefix       string   `json:"prefix"`
	Pools        []string `json:"pools"`
	Reservations int      `json:"reservations"`
	Clients      string   `json:"clients"`
}

func planOf(s configs.Settings, c content) plan {
	p := plan{State: s.State, Configs: len(c.configs), Devices: len(c.devices), Hooks: []string{}, Notes: []string{}}
	service := func(name string, on bool, where string) {
		if !on {
			where = "off"
		}
		p.Services = append(p.Services, planService{name, where})
	}
	service("dhcp", s.DHCP.Enabled, dhcpPlan(s.DHCP))
	service("tftp", s.TFTP.Enabled, s.TFTP.Listen.String())
	service("http", s.HTTP.Enabled, s.HTTP.Listen.String())
	service("https", s.HTTP.Enabled && s.HTTP.TLS.Enabled, s.HTTP.TLS.Listen.String())
	service("console", s.Console.Enabled, "http://"+s.Console.Listen.String())
	for _, n := range c.networks.All() {
		x := planNetwork{Name: string(n.ID), Prefix: n.Prefix.String(), Reservations: len(n.Reservations), Pools: []string{}}
		for _, pool := range n.Pools {
			x.Pools = append(x.Pools, pool.First.String()+"-"+pool.Last.String())
		}
		x.Clients = "on the interface that has an address in the prefix"
		if n.Interface != "" {
			x.Clients = "on " + n.Interface
		}
		if len(n.Relays) > 0 {
			var relays []string
			for _, r := range n.Relays {
				relays = append(relays, r.String())
			}
			x.Clients += " and behind relay " + strings.Join(relays, ", ")
		}
		if len(n.Pools) == 0 && len(n.Reservations) == 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("network %s has neither pools nor reservations: nobody gets an address there", n.ID))
		}
		p.Networks = append(p.Networks, x)
	}
	for _, h := range s.Hooks {
		p.Hooks = append(p.Hooks, h.Name)
	}
	p.Notes = append(p.Notes, tlsNotes(s.HTTP, c.networks.All())...)
	p.Notes = append(p.Notes, c.lacks()...)
	if s.DHCP.Enabled && len(p.Networks) == 0 {
		p.Notes = append(p.Notes, "no network is declared: no address will be leased; declare one in a site file")
	}
	return p
}

func dhcpPlan(d configs.DHCP) string {
	where := append([]string(nil), d.Interfaces...)
	for _, a := range d.Relay {
		where = append(where, a.String()+" (relay agents only)")
	}
	if len(where) == 0 {
		return "every interface that a network is on"
	}
	return strings.Join(where, ", ")
}

func (p plan) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "The settings are valid.\n\nstate    %s\n", p.State)
	for _, s := range p.Services {
		fmt.Fprintf(&b, "%-8s %s\n", s.Name, s.Where)
	}
	for _, h := range p.Hooks {
		fmt.Fprintf(&b, "hook     %s\n", h)
	}
	fmt.Fprintf(&b, "\nfirst content: %d networks, %d configs, %d phones\n", len(p.Networks), p.Configs, p.Devices)
	for _, n := range p.Networks {
		fmt.Fprintf(&b, "network %s: %s, pools %s, %d reservations, clients %s\n", n.Name, n.Prefix,
			strings.Join(n.Pools, " "), n.Reservations, n.Clients)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
