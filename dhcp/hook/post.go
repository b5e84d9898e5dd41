package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// post sends the event to the URL. It returns what the service said if it refused, escaped and clipped.
func (h *Hook) post(ctx context.Context, body []byte) (string, error) {
	if h.URL == "" {
		return "", nil
	}
	h.once.Do(h.connect)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errAway, bare(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Dialtone")
	if len(h.Key) > 0 {
		req.Header.Set("X-Dialtone-Signature", h.sign(time.Now(), body))
	}
	res, err := h.client.Do(req)
	if err != nil {
		if away(err) {
			return "", fmt.Errorf("%w: %w", errAway, bare(err))
		}
		return "", fmt.Errorf("post: %w", bare(err))
	}
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		return "", nil
	}
	var out clip
	_, _ = io.Copy(&out, io.LimitReader(res.Body, maxOutput)) // what came is what is logged
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return out.String(), fmt.Errorf("%w: status %d", errAway, res.StatusCode)
	}
	return out.String(), fmt.Errorf("post: status %d", res.StatusCode)
}

func (h *Hook) connect() {
	h.client = &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
		// Where the administrator said, or nowhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sign makes the value of X-Dialtone-Signature.
func (h *Hook) sign(now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, h.Key)
	_, _ = io.WriteString(mac, t+".") // a hash's Write never fails
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// away reports whether no connection was made, so that the event can't be to blame.
func away(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, cert := errors.AsType[*tls.CertificateVerificationError](err)
	return cert
}

// bare takes the URL out of an error: it may have a password or token in it.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
