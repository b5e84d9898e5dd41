// Package api is the administration interface as openapi.yaml has it: types, a strict server and a client, generated.
// The document is written first and the code follows it; api.gen.go is never edited by hand.
package api
