package provision

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// respond makes the file: it renders the template over the device's flattened config, or opens the file.
func (r *passage) respond(ctx context.Context) error {
	plugin, ok := r.plugins.Get(r.device.Plugin)
	if !ok {
		return fmt.Errorf("plugin %s isn't installed: %w", r.device.Plugin, ErrNotFound)
	}
	r.view(plugin, &r.made.view)
	keeps := r.renders.ingredients(r)
	if keeps {
		if x := r.renders.find(r); x != nil {
			r.out.Layers = x.layers
			if x.note != "" {
				r.tell(x.note)
			}
			r.answered(x.answer())
			return nil
		}
	}
	f := &flat{res: newResolved()}
	if r.out.Route.Template != "" && r.out.Route.Class != ClassPublic {
		var err error
		if f, err = r.resolve(ctx); err != nil {
			return err
		}
	}
	// Secrets are unwrapped here, after the verdict, or left empty.
	filled := r.made.view
	filled.Params = f.complete(r.out.Verdict.Secrets)
	r.out.Layers = f.res.From
	begun := time.Now()
	a, err := plugin.Answer(ctx, r.out.Route, &filled)
	if r.out.Route.Template != "" {
		r.counters.rendered(plugin.ID(), time.Since(begun), err)
	}
	if err != nil {
		return fmt.Errorf("plugin %s: %w", plugin.ID(), withoutToken(withoutSecrets(err, f.res.Params), filled.Token))
	}
	if keeps {
		body, err := takeBody(a)
		if err != nil {
			return err
		}
		r.renders.keep(&rendered{
			key: r.renderKey(), from: r.made, body: body, hash: a.Hash, mimeType: a.Type, layers: f.res.From, note: string(r.note()),
		})
	}
	r.answered(a)
	return nil
}

func (r *passage) answered(a *Answer) {
	r.answer = a
	r.out.Type, r.out.Size, r.out.Hash = a.Type, a.Size, a.Hash
	r.tell(strconv.FormatInt(a.Size, 10), " bytes of ", a.Type)
}

// resolve flattens what the device is configured with.
func (r *passage) resolve(ctx context.Context) (*flat, error) {
	var (
		flats *Flats
		rev   uint64
	)
	if configs, ok := r.configs.(ConfigRev); ok {
		flats, rev = r.flats, configs.ConfigsRev() // before they are read
	}
	f, err := flats.resolve(ctx, r.configs, rev, &r.device, r.out.Route.Class)
	if err != nil {
		return nil, err
	}
	if f.incomplete != nil {
		r.say("config %s is incomplete: %s", r.device.Config, oneLine(f.incomplete))
	}
	return f, nil
}

// withoutSecrets returns err, or, if its text quotes a secret, an error of the same kind that doesn't.
func withoutSecrets(err error, params Params) error {
	text := err.Error()
	hidden := hide(text, map[string]any(params))
	if hidden == text {
		return err
	}
	return &scrubbed{hidden, err}
}

// withoutToken does so for the device's token.
func withoutToken(err error, token string) error {
	if token == "" || !strings.Contains(err.Error(), token) {
		return err
	}
	return &scrubbed{strings.ReplaceAll(err.Error(), token, masked), err}
}

func hide(text string, v any) string {
	if m, ok := asMap(v); ok {
		for _, x := range m {
			text = hide(text, x)
		}
		return text
	}
	if s, ok := v.(Secret); ok && s != "" {
		return strings.ReplaceAll(text, s.Reveal(), masked)
	}
	return text
}

// scrubbed has an error's kind and another text.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }

// Is reports the kind of the error that isn't shown.
func (s *scrubbed) Is(target error) bool { return errors.Is(s.err, target) }

// ours is an error whose kind is hidden, because it tells of the administrator's or our own fault and not of the
// request's.
type ours struct{ err error }

func (o ours) Error() string { return o.err.Error() }

// view sets what the template sees, without its Params.
func (r *passage) view(plugin Plugin, v *View) {
	v.Device, v.Base, v.HTTP, v.Firmware = r.device, addrText(r.out.Request.Local), r.httpURL(), plugin.Firmware()
	if r.out.Policy.Tokens && r.proven() && r.tokenFor != nil {
		v.Token = r.tokenFor(r.device.HW)
	}
	if v.HTTP != "" {
		v.HTTP += TokenPath(v.Token)
	}
	v.Device.Override = nil
	v.Model, _ = plugin.Model(r.device.Model)
}

// httpURL is what a device gets its other files by: HTTPS where it has come by that, for then it trusts us, or where its
// network wants that; else HTTP.
func (r *passage) httpURL() string {
	local := r.out.Request.Local
	if r.out.Request.TLS || r.out.Policy.HTTPS {
		if s := httpURL(r.https, local); s != "" {
			return s
		}
	}
	return httpURL(r.http, local)
}

func httpURL(f func(netip.Addr) string, local netip.Addr) string {
	if f == nil {
		return ""
	}
	return f(local)
}

// proven reports whether the request proves that it is of its device. A file that everybody may have must not tell them
// the device's token.
func (r *passage) proven() bool {
	hw, ev := r.device.HW, &r.out.Evidence
	return !hw.IsZero() && (r.tie.hw == hw && ev.Net >= NetLease || ev.Cert >= CertFactory || ev.Token == TokenValid)
}

// reveal returns a copy of params with every secret as a plain string, or as an empty one.
func reveal(params Params, secrets bool) Params {
	out := make(Params, len(params))
	for k, v := range params {
		out[k] = revealValue(v, secrets)
	}
	return out
}

func revealValue(v any, secrets bool) any {
	if m, ok := asMap(v); ok {
		return map[string]any(reveal(m, secrets))
	}
	switch v := v.(type) {
	case Secret:
		if !secrets {
			return ""
		}
		return v.Reveal()
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = revealValue(x, secrets)
		}
		return out
	}
	return v
}
