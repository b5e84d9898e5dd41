package provision

//nolint:gochecknoglobals // tables of constants
var (
	keyTypes = []string{
		"speeddial", "blf", "park", "line", "dnd", "forward", "transfer", "conference", "hold", "redial", "intercom", "pickup", "group_pickup",
		"voicemail", "directory", "call_log", "dtmf", "prefix", "record", "paging", "url", "xml", "lock", "none",
	}
	// keyNeedsValue are the types that mean nothing without one; keyTakesURL those whose value is a URL.
	keyNeedsValue = []string{"speeddial", "blf", "intercom", "dtmf", "prefix", "url", "xml"}
	keyTakesURL   = []string{"url", "xml"}
	ldapTLS       = []string{"none", "starttls", "ldaps"}
)

//nolint:gochecknoglobals // a table of constants
var keyParams = []Param{
	keyTable("funckeys", "The function keys, by number.").defaultTo(map[string]any{}),
	table("expansion_modules", moduleFields, "The expansion modules, by their place from the phone on."),
	dial("exten_dnd", "Number that switches do-not-disturb on and off."),
	dial("exten_fwd_unconditional", "Prefix that forwards every call."),
	dial("exten_fwd_no_answer", "Prefix that forwards calls that aren't answered."),
	dial("exten_fwd_busy", "Prefix that forwards calls while busy."),
	dial("exten_fwd_disable_all", "Number that ends all forwards."),
	dial("exten_park", "Number that parks a call."),
	dial("exten_pickup_group", "Number that picks up a call of the group."),
	dial("exten_pickup_call", "Prefix that picks up the call of a number."),
	dial("exten_voicemail", "Number of the voice mail."),
	dial("exten_record", "Number, sent in a call, that records it."),
	dial("hotline_number", "Number that is called when the handset is lifted."),
	table("paging_groups", pagingFields, "The multicast groups that the phone listens to, by priority; 1 is the first."),
}

//nolint:gochecknoglobals // a table of constants
var keyFields = []Param{
	enum("type", keyTypes, "What the key does.").required(),
	text("value", "Number that the key dials or watches; speeddial, blf, intercom, dtmf, prefix, url and xml need one.").like(valuePattern, valueDoc),
	text("label", "Text beside the key."),
	number("line", 1, 99, "The line that the key uses."),
	flag("supervision", "Whether a speed-dial key shows the state of its number, too."),
	dial("pickup", "Number that a blf key dials while its number rings; without it exten_pickup_call and the value."),
	flag("locked", "Whether the phone's user can't change the key."),
}

//nolint:gochecknoglobals // a table of constants
var keyLevel = func() *level {
	l := newLevel(keyFields)
	l.keys = true
	return l
}()

//nolint:gochecknoglobals // a table of constants
var moduleFields = []Param{
	text("model", "The module's model, such as M675.").like(namePattern, nameDoc),
	keyTable("keys", "Its keys, by number."),
}

//nolint:gochecknoglobals // a table of constants
var pagingFields = []Param{
	host("ip", "Multicast address of the group.").required(),
	port("port", "Port of the group.").required(),
	text("label", "Text that is shown while it speaks."),
}

//nolint:gochecknoglobals // a table of constants
var bookParams = []Param{
	link("phonebook_url", "URL of the phone book, in the form that the phone's vendor wants."),
	text("phonebook_name", "Name under which the phone shows it."),
	flag("ldap_enabled", "Whether the phone looks numbers and names up by LDAP."),
	host("ldap_ip", "The LDAP server.").requiredIf("ldap_enabled"),
	port("ldap_port", "Port of the LDAP server."),
	enum("ldap_tls", ldapTLS, "How the connection to it is encrypted."),
	text("ldap_base", "Where in the directory the search begins.").like(quotelessText, quotelessDoc).requiredIf("ldap_enabled"),
	text("ldap_username", "Name to log in to it with.").like(quotelessText, quotelessDoc),
	secret("ldap_password", "Password to log in to it with."),
	text("ldap_name_filter", "Filter that finds entries by a name; % stands for what was typed.").like(filterPattern, filterDoc),
	text("ldap_number_filter", "Filter that finds entries by a number; % stands for what was typed.").like(filterPattern, filterDoc),
	listOf("ldap_name_attributes", 10, text("", "").like(attrPattern, attrDoc), "Attributes that hold a name."),
	listOf("ldap_number_attributes", 10, text("", "").like(attrPattern, attrDoc), "Attributes that hold a number."),
	text("ldap_display_name", "What is shown of an entry, in the phone's own notation.").like(quotelessText, quotelessDoc),
	number("ldap_max_hits", 1, 1000, "How many entries are shown at most."),
}

