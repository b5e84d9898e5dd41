package provision

//nolint:gochecknoglobals // tables of constants
var (
	logLevels   = []string{"critical", "error", "warning", "info", "debug"}
	dot1xModes  = []string{"disabled", "eap-md5", "eap-tls", "peap-mschapv2", "eap-ttls-mschapv2"}
	dateFormats = []string{"D-M-Y", "M-D-Y", "Y-M-D"}
	access      = []string{"full", "restricted", "none"}
)

//nolint:gochecknoglobals // a table of constants
var networkParams = []Param{
	link("http_base_url", "URL where phones reach our HTTP server, if it isn't the one that they are told by DHCP."),
	host("ip", "Address of the provisioning server, for files that can't hold a URL."),
	port("http_port", "Port of our HTTP server, for files that can't hold a URL."),
	port("tftp_port", "Port of our TFTP server, for files that name it."),

	flag("dns_enabled", "Whether the phone is told a DNS server in its file."),
	host("dns_ip", "The DNS server.").requiredIf("dns_enabled"),
	host("dns_backup_ip", "The DNS server that is asked while the first doesn't answer."),

	flag("vlan_enabled", "Whether the phone tags its own traffic."),
	number("vlan_id", 0, maxVLAN, "The voice VLAN; 0 tags the priority only.").requiredIf("vlan_enabled"),
	number("vlan_priority", 0, 7, "IEEE 802.1p priority of the phone's traffic."),
	number("vlan_pc_port_id", 0, maxVLAN, "The VLAN of the phone's PC port; without it the port is untagged."),
	number("vlan_pc_port_priority", 0, 7, "IEEE 802.1p priority of what comes in at the PC port."),
	flag("lldp_enabled", "Whether the phone speaks LLDP, by which a switch may tell it its VLAN."),
	flag("cdp_enabled", "Whether the phone speaks CDP, by which a switch may tell it its VLAN."),
	flag("pc_port_enabled", "Whether the phone's PC port works."),
	number("dscp_sip", 0, 63, "Differentiated services code point of signalling."),
	number("dscp_rtp", 0, 63, "Differentiated services code point of speech."),
	enum("dot1x_mode", dot1xModes, "How the phone authenticates itself to its switch port."),
	text("dot1x_username", "Name for IEEE 802.1X.").like(quotelessText, quotelessDoc),
	secret("dot1x_password", "Password for IEEE 802.1X."),

	flag("syslog_enabled", "Whether the phone sends its log to a server."),
	host("syslog_ip", "The log server.").requiredIf("syslog_enabled"),
	port("syslog_port", "Port of the log server.").defaultTo(int64(514)).defaultIf("syslog_enabled"),
	enum("syslog_level", logLevels, "The least severe messages that are sent.").defaultTo("warning").defaultIf("syslog_enabled"),

	number("provisioning_interval", 5, 10080, "Minutes after which a running phone looks for new files by itself."),
	text("provisioning_time", "Time of day at which a running phone looks for new files by itself, such as 03:30.").like(clockText, "a time such as 03:30"),
	flag("pnp_enabled", "Whether a phone without a server asks for one by SIP multicast, where anybody can answer it."),
	flag("redirection_enabled", "Whether a phone without a server asks its vendor's redirection service for one."),
	word("provisioning_username", "Name that the phone logs in to the provisioning server with."),
	secret("provisioning_password", "Password that the phone logs in to the provisioning server with."),
	flag("https_validate", "Whether the phone checks the certificates of the HTTPS servers that it fetches from."),
	listOf("https_root_certificates", 20, Param{Type: TypePEM}, "Certificates that those servers' own chain up to."),
}

//nolint:gochecknoglobals // a table of constants
var clockParams = []Param{
	flag("ntp_enabled", "Whether the phone sets its clock by NTP; if not, its NTP is switched off."),
	host("ntp_ip", "The NTP server.").requiredIf("ntp_enabled"),
	host("ntp_backup_ip", "The NTP server that is asked while the first doesn't answer."),
	{Name: "timezone", Type: TypeTimezone, Doc: "Time zone of the phone's clock, such as Europe/Berlin."},
	{Name: "locale", Type: TypeLocale, Doc: "Language and country of the phone's texts and tones, such as de_DE."},
	text("tone_country", "Country whose tones the phone plays, such as DE; without it the locale's.").like(countryText, "two capital letters such as DE"),
	enum("date_format", dateFormats, "In which order day, month and year are shown; without it as the locale has it."),
	enum("time_format", []string{"12", "24"}, "Whether the clock shows 12 or 24 hours; without it as the locale has it."),
}

//nolint:gochecknoglobals // a table of constants
var accessParams = []Param{
	text("admin_username", "Name of the phone's administrator account.").like(quotelessText, quotelessDoc),
	secret("admin_password", "Password of the phone's administrator account."),
	text("user_username", "Name of the phone's limited account.").like(quotelessText, quotelessDoc),
	secret("user_password", "Password of the phone's limited account."),
	flag("web_enabled", "Whether the phone has web pages."),
	flag("ssh_enabled", "Whether the phone can be logged in to by SSH."),
	enum("settings_access", access, "What the phone's own menu lets its user change."),
	flag("lock_enabled", "Whether the phone can be locked by its user."),
	secret("lock_pin", "What unlocks it."),
	listOf("emergency_numbers", 20, dial("", ""), "Numbers that can be called from a locked phone."),
}
