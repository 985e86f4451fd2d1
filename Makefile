# Each target names a script or one go command; `make help` lists them.
GO ?= go
BIN ?= bin/etcdsafe
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE ?= $(shell git show -s --format=%cI HEAD 2>/dev/null)
LDFLAGS = -s -w -X main.releaseVersion=$(VERSION) -X main.releaseCommit=$(COMMIT) -X main.releaseDate=$(DATE)

.PHONY: help demo build image imagetest release check lint test test-short e2e soak bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: build ## all of it on an etcd of its own and a folder; needs Go alone
	@$(BIN) demo

build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/etcdsafe

image: ## the image for this machine, as an archive in bin/ that docker, podman and ctr load
	scripts/image.sh

imagetest: ## the image under a docker of its own, and README's lines for it; needs root
	scripts/imagetest.sh

release: ## images and binaries for amd64 and arm64, sums, SBOM, notices, in bin/release/
	scripts/release.sh

check: ## formatting, vet, lint, imports, scripts
	scripts/check.sh

test: ## every test, on real servers that it builds once
	scripts/test.sh

test-short: ## the quick ones, with the race detector
	scripts/test.sh -short -race

e2e: ## a Kubernetes of its own, on which the chart is installed and etcd lost and restored; needs root
	scripts/e2e.sh -test.v

soak: ## what takes hundreds of runs; its summary goes to test/soak/
	scripts/soak.sh

bench: ## speed and memory against etcdctl, zstd, age and etcdutl; its tables go to test/bench/
	scripts/bench.sh

clean: ## what build left
	rm -rf bin
