package dhcp

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Verdict says what became of a message and why. Without a reply, either Probe is set or Reason says why we keep
// silent; RELEASE and DECLINE have no reply at all, so Reason is ReasonNone where they were heeded.
type Verdict struct {
	Type   dhcpv4.MessageType // of the client's message
	State  State              // of the client; of a REQUEST only
	Reply  dhcpv4.MessageType // of ours; none means silence
	Reason Reason             // why silence, or why NAK
	Err    error              // what the table said, if that is more than Reason says
	Why    string             // what the declared classes say, if that is more than Reason says

	Client  lease.Client
	Network network.ID // empty: none was found
	Addr    netip.Addr // the address that it is about, if any
	Life    time.Duration
	// Probe is an address to look for on the wire before Respond is asked again.
	Probe netip.Addr
	// Wait says to ask Respond again when it is known whether another server answers on the link.
	Wait bool
	// Violation is set where the message breaks RFC 2131 table 5 but means something nevertheless.
	Violation bool
}

// Reason says why a message got no reply, or a NAK. It is what is counted.
type Reason uint8

// The reasons.
const (
	ReasonNone Reason = iota

	// ReasonShort and those below it: it can't be read, or is no client's.
	ReasonShort
	ReasonNoCookie
	ReasonReply
	ReasonNoIdentity
	ReasonBadAddress
	ReasonBOOTP
	ReasonUnknownType

	// ReasonHops and those below it: we have no business with it.
	ReasonHops
	ReasonLoop
	ReasonRelay
	ReasonNetwork
	ReasonNoServerID
	ReasonOtherServer
	ReasonIncomplete
	ReasonSpoofed
	ReasonUnknownClient
	ReasonClass

	// ReasonWrongNetwork and those below it: the lease table has nothing for it.
	ReasonWrongNetwork
	ReasonTaken
	ReasonNotTheirs
	ReasonOtherLease
	ReasonExhausted
	ReasonStore

	// ReasonRate and those below it: the client, or all strangers together, ask for too much.
	ReasonRate
	ReasonNewcomers
	ReasonShare
	ReasonDeclines
	ReasonReleases
	ReasonRival
	ReasonQuery

	// ReasonBusy and those below it: the server has trouble of its own.
	ReasonBusy
	ReasonSuperseded
	ReasonEcho
	ReasonConflict
	ReasonPanic
	reasons
)

// text returns the reason's name in metrics and in words.
func (r Reason) text() (label, words string) {
	texts := [reasons][2]string{
		ReasonNone:          {"none", "none"},
		ReasonShort:         {"short", "shorter than a DHCP message"},
		ReasonNoCookie:      {"no_cookie", "no magic cookie"},
		ReasonReply:         {"not_a_request", "a reply, not a request"},
		ReasonNoIdentity:    {"no_identity", "no Ethernet client"},
		ReasonBadAddress:    {"bad_chaddr", "chaddr is no device's address"},
		ReasonBOOTP:         {"bootp", "BOOTP is not served"},
		ReasonUnknownType:   {"unknown_type", "unknown message type"},
		ReasonHops:          {"hops", "too many hops"},
		ReasonLoop:          {"relay_loop", "relayed by ourselves"},
		ReasonRelay:         {"relay_unlisted", "relay agent is not listed"},
		ReasonNetwork:       {"no_network", "no network is served there"},
		ReasonNoServerID:    {"no_server_address", "we have no address there"},
		ReasonOtherServer:   {"other_server", "meant for another server"},
		ReasonIncomplete:    {"incomplete", "fields of its state are missing"},
		ReasonSpoofed:       {"spoofed", "sent from an address that is not its own"},
		ReasonUnknownClient: {"unknown_client", "client is unknown and we are not authoritative"},
		ReasonClass:         {"class", "no network here is for this client"},
		ReasonWrongNetwork:  {"wrong_network", "address is not of this network"},
		ReasonTaken:         {"taken", "address is taken"},
		ReasonNotTheirs:     {"not_theirs", "address is not for this client"},
		ReasonOtherLease:    {"other_lease", "client holds another address"},
		ReasonExhausted:     {"exhausted", "no address is free"},
		ReasonStore:         {"store", "lease could not be stored"},
		ReasonRate:          {"rate", "client sends too much"},
		ReasonNewcomers:     {"newcomers", "too many new clients there"},
		ReasonShare:         {"share", "strangers hold their share of the pool"},
		ReasonDeclines:      {"declines", "client declined too many addresses"},
		ReasonReleases:      {"releases", "too many addresses are given back there"},
		ReasonRival:         {"rival", "another server answers there"},
		ReasonQuery:         {"leasequery", "may not ask for leases"},
		ReasonBusy:          {"busy", "too many messages in hand"},
		ReasonSuperseded:    {"superseded", "client sent another message meanwhile"},
		ReasonEcho:          {"echo", "came by another listener, too"},
		ReasonConflict:      {"conflict", "addresses are in use by strangers"},
		ReasonPanic:         {"panic", "fault of ours"},
	}
	if int(r) < len(texts) {
		return texts[r][0], texts[r][1]
	}
	return "unknown", "unknown"
}

// String returns the reason in words; they are ASCII and short, since a NAK carries them in option 56.
func (r Reason) String() string {
	_, words := r.text()
	return words
}
