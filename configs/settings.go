package configs

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Settings are the appliance's own: where it keeps its state, where it listens, and how much it takes on. What phones
// are told is not here but in the site's configs.
type Settings struct {
	// State is the folder that everything lasting is kept in.
	State string `yaml:"state"`
	// Site is the file that first content is imported from when the state is empty. Empty: the one that ships.
	Site    string  `yaml:"site"`
	DHCP    DHCP    `yaml:"dhcp"`
	TFTP    TFTP    `yaml:"tftp"`
	HTTP    HTTP    `yaml:"http"`
	Console Console `yaml:"console"`
	Plugins Plugins `yaml:"plugins"`
	Guard   Guard   `yaml:"guard"`
	Hooks   []Hook  `yaml:"hooks"`
	Journal Journal `yaml:"journal"`
	Backup  Backup  `yaml:"backup"`
	Log     Log     `yaml:"log"`
}

// DHCP says where clients and relay agents are heard.
type DHCP struct {
	Enabled bool `yaml:"enabled"`
	// Interfaces are served on UDP port 67, for their own segment and for relay agents. Empty: every interface that
	// the site's networks are on.
	Interfaces []string `yaml:"interfaces"`
	// Relay are further sockets that hear relay agents only. If there are any and Interfaces is empty, these are all.
	Relay  []netip.AddrPort `yaml:"relay"`
	Limits Limits           `yaml:"limits"`
	// Leasequery are the hosts that may ask who has which lease (RFC 4388).
	Leasequery []netip.Addr `yaml:"leasequery"`
	// Observe are the interfaces on which another server's DHCP is overheard. They are not served.
	Observe []string `yaml:"observe"`
	// Foreign are the prefixes in which other servers lease addresses and tell of it, beside the site's networks and the
	// prefixes of the interfaces in Observe.
	Foreign []netip.Prefix `yaml:"foreign"`
}

// Limits keep devices that nobody knows from taking every address. Zero sets no limit.
type Limits struct {
	Newcomers int `yaml:"newcomers"` // devices a minute on one interface or by one relay agent
	Share     int `yaml:"share"`     // percent of a network's addresses that devices of unknown kind may hold
}

// TFTP says where files are served over TFTP, and to how many at once.
type TFTP struct {
	Enabled        bool           `yaml:"enabled"`
	Listen         netip.AddrPort `yaml:"listen"`
	MaxTransfers   int            `yaml:"max_transfers"`
	MaxPerPeer     int            `yaml:"max_per_peer"`
	BlockSizeLimit int            `yaml:"block_size_limit"` // bytes
	// Allow are the networks that are served; none: all.
	Allow []netip.Prefix `yaml:"allow"`
	// Trust are networks whose addresses nobody can forge, beside those with a lease or a neighbour.
	Trust []netip.Prefix `yaml:"trust"`
	// Ports are the first and the last port of transfers; none: whichever are free.
	Ports      []int       `yaml:"ports"`
	SinglePort bool        `yaml:"single_port"` // transfers go through the port of Listen
	Quirks     []TFTPQuirk `yaml:"quirks"`
}

// TFTPQuirk says what the phones of a plugin want otherwise than usual.
type TFTPQuirk struct {
	Plugin    string `yaml:"plugin"`
	NoBlksize bool   `yaml:"no_blksize"`  // blocks have 512 bytes, whatever a phone asks for
	RollToOne bool   `yaml:"roll_to_one"` // block 65535 is followed by 1 rather than 0
}

// HTTP says where files are served over HTTP, and to how many at once.
type HTTP struct {
	Enabled        bool           `yaml:"enabled"`
	Listen         netip.AddrPort `yaml:"listen"`
	MaxConnections int            `yaml:"max_connections"`
	MaxPerPeer     int            `yaml:"max_per_peer"`
	// Proxies are the reverse proxies that may say which phone they pass on a request of (X-Forwarded-For).
	Proxies []netip.Addr `yaml:"proxies"`
	TLS     TLS          `yaml:"tls"`
}

// TLS says where files are served over HTTPS, in addition, and how.
type TLS struct {
	Enabled bool           `yaml:"enabled"`
	Listen  netip.AddrPort `yaml:"listen"`
	// Certificate and Key are files of a certificate that phones are shown; both empty: one of our own authority.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// Names are what phones reach us by, names and addresses, besides the address that they connect to.
	Names      []string `yaml:"names"`
	MinVersion string   `yaml:"min_version"` // 1.2 or 1.3
	// Legacy are the networks whose phones may use TLS 1.0 and 1.1 and broken cipher suites.
	Legacy []netip.Prefix `yaml:"legacy"`
	// ClientCertificates: phones are asked for theirs.
	ClientCertificates bool `yaml:"client_certificates"`
}

