package network

// Defs lists the options that are known by name, in order of code. Others are written as hexadecimal digits.
// Source: IANA "BOOTP Vendor Extensions and DHCP Options", shapes by RFC 2132 where no other is named; those without an
// assignment or with several as phones use them (vendor guides).
func Defs() []Def {
	return []Def{
		{1, "subnet-mask", KindAddr},
		{2, "time-offset", KindInt32},
		{3, "router", KindAddrs},
		{4, "time-server", KindAddrs},
		{5, "name-server", KindAddrs}, // IEN 116, not DNS
		{6, "domain-server", KindAddrs},
		{7, "log-server", KindAddrs},
		{9, "lpr-server", KindAddrs},
		{12, "hostname", KindText},
		{13, "boot-file-size", KindUint16},
		{15, "domain-name", KindText},
		{16, "swap-server", KindAddr},
		{17, "root-path", KindText},
		{19, "forwarding", KindBool},
		{21, "policy-filter", KindPairs},
		{23, "default-ip-ttl", KindUint8},
		{26, "mtu", KindUint16},
		{27, "mtu-subnet", KindBool},
		{28, "broadcast-address", KindAddr},
		{31, "router-discovery", KindBool},
		{33, "static-route", KindPairs},
		{35, "arp-timeout", KindUint32},
		{36, "ethernet", KindBool},
		{37, "default-tcp-ttl", KindUint8},
		{38, "keepalive-time", KindUint32},
		{40, "nis-domain", KindText},
		{41, "nis-servers", KindAddrs},
		{42, "ntp-servers", KindAddrs},
		{43, "vendor-specific", KindVendor},
		{44, "netbios-name-server", KindAddrs},
		{45, "netbios-dist-server", KindAddrs},
		{46, "netbios-node-type", KindUint8},
		{47, "netbios-scope", KindText},
		{48, "x-window-font", KindAddrs},
		{49, "x-window-manager", KindAddrs},
		{60, "vendor-class", KindText}, // a server's answer to boot loaders that wait for it
		{64, "nis-plus-domain", KindText},
		{65, "nis-plus-servers", KindAddrs},
		{66, "tftp-server-name", KindText},
		{67, "bootfile-name", KindText},
		{69, "smtp-server", KindAddrs},
		{70, "pop3-server", KindAddrs},
		{71, "nntp-server", KindAddrs},
		{72, "www-server", KindAddrs},
		{85, "nds-servers", KindAddrs}, // RFC 2241
		{88, "bcms-domains", KindDomains},
		{89, "bcms-addresses", KindAddrs},
		{98, "user-auth", KindText},         // RFC 2485
		{100, "pcode", KindText},            // RFC 4833
		{101, "tcode", KindText},            // RFC 4833
		{108, "ipv6-only", KindUint32},      // RFC 8925
		{112, "netinfo-address", KindAddrs}, //
		{113, "netinfo-tag", KindText},
		{114, "default-url", KindText},            // RFC 8910; phones take it for where to provision from
		{116, "auto-config", KindUint8},           // RFC 2563
		{117, "name-service-search", KindUint16s}, // RFC 2937
		{119, "domain-search", KindDomains},       // RFC 3397
		{120, "sip-servers", KindSIP},             // RFC 3361
		{121, "classless-routes", KindRoutes},     // RFC 3442
		{125, "vivso", KindVIVSO},                 // RFC 3925
		{128, "option-128", KindText},
		{129, "option-129", KindText},
		{130, "option-130", KindText},
		{131, "option-131", KindText},
		{132, "option-132", KindText},
		{133, "option-133", KindText},
		{134, "option-134", KindText},
		{135, "option-135", KindText},
		{136, "pana-agent", KindAddrs},       // RFC 5192
		{137, "lost-server", KindDomains},    // RFC 5223
		{138, "capwap-ac", KindAddrs},        // RFC 5417
		{141, "sip-ua-domains", KindDomains}, // RFC 6011
		{144, "option-144", KindText},        // VLANs of Polycom and Nortel phones
		{146, "rdnss-selection", KindHex},
		{150, "tftp-server-address", KindAddrs}, // RFC 5859
		{157, "option-157", KindText},           // VLANs, as 144
		{159, "option-159", KindText},
		{160, "option-160", KindText},
		{161, "option-161", KindText},
		{176, "option-176", KindText},
		{191, "option-191", KindText},     // VLANs, as 144
		{209, "pxe-configfile", KindText}, // RFC 5071
		{210, "pxe-pathprefix", KindText}, // RFC 5071
		{242, "option-242", KindText},
		{249, "classless-routes-ms", KindRoutes}, // 121 before it had its number
		{252, "wpad", KindText},
	}
}
