package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

func (a *app) identify() *cobra.Command {
	var lines bool
	cmd := &cobra.Command{
		Use:   "identify --jsonl",
		Short: "Tell which phones recorded requests come from",
		Long: `Tell which phones recorded requests come from. Standard input has one JSON object a line:

  {"id","path","user_agent","headers"}                                  a request by HTTP
  {"id","filename"}                                                     a request by TFTP
  {"id","option60","option60_hex","option55","option77","mac"}          a DHCP client

For each, a line {"id","vendor","model","version","mac","sn"} is printed; what isn't known is left out. The plugins in
the state folder are asked, or the built-in ones where there is none; no daemon is needed.`,
		Example: "  dialtone identify --jsonl < requests.jsonl",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !lines {
				return fmt.Errorf("%w: say --jsonl: it is the only form so far", errUsage)
			}
			set, err := a.pluginSet(cmd.Context())
			if err != nil {
				return err
			}
			pipeline := provision.Pipeline{
				Devices: provision.NewMemory(), Configs: provision.NewMemory(), Plugins: asSource(set),
				PolicyFor: noAdding,
			}
			return identifyLines(cmd.Context(), &pipeline, a.stdin, a.stdout)
		},
	}
	cmd.Flags().BoolVar(&lines, "jsonl", false, "read and write JSON lines")
	return cmd
}

// recorded is one line of input.
type recorded struct {
	ID        string            `json:"id"`
	Path      *string           `json:"path"`
	UserAgent *string           `json:"user_agent"`
	Headers   map[string]string `json:"headers"`
	Filename  *string           `json:"filename"`

	Option60    *string `json:"option60"`
	Option60Hex string  `json:"option60_hex"`
	Option55    string  `json:"option55"`
	Option77    string  `json:"option77"`
	MAC         string  `json:"mac"`
}

// identified is one line of output.
type identified struct {
	ID      string `json:"id"`
	Vendor  string `json:"vendor,omitempty"`
	Model   string `json:"model,omitempty"`
	Version string `json:"version,omitempty"`
	MAC     string `json:"mac,omitempty"`
	SN      string `json:"sn,omitempty"`
}

const maxLine = 1 << 20 // of input, in bytes

func identifyLines(ctx context.Context, p *provision.Pipeline, r io.Reader, w io.Writer) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for n := 1; in.Scan(); n++ {
		if len(strings.TrimSpace(in.Text())) == 0 {
			continue
		}
		var line recorded
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return fmt.Errorf("standard input:%d: %w: %w", n, provision.ErrInvalid, err)
		}
		answer := identified{ID: line.ID}
		if req, ok := line.request(); ok {
			_, outcome := p.Explain(ctx, req)
			id := outcome.Identity
			answer.Vendor, answer.Model, answer.Version, answer.SN = id.Vendor, id.Model, id.Version, id.Serial
			if id.HW != req.HW { // what the line itself says is no finding
				answer.MAC = id.HW.String()
			}
		}
		if err := enc.Encode(answer); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// request makes the request that was recorded; false if no server of ours would have taken it.
func (l recorded) request() (*provision.Request, bool) {
	req := &provision.Request{Fields: map[string]string{}}
	raw := ""
	switch {
	case l.Filename != nil:
		req.Proto, raw = provision.TFTP, *l.Filename
	case l.Path != nil || l.UserAgent != nil:
		req.Proto = provision.HTTP
		if l.Path != nil {
			path, _, _ := strings.Cut(*l.Path, "?")
			decoded, err := url.PathUnescape(path)
			if err != nil {
				return nil, false
			}
			raw = decoded
		}
		for name, value := range l.Headers {
			req.Fields[strings.ToLower(name)] = value
		}
		if l.UserAgent != nil {
			req.Fields[provision.FieldUserAgent] = *l.UserAgent
		}
	default:
		return l.lease(req)
	}
	path, err := provision.Clean(raw)
	req.Path, req.Raw = path, raw
	return req, err == nil
}

func (l recorded) lease(req *provision.Request) (*provision.Request, bool) {
	req.Proto = provision.DHCP
	if l.Option60 != nil {
		req.Fields[provision.FieldVendorClass] = strings.TrimRight(*l.Option60, "\x00")
	} else if b, err := hex.DecodeString(l.Option60Hex); err == nil && len(b) > 0 {
		req.Fields[provision.FieldVendorClass] = string(b)
	}
	if l.Option55 != "" {
		req.Fields[provision.FieldParams] = l.Option55
	}
	if l.Option77 != "" {
		req.Fields[provision.FieldUserClass] = l.Option77
	}
	if hw, err := hwaddr.Parse(l.MAC); err == nil {
		req.HW = hw
	}
	return req, true
}

// noAdding adds nobody: a recorded request is only looked at.
func noAdding(netip.Addr) provision.Policy { return provision.Policy{AutoAdd: provision.AddOff} }
