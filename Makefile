# make help lists the targets. Everything needs Go; what else a target needs, it
# installs on Debian as root, and names elsewhere.

GO       ?= go
BIN      := bin/sigctl
PROGRESS := .ci/progress
# The programs that the tests use as witnesses, and Debian's packages of them.
WITNESS := redis-server:redis-server chromium:chromium+fonts-dejavu-core firefox-esr:firefox-esr turnutils_uclient:coturn \
  openssl:openssl curl:curl ip:iproute2 \
  nginx:nginx /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream haproxy:haproxy
FUZZTIME ?= 1m
# Many tests wait most of the time: more run at once than there are processors. The time-out only ends
# what hangs: it is for a machine that is slow and busy. make lint vets.
TESTFLAGS := -race -tags integration -vet=off -p 4 -parallel 8 -timeout 60m

.DEFAULT_GOAL := help
.PHONY: help build run demo test compile-tests lint fuzz soak bench bench-turn cover deps clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## build bin/sigctl
	@$(PROGRESS) 'sigctl: about 500 packages, one to two minutes the first time, seconds later.' \
	  $(GO) build -v -trimpath -o $(BIN) ./cmd/sigctl

run: build ## a server for trying out, with user1/password1 and user2/password2
	$(BIN) serve --demo

demo: build ## two peers chat on this machine, directly and through the relay
	@$(BIN) demo
	@echo; echo '  where sigctl is $(BIN):  export PATH="$$PWD/bin:$$PATH"'

# A line for each package when its tests end, failures as they happen and once more at the end.
GOTESTSUM = $(GO) tool gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg --hide-summary skipped --

# -count=1: what the tests start is not part of what Go caches by.
test: deps compile-tests ## all tests, with the race detector, against real programs
	@echo 'Testing: a line for each package when its tests end. Most take seconds, the largest some minutes.'
	@$(GOTESTSUM) $(TESTFLAGS) -count=1 ./...

# All that the tests consist of, but for the tests themselves: with cold caches that is most of the work.
compile-tests:
	@$(PROGRESS) 'the tests: with the race detector, about 700 packages, some minutes the first time, seconds later.' sh -ec ' \
	  packages=$$($(GO) list -deps -test -tags integration -f "{{if and .Module .GoFiles (not .ForTest)}}{{.ImportPath}}{{end}}" ./... | grep -v "[.]test$$"); \
	  $(GO) build -race -tags integration -v $$packages; $(GO) tool gotestsum --version >/dev/null'

lint: ## formatting, vet, staticcheck, a tidy go.mod, and builds for other systems
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags integration ./...
	$(GO) tool staticcheck -tags integration ./...
	$(GO) mod tidy -diff
	GOOS=darwin $(GO) build -o /dev/null ./cmd/sigctl
	GOOS=windows $(GO) build -o /dev/null ./cmd/sigctl

fuzz: ## every fuzz test, FUZZTIME each
	@failed=; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || failed="$$failed $$pkg.$$f"; \
	  done; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

soak: deps compile-tests ## all tests over and over, half an hour of calls, 100 000 allocations in a row
	@echo 'Testing: every test five times, a line for each package when its tests end.'; failed=0; \
	$(GOTESTSUM) $(TESTFLAGS) -count 5 ./... || failed=1; \
	echo 'Calls and allocations for half an hour.'; \
	$(GO) test -tags soak -timeout 45m -count 1 -v -run '^(TestChurn|TestRefreshToZeroAndAllocate)$$' ./turnserver || failed=1; \
	exit $$failed

bench: build ## the figures, each beside its target, in ten minutes; PART=memory,cpu measures these alone
	@$(GO) run ./cmd/bench -sigctl $(BIN) -part "$(PART)"

bench-turn: build ## the relay's figures, beside coturn's from the same run, in six minutes; PART=latency too
	@$(GO) run ./cmd/bench/turn -sigctl $(BIN) -part "$(PART)"

cover: ## how much of each package the tests run
	$(GO) test -cover ./...

deps:
	@missing=; for w in $(WITNESS); do \
	  command -v $${w%%:*} >/dev/null || test -e $${w%%:*} || missing="$$missing $${w##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	missing=$$(echo $$missing | tr + ' '); \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing what the tests run against, once, up to 300 MB: $$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "make test also runs against real programs; install these packages, or run it as root on Debian: $$missing" >&2; exit 1; \
	fi

clean: ## remove what was built
	rm -rf bin
