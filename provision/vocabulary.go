package provision

// ParamType is what values a parameter takes.
type ParamType string

// The types.
const (
	TypeString   ParamType = "string"
	TypeBool     ParamType = "bool"
	TypeInt      ParamType = "int"      // between Min and Max
	TypeEnum     ParamType = "enum"     // one of Enum
	TypeHost     ParamType = "host"     // an IP address or a host name
	TypeURL      ParamType = "url"      // http or https
	TypeTimezone ParamType = "timezone" // a name in the tz database
	TypeLocale   ParamType = "locale"   // ll_CC
	TypeSecret   ParamType = "secret"   // a string that leaves only in a file of class secret
	TypePEMs     ParamType = "pems"     // a list of PEM texts
	TypeTable    ParamType = "table"    // a map from "1", "2" … to entries that have Fields
)

// Param is one row of the vocabulary.
type Param struct {
	Name string
	Type ParamType
	Doc  string // what it means, in a sentence
	// Default is used where no config says anything; nil: none. DefaultFrom names the parameter, of the same level,
	// whose value is the default. DefaultIf names the switch without which there is none.
	Default                any
	DefaultFrom, DefaultIf string
	// Required: an entry of a table must have it. RequiredIf: it must be there if that switch is on.
	Required   bool
	RequiredIf string
	Min, Max   int64
	Enum       []string
	Fields     []Param // of an entry of a table
}

// Vocabulary returns the config parameters that all vendors share, in the order in which they are documented. The
// caller must not change what it returns. Keys that begin with X_ are the site's own and not listed.
func Vocabulary() []Param { return vocabulary }

const (
	maxPort = 65535
	maxVLAN = 4094
)

//nolint:gochecknoglobals // a table of constants
var (
	dtmfModes  = []string{"RTP-in-band", "RTP-out-of-band", "SIP-INFO"}
	srtpModes  = []string{"disabled", "preferred", "required"}
	transports = []string{"udp", "tcp", "tls"}
	logLevels  = []string{"critical", "error", "warning", "info", "debug"}
)

func host(name, doc string) Param { return Param{Name: name, Type: TypeHost, Doc: doc} }
func text(name, doc string) Param { return Param{Name: name, Type: TypeString, Doc: doc} }
func flag(name, doc string) Param { return Param{Name: name, Type: TypeBool, Doc: doc} }
func port(name, doc string) Param {
	return Param{Name: name, Type: TypeInt, Min: 1, Max: maxPort, Doc: doc}
}
func secret(name, doc string) Param { return Param{Name: name, Type: TypeSecret, Doc: doc} }
func enum(name string, values []string, doc string) Param {
	return Param{Name: name, Type: TypeEnum, Enum: values, Doc: doc}
}

func number(name string, least, most int64, doc string) Param {
	return Param{Name: name, Type: TypeInt, Min: least, Max: most, Doc: doc}
}

func (p Param) requiredIf(name string) Param { p.RequiredIf = name; return p }
func (p Param) defaultTo(v any) Param        { p.Default = v; return p }
func (p Param) defaultFrom(name string) Param {
	p.DefaultFrom = name
	return p
}
func (p Param) defaultIf(name string) Param { p.DefaultIf = name; return p }
func (p Param) required() Param             { p.Required = true; return p }

