package pki

import (
	"crypto/x509"
	"regexp"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const maxText = 512 // bytes of one field of a certificate that are looked at

// macText finds what may be a MAC in a text. Cisco's factory certificates have it behind the prefix of its files,
// "CP-7945G-SEP001B54AABBCC"; Yealink, Grandstream, Polycom and Snom as the whole common name.
var macText = regexp.MustCompile(`(?i)(?:\b|_|SEP|ATA|MAC)((?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}[:-]){4}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12})(?:\b|_)`)

// names returns the devices that a certificate names: the MACs, in order and each once, and a serial number. MACs are
// looked for in common name, alternative names, serial number and organisational units of the subject; a MAC of the kind
// that is nobody's own (locally administered, or of a group) is none: serial numbers are often twelve digits, too.
func names(c *x509.Certificate) (macs []hwaddr.Addr, serialNumber string) {
	texts := []string{c.Subject.CommonName}
	texts = append(texts, c.DNSNames...)
	for _, u := range c.URIs {
		texts = append(texts, u.String())
	}
	texts = append(texts, c.Subject.SerialNumber)
	texts = append(texts, c.Subject.OrganizationalUnit...)
	for _, t := range texts {
		for _, hw := range macsIn(t) {
			if !slices.Contains(macs, hw) {
				macs = append(macs, hw)
			}
		}
	}
	return macs, serialIn(c.Subject.SerialNumber)
}

// macsIn returns the MACs in a text.
func macsIn(text string) []hwaddr.Addr {
	text = text[:min(len(text), maxText)]
	var macs []hwaddr.Addr
	for _, at := range macText.FindAllStringSubmatchIndex(text, -1) {
		from, to := at[2], at[3]
		// A longer row of groups, such as an EUI-64, holds no MAC.
		if sep := text[from+2]; strings.IndexByte(":-.", sep) >= 0 || text[min(from+4, len(text)-1)] == '.' {
			if to < len(text)-1 && strings.IndexByte(":-.", text[to]) >= 0 && isHex(text[to+1]) ||
				from > 1 && strings.IndexByte(":-.", text[from-1]) >= 0 && isHex(text[from-2]) {
				continue
			}
		}
		if hw, err := hwaddr.Parse(text[from:to]); err == nil && !hw.IsGroup() && !hw.IsLocal() {
			macs = append(macs, hw)
		}
	}
	return macs
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// serialIn returns a device's serial number from a subject's serialNumber; empty if that is a MAC or has nothing that
// looks like one. Cisco writes "PID:CP-8841-3PCC-K9 SN:FCH1234ABCD".
func serialIn(text string) string {
	if len(text) > maxText || len(macsIn(text)) > 0 {
		return ""
	}
	if _, after, ok := strings.Cut(text, "SN:"); ok {
		text = after
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	s := fields[0]
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"
	if len(s) > 64 || strings.Trim(s, alphabet) != "" {
		return ""
	}
	return s
}
