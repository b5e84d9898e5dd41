package plugin

import "regexp"

// Manifest is what plugin.yaml says. It is decoded strictly: an unknown key, a key that stands twice, an anchor, and a
// value of the wrong kind are errors with their line. Every key:
//
//	format: 1                 # required; the only one so far
//	version: 1.0.0            # required; the plugin's own, not the firmware's
//	vendor: Aastra            # required; the spelling that identities use
//	firmware: '^3\.3\.1\.'    # RE2; a device of a listed model whose version matches scores Exact
//	                          # left out: every version of a listed model matches
//
//	models:                   # required. Names must be written so that YAML sees a string: "6730i", '7941G', "7920"
//	  6730i:
//	    lines: 6              # lines, function_keys, expansion_modules: whole numbers
//	    function_keys: 8
//	    expansion_modules: 0
//	    protocol: sip         # sip or sccp
//	    type: deskphone       # protocol and type: text
//	    load: SCCP41.9-4-2    # any other key is the plugin's own: text, number or bool; templates see it as .Model.load
//
//	extract:                  # what a request's fields say of its sender. All rules are tried; each claims what it finds
//	  - field: user-agent     # path user-agent host method vendor-class user-class hostname params client-id tls-cn, and
//	                          # mac: the address in a DHCP request, as 00:15:65:aa:bb:cc, for the ranges of a vendor
//	    regexp: '^Aastra(?P<model>\S+) MAC:(?P<mac>[0-9A-F-]{17}) V:(?P<version>\S+)-SIP$'
//	                          # RE2. Groups named mac, sn, uuid, vendor, model, version are claims; other named groups are
//	                          # for set:. A trailing NUL of a DHCP field is gone already
//	    set: {model: '${series}i'}
//	                          # optional: claims with fixed values, or put together from groups as regexp.Expand does
//	    map: {model: {51i: 6751i, 53i: 6753i}}
//	                          # optional: exact spellings to replace, after set:. Others stay as they are
//	  - field: path           # the path has no leading slash
//	    regexp: '^(?:Aastra/)?(?P<mac>[0-9A-F]{12})\.cfg$'
//	    set: {vendor: Aastra} # a rule on any field but path also claims the manifest's vendor. A path rule doesn't: file
//	                          # names like <mac>.cfg are shared by vendors, so say it where it's true.
//	                          # set: {vendor: ''} makes any rule claim no vendor
//
// A captured value that can't be true makes no claim: a mac that isn't twelve hexadecimal digits in some usual spelling
// or is all zero, more than 64 bytes, control characters, nothing at all. How strong claims are depends on the field:
// vendor-class, user-class, hostname, params, client-id: the lease; tls-cn: the certificate; path: a path if the rule
// has a mac, sn or uuid, else a guess; mac: a guess; all others: a header.
//
//	dhcp:                     # what clients are told. All rules whose class matches are united
//	  - vendor_class: AastraIPPhone*
//	                          # or a list of them. * is any text; upper and lower case differ, as on the wire
//	    options:              # by number or name (66, tftp-server-name)
//	      66: '{{.HTTP}}/Aastra'
//	      150: ['{{.Base}}']  # a list is joined with commas
//	      43: {2: '{{.HTTP}}/Aastra', 3: false}
//	                          # sub-options, for 43 only: text as it is, a bool or number in one byte. Text that begins with
//	                          # uint8: uint16: uint32: addr: hex: text: is encoded as that ('uint32:12')
//	    force: true           # send the options to clients that didn't ask for them, too
//	    next: '{{.Base}}'     # siaddr
//	    file: OS79XX.TXT      # the BOOTP file field
//	    sname: '{{.Base}}'
//
// Texts under dhcp are templates with .Base (our address, 192.0.2.1), .HTTP (http://192.0.2.1:8667, without a trailing
// slash; port 80 isn't written; empty if there is no HTTP server), .TFTP (tftp://192.0.2.1), .MAC (00:15:65:aa:bb:cc) and
// .VendorClass, .Token (the client's own, which .HTTP has already: empty unless the network wants tokens), and with the
// functions of package render. A text that renders to nothing leaves its option out.
//
//	routes:                   # what may be asked for
//	  - path: ['{MAC}.cfg', 'Aastra/{MAC}.cfg']
//	                          # one pattern or several, without leading slash; see below
//	    template: device.cfg.tmpl   # one of template, file, firmware
//	    kind: line            # with template, required: how printed values are escaped: line, xml, json, text
//	    class: secret         # with template, required: public, site, device, secret
//	    type: text/plain; charset=utf-8
//	                          # content type; left out: by the file's ending
//	  - {path: 'i18n/*.txt', file: 'i18n/{name}'}
//	                          # below files/. {name} is the last part of the requested path, {path} all of it. class: public
//	                          # unless said otherwise. A name without braces must exist
//	  - {path: '{model}.st', firmware: true}
//	                          # among the installed firmware files: true is {name}; a text is a name like in file. Class: public
//
// In a pattern {mac} stands for twelve lower-case and {MAC} for twelve upper-case hexadecimal digits, {model} for the
// name of a listed model, and * for any text without a slash, the empty one too. Everything else is literal and its case
// matters: a phone that asks for ringlist.xml isn't given RINGLIST.XML unless a pattern says so. The most specific
// pattern wins: one without braces and stars before one with braces, that before one with stars; then the one with more
// literal characters; then the one that stands first. A path with {mac} or {MAC} is only for the device of that
// address.
//
//	resync: {method: sip-notify, event: 'check-sync;reboot=false'}
//	                          # method: sip-notify, or none (the default): such phones are told by no means of ours
//
//	boot:                     # what a phone of this kind does, in order. Feeds the simulated phone and the boot timeline
//	  - {ask: dhcp, vendor_class: 'AastraIPPhone{model}', options: [1, 3, 6, 42, 43, 66, 159, 160]}
//	  - {ask: http, path: '{model}.st', user_agent: 'Aastra{model} MAC:{MAC-} V:3.3.1.2235-SIP'}
//	  - {ask: http, path: '{MAC}.cfg', user_agent: '…', required: true}
//	  - {ask: tftp, path: XMLDefault.cnf.xml, if_missing: true}
//
// A step's keys are ask (dhcp, tftp, http; required), models (only these do it; left out: all), vendor_class and options
// (the parameter request list) of a dhcp step, and of the others path, user_agent (http), port (left out: the server's),
// required (the phone doesn't come up without it) and if_missing (asked only if the step before it got nothing). In
// their texts {mac}, {MAC}, {model} are the phone's; {mac:}, {MAC-} and the like put that separator between its bytes.
type Manifest struct {
	Version  string
	Vendor   string
	Firmware *regexp.Regexp // nil: left out
	Models   map[string]map[string]any
	Extract  []ExtractRule
	DHCP     []DHCPRule
	Routes   []RouteRule
	Resync   Resync
	Boot     []BootStep
}

