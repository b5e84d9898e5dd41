package provision

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

type (
	// DeviceID names a device.
	DeviceID string
	// ConfigID names a config.
	ConfigID string
	// PluginID names a plugin: it is the name of its directory.
	PluginID string
)

// Proto is what a request came by.
type Proto string

// The protocols.
const (
	DHCP Proto = "dhcp"
	TFTP Proto = "tftp"
	HTTP Proto = "http"
	SIP  Proto = "sip"
)

// The fields of a request: a closed list, the same names as in plugin.yaml. FieldPath stands for [Request.Path], FieldMAC
// for [Request.HW] in hwaddr.Addr's spelling.
const (
	FieldPath        = "path"
	FieldMAC         = "mac"
	FieldUserAgent   = "user-agent"
	FieldHost        = "host"
	FieldMethod      = "method"
	FieldVendorClass = "vendor-class" // option 60, of the request itself or of the peer's lease
	FieldUserClass   = "user-class"   // option 77
	FieldHostname    = "hostname"     // option 12
	FieldParams      = "params"       // option 55, as "1,3,6,66"
	FieldClientID    = "client-id"    // option 61, hexadecimal
	FieldTLSName     = "tls-cn"       // common name of the client's certificate
)

// Request is one question of a phone, whatever it came by.
type Request struct {
	ID          uint64 // given by the journal when zero
	Proto       Proto
	At          time.Time
	Peer, Local netip.Addr
	// HW is the client's hardware address where the protocol itself carries it (DHCP's chaddr), else zero.
	HW hwaddr.Addr
	// Path is the file that is asked for: no leading slash, "/" between segments, no "." or ".." segments, undecoded
	// no further. Empty for a lease.
	Path string
	// Raw is the path as the phone wrote it, for the journal. At most 512 bytes.
	Raw    string
	Fields map[string]string
	// Event is what happened to the lease, where the request is one (DHCP).
	Event lease.Kind
	// Head: the phone wants to know of the file, not to have it (HTTP HEAD).
	Head bool
	// TLS: it came over TLS.
	TLS bool
	// Cert is what the client's certificate proves; nil: it showed none.
	Cert *Cert
	// Via is the reverse proxy of ours that passed the request on, where Peer is the phone as that proxy told it. Zero: the
	// phone itself spoke to us.
	Via netip.Addr
}

// CertLevel is what a client certificate is worth.
type CertLevel uint8

// The levels, weakest first.
const (
	CertClaim   CertLevel = iota + 1 // worth no more than a header: the chain is signed with SHA-1, out of date …
	CertFactory                      // by the vendor, with a key that only this device has (E5 of the guard's table)
	CertOwn                          // by our own authority, for this device (E6)
)

// Cert is a client certificate as the TLS listener has verified it.
type Cert struct {
	Level   CertLevel
	Subject string // for people
	HW      hwaddr.Addr
	Serial  string
	Note    string // why it is only a claim; empty otherwise
}

// Source is where a claim comes from, weakest first (ARCHITECTURE.md §7). The zero value is no source.
type Source uint8

// The sources.
const (
	SourceNone      Source = iota
	SourceGuess            // OUI of the MAC; the name of a file that many phones share
	SourcePath             // a file name that only one device asks for
	SourceHeader           // what a request says of its sender
	SourceStored           // what the device's record says, learnt from earlier requests or typed by an administrator
	SourceNeighbour        // the kernel's neighbour table
	SourceLease            // the lease table
	SourceToken            // the device's own unguessable token in the URL
	SourceCert             // a client certificate
)

// The attributes that claims are about.
const (
	AttrMAC     = "mac" // in hwaddr.Addr's spelling
	AttrSerial  = "sn"
	AttrUUID    = "uuid"
	AttrVendor  = "vendor"
	AttrModel   = "model"
	AttrVersion = "version"
)

// Claim is one piece of evidence. By names who says so: "core", or the plugin and its rule ("yealink-v86 extract[2]").
type Claim struct {
	Attr, Value string
	Source      Source
	By          string
}

// Conflict is a claim about who asks (mac, serial, uuid) that a stronger one contradicts.
type Conflict struct{ Won, Lost Claim }

// Identity is what a request's claims come to. Empty fields are unknown.
type Identity struct {
	HW                     hwaddr.Addr
	Serial, UUID           string
	Vendor, Model, Version string
	// Assurance is the strength of the strongest claim for HW, else for the serial or the uuid.
	Assurance Source
	// VendorBy, ModelBy and VersionBy are the strengths of the winning claims for these.
	VendorBy, ModelBy, VersionBy Source
	Conflicts                    []Conflict
}

// Device is one phone that we know. It has no address (the lease table has it) and no "last seen" (the journal has
// it): a request that teaches nothing writes nothing.
type Device struct {
	ID                     DeviceID
	Rev                    uint64 // counts writes; zero was never stored
	HW                     hwaddr.Addr
	Serial, UUID           string
	Vendor, Model, Version string
	Plugin                 PluginID
	Pinned                 bool // an administrator chose Plugin: association leaves it alone
	Config                 ConfigID
	Override               Params // laid over Config
	Options                map[string]any
	Label                  string // a person's name for it
	Created                time.Time
	Auto                   bool   // added by its own first request
	Network                string // where that request came from, if it was added so; see [Policy]
	State                  DeviceState
	// Remote: it may be outside of our networks, so its own token is enough to prove who it is. Static: its address is
	// typed into it, so no lease will ever back it.
	Remote, Static bool
	// Port is the switch port (option 82) at which it is known to be; empty: not known.
	Port string
}

