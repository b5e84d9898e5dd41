package api

import _ "embed" // the document itself

// The document is written first and the code follows it; api.gen.go is never edited by hand.

//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config config.yaml openapi.yaml

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