// ExtractRule turns one field of a request into claims.
type ExtractRule struct {
	Field  string
	Regexp *regexp.Regexp
	Set    map[string]string            // by attribute
	Map    map[string]map[string]string // by attribute, then by spelling
	Line   int
}

// DHCPRule says what clients of some vendor classes are told. The texts are templates.
type DHCPRule struct {
	VendorClass       []string
	Options           []DHCPOption
	Force             bool
	Next, File, Sname string
	Line              int
}

// DHCPOption is one option of a rule: a text, or sub-options.
type DHCPOption struct {
	Key  string // number or name
	Text string
	Sub  []SubOption
	Line int
}

// SubOption is one sub-option of option 43. Text is a template; its hint, if any, is still at its front.
type SubOption struct {
	Code uint8
	Text string
	Line int
}

// RouteRule is one entry of routes. Exactly one of Template and File is set.
type RouteRule struct {
	Paths    []string
	Template string
	File     string // may hold {name} or {path}
	Firmware bool   // File is among the installed firmware
	Kind     string
	Class    string // empty: left out
	Type     string
	Line     int
}

// Resync is how a device is told to fetch its files again.
type Resync struct{ Method, Event string }

// BootStep is one thing that a phone does while it boots.
type BootStep struct {
	Ask         string   // dhcp, tftp or http
	Models      []string // nil: all
	VendorClass string
	Options     []uint8
	Path        string
	UserAgent   string
	Port        uint16 // zero: the server's own
	Required    bool
	IfMissing   bool
	Line        int
}
