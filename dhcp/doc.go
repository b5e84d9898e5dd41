// Package dhcp is the DHCPv4 server (RFC 2131): from a datagram to the reply that it gets, and where that is sent.
//
// [Server.Respond] is the heart: a message and where it came from go in, a reply or silence comes out, with a
// [Verdict] that says why. It is pure but for the lease table that it asks, so every case of the RFC is a test without
// a socket. Around it lie the wire layer ([Decode], [Encode]), which is more tolerant of what it reads and stricter in
// what it writes than the library whose message type it uses, and [Server.Run], the only place with sockets and
// goroutines.
//
// What this package is not: it doesn't know who holds an address (package lease does), what an administrator declared
// (package network), or what a vendor's phone wants to be told (a [BootSource] does).
//
// The way of one message:
//
//	conn      datagram with its interface and destination        conn_linux.go
//	wire      bytes → message, tolerant                          wire.go
//	request   the client's state by RFC 2131 §4.3.2              request.go
//	place     which network it is in                             place.go
//	respond   lease, reply or silence                            respond.go
//	options   what the client is told                            options.go
//	wire      message → bytes, ordered and limited               wire.go
//	deliver   where the reply goes by RFC 2131 §4.1              deliver.go
//
// Beside that way, the server looks after itself and its links:
//
//	probe     who has an address, before it is offered           probe.go, icmp.go
//	rogue     other servers on the link                          rogue.go, overhear.go
//	limit     what strangers may take, and of what               limit.go, census.go
//	problem   what an administrator should look into             problem.go
//	query     who has which lease, for those who may ask         leasequery.go
//
// A lease is committed before it is acknowledged: Respond returns an ACK only after the table has returned from Bind.
package dhcp
