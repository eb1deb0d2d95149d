# Building needs Go and make alone. What developers need besides is in the module under tools/, and built on first use.

export CGO_ENABLED = 0

GO   ?= go
TOOL  = $(GO) tool -modfile=tools/go.mod
# From the directory proto, where buf works.
BUF   = $(GO) tool -modfile=../tools/go.mod buf

.PHONY: help build demo test lint generate generate-check

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

build: ## bin/asof
	$(GO) build -trimpath -o bin/asof ./cmd/asof

demo: build ## the main job from end to end, on simulated payments
	./examples/demo/run.sh

test: ## all tests
	$(GO) test ./...

lint: generate-check ## formatting, vet, staticcheck, buf, and the house rules of internal/lint
	@unformatted="$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...))"; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd proto && $(BUF) lint && $(BUF) format --diff --exit-code
	$(GO) test ./internal/lint

generate: ## the code that is generated from proto/
	cd proto && $(BUF) generate

generate-check: ## fails when that code is stale
	@rm -rf build/generated
	@cd proto && $(BUF) generate --output ../build/generated
	@diff -r --exclude='*.proto' proto/asof build/generated/asof || \
		{ echo "The generated code is stale: run make generate, and commit what it changes."; exit 1; }
