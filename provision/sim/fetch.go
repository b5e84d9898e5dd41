package sim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/dialtone-project/dialtone/provision/plugin"
)

const maxFile = 256 << 20 // of a file, in bytes: more than any firmware

// fetch asks for one file.
func (p *Phone) fetch(ctx context.Context, s plugin.BootStep, got *lease, step *Step) error {
	step.What = p.expand(s.Path)
	if got == nil {
		return errors.New("the phone has no address: its first step must be dhcp")
	}
	sum := sha256.New()
	body := &counter{w: sum}
	if p.Body != nil {
		body.w = io.MultiWriter(sum, p.Body)
	}
	var err error
	switch s.Ask {
	case "tftp":
		server := netip.AddrPortFrom(got.tftp, cmp.Or(s.Port, p.TFTPPort))
		step.From = "tftp://" + server.String()
		err = TFTP(ctx, got.addr, server, step.What, body)
	case "http":
		base := fmt.Sprintf("http://%s", netip.AddrPortFrom(got.tftp, cmp.Or(s.Port, p.HTTPPort)))
		isHTTP := func(u string) bool { return strings.HasPrefix(u, "http://") }
		if i := slices.IndexFunc(got.urls, isHTTP); i >= 0 && s.Port == 0 {
			base = strings.TrimSuffix(got.urls[i], "/")
		}
		step.From = base
		err = HTTP(ctx, got.addr, base+"/"+(&url.URL{Path: step.What}).EscapedPath(), p.expand(s.UserAgent), body)
	default:
		err = fmt.Errorf("a phone can't ask by %q", s.Ask)
	}
	if err != nil {
		return err
	}
	step.Bytes, step.SHA256 = body.n, hex.EncodeToString(sum.Sum(nil))
	step.Got = strconv.FormatInt(body.n, 10) + " bytes"
	return nil
}

// TFTP asks a server for a file, in octet mode and from an address of this host, as a phone does. ErrMissing: the server
// says that there is none.
func TFTP(ctx context.Context, from netip.Addr, server netip.AddrPort, name string, w io.Writer) error {
	client, err := tftp.NewClient(server.String())
	if err != nil {
		return fmt.Errorf("TFTP server %s: %w", server, err)
	}
	if err := client.SetLocalAddr(from.String()); err != nil {
		return fmt.Errorf("ask from %s: %w", from, err)
	}
	client.SetTimeout(time.Second)
	client.SetRetries(4)
	done := make(chan error, 1)
	go func() { // the library's transfer can't be cancelled; its time-outs end it
		t, err := client.Receive(name, "octet")
		if err == nil {
			_, err = t.WriteTo(w)
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("%s is silent: %w", server, ctx.Err())
	}
	switch {
	case err == nil:
		return nil
	case strings.Contains(strings.ToLower(err.Error()), "not found"): // code 1; the library has only the text
		return ErrMissing
	}
	return fmt.Errorf("TFTP: %w", err)
}

// HTTP gets a URL from an address of this host. Like most phones it follows no redirect. ErrMissing: the server says that
// there is no such file.
func HTTP(ctx context.Context, from netip.Addr, file, agent string, w io.Writer) error {
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}).DialContext,
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, file, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", file, err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("HTTP: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return ErrMissing
	default:
		return fmt.Errorf("HTTP: %s", resp.Status)
	}
	if _, err := io.Copy(w, io.LimitReader(resp.Body, maxFile)); err != nil {
		return fmt.Errorf("HTTP: %w", err)
	}
	return nil
}

// counter counts what passes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
