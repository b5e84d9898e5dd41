// Package network has what an administrator declares about DHCP: networks with their pools and reservations, classes of
// clients, and the options that they are given.
//
// A [Set] is immutable and valid as a whole; the DHCP server swaps one for another atomically, and asks it one question
// for each message: [Set.Choose], what a client of which these [Facts] are known may get. What is leased to whom is not
// here but in package lease, and what a vendor's phones need besides is their plugin's affair.
//
// # Who says what
//
// Options are laid over each other, so that who is closer to the client has the last word: those of all networks, of the
// client's classes (the first as declared over the later ones), of the link that networks share, of the network, of the
// pool that the address is from, of the reservation. Never wins over Force at whatever level the two are said.
//
// The header's fields siaddr, sname and file are different, because they are a boot loader's: what a class of boot
// loaders needs goes over the reservation, and that over the network and all networks.
//
// How long a lease lasts is the reservation's word, else the first class's that says so, else the network's.
package network
