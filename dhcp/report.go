package dhcp

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// tally counts what became of a message that was heard, and says how it is told: at level info what changes or promises something, else at
// debug.
func (s *Server) tally(v Verdict) (slog.Level, string) {
	if v.Violation {
		s.count.violations.Add(1)
	}
	level, text := slog.LevelInfo, "dhcp silence"
	switch {
	case v.Reply == dhcpv4.MessageTypeNak:
		s.count.refused[v.Reason].Add(1)
		text = "dhcp nak"
	case v.Reply == dhcpv4.MessageTypeOffer && v.Reason != ReasonNone:
		s.count.dropped[v.Reason].Add(1)
		level, text = s.silenceLevel(v), "dhcp offer of no address"
	case v.Reply == dhcpv4.MessageTypeOffer:
		text = "dhcp offer"
	case v.Reply == dhcpv4.MessageTypeAck:
		text = "dhcp ack"
	case v.Reason == ReasonNone && v.Type == dhcpv4.MessageTypeRelease:
		text = "dhcp release"
	case v.Reason == ReasonNone && v.Type == dhcpv4.MessageTypeDecline:
		level, text = slog.LevelWarn, "dhcp decline"
	default:
		s.count.dropped[v.Reason].Add(1)
		level = s.silenceLevel(v)
	}
	return level, text
}

// record writes the one line of a message. That can take its time where the log goes to a pipe or a disk, so the client has its
// answer by then.
func (s *Server) record(ctx context.Context, j *job, v Verdict, level slog.Level, text string) {
	if !s.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.Any("mac", v.Client.HW))
	if v.Addr.IsValid() {
		attrs = append(attrs, slog.Any("ip", v.Addr))
	}
	attrs = append(attrs, slog.String("network", string(v.Network)), slog.String("type", typeName(v.Type)))
	if v.State != StateNone {
		attrs = append(attrs, slog.String("state", v.State.String()))
	}
	attrs = append(attrs, slog.String("xid", j.msg.TransactionID.String()))
	if v.Life > 0 {
		attrs = append(attrs, slog.Duration("lease", v.Life))
	}
	if v.Client.VendorClass != "" {
		attrs = append(attrs, slog.String("vendor", printable(v.Client.VendorClass)))
	}
	if v.Client.Hostname != "" {
		attrs = append(attrs, slog.String("host", printable(v.Client.Hostname)))
	}
	if v.Reason != ReasonNone {
		attrs = append(attrs, slog.String("why", v.Reason.String()))
	}
	if v.Why != "" {
		attrs = append(attrs, slog.String("declared", v.Why))
	}
	if v.Err != nil {
		attrs = append(attrs, slog.Any("err", v.Err))
	}
	s.Log.LogAttrs(ctx, level, text, attrs...) //nolint:sloglint // one of the constants in tally
}

// silenceLevel is debug but for what an administrator has to mend, and that once a minute for each network.
func (s *Server) silenceLevel(v Verdict) slog.Level {
	switch v.Reason {
	case ReasonExhausted, ReasonStore, ReasonConflict, ReasonRelay, ReasonNoServerID:
		label, _ := v.Reason.text()
		if s.mayWarn(label + " " + string(v.Network)) {
			return slog.LevelWarn
		}
	default:
	}
	return slog.LevelDebug
}

// maxText is how much of a client's string a log line shows.
const maxText = 64

// printable makes a client's string fit for a line of log: short, and without control characters.
func printable(s string) string {
	cut := ""
	if len(s) > maxText {
		s, cut = s[:maxText], "..."
	}
	q := strconv.QuoteToASCII(s)
	return q[1:len(q)-1] + cut
}