// Console says where people look at and steer the appliance.
type Console struct {
	Enabled bool           `yaml:"enabled"`
	Listen  netip.AddrPort `yaml:"listen"`
	// Names are the host names that people open it by, besides addresses.
	Names []string `yaml:"names"`
	// Public: also who isn't of a local network may ask.
	Public bool `yaml:"public"`
}

// Plugins says how the plugin folder, below the state folder, is treated.
type Plugins struct {
	// Watch takes up edits as they are made; else only on SIGHUP or when asked to.
	Watch bool `yaml:"watch"`
}

// Hook is a program or web address that is told of every lease event. Exactly one of Exec and URL is set.
type Hook struct {
	Name    string        `yaml:"name"`
	Exec    []string      `yaml:"exec"`     // program and arguments; the event is its standard input
	URL     string        `yaml:"url"`      // the event is POSTed to it
	KeyFile string        `yaml:"key_file"` // holds the key that signs what is posted; empty: unsigned
	Timeout time.Duration `yaml:"timeout"`  // of one attempt
	Line    int           `yaml:"-"`        // in the file; 0: not from a file
}

const defaultHookTimeout = 5 * time.Second

func (h *Hook) setDefaults() { h.Timeout = defaultHookTimeout }

// Guard says what is asked of phones that no network's settings cover.
type Guard struct {
	// Outside is the policy for addresses of none of the networks: strict, balanced, legacy, or refuse to answer nobody.
	Outside string `yaml:"outside"`
	AddMax  int    `yaml:"add_max"` // unconfirmed phones in all networks together; 0: no bound
}

const maxBackupEvery = 31 * 24 * time.Hour

// Backup says which backups the appliance makes by itself.
type Backup struct {
	Every time.Duration `yaml:"every"` // 0: none
	Keep  int           `yaml:"keep"`
}

// Journal says how much is remembered of what phones asked.
type Journal struct {
	Size int `yaml:"size"` // outcomes in memory
	Disk int `yaml:"disk"` // MiB on disk; 0: nothing is kept there
	Days int `yaml:"days"` // on disk
}

// Log says what is logged and how. It goes to standard error.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format Format     `yaml:"format"`
}

// Format is how log lines are written.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

//go:embed dialtone.yaml
var defaultFile []byte

// DefaultFile returns the settings file that ships: every key with its default and what it means. The caller owns it.
func DefaultFile() []byte { return append([]byte(nil), defaultFile...) }

// Default returns the settings in force where the file says nothing.
func Default() Settings {
	return Settings{
		State: "/var/lib/dialtone",
		DHCP:  DHCP{Enabled: true, Limits: Limits{Newcomers: 600, Share: 80}},
		TFTP: TFTP{
			Enabled: true, Listen: netip.MustParseAddrPort("0.0.0.0:69"),
			MaxTransfers: 256, MaxPerPeer: 4, BlockSizeLimit: 1428,
		},
		HTTP: HTTP{
			Enabled: true, Listen: netip.MustParseAddrPort("0.0.0.0:80"),
			MaxConnections: 1024, MaxPerPeer: 32,
			TLS: TLS{Listen: netip.MustParseAddrPort("0.0.0.0:443"), MinVersion: "1.2", ClientCertificates: true},
		},
		Console: Console{Enabled: true, Listen: netip.MustParseAddrPort("127.0.0.1:8080"), Names: []string{}},
		Plugins: Plugins{Watch: true},
		Guard:   Guard{Outside: "strict", AddMax: 50_000},
		Journal: Journal{Size: 1000, Disk: 64, Days: 30},
		Backup:  Backup{Every: 24 * time.Hour, Keep: 7},
		Log:     Log{Level: slog.LevelInfo, Format: FormatText},
	}
}

// Sandbox returns the settings of `dialtone serve --sandbox`: everything on loopback and high ports, so that an
// ordinary user may run it, and DHCP for a relay agent only, because simulated phones relay for themselves.
func Sandbox() Settings {
	s := Default()
	s.DHCP.Relay = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:6767")}
	s.DHCP.Limits = Limits{} // as many phones as one likes
	s.Guard.AddMax = 0
	s.TFTP.Listen = netip.MustParseAddrPort("127.0.0.1:6969")
	s.HTTP.Listen = netip.MustParseAddrPort("127.0.0.1:8667")
	s.HTTP.TLS.Enabled, s.HTTP.TLS.Listen = true, netip.MustParseAddrPort("127.0.0.1:8643")
	return s
}

