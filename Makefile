# Everything a developer or an operator does with this repository. `make help` lists it.
#
#   make run                               the gateway on :8080 before the built-in demo origin
#   make run ORIGIN=http://127.0.0.1:3000  the gateway on :8080 before your own app
#   make test                              every test, race detector on

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin/tzero
LISTEN   ?= :8080
FUZZTIME ?= 20s
PKG      ?= ./...
# What a request passes, package by package: these have benchmarks, and allocation budgets among their tests.
ON_PATH  ?= ./internal/http1 ./proxy ./proxy/listen ./proxy/route ./proxy/headers ./proxy/encode ./proxy/origin ./proxy/metrics \
            ./proxy/decisionlog ./cache ./cache/key ./cache/rfc9111 ./cache/l1 ./cmd/tzero
# benchstat says nothing about fewer than six runs.
COUNT     ?= 6
BENCHTIME ?= 100ms
# What -version prints. A release build is made from a tag.
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)

.PHONY: help run build test e2e endurance churn crowd cluster faults soak bench microbench conformance lint fuzz deps docs clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The shell is replaced by the gateway, so that Ctrl-C and SIGTERM reach it directly and it can drain.
run: build ## Run on :8080 before the demo origin, or before ORIGIN=URL. Also: LISTEN=ADDR, CONFIG=FILE.
ifneq ($(strip $(CONFIG)),)
	@exec $(BIN) run -c '$(CONFIG)'$(if $(ORIGIN), --origin '$(ORIGIN)')
else ifneq ($(strip $(ORIGIN)),)
	@exec $(BIN) run --listen '$(LISTEN)' --origin '$(ORIGIN)'
else
	@exec $(BIN) demo --listen '$(LISTEN)'
endif

build: ## Build the static binary bin/tzero.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/tzero

# The race detector needs cgo, and cgo a C compiler: that is what deps is for. The tag nextapp adds the
# tests that build real applications, minutes of work the first time; plain `go test ./...` leaves them out.
test: deps ## Install what the tests need, then run every test with the race detector. Also: PKG=./cache/...
	@$(GO) test -run 'TestLaunchPageStays' ./cache/l1 # the detector distorts what admission counts
	@$(GO) list -tags nextapp $(PKG) | { grep -v /e2e/ || true; } | xargs -r env CGO_ENABLED=1 $(GO) test -race -tags nextapp -timeout 15m
	@run() { $(GO) list -tags nextapp $(PKG) | { grep /e2e/ || true; } | xargs -r env CGO_ENABLED=1 $(GO) test -race -tags nextapp -p 1 -timeout 15m; }; \
	run || { echo '--- once more, what failed: these go by the clock, and the machine may have been busy'; run; }

e2e: deps ## Run the tests that drive the real binary, the browser and the Next.js application.
	CGO_ENABLED=1 $(GO) test -race -tags nextapp -count=1 -v -timeout 15m ./cmd/tzero/e2e/...

# Without the race detector: the figures are those of the binary that is shipped.
endurance: build ## Run the endurance scenarios in full size, about 4 minutes, and write docs/endurance.md.
	TZERO_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -timeout 15m ./cmd/tzero/e2e/endurance -args -full -write

# As above: the binary that is shipped, and no race detector in it.
crowd: build ## Let 1,000 clients ask for one object in many ways, about 2 minutes, and write docs/crowd.md.
	TZERO_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -timeout 15m ./cmd/tzero/e2e/crowd -args -full -write

# As above. The table of one fetch, of purges, and of Redis itself failing.
cluster: build ## Let three gateways that share a Redis act as one, about 6 minutes, and write docs/cluster.md.
	TZERO_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -timeout 20m -run 'TestOneFetch' ./cmd/tzero/e2e/cluster -args -full -write

faults: build ## Have Redis fail in every way under load, about 10 minutes, and write docs/faults.md.
	TZERO_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -timeout 30m -run 'TestFaults' ./cmd/tzero/e2e/cluster -args -full -write

soak: build ## An hour of churn over three gateways in 5 minutes: what grows, and what does not. Writes docs/soak.md.
	TZERO_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -timeout 20m -run 'TestSoak' ./cmd/tzero/e2e/cluster -args -full -write

churn: deps ## An hour of churn in the cache's memory in 3 minutes, with the race detector and without. Writes docs/churn.md.
	CGO_ENABLED=1 $(GO) test -race -count=1 -v -timeout 15m ./cmd/tzero/e2e/churn -args -full -write
	$(GO) test -count=1 -v -timeout 15m ./cmd/tzero/e2e/churn -args -full -write

# Plain `go test ./...` leaves it out: it takes minutes, and downloads the suite the first time.
conformance: deps ## Run the public test suite for HTTP caches; counts may not fall. Writes docs/conformance.md.
	$(GO) test -tags conformance -count=1 -v -timeout 10m ./cmd/tzero/e2e/conformance -args -write

# Builds the binary that is shipped and installs, when missing, what it is measured beside. QUICK=1: two to three minutes.
bench: build ## Measure tzero beside nginx, HAProxy and Varnish, about 15 minutes, or QUICK=1. Writes bench/results/.
	@bench/peers/install
	$(GO) run ./bench -tzero $(BIN)$(if $(QUICK), -quick -out bench/results/quick)

# Go runs the benchmarks of several packages one after the other. Left out: libraries that we do not use, and a million objects.
# Times compare on the machine of the kept figures alone, allocations everywhere: the name of the processor is ignored.
microbench: ## Run the benchmarks of each package on the path, compare with bench/results/micro.txt. KEEP=1 keeps these instead.
	@mkdir -p bin bench/results
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -skip '^BenchmarkPeer|WhileCollecting|Get/1000000' -benchtime $(BENCHTIME) -count $(COUNT) $(ON_PATH) > bin/micro.txt || { cat bin/micro.txt; exit 1; }
ifneq ($(strip $(KEEP)),)
	cp bin/micro.txt bench/results/micro.txt
	$(GO) tool benchstat bench/results/micro.txt | tee bench/results/micro-summary.txt
else
	$(GO) tool benchstat -ignore cpu $(if $(BENCH),-filter '.fullname:/$(BENCH)/') kept=bench/results/micro.txt now=bin/micro.txt
endif

lint: ## gofmt, go vet, staticcheck and the import rules.
	@unformatted="$$(gofmt -l $$(find . -name '*.go' -not -path './.git/*' -not -path '*/testdata/*'))"; \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags nextapp,conformance ./cmd/tzero/e2e/...
	$(GO) tool staticcheck -tags nextapp,conformance ./...
	$(GO) test ./internal/archtest

# `go test -fuzz` takes one target at a time, so that we look for them package by package.
fuzz: ## Run every fuzz target for FUZZTIME (default 20s).
	@for pkg in $$($(GO) list $(PKG)); do \
		for target in $$($(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done

deps: ## Install from Debian's packages what the tests need and is missing (root), or say what to install.
	@.ci/deps

docs: ## Generate the reference pages, the JSON Schema and the shell completions again.
	$(GO) generate ./...

clean: ## Remove what was built.
	rm -rf bin dist