// DeviceState is how far a device is trusted.
type DeviceState string

// The states. An enrolment window isn't one: it opens and closes by the clock.
const (
	StateNew         DeviceState = ""            // seen, not yet confirmed by a person
	StateEnrolled    DeviceState = "enrolled"    // confirmed; it never fetched a secret
	StateProvisioned DeviceState = "provisioned" // confirmed, and it has fetched its secrets
	StateSuspicious  DeviceState = "suspicious"  // something contradicted it; until an administrator says otherwise
	StateRetired     DeviceState = "retired"     // no longer ours
)

// Trust returns the device's state, where one that an administrator added is confirmed by that.
func (d *Device) Trust() DeviceState {
	if d.State == StateNew && d.Rev != 0 && !d.Auto {
		return StateEnrolled
	}
	return d.State
}

// Role is what a config is used for by itself.
type Role string

// The roles. Each is held by at most one config.
const (
	RoleNone       Role = ""
	RoleDefault    Role = "default"    // given to devices that have none and may not have an autocreated one
	RoleAutocreate Role = "autocreate" // parent of the config that a new device gets
	RoleBase       Role = "base"       // lies beneath every device's config, named among its parents or not
)

// Config is a set of parameters that devices share, or that one has. Parents are laid under it, the first lowest.
type Config struct {
	ID        ConfigID
	Rev       uint64
	Label     string
	Parents   []ConfigID
	Role      Role
	Params    Params
	Transient bool // goes when the last device that uses it goes
	Locked    bool // may be edited, not deleted
}

// Params are config parameters: strings, bools, int64s, float64s, []any, map[string]any (or Params) and, for keys that
// the vocabulary calls secret, [Secret].
type Params map[string]any

// Support is how sure a plugin is that a device is its own.
type Support int

// The levels. Probable is the least that associates.
const (
	SupportNone       Support = iota * 100
	SupportImprobable         // another vendor's, or a model that the plugin doesn't know
	SupportUnknown            // nothing known speaks for or against
	SupportProbable           // its vendor
	SupportIncomplete         // its model, but another firmware than the plugin aims at
	SupportComplete           // its model; the firmware isn't known
	SupportExact              // its model and firmware
)

// Class is what a file may give away (the guard's P0 to P3).
type Class uint8

// The classes. The zero value is the strictest, so that a forgotten class errs on the safe side.
const (
	ClassSecret Class = iota // passwords, keys
	ClassDevice              // what concerns one device, without secrets
	ClassSite                // what concerns the site
	ClassPublic              // the vendor's own: firmware, ring tones
)

// Route is the plugin's rule for a request.
type Route struct {
	Rule     string // as the manifest spells it, with its place: `routes[3] {MAC}.cfg`
	Template string // rendered, or
	File     string // served as it is (below files/), or
	Firmware bool   // looked up among the installed firmware files by File
	Kind     string // how a template's values are escaped
	Type     string // content type; empty: by the name's ending
	Class    Class
	// HW is the device that the path names through {mac} or {MAC}; zero if it names none. The route stage refuses a
	// request whose identity is another.
	HW hwaddr.Addr
}

// Verdict is the guard's decision: may the answer leave, and may it hold secrets.
type Verdict struct {
	Allow, Secrets bool
	// Held: it may not, but would if an administrator approved the device. To the phone it looks like a missing file,
	// as every refusal.
	Held bool
	Rule string // row of the table
	Why  string // a sentence for people
}

// View is all that a template may see. Its Params are plain strings where the vocabulary has secrets: unwrapped after
// the verdict, or empty where they are withheld. Every key of the vocabulary is present, nil if unset.
type View struct {
	Device Device
	Params Params // shared with other requests: nobody changes them
	Base   string // our address as the phone reaches it
	HTTP   string // URL of our HTTP server without a trailing slash, with the token; empty if there is none
	Token  string // the device's own, where its network wants tokens and the request proves who asks; else empty
	// Firmware has the names of the firmware files that are installed for the plugin.
	Firmware []string
	// Model has what the manifest says of the device's model: lines, function_keys …; empty for an unknown model.
	Model map[string]any
}

// Answer is a file ready to be sent. The receiver closes Body. Hash is made when a file is loaded or rendered, never
// per request.
type Answer struct {
	Type    string // content type
	Size    int64
	Hash    [32]byte // SHA-256 of the body
	ModTime time.Time
	Body    io.ReadSeekCloser
}

// ResyncMethod is how a device of a plugin is told to fetch its files again.
type ResyncMethod struct{ Method, Event string }

