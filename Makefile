# Building needs Go and make alone. What developers need besides is in the module under tools/, and built on first use.

export CGO_ENABLED = 0

GO   ?= go
TOOL  = $(GO) tool -modfile=tools/go.mod
# From the directory proto, where buf works.
BUF   = $(GO) tool -modfile=../tools/go.mod buf

.PHONY: help build demo test simulate race lint generate generate-check bench bench-peers

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

build: ## bin/asof
	$(GO) build -o bin/asof ./cmd/asof

demo: build ## the main job from end to end, on simulated payments
	./examples/demo/run.sh

test: ## all tests
	$(GO) test ./...

MINUTES = 1

simulate: export GOGC = 400
simulate: ## random histories of crashes, faults and late data, for MINUTES=1; a seed that fails is printed and replays
	$(GO) test ./internal/simulation -run TestSimulation -count=1 -v -for $(MINUTES)m -timeout 0

race: export CGO_ENABLED = 1
race: ## the tests of what works in parallel, with the race detector; needs a C compiler
	$(GO) test -race ./pointintime ./materialize ./internal/behind ./internal/disk ./internal/keysort ./internal/parquetio ./internal/tabular
	$(GO) test -race ./internal/endtoend -run 'Spine|OnDemand|Types'

lint: generate-check ## formatting, vet, staticcheck, buf, and the house rules of internal/lint
	@unformatted="$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...))"; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd proto && $(BUF) lint && $(BUF) format --diff --exit-code
	$(GO) test ./internal/lint

generate: ## the code that is generated from proto/
	cd proto && $(BUF) generate

# Go passes over directories that begin with an underscore: ./... is the same while this runs.
generate-check: ## fails when that code is stale
	@rm -rf build/_generated
	@cd proto && $(BUF) generate --output ../build/_generated
	@diff -r --exclude='*.proto' --exclude='*.yaml' --exclude=openapi.go --exclude='*.yaml' proto build/_generated || \
		{ echo "The generated code is stale: run make generate, and commit what it changes."; exit 1; }

PEERS = bench/.venv/bin/python

bench: ## the benchmarks, and docs/benchmarks.md with their results; ONLY=export-asof runs one, and bench-peers puts DuckDB and Polars beside it
	$(GO) build -o build/asof-bench ./bench
	build/asof-bench -docs docs $(if $(ONLY),-only $(ONLY)) $(if $(wildcard $(PEERS)),-python $(PEERS))

bench-peers: ## DuckDB and Polars from PyPI below bench/, for bench alone; needs Python 3
	python3 -m venv bench/.venv
	bench/.venv/bin/pip install --quiet --requirement bench/peers.txt
