package provision

//nolint:gochecknoglobals // tables of constants
var (
	dtmfModes  = []string{"RTP-in-band", "RTP-out-of-band", "SIP-INFO"}
	srtpModes  = []string{"disabled", "preferred", "required"}
	transports = []string{"udp", "tcp", "tls"}
	codecs     = []string{
		"pcma", "pcmu", "g722", "g722.1", "g723", "g726-16", "g726-24", "g726-32", "g726-40", "g729", "opus", "ilbc", "gsm", "amr", "amr-wb", "l16",
	}
)

func codecList(name, doc string) Param {
	return listOf(name, int64(len(codecs)), enum("", codecs, ""), doc)
}

//nolint:gochecknoglobals // a table of constants
var sipParams = []Param{
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
	host("sip_domain", "Domain of the lines' addresses, if it isn't the registrar."),
	enum("sip_transport", transports, "What SIP is carried by.").defaultTo("udp"),
	enum("sip_dtmf_mode", dtmfModes, "How keys pressed in a call are sent; without it the phone decides."),
	enum("sip_srtp_mode", srtpModes, "Whether calls are encrypted.").defaultTo("disabled"),
	codecList("sip_codecs", "The codecs that are offered, the preferred first; without it the phone's own."),
	number("sip_ptime", 10, 60, "Milliseconds of speech in a packet."),
	flag("sip_silence_suppression", "Whether silence isn't sent."),
	{Name: "sip_servers_root_and_intermediate_certificates", Type: TypeList, Max: 20, Item: &Param{Type: TypePEM}, Doc: "Certificates that the SIP servers' own chain up to, root first."},
	{Name: "sip_local_root_and_intermediate_certificates", Type: TypeList, Max: 20, Item: &Param{Type: TypePEM}, Doc: "Certificates that the phone's own chains up to, root first."},
	{Name: "sip_local_certificate", Type: TypePEM, Doc: "The phone's own certificate, as PEM."},
	{Name: "sip_local_key", Type: TypeSecret, Multiline: true, Doc: "Private key of the phone's own certificate, as PEM."},
	flag("sip_tls_validate", "Whether the phone checks the SIP servers' certificates."),
	flag("sip_subscribe_mwi", "Whether the phone subscribes to its message-waiting state."),
	number("sip_register_expires", minute, day, "Seconds that a registration holds."),
	number("sip_subscribe_expires", minute, day, "Seconds that a subscription holds: of message waiting and of other phones' states."),
	number("sip_session_expires", 90, day, "Seconds between the refreshes of a call (RFC 4028)."),
	number("sip_keepalive", 5, 3600, "Seconds between packets that keep a NAT's mapping open; without it there are none."),
	host("stun_ip", "STUN server that the phone learns its outside address from."),
	port("stun_port", "Port of the STUN server."),
	port("sip_local_port", "Port that the phone speaks SIP from."),
	port("rtp_port_min", "First port that speech is sent from."),
	port("rtp_port_max", "Last port that speech is sent from."),
	flag("sip_auto_answer", "Whether the phone answers by itself a call that asks for it."),
	flag("call_waiting", "Whether a second call is shown while the phone is in one."),
	word("sip_blf_list", "Address of the list of states that the phone watches (RFC 4662)."),
	text("dial_plan", "What a number looks like, in the phone's own notation.").like(`^[^"<>\\%]*$`, "no quote, angle bracket, backslash or percent sign"),
	number("dial_timeout", 1, 60, "Seconds after the last digit until a number is called."),
}

//nolint:gochecknoglobals // a table of constants
var lineParams = []Param{
	table("sip_lines", lineFields, "The SIP lines, by number.").defaultTo(map[string]any{}),
	table("sccp_call_managers", managerFields, "The SCCP call managers, by priority; 1 is the first.").defaultTo(map[string]any{}),
}

//nolint:gochecknoglobals // a table of constants
var lineFields = []Param{
	flag("enabled", "Whether the line is used; it is unless this says otherwise."),
	word("username", "Name of the SIP account.").required(),
	word("auth_username", "Name to authenticate with.").defaultFrom("username"),
	secret("password", "Password of the SIP account.").required(),
	text("display_name", "Name shown to the other side, and as the line's label.").required(),
	text("label", "Text beside the line's key, if it isn't the display name."),
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
	host("domain", "Domain of this line's address, if it isn't the registrar."),
	enum("transport", transports, "What SIP of this line is carried by."),
	enum("dtmf_mode", dtmfModes, "How keys pressed in a call of this line are sent."),
	enum("srtp_mode", srtpModes, "Whether calls of this line are encrypted."),
	codecList("codecs", "The codecs that this line offers, the preferred first."),
	number("register_expires", minute, day, "Seconds that this line's registration holds."),
	dial("voicemail", "Number of this line's voice mail."),
	flag("subscribe_mwi", "Whether this line subscribes to its message-waiting state."),
	flag("auto_answer", "Whether this line answers by itself a call that asks for it."),
	text("ringtone", "The phone's name of this line's ring tone.").like(namePattern, nameDoc),
}

//nolint:gochecknoglobals // a table of constants
var managerFields = []Param{
	host("ip", "Address of the call manager.").required(),
	port("port", "Port of the call manager."),
}
