// Package golden runs golden requests: files that tell, in a phone's own words, what the phone asks and what it must get.
//
// A golden request is a txtar archive below tests/ of a plugin. The text before the first section is for people. The
// request goes through the real pipeline, over stores in memory that hold what the sections say and nothing else; our
// address is 192.0.2.1. The sections, of which only request and one of identity and answer must be there:
//
//	-- request --            GET /001565aabbcc.cfg HTTP/1.1      an HTTP request: GET or HEAD, then headers, or
//	User-Agent: …            RRQ SEP001565AABBCC.cnf.xml octet   a TFTP read request, or
//	                         DHCP                                a lease that the first client below got
//	-- lease --              192.0.2.23 00:15:65:aa:bb:cc vendor-class="Cisco Systems, Inc. IP Phone CP-7941G"
//	                         a lease on each line: address, hardware address, and what the client said of itself as
//	                         vendor-class, user-class, hostname, client-id (hexadecimal), params (1,3,66). Values with
//	                         blanks are quoted as in Go. The request comes from the first line's address; without this
//	                         section from 192.0.2.99, which nobody has leased
//	-- device --             mac=00:15:65:aa:bb:cc vendor=Yealink model=T46S
//	                         a device that is known already on each line: mac, sn, uuid, vendor, model, version, plugin,
//	                         label
//	-- config --             sip_lines: {"1": {username: "1001", …}}
//	                         the parameters (YAML) that the devices have, and that a new one gets. Without this section
//	                         there are none
//	-- firmware/6730i.st --  a stand-in for an installed firmware file; those that are really installed aren't seen
//	-- identity --           mac=00:15:65:aa:bb:cc vendor=Yealink model=T46S version=66.86.0.15
//	                         all that the request tells of its sender: mac, sn, uuid, vendor, model, version. What isn't
//	                         named must not be found. plugin=… may be added: the plugin that the device got
//	-- answer --             200 text/plain; charset=utf-8
//	                         200, 403 (refused; the phone is told that the file is missing), 404 or 500; for 200 the content
//	                         type may follow. Each further line must stand in the file as it is, in that order, among
//	                         others; but "not: TEXT" says that no line holds the text, and what follows a line
//	                         "=== exact" must be the whole file
//
// Leading and trailing blanks of a line don't matter, except after "=== exact".
package golden
