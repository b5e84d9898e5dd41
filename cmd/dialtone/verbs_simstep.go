package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/dhcp"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
)

func (a *app) simDHCP() *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use:   "dhcp --model MODEL",
		Short: "Have a simulated phone get an address, and show all that it is told",
		Long: `Have a simulated phone get an address by DHCP, and show each option that it is told. It is leased the address as a real
one is; ` + "`dialtone phone offer`" + ` tells what a phone would be told without asking as one.

` + howItSpeaks,
		Example: "  dialtone sim dhcp --model 7941G\n  dialtone sim dhcp --model 6730i --mac 00:08:5d:00:00:01 --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			phone, err := a.simPhone(cmd.Context(), f)
			if err != nil {
				return err
			}
			phone.Steps = phone.Steps[:firstLease(phone)+1]
			r, err := phone.Boot(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				step := r.Steps[len(r.Steps)-1]
				if _, err := fmt.Fprintf(w, "%s %s has %s from %s.\n", r.Model, r.HW, step.Got, step.From); err != nil {
					return err
				}
				return writeOptions(w, step.Options)
			})
		},
	}
	f.flags(cmd)
	return cmd
}

// simFetch is `sim tftp` and `sim http`.
func (a *app) simFetch(by string) *cobra.Command {
	var f simFlags
	var agent, out string
	file := map[string]string{"tftp": "SEP{MAC}.cnf.xml", "http": "aastra.cfg"}[by]
	model := map[string]string{"tftp": "7941G", "http": "6730i"}[by]
	cmd := &cobra.Command{
		Use:   by + " FILE --model MODEL",
		Short: "Have a simulated phone get an address, then ask for one file by " + map[string]string{"tftp": "TFTP", "http": "HTTP"}[by],
		Long: `Have a simulated phone get an address by DHCP, then ask for one file where it was told to. In the name {MAC}, {mac} and
{model} stand for its own. ` + "`dialtone explain`" + ` tells why it is answered so.

` + howItSpeaks,
		Example: fmt.Sprintf("  dialtone sim %[1]s %[2]s --model %[3]s\n  dialtone sim %[1]s %[2]s --model %[3]s --out -", by, file, model),
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			phone, err := a.simPhone(cmd.Context(), f)
			if err != nil {
				return err
			}
			steps := phone.Steps[:firstLease(phone)+1]
			phone.Steps = append(slices.Clone(steps), plugin.BootStep{
				Ask: by, Path: args[0], Required: true, UserAgent: cmp.Or(agent, agentOf(phone)),
			})
			done, err := a.bodyTo(phone, out)
			if err != nil {
				return err
			}
			r, err := phone.Boot(cmd.Context())
			if err = done(err); err != nil || out == "-" {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				for _, s := range r.Steps {
					writeStep(w, s)
				}
				return nil
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new `file` to write what it gets to; -: nothing but that is printed")
	if by == "http" {
		cmd.Flags().StringVar(&agent, "agent", "", "`text` of the User-Agent; left out: the phone's own")
	}
	return cmd
}

// bodyTo has the phone's file written where a flag says. What it returns ends that, and returns what went wrong before or then.
func (a *app) bodyTo(phone *sim.Phone, out string) (func(error) error, error) {
	switch out {
	case "":
		return func(err error) error { return err }, nil
	case "-":
		phone.Body = a.stdout
		return func(err error) error { return err }, nil
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it may have the phone's passwords
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	phone.Body = f
	return func(err error) error {
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(out))
		}
		return nil
	}, nil
}

// firstLease returns the step by which a phone gets its address. Each plugin's boot begins with one.
func firstLease(p *sim.Phone) int {
	return max(slices.IndexFunc(p.Steps, func(s plugin.BootStep) bool {
		return s.Ask == "dhcp" && (len(s.Models) == 0 || slices.Contains(s.Models, p.Model))
	}), 0)
}

// agentOf returns what the phone says of itself by HTTP, where its plugin knows.
func agentOf(p *sim.Phone) string {
	for _, s := range p.Steps {
		if s.UserAgent != "" && (len(s.Models) == 0 || slices.Contains(s.Models, p.Model)) {
			return s.UserAgent
		}
	}
	return ""
}

// writeOptions writes options as they came, in hexadecimal, with their names and values where these are known.
func writeOptions(w io.Writer, options map[uint8]string) error {
	var rows [][]string
	for _, code := range slices.Sorted(maps.Keys(options)) {
		data, err := hex.DecodeString(options[code])
		if err != nil {
			return fmt.Errorf("option %d: %w", code, err)
		}
		name, value := dhcp.Describe(code, data)
		rows = append(rows, []string{strconv.Itoa(int(code)), name, value})
	}
	return table(w, []string{"CODE", "NAME", "VALUE"}, rows)
}
