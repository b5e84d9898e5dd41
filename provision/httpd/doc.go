// Package httpd is the HTTP front end for phones: it turns GET and HEAD into requests of the pipeline and sends what
// comes back.
//
// It is plain net/http without a mux, which would redirect "//x" and "a/../b" before anybody saw them. The path of the
// request target is decoded once, cleaned by [provision.Clean] and looked up; nothing here opens a file. Everything that
// comes from outside has a limit: connections in all and by address, headers, the time for each step, ranges.
//
// HTTPS is the same on a second socket, with the same limits together. A phone is asked for its certificate, and package
// pki says what it is worth; a phone without one is served as over HTTP, except that nobody on the way reads along.
//
// The console and the API are elsewhere, on a listener of their own.
package httpd
