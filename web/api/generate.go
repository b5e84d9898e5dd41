// Package api is the administration interface as openapi.yaml has it: types, a strict server and a client, generated.
// The file is written first and the code follows it; nothing here is edited by hand.
package api

import _ "embed" // the document itself

//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config config.yaml openapi.yaml

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
