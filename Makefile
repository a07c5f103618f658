# make help lists the targets. Everything needs Go; what else a target needs, it
# installs on Debian as root, and names elsewhere.

GO     ?= go
BIN    := bin/sigctl
# The programs that the tests use as witnesses, and Debian's packages of them.
WITNESS := redis-server:redis-server chromium:chromium+fonts-dejavu-core turnutils_uclient:coturn \
  openssl:openssl curl:curl ip:iproute2 \
  nginx:nginx /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream haproxy:haproxy
FUZZTIME ?= 1m
# Many tests wait most of the time: more run at once than there are processors. The time-out only ends
# what hangs: it is for a machine that is slow and busy. make lint vets.
TESTFLAGS := -race -tags integration -vet=off -p 4 -parallel 8 -timeout 60m

.DEFAULT_GOAL := help
.PHONY: help build run demo test lint fuzz soak bench bench-turn cover deps clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## build bin/sigctl
	$(GO) build -trimpath -o $(BIN) ./cmd/sigctl

run: build ## a server for trying out, with user1/password1 and user2/password2
	$(BIN) serve --demo

demo: build ## two peers chat on this machine, directly and through the relay
	@$(BIN) demo
	@echo; echo '  where sigctl is $(BIN):  export PATH="$$PWD/bin:$$PATH"'

# -count=1: what the tests start is not part of what Go caches by.
test: deps ## all tests, with the race detector, against real programs
	$(GO) test $(TESTFLAGS) -count=1 ./...

lint: ## formatting, vet, staticcheck, a tidy go.mod, and builds for other systems
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags integration ./...
	$(GO) tool staticcheck -tags integration ./...
	$(GO) mod tidy -diff
	GOOS=darwin $(GO) build -o /dev/null ./cmd/sigctl
	GOOS=windows $(GO) build -o /dev/null ./cmd/sigctl

fuzz: ## every fuzz test, FUZZTIME each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

soak: deps ## all tests over and over, half an hour of calls, 100 000 allocations in a row
	$(GO) test $(TESTFLAGS) -count 5 ./...
	$(GO) test -tags soak -timeout 45m -count 1 -v -run '^(TestChurn|TestRefreshToZeroAndAllocate)$$' ./turnserver

bench: build ## the figures, each beside its target; takes some minutes
	$(GO) run ./cmd/bench -sigctl $(BIN)

bench-turn: build ## the relay's figures, beside coturn's from the same run; takes five minutes
	$(GO) run ./cmd/bench/turn -sigctl $(BIN)

cover: ## how much of each package the tests run
	$(GO) test -cover ./...

deps:
	@missing=; for w in $(WITNESS); do \
	  command -v $${w%%:*} >/dev/null || test -e $${w%%:*} || missing="$$missing $${w##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	missing=$$(echo $$missing | tr + ' '); \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	else \
	  echo "make test also runs against real programs; install these packages, or run it as root on Debian: $$missing" >&2; exit 1; \
	fi

clean: ## remove what was built
	rm -rf bin
