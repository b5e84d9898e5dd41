// Package tftpd is the TFTP front end: it turns read requests into requests of the pipeline and sends what comes back.
//
// Blocks, acknowledgements, option negotiation and netascii are pin/tftp's. What that library lacks lies before it:
//
//   - [Server] owns the listening socket, knows the address that each datagram came to, normalises read requests
//     (request.go), refuses everything else, and limits how many transfers run (slots.go);
//   - the pipeline is asked before the library is: a refusal is one datagram with one of the fixed sentences and the
//     right error code, and costs no socket;
//   - each transfer has a socket of its own, bound to the address that was asked, and a library server of its own on top
//     of it in single-port mode, the only mode in which the library sends through a connection that isn't its own
//     (transfer.go). So the source address is right on hosts with many, a transfer can be stopped, its resends follow
//     the round-trip time, and an ERROR from the client is answered with silence, as RFC 1350 §7 demands.
//
// The server only reads: it never writes a file. It knows blksize (RFC 2348) and tsize (RFC 2349).
package tftpd
