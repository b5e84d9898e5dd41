# What a developer types. `make help` lists it; .ci/run does all of it.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATE   ?= state
FUZZTIME ?= 10s
STEPS   ?= 2000000
export CGO_ENABLED ?= 0

.PHONY: help build run test lab lint format bench bench-peers fuzz clean

help: ## say what the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## make the one binary, bin/dialtone, without cgo
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/dialtone ./cmd/dialtone

run: build ## run the sandbox as an ordinary user, on loopback and high ports, with its state in ./state
	bin/dialtone serve --sandbox --state $(STATE)

test: ## run all tests that need no privileges, and say which were skipped and why
	@.ci/test

lab: build ## run real DHCP, TFTP and HTTP clients in network namespaces of their own (needs root)
	packaging/lab/run
	packaging/lab/foreign
	packaging/lab/guard

lint: ## check the formatting and the code with every linter that CI uses
	.ci/run lint

format: ## write every file the way CI wants it
	.ci/run format-write

bench: ## run the Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: build ## compare with other servers on this machine, side by side (needs root)
	packaging/rig/peers

fuzz: ## run each fuzz target for FUZZTIME (10s), STEPS (2000000) steps of the lease table's model, a million renewals
	FUZZTIME=$(FUZZTIME) STEPS=$(STEPS) .ci/run fuzz

clean: ## remove what was built and the sandbox's state
	rm -rf bin $(STATE) rig-work