// Plugin is what the pipeline needs of a vendor plugin. Implementations are immutable and safe for concurrent use.
type Plugin interface {
	ID() PluginID
	// Extract returns the claims that the plugin's rules find in a request. The slice is the caller's.
	Extract(*Request) []Claim
	// Support returns the plugin's claim to a device and the reason in a few words. It goes by the product alone: the
	// identity has nothing but vendor, model, version and the strengths of their claims.
	Support(Identity) (Support, string)
	// Route returns the rule for a request of one of its devices; false: the plugin has no such file.
	Route(*Request, Identity) (Route, bool)
	// Answer makes the file. ErrNotFound: there is none, for example firmware that isn't installed.
	Answer(context.Context, Route, *View) (*Answer, error)
	// Model returns what the manifest says of a model; false if it doesn't know it.
	Model(name string) (map[string]any, bool)
	// Firmware returns the names of the firmware files that are installed for it, sorted.
	Firmware() []string
	Resync() ResyncMethod
}

// PluginSource gives the plugins in force. A request takes the set once and keeps it to its end.
type PluginSource interface{ Plugins() *PluginSet }

// LeaseView is what the pipeline needs of the lease table.
type LeaseView interface {
	ByAddr(netip.Addr) (lease.Lease, bool) // active ones only
	ByHW(hwaddr.Addr) []lease.Lease        // active ones only, one per network at most
}

// NeighbourView is what the pipeline needs of the kernel's neighbour table. A nil view knows nobody.
type NeighbourView interface {
	Neighbour(netip.Addr) (hwaddr.Addr, bool)
}

// AutoAdd says which devices become known by asking.
type AutoAdd string

// The zero value means AddRecognised.
const (
	AddRecognised AutoAdd = "recognised" // those that some plugin supports as probable or better
	AddAny        AutoAdd = "any"        // all that have a mac, serial or uuid
	AddOff        AutoAdd = "off"
)

// Policy is what an administrator decided for the network that a request comes from.
type Policy struct {
	Network string // its name; empty: none that we know
	AutoAdd AutoAdd
	// Configure gives new devices a default config.
	Configure bool
	Guard     GuardPolicy
	// Foreign: nothing at all is answered, whoever asks.
	Foreign bool
	// NoAssociate leaves it to administrators which plugin a device has.
	NoAssociate bool
	// Ignore are the sources whose claims count for nothing.
	Ignore []Source
	// PluginsOff aren't there for requests of the network. PluginsFirst are preferred, the first most, to others that
	// support a device as well.
	PluginsOff, PluginsFirst []PluginID
	// NeighbourTrusted: the neighbour table is proof enough, as where somebody else's DHCP server leases.
	NeighbourTrusted bool
	// RelaysDistrusted: leases that were got through a relay agent are no proof, though the agent is listed.
	RelaysDistrusted bool
	CleartextOK      bool // under GuardStrict, secrets may leave unencrypted
	SiteFiles        bool // files of the site are for everybody
	// NAT: several devices share an address, so the address proves nothing, and a device's token is enough.
	NAT bool
	// Tokens: URLs in rendered files have the device's token, and HTTPS: they are of our HTTPS server.
	Tokens, HTTPS bool
	AutoEnrol     bool // under GuardStrict, a certificate is enough to enrol a new device
	// AddPerMinute and AddMax bound how many devices add themselves: within a minute, and unconfirmed in total. 0: no
	// bound.
	AddPerMinute, AddMax int
}

// TokenView is what the pipeline needs of the devices' tokens.
type TokenView interface {
	// Check says what the token of a request from an address is worth, and whose it is. Both are zero for a token that
	// nobody knows.
	Check(token string, from netip.Addr, at time.Time) (hwaddr.Addr, DeviceID, TokenState)
}

// DeviceStore keeps devices. mac, serial and uuid are unique among them.
type DeviceStore interface {
	Device(context.Context, DeviceID) (Device, error)
	DeviceByHW(context.Context, hwaddr.Addr) (Device, error)
	DeviceBySerial(context.Context, string) (Device, error)
	DeviceByUUID(context.Context, string) (Device, error)
	// PutDevice writes a device and returns it with its new Rev. Rev 0 creates; else it must still match. ErrConflict
	// if it doesn't, or if another device has its mac, serial or uuid.
	PutDevice(context.Context, Device) (Device, error)
	// AddDevice creates a device and its config (if config.ID isn't empty and Rev is 0) in one transaction.
	AddDevice(context.Context, Device, Config) (Device, error)
}

// ConfigStore keeps configs.
type ConfigStore interface {
	Config(context.Context, ConfigID) (Config, error)
	ConfigByRole(context.Context, Role) (Config, error)
	// PutConfig is to configs what PutDevice is to devices. ErrConflict, too, if another config holds its role.
	PutConfig(context.Context, Config) (Config, error)
}

// Secret is a value that is printed nowhere but in a rendered file.
type Secret string

const masked = "[secret]"

// String hides the value.
func (Secret) String() string { return masked }

// GoString hides the value.
func (Secret) GoString() string { return masked }

// LogValue hides the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText hides the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// Reveal returns the value. Its callers are the answer stage and the store.
func (s Secret) Reveal() string { return string(s) }
