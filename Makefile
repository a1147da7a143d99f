# Everything a developer or a CI machine runs. `make` alone lists it.

GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS     := -X main.version=$(VERSION)
# What to test, and how: make test PKG=./pkg/lab TESTFLAGS='-run Up -v'. What takes
# longest begins first, and beside it what mostly waits, and what computes: that takes
# what the others leave (test/as-user).
PKG         ?= ./test/pair ./test/sim ./test/first ./test/hosts ./test/runbook ./pkg/arbiter ./test/model ./pkg/postgres \
               ./pkg/act ./pkg/agent ./pkg/cli ./test/storm ./pkg/lab ./test/script ./...
TESTFLAGS   ?=

export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=%,$(GOFLAGS))

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/mcctl
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/mcctl ./cmd/mcctl

.PHONY: setup
setup: ## make sure that PostgreSQL and a user to run it are there (root: installs)
	@test/setup

# The tests are built as mcctl is, by whoever calls make and, when that is root, run as an
# unprivileged user (test/as-user): PostgreSQL refuses to run as root. TEST_DIR
# holds what that user must reach and is removed at the end. make check does the vetting.
.PHONY: test
test: ## test everything on real PostgreSQL (PKG=./pkg/x TESTFLAGS='-run Y -v')
	@set -eu; begin=$$(date +%s); settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  TEST_DIR=$$(mktemp -d /tmp/mcctl-test.XXXXXX); export TEST_DIR; \
	  trap 'rm -rf "$$TEST_DIR"; test/sweep "$$begin"' EXIT; trap 'exit 130' INT TERM; \
	  chmod a+rx "$$TEST_DIR"; export GOTMPDIR="$$TEST_DIR"; \
	  CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o "$$TEST_DIR/mcctl" ./cmd/mcctl; \
	  export MCCTL="$$TEST_DIR/mcctl"; \
	  echo "testing with PostgreSQL from $$PG_BIN as user $${RUN_AS:-$$(id -un)}"; \
	  status=0; \
	  { $(GO) test -trimpath -vet=off -count=1 -p 3 -parallel 3 -timeout 30m -exec "'$$PWD/test/as-user'" $(TESTFLAGS) $(PKG) || \
	    echo $$? >"$$TEST_DIR/status"; } | tee "$$TEST_DIR/output"; \
	  if [ -e "$$TEST_DIR/status" ]; then \
	    status=$$(cat "$$TEST_DIR/status"); echo; echo "what failed, without the servers' logs:"; \
	    grep -E '^ *(--- FAIL|panic:|[a-z_]+_test\.go:[0-9]+: )' "$$TEST_DIR/output" | grep -vE ': (server[12]|arbiter), [a-z]+\.log:$$' | tail -n 60; \
	  fi; \
	  [ "$$(id -u)" = 0 ] || echo "make test: test/hosts, the faults on real hosts, needs root and WAS NOT RUN; run: sudo make hosts"; \
	  if [ $$status = 0 ]; then verdict=PASSED; else verdict=FAILED; fi; \
	  echo "make test: $$verdict in $$(( $$(date +%s) - begin )) s"; exit $$status

.PHONY: test-majors
test-majors: ## test on PostgreSQL 13 to 18, which are fetched (MAJORS='13 17')
	@test/majors $(MAJORS)

.PHONY: check
check: ## go vet, staticcheck, gofumpt, shellcheck (if there) and the house rules
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@out=$$($(GO) run $(GOFUMPT) -l cmd pkg test) || exit 1; \
	  if [ -n "$$out" ]; then echo "gofumpt would change these; run: make fmt"; echo "$$out"; exit 1; fi
	@if command -v shellcheck >/dev/null; then echo shellcheck; \
	  shellcheck -x -S warning .ci/run $$(grep -rlI -m1 --exclude='*.go' '^#!.*sh$$' test packaging 2>/dev/null || true); \
	  else echo "shellcheck is not installed: scripts were not checked"; fi
	$(GO) test -count=1 ./test/tidy

.PHONY: fmt
fmt: ## format the Go code with gofumpt
	$(GO) run $(GOFUMPT) -w cmd pkg test

