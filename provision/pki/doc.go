// Package pki has the keys and certificates of the phones' TLS listener: what we show to phones, and what the
// certificates that phones show us are worth.
//
// It opens no socket (package httpd does) and decides nothing about requests (package provision does). Its main type is
// [Keeper]. What it keeps lies in one folder:
//
//	authority.key   the key of our own authority, made at first use, mode 0600
//	authority.pem   its certificate: what phones are given to trust
//	server-*.key    the keys of what we show: RSA for old phones, ECDSA for all others
//	factory/*.pem   the vendors' authorities, one file a vendor: NAME.pem, or NAME.weak.pem for a vendor whose devices'
//	                keys are known to have leaked, so that its certificates are claims only
//
// Phones have no clock before they have asked for the time, which many do after they have fetched their config. So our
// certificates begin in 1970, and the authority's ends before 32-bit clocks do, in January 2038. What limits a server's
// certificate is its end: 397 days after it was made, at most. It is made anew, from the same key, long before that.
package pki