// Parse reads a settings file; name is for messages. What the file leaves out is as in Default. The error joins all
// faults, each with file, line and key.
func Parse(name string, data []byte) (Settings, error) {
	s := Default()
	d, err := decode(name, data, &s)
	if err != nil {
		return Settings{}, err
	}
	for _, f := range s.faults() {
		if line := d.line(f.key); line > 0 {
			d.fault(line, f.key, "%s", f.text)
		} else {
			d.errs = append(d.errs, fmt.Errorf("%s: %w", name, f))
		}
	}
	if err := errors.Join(d.errs...); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// line returns where a key stands or, if it was left out, what it belongs to. 0: nowhere.
func (d *decoder) line(key string) int {
	for ; key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if n := d.lines[key]; n > 0 {
			return n
		}
	}
	return 0
}

// Validate reports every value that can't be meant, each with the path of its key.
func (s Settings) Validate() error {
	var errs []error
	for _, f := range s.faults() {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// fault is a value that can't be meant.
type fault struct{ key, text string }

func (f fault) Error() string { return f.key + ": " + f.text }

func (s Settings) faults() []fault {
	var fs []fault
	bad := func(key, format string, args ...any) { fs = append(fs, fault{key, fmt.Sprintf(format, args...)}) }
	between := func(key string, n, lo, hi int) {
		if n < lo || n > hi {
			bad(key, "%d is out of range; use %d to %d", n, lo, hi)
		}
	}
	if s.State == "" {
		bad("state", "it is empty; name a folder, such as /var/lib/dialtone")
	}
	for i, name := range s.DHCP.Interfaces {
		if !isInterface(name) {
			bad(fmt.Sprintf("dhcp.interfaces[%d]", i), "%q is no interface's name, such as eth0", name)
		}
	}
	for i, name := range s.DHCP.Observe {
		if !isInterface(name) {
			bad(fmt.Sprintf("dhcp.observe[%d]", i), "%q is no interface's name, such as eth1", name)
		}
		if slices.Contains(s.DHCP.Interfaces, name) {
			bad(fmt.Sprintf("dhcp.observe[%d]", i), "%s is served (dhcp.interfaces); an interface is either served or observed", name)
		}
	}
	for i, p := range s.DHCP.Foreign {
		if !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 {
			bad(fmt.Sprintf("dhcp.foreign[%d]", i), "%s is no IPv4 network, such as 192.0.2.0/24", p)
		}
	}
	for i, a := range s.DHCP.Relay {
		s.checkListen(bad, fmt.Sprintf("dhcp.relay[%d]", i), a)
	}
	between("dhcp.limits.newcomers", s.DHCP.Limits.Newcomers, 0, 1_000_000)
	between("dhcp.limits.share", s.DHCP.Limits.Share, 0, 100)
	for i, a := range s.DHCP.Leasequery {
		if a.IsUnspecified() {
			bad(fmt.Sprintf("dhcp.leasequery[%d]", i), "%s is nobody's address; name a host's, such as 192.0.2.7", a)
		}
	}
	if s.TFTP.Enabled {
		s.checkListen(bad, "tftp.listen", s.TFTP.Listen)
	}
	if s.HTTP.Enabled {
		s.checkListen(bad, "http.listen", s.HTTP.Listen)
	}
	if s.Console.Enabled {
		s.checkListen(bad, "console.listen", s.Console.Listen)
	}
	if s.HTTP.Enabled && s.Console.Enabled && clash(s.HTTP.Listen, s.Console.Listen) {
		bad("console.listen", "%s is where http.listen is, too; give the console a port of its own", s.Console.Listen)
	}
	fs = append(fs, s.tlsFaults()...)
	if !slices.Contains([]string{"strict", "balanced", "legacy", "refuse"}, s.Guard.Outside) {
		bad("guard.outside", "%q is unknown; use strict, balanced, legacy or refuse", s.Guard.Outside)
	}
	between("guard.add_max", s.Guard.AddMax, 0, 1_000_000)
	between("tftp.max_transfers", s.TFTP.MaxTransfers, 1, 65536)
	between("tftp.max_per_peer", s.TFTP.MaxPerPeer, 1, 65536)
	between("tftp.block_size_limit", s.TFTP.BlockSizeLimit, 512, 65464) // RFC 2348
	fs = append(fs, s.TFTP.faults()...)
	between("http.max_connections", s.HTTP.MaxConnections, 1, 65536)
	between("http.max_per_peer", s.HTTP.MaxPerPeer, 1, 65536)
	between("journal.size", s.Journal.Size, 10, 1_000_000)
	between("journal.disk", s.Journal.Disk, 0, 1_000_000)
	between("journal.days", s.Journal.Days, 1, 3660)
	between("backup.keep", s.Backup.Keep, 1, 1000)
	if e := s.Backup.Every; e != 0 && (e < time.Hour || e > maxBackupEvery) {
		bad("backup.every", "%s is out of range; use 1h to 744h, or 0s for none", e)
	}
	if s.Log.Format != FormatText && s.Log.Format != FormatJSON {
		bad("log.format", "%q is unknown; use text or json", s.Log.Format)
	}
	return append(fs, hookFaults(s.Hooks)...)
}

func (t *TFTP) faults() (fs []fault) {
	bad := func(key, format string, args ...any) { fs = append(fs, fault{key, fmt.Sprintf(format, args...)}) }
	networks := func(key string, list []netip.Prefix) {
		for i, p := range list {
			if p != p.Masked() {
				bad(fmt.Sprintf("%s[%d]", key, i), "%s has bits set behind its length; write %s", p, p.Masked())
			}
		}
	}
	networks("tftp.allow", t.Allow)
	networks("tftp.trust", t.Trust)
	if p := t.Ports; len(p) != 0 && (len(p) != 2 || p[0] < 1 || p[0] > p[1] || p[1] > 65535) {
		bad("tftp.ports", "want the first and the last port, such as [50000, 50999]")
	}
	if len(t.Ports) > 0 && t.SinglePort {
		bad("tftp.single_port", "there are no other ports then; leave tftp.ports out")
	}
	for i, q := range t.Quirks {
		if q.Plugin == "" {
			bad(fmt.Sprintf("tftp.quirks[%d].plugin", i), "it is empty; name the plugin")
		}
	}
	return fs
}

// isInterface reports whether a name can be an interface's: IFNAMSIZ is 16 with its NUL, and the kernel forbids slashes
// and blanks (dev_valid_name).
func isInterface(name string) bool {
	return name != "" && len(name) <= 15 && !strings.ContainsAny(name, "/ \t\n:")
}

func (s Settings) checkListen(bad func(key, format string, args ...any), key string, a netip.AddrPort) {
	if !a.IsValid() || a.Port() == 0 && !a.Addr().IsLoopback() { // port 0 of loopback is for tests
		bad(key, "%s is not an address with a port, such as 192.0.2.1:80", a)
	}
}

// clash reports whether two listeners would want the same port of the same address.
func clash(a, b netip.AddrPort) bool {
	return a.Port() != 0 && a.Port() == b.Port() &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

func hookFaults(hooks []Hook) []fault {
	var fs []fault
	names := make(map[string]bool)
	for i, h := range hooks {
		bad := func(key, format string, args ...any) {
			fs = append(fs, fault{fmt.Sprintf("hooks[%d]%s", i, key), fmt.Sprintf(format, args...)})
		}
		// The name is where the hook's progress is kept under.
		if h.Name == "" || strings.Trim(h.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(h.Name) > 64 {
			bad(".name", "%q is no hook's name; use lower-case letters, digits and dashes", h.Name)
		} else if names[h.Name] {
			bad(".name", "there are two hooks named %q; rename one", h.Name)
		}
		names[h.Name] = true
		switch {
		case (len(h.Exec) > 0) == (h.URL != ""):
			bad("", "a hook has either exec or url; give it one of them")
		case h.URL != "":
			if u, err := url.Parse(h.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				bad(".url", "%q is no web address, such as https://pbx.example/lease", h.URL)
			}
		case !filepath.IsAbs(h.Exec[0]):
			bad(".exec", "%q is not the full path of a program; begin it with /", h.Exec[0])
		}
		if h.KeyFile != "" && h.URL == "" {
			bad(".key_file", "only what is sent to a url is signed; remove it")
		}
		if h.Timeout < 100*time.Millisecond || h.Timeout > 5*time.Minute {
			bad(".timeout", "%s is out of range; use 100ms to 5m", h.Timeout)
		}
	}
	return fs
}