.PHONY: demo
demo: build ## see a pair live through a switch and crashes on this machine
	@set -eu; settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  $(GO) build -trimpath -o bin/demo ./test/demo; bin/demo

.PHONY: bench
bench: build ## measure the gaps that clients see, beside bare PostgreSQL (RUNS=n PROFILE=tight EVENTS=switch)
	@set -eu; settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  $(GO) build -trimpath -o bin/bench ./test/bench; bin/bench

.PHONY: bench-peers
bench-peers: build ## the same beside other tools (installs them; root)
	test/bench/peers

.PHONY: bench-rebuild
bench-rebuild: build ## measure mcctl rebuild beside pg_basebackup by hand (BENCH='-mb 4000 -rounds 5')
	@set -eu; settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  $(GO) build -trimpath -o bin/bench-rebuild ./test/bench/rebuild; bin/bench-rebuild $(BENCH)

.PHONY: bench-dirty
bench-dirty: build ## measure a switch with a large dirty buffer pool beside the same by hand (BENCH='-rounds 5')
	@set -eu; settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  $(GO) build -trimpath -o bin/bench-dirty ./test/bench/dirty; bin/bench-dirty $(BENCH)

.PHONY: storm-kills
storm-kills: build ## kill processes of a real pair at random (STORM='-rounds 200 -seed 1 -arbiter none')
	@set -eu; settings=$$(test/setup); eval "$$settings"; export PG_BIN RUN_AS; \
	  $(GO) build -trimpath -o bin/storm ./test/storm; bin/storm $(STORM)

.PHONY: hosts
hosts: build ## every fault on three real hosts (root; SCENARIO=test/hosts/scenarios/x.txt plays one, RUNS=3)
	@set -eu; test/setup >/dev/null; $(GO) build -trimpath -o bin/hosts ./test/hosts; test/hosts/clockprogram bin/mcctl-clock; \
	  bin/hosts -runs $(or $(RUNS),1) -arbiter $(or $(ARBITER),witness) $(SCENARIO)

.PHONY: storm
storm: build ## faults drawn from a seed on three real hosts (root; SEED=7 MINUTES=60 ARBITER=etcd)
	@set -eu; test/setup >/dev/null; $(GO) build -trimpath -o bin/hosts ./test/hosts; \
	  test/hosts/clockprogram bin/mcctl-clock; \
	  bin/hosts -arbiter $(or $(ARBITER),witness) -storm $(or $(MINUTES),10) $(if $(SEED),-seed $(SEED))

.PHONY: model
model: ## check the protocol's model within wide bounds (TRAIL='no pledge': tell that variant's shortest run)
	@test/setup >/dev/null
	TRAIL='$(TRAIL)' MODEL=wide $(GO) test -count=1 -v -timeout 2h ./test/model

.PHONY: sim
sim: ## simulate pairs in virtual time (SEEDS=2000 HOURS=1 or MINUTES=5; SEED=7 tells all that happens in one)
	SIM_SEEDS='$(or $(SEEDS),2000)' SIM_MINUTES='$(or $(MINUTES),$(shell expr 60 \* $(or $(HOURS),1)))' SIM_SEED='$(SEED)' \
	  $(GO) test -count=1 -v -timeout 2h -pgo=test/sim/sim.pgo -run 'TestSeeds' ./test/sim

.PHONY: fuzz
fuzz: ## fuzz what reads configuration files and messages (TIME=5m for each)
	@set -eu; for package in $$(grep -rlE '^func Fuzz' --include='*_test.go' pkg | xargs -n 1 dirname | sort -u); do \
	  for law in $$($(GO) test -list '^Fuzz' ./$$package | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$law\$$" -fuzztime $(or $(TIME),30s) -fuzzminimizetime 10x ./$$package; done; done

.PHONY: docs
docs: ## write the pages that are made from the code
	$(GO) test -count=1 ./pkg/decide ./pkg/check ./pkg/config ./pkg/cli ./test/tidy ./test/model -run 'TestDocs|TestTheOrderThatMatters|TestWhatWas' -update

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build
