// Package sim is a phone in software: it gets an address by DHCP and asks for its files in the order that its plugin
// says a real one does.
//
// It shows an administrator what a phone would get before there is a phone, and gives tests and benchmarks a client.
// It speaks real packets and knows nothing of the server but what a phone is told.
package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// Phone is one simulated phone. Fill it in, then call Boot; a Phone may boot again.
type Phone struct {
	HW    hwaddr.Addr
	Model string            // as the plugin spells it
	Steps []plugin.BootStep // what it does, in order
	Wire  Wire
	// TFTPPort and HTTPPort are asked where neither the step nor what DHCP said names a port.
	TFTPPort, HTTPPort uint16
	// Timeout bounds each step. Zero: ten seconds.
	Timeout time.Duration
	// Report hears of each step as it ends. May be nil.
	Report func(Step)
	// Body gets the files that are fetched, one after the other. May be nil.
	Body io.Writer
}

// Wire is how the phone reaches the DHCP server. With an Interface it broadcasts there in raw frames, as a real phone
// does, and puts the address that it gets on the interface until Boot returns; that needs root and an interface
// without an address. Without, it is its own relay agent: it sends from Relay, which must be an address of this host,
// to Server, and asks from the leased address, which must be one that the host may send from.
type Wire struct {
	Server    netip.AddrPort
	Relay     netip.Addr
	Interface string
}

// Step is one thing that the phone did.
type Step struct {
	Ask      string           `json:"ask"`            // dhcp, tftp or http
	What     string           `json:"what"`           // file or vendor class
	From     string           `json:"from,omitempty"` // server that was asked
	Got      string           `json:"got,omitempty"`  // in words: "192.0.2.23 for 8h0m0s", "file not found"
	OK       bool             `json:"ok"`
	Required bool             `json:"required,omitempty"`
	Bytes    int64            `json:"bytes"`
	SHA256   string           `json:"sha256,omitempty"`
	Took     time.Duration    `json:"took_ns"`
	Options  map[uint8]string `json:"options,omitempty"` // that DHCP gave, in hexadecimal
}

// Result is a boot as it went.
type Result struct {
	HW    hwaddr.Addr   `json:"mac"`
	Model string        `json:"model"`
	Addr  netip.Addr    `json:"ip"`
	Steps []Step        `json:"steps"`
	Took  time.Duration `json:"took_ns"`
}

// ErrMissing says that a server has no such file.
var ErrMissing = errors.New("file not found")

// Boot goes through the steps. An error says why the phone doesn't come up: no lease, or no file that it can't do
// without. A file that is missing otherwise is normal for most phones and only reported.
func (p *Phone) Boot(ctx context.Context) (Result, error) {
	begun := time.Now()
	r, err := p.boot(ctx)
	r.Took = time.Since(begun)
	return r, err
}

func (p *Phone) boot(ctx context.Context) (Result, error) {
	r := Result{HW: p.HW, Model: p.Model}
	var got *lease
	missed := false // the step before got nothing
	for _, s := range p.Steps {
		if len(s.Models) > 0 && !slices.Contains(s.Models, p.Model) || s.IfMissing && !missed {
			continue
		}
		stepCtx, cancel := context.WithTimeout(ctx, p.timeout())
		step := Step{Ask: s.Ask, Required: s.Required}
		var err error
		start := time.Now()
		switch s.Ask {
		case "dhcp":
			step.Required = true
			if got != nil {
				got.close()
			}
			if got, err = p.lease(stepCtx, s, &step); err == nil {
				defer got.close()
				r.Addr = got.addr
			}
		default:
			err = p.fetch(stepCtx, s, got, &step)
		}
		cancel()
		step.Took = time.Since(start)
		if err != nil {
			step.Got = err.Error()
		}
		step.OK, missed = err == nil, err != nil
		r.Steps = append(r.Steps, step)
		if p.Report != nil {
			p.Report(step)
		}
		if err != nil && (step.Required || !errors.Is(err, ErrMissing)) {
			return r, fmt.Errorf("%s %s: %w", s.Ask, step.What, err)
		}
	}
	return r, nil
}

func (p *Phone) timeout() time.Duration {
	if p.Timeout > 0 {
		return p.Timeout
	}
	return 10 * time.Second
}

// expand fills the phone's own facts into a text of the manifest.
func (p *Phone) expand(text string) string { return plugin.Expand(text, p.HW, p.Model) }
