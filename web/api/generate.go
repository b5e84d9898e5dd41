package api

import _ "embed" // the document itself

//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config config.yaml openapi.yaml

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
