// Package tftpd is the TFTP front end: it turns read requests into requests of the pipeline and sends what comes back.
//
// The engine is pin/tftp: it cuts files into numbered blocks, converts netascii, and takes the next block when the last
// one is acknowledged. What it lacks lies before it:
//
//   - [Server] owns the listening socket, knows the address that each datagram came to, normalises read requests
//     (request.go), refuses everything else, and limits how many transfers run (slots.go);
//   - the pipeline is asked before the engine is: a refusal is one datagram with one of the fixed sentences and the
//     right error code, and costs no socket;
//   - options (request.go): the OACK is ours, because the engine knows but two of them and echoes what it was told;
//   - the way of the datagrams (transfer.go): each transfer has a socket of its own, bound to the address that was
//     asked, resends by the round-trip time, keeps unacknowledged blocks for the window (RFC 7440), can be stopped,
//     answers an ERROR of the client with silence, as RFC 1350 §7 demands, and sends no more than a few times what it
//     got to a peer that may be another one than it says;
//   - an [engine] is one server of the library in single-port mode, the only mode in which the library sends through a
//     connection that isn't its own. It serves one transfer at a time and then the next (engine.go): to make one for
//     each transfer costs more than a small file.
//
// The server only reads: it never writes a file. It knows blksize (RFC 2348), timeout and tsize (RFC 2349) and
// windowsize (RFC 7440).
package tftpd