//nolint:gochecknoglobals // a table of constants
var actionParams = []Param{
	link("action_url_boot", "URL that the phone calls when it is ready."),
	link("action_url_registered", "URL that the phone calls when a line was registered."),
	link("action_url_unregistered", "URL that the phone calls when a line lost its registration."),
	link("action_url_incoming", "URL that the phone calls when it rings."),
	link("action_url_outgoing", "URL that the phone calls when it dials."),
	link("action_url_connected", "URL that the phone calls when a call begins."),
	link("action_url_disconnected", "URL that the phone calls when a call ends."),
	link("action_url_offhook", "URL that the phone calls when its handset is lifted."),
	link("action_url_onhook", "URL that the phone calls when its handset is hung up."),
	link("action_url_dnd_on", "URL that the phone calls when do-not-disturb was switched on."),
	link("action_url_dnd_off", "URL that the phone calls when do-not-disturb was switched off."),
	link("action_url_forward_on", "URL that the phone calls when a forward was switched on."),
	link("action_url_forward_off", "URL that the phone calls when a forward was switched off."),
	link("services_url", "URL of what the phone's services or applications key shows."),
	link("messages_url", "URL of what the phone's messages key shows."),
	link("information_url", "URL of what the phone's help key shows."),
	link("idle_url", "URL of what the phone shows while nobody uses it."),
	number("idle_timeout", 1, day, "Seconds until it shows that."),
	link("authentication_url", "URL that a phone asks whether who speaks to its web pages may."),
}

//nolint:gochecknoglobals // a table of constants
var mediaParams = []Param{
	text("ringtone", "The phone's name of the ring tone of all lines.").like(namePattern, nameDoc),
	listOf("ringtone_urls", 20, link("", ""), "URLs of ring tones that the phone fetches."),
	link("wallpaper_url", "URL of the picture behind the phone's display."),
	text("wallpaper", "The phone's name of that picture.").like(filePattern, fileDoc),
	link("logo_url", "URL of the picture that is shown while the phone starts or rests."),
	link("screensaver_url", "URL of the picture that is shown while nobody uses the phone."),
	number("screensaver_timeout", 10, day, "Seconds until it is shown."),
	number("backlight_timeout", 0, day, "Seconds until the display's light goes out; 0: never."),
	number("backlight_level", 0, 100, "Brightness of the display in percent."),
	text("idle_text", "What the phone's display says while nobody uses it."),
}

// siteParams are what tools around the ancestor of this program write, which templates of both know, and a comment.
//
//nolint:gochecknoglobals // a table of constants
var siteParams = []Param{
	text("X_comment", "A remark; no file shows it.").max(4096),
	host("X_xivo_phonebook_ip", "Host of the directory service; with it and X_xivo_user_uuid the phone book's URL is made."),
	enum("X_xivo_phonebook_scheme", []string{"http", "https"}, "How the directory service is spoken to; http unless this says otherwise."),
	port("X_xivo_phonebook_port", "Port of the directory service; 9498 unless this says otherwise."),
	text("X_xivo_phonebook_profile", "Profile of the directory service.").like(namePattern, nameDoc),
	text("X_xivo_user_uuid", "Whose phone it is, for the directory service.").like(quotelessText, quotelessDoc),
	text("config_version", "Version of the config's form that the ancestor's tools write; no file shows it.").like(namePattern, nameDoc),
}

func (p Param) max(n int64) Param { p.Max = n; return p }