//nolint:gochecknoglobals // a table of constants
var vocabulary = []Param{
	{Name: "http_base_url", Type: TypeURL, Doc: "URL where phones reach our HTTP server, if it isn't the one that they are told by DHCP."},
	host("ip", "Address of the provisioning server, for files that can't hold a URL."),
	port("http_port", "Port of our HTTP server, for files that can't hold a URL."),
	port("tftp_port", "Port of our TFTP server, for files that name it."),

	flag("dns_enabled", "Whether the phone is told a DNS server in its file."),
	host("dns_ip", "The DNS server.").requiredIf("dns_enabled"),
	flag("ntp_enabled", "Whether the phone sets its clock by NTP; if not, its NTP is switched off."),
	host("ntp_ip", "The NTP server.").requiredIf("ntp_enabled"),
	{Name: "timezone", Type: TypeTimezone, Doc: "Time zone of the phone's clock, such as Europe/Berlin."},
	{Name: "locale", Type: TypeLocale, Doc: "Language and country of the phone's texts and tones, such as de_DE."},

	flag("vlan_enabled", "Whether the phone tags its own traffic."),
	number("vlan_id", 0, maxVLAN, "The voice VLAN; 0 tags the priority only.").requiredIf("vlan_enabled"),
	number("vlan_priority", 0, 7, "IEEE 802.1p priority of the phone's traffic."),
	number("vlan_pc_port_id", 0, maxVLAN, "The VLAN of the phone's PC port; without it the port is untagged."),

	flag("syslog_enabled", "Whether the phone sends its log to a server."),
	host("syslog_ip", "The log server.").requiredIf("syslog_enabled"),
	port("syslog_port", "Port of the log server.").defaultTo(int64(514)).defaultIf("syslog_enabled"),
	enum("syslog_level", logLevels, "The least severe messages that are sent.").defaultTo("warning").defaultIf("syslog_enabled"),

	text("admin_username", "Name of the phone's administrator account."),
	secret("admin_password", "Password of the phone's administrator account."),
	text("user_username", "Name of the phone's limited account."),
	secret("user_password", "Password of the phone's limited account."),

	enum("protocol", []string{"SIP", "SCCP"}, "What a phone that speaks both is to speak."),
	host("sip_proxy_ip", "SIP proxy of all lines."),
	port("sip_proxy_port", "Port of the SIP proxy."),
	host("sip_backup_proxy_ip", "SIP proxy that is used while the first doesn't answer."),
	port("sip_backup_proxy_port", "Port of the backup proxy."),
	host("sip_registrar_ip", "SIP registrar of all lines.").defaultFrom("sip_proxy_ip"),
	port("sip_registrar_port", "Port of the SIP registrar."),
	host("sip_backup_registrar_ip", "SIP registrar that is used while the first doesn't answer."),
	port("sip_backup_registrar_port", "Port of the backup registrar."),
	host("sip_outbound_proxy_ip", "Proxy that every SIP request is sent through."),
	port("sip_outbound_proxy_port", "Port of the outbound proxy."),
	enum("sip_dtmf_mode", dtmfModes, "How keys pressed in a call are sent; without it the phone decides."),
	enum("sip_srtp_mode", srtpModes, "Whether calls are encrypted.").defaultTo("disabled"),
	enum("sip_transport", transports, "What SIP is carried by.").defaultTo("udp"),
	{Name: "sip_servers_root_and_intermediate_certificates", Type: TypePEMs, Doc: "Certificates that the SIP servers' own chain up to, root first."},
	{Name: "sip_local_root_and_intermediate_certificates", Type: TypePEMs, Doc: "Certificates that the phone's own chains up to, root first."},
	text("sip_local_certificate", "The phone's own certificate, as PEM."),
	secret("sip_local_key", "Private key of the phone's own certificate, as PEM."),
	flag("sip_subscribe_mwi", "Whether the phone subscribes to its message-waiting state."),
	{Name: "sip_lines", Type: TypeTable, Fields: lineFields, Default: map[string]any{}, Doc: "The SIP lines, by number."},

	{Name: "sccp_call_managers", Type: TypeTable, Fields: managerFields, Default: map[string]any{}, Doc: "The SCCP call managers, by priority; 1 is the first."},

	{Name: "funckeys", Type: TypeTable, Fields: keyFields, Default: map[string]any{}, Doc: "The function keys, by number."},
	text("exten_dnd", "Number that switches do-not-disturb on and off."),
	text("exten_fwd_unconditional", "Prefix that forwards every call."),
	text("exten_fwd_no_answer", "Prefix that forwards calls that aren't answered."),
	text("exten_fwd_busy", "Prefix that forwards calls while busy."),
	text("exten_fwd_disable_all", "Number that ends all forwards."),
	text("exten_park", "Number that parks a call."),
	text("exten_pickup_group", "Number that picks up a call of the group."),
	text("exten_pickup_call", "Prefix that picks up the call of a number."),
	text("exten_voicemail", "Number of the voice mail."),

	{Name: "phonebook_url", Type: TypeURL, Doc: "URL of the phone book, in the form that the phone's vendor wants."},
}

//nolint:gochecknoglobals // a table of constants
var lineFields = []Param{
	text("username", "Name of the SIP account.").required(),
	text("auth_username", "Name to authenticate with.").defaultFrom("username"),
	secret("password", "Password of the SIP account.").required(),
	text("display_name", "Name shown to the other side, and as the line's label.").required(),
	text("number", "Number of the line, for display."),
	host("proxy_ip", "SIP proxy of this line."),
	port("proxy_port", "Port of this line's proxy."),
	host("backup_proxy_ip", "Backup proxy of this line."),
	port("backup_proxy_port", "Port of this line's backup proxy."),
	host("registrar_ip", "SIP registrar of this line.").defaultFrom("proxy_ip"),
	port("registrar_port", "Port of this line's registrar."),
	host("backup_registrar_ip", "Backup registrar of this line."),
	port("backup_registrar_port", "Port of this line's backup registrar."),
	host("outbound_proxy_ip", "Outbound proxy of this line."),
	port("outbound_proxy_port", "Port of this line's outbound proxy."),
	enum("dtmf_mode", dtmfModes, "How keys pressed in a call of this line are sent."),
	enum("srtp_mode", srtpModes, "Whether calls of this line are encrypted."),
	text("voicemail", "Number of this line's voice mail."),
}

//nolint:gochecknoglobals // a table of constants
var managerFields = []Param{
	host("ip", "Address of the call manager.").required(),
	port("port", "Port of the call manager."),
}

//nolint:gochecknoglobals // a table of constants
var keyFields = []Param{
	enum("type", []string{"speeddial", "blf", "park"}, "What the key does.").required(),
	text("value", "Number that the key dials or watches; speeddial and blf need it."),
	text("label", "Text beside the key."),
	number("line", 1, 99, "The line that the key uses."),
	flag("supervision", "Whether a speed-dial key shows the state of its number, too."),
}
