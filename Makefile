# stevedore. Every target works on a fresh machine with Go and a shell.
GO       ?= go
BIN      := $(CURDIR)/bin
TOOLS    := $(BIN)/tools
# Pinned tools.
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GREMLINS := github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: help demo up down status clean build test test-short lint generate bench chaos fuzz mutate load scale

help: ## this list
	@echo "stevedore: from partners' SFTP servers into object storage, durably"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## start services and two SFTP servers, ingest sample files and verify the result (DEMO_EXIT=1 stops everything afterwards)
	@$(BIN)/devstack demo

up: build ## start services, worker and API in the background, or restart those that have ended
	@$(BIN)/devstack up

down: $(BIN)/devstack ## stop everything
	@$(BIN)/devstack down

status: $(BIN)/devstack ## list processes and addresses
	@$(BIN)/devstack status

clean: $(BIN)/devstack ## stop everything and remove its data
	@$(BIN)/devstack clean

build: stevedore $(BIN)/devstack $(BIN)/temporal $(BIN)/minio ## build bin/stevedore and the tools of the dev stack

# Always run: the go command detects changes itself, and takes a second without any.
.PHONY: stevedore $(BIN)/devstack
stevedore:
	@test -e $(BIN)/stevedore || echo "building stevedore (about a minute on 2 cores, once)"
	@$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BIN)/stevedore ./cmd/stevedore

$(BIN)/devstack:
	@test -e $@ || echo "building devstack (about a minute on 2 cores, once)"
	@cd temporal-dev && $(GO) build -trimpath -o $@ .

# Built from source once: no binary downloads, and the versions of temporal-dev/go.mod.
$(BIN)/temporal: temporal-dev/go.mod
	@echo "building the Temporal server and CLI (about 4 minutes on 2 cores, once)"
	@cd temporal-dev && $(GO) build -trimpath -o $@ github.com/temporalio/cli/cmd/temporal

$(BIN)/minio: temporal-dev/go.mod
	@echo "building MinIO (about 4 minutes on 2 cores, once)"
	@cd temporal-dev && $(GO) build -trimpath -o $@ github.com/minio/minio

# A second S3 server for tests, in its own module because it needs newer versions than MinIO.
$(BIN)/versitygw: temporal-dev/versitygw/go.mod
	@echo "building versitygw (about a minute on 2 cores, once)"
	@cd temporal-dev/versitygw && $(GO) build -trimpath -o $@ github.com/versity/versitygw/cmd/versitygw

test: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio $(BIN)/versitygw ## all tests, with a private stack that is removed afterwards
	@$(BIN)/devstack run -- sh -c '$(GO) test -timeout 40m -parallel 8 ./... && cd bench && $(GO) test -timeout 10m ./...'
	@cd temporal-dev && $(GO) test -count=1 -timeout 10m ./...

test-short: ## tests without services, under a minute
	@$(GO) test -short ./...
	@cd bench && $(GO) test -short ./...
	@cd temporal-dev && $(GO) test -short ./...

# All files without git, as in an unpacked archive. Without removed files that git still lists.
GOFILES = $(wildcard $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null | grep . || find . -name '*.go' -not -path './bin/*' -not -path './.dev/*'))

lint: words $(TOOLS)/golangci-lint $(TOOLS)/workflowcheck ## wording, formatting, linters, import rules, determinism of workflows
	@unformatted=$$(gofmt -l $(GOFILES)) && { test -z "$$unformatted" || { echo "$$unformatted"; echo 'run gofmt -w on these'; exit 1; }; }
	@$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@cd temporal-dev && $(TOOLS)/golangci-lint run --allow-parallel-runners -c ../.golangci.yml ./...
	@cd bench && $(TOOLS)/golangci-lint run --allow-parallel-runners -c ../.golangci.yml ./...
	@$(TOOLS)/workflowcheck ./workflows

$(TOOLS)/golangci-lint: Makefile
	@echo "building golangci-lint (about 3 minutes on 2 cores, once)"
	@GOBIN=$(TOOLS) $(GO) install $(GOLANGCI) && touch $@

$(TOOLS)/gremlins: Makefile
	@echo "building gremlins"
	@GOBIN=$(TOOLS) $(GO) install $(GREMLINS) && touch $@

$(TOOLS)/workflowcheck: Makefile
	@GOBIN=$(TOOLS) $(GO) install $(WORKFLOWCHECK) && touch $@

# Each line of docs/retired-words.txt has a pattern and its replacement. WORDS="internal/sftp docs" checks
# these places only.
.PHONY: words
words: ## wording: the words that docs/retired-words.txt retires
	@cut -f1 docs/retired-words.txt | git grep -nIiE -f - -- $(or $(WORDS),.) ':!docs/retired-words.txt' ':!LICENSE' ':!*.gen.go' ':!*_templ.go' ':!*.sum' ':!**/testdata/**' ':!api/console/static'; \
	case $$? in \
		0) echo 'docs/retired-words.txt lists a replacement for each of these words' >&2; exit 1;; \
		1) ;; \
		*) ! git rev-parse --git-dir >/dev/null 2>&1 && echo 'outside a git checkout: words are not checked';; \
	esac

generate: ## generated code and the configuration table
	@$(GO) generate ./...
	@$(GO) run ./cmd/stevedore config docs > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md

# A target fails if its benchmark or test did not run: `devstack expect` searches the output for its line.
EXPECT := $(BIN)/devstack expect

# Each benchmark also measures its baseline: /livez, the schema without statistics and search, a plain copy.
BENCH_ROWS ?= 1000000
bench: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio ## benchmarks, including every page of API and console with BENCH_ROWS=1000000 files (about 15 minutes)
	@STEVEDORE_TEST_BENCH_ROWS=$(BENCH_ROWS) $(EXPECT) '^BenchmarkPages\S*\s+\d' -- $(BIN)/devstack run -- $(GO) test -run '^$$' -bench Pages -benchtime 1x -timeout 60m ./api
	@$(EXPECT) '^BenchmarkApply\S*\s+\d' '^BenchmarkTriggers\S*\s+\d' -- $(BIN)/devstack run -- $(GO) test -run '^$$' -bench 'Apply|Triggers' -benchtime 100x -timeout 30m ./internal/store
	@$(EXPECT) '^BenchmarkObserve\S*\s+\d' -- $(BIN)/devstack run -- $(GO) test -run '^$$' -bench Observe -benchtime 20x -timeout 30m ./internal/store
	@$(EXPECT) '^BenchmarkFetch\S*\s+\d' '^BenchmarkCeiling\S*\s+\d' -- $(GO) test -run '^$$' -bench . -benchmem ./internal/transfer

# All packages with tests that are too long for `make test`.
CHAOS_PACKAGES = $(sort $(dir $(shell grep -rlE 'STEVEDORE_TEST_CHAOS' --include='*_test.go' --exclude-dir=temporal-dev .)))
chaos: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio ## all fault tests, including long ones (about 40 minutes); SEED=n repeats a run, MODE=staged or direct sets the transfer mode of tests without one
	@case '$(SEED)' in *[!0-9]*) echo 'SEED=$(SEED): use a whole number'; exit 2;; esac
	@case '$(MODE)' in ''|memory|staged|direct) ;; *) echo 'MODE=$(MODE): use memory, staged or direct'; exit 2;; esac
	@test -n '$(CHAOS_PACKAGES)' || { echo 'no package has a test for this'; exit 1; }
	@STEVEDORE_TEST_CHAOS=1 STEVEDORE_TEST_TRANSFER=$(MODE) STEVEDORE_TEST_SEED=$(SEED) $(EXPECT) '^--- PASS: TestFault63_Chaos' '^--- PASS: TestFault17_SixGiB' -- $(BIN)/devstack run -- $(GO) test -count=1 -timeout 90m -parallel 8 -v $(CHAOS_PACKAGES)

# Fuzzes the parsers of external input: names, listings, packets, keys, checksum files, globs, cursors. FUZZ=regexp
# selects targets. Failing inputs are kept in testdata/fuzz, where `make test` runs them from then on.
FUZZ_TIME ?= 1h
FUZZ ?=
fuzz: $(BIN)/devstack ## every fuzz target and the garbage SFTP peer, for FUZZ_TIME=1h in total
	@$(BIN)/devstack fuzz $(FUZZ_TIME) '$(FUZZ)'

# Mutations of order and omission from temporal-dev/mutations.txt, then gremlins' mutations of operators and conditions
# in packages whose tests need no services. MUTATE=regexp selects mutations of the table and skips gremlins.
MUTATE ?=
MUTATE_PACKAGES ?= ./internal/ingest ./internal/transfer ./internal/audit
mutate: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio $(BIN)/versitygw $(TOOLS)/gremlins ## mutation tests: change the code and list changes that no test detects (about an hour; MUTATE=fence selects by name)
	@$(BIN)/devstack run -- $(BIN)/devstack mutate temporal-dev/mutations.txt '$(MUTATE)'
	@test -n '$(MUTATE)' || for package in $(MUTATE_PACKAGES); do \
		$(EXPECT) '^Killed: [1-9]' -- $(TOOLS)/gremlins unleash --workers 1 --timeout-coefficient 5 --output-statuses lts $$package || exit 1; done

# Scale tests; SCALE="Rescan Huge" selects some.
#   Downloads  500 concurrent downloads of 20 MB from five servers
#   Rescan     a million known files listed again
#   Backlog    100,000 new files in one folder
#   Huge       a file of 100 GB with three kills; 10 GB into MinIO, staged and direct
#   Servers    a thousand servers, some silent, some slow
#   Steady     half an hour of steady load
#   Workers    one, two and three workers
SCALE ?= Downloads Rescan Backlog Huge Servers Steady Workers
empty :=
scale: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio ## scale tests, see docs/performance.md (about 2 hours; SCALE="Rescan Servers" selects some)
	@cd bench && STEVEDORE_TEST_SCALE=1 STEVEDORE_TEST_DURABLE=1 STEVEDORE_TEST_SCALE_PICTURE=$(CURDIR)/docs/performance-steady.svg \
		$(EXPECT) $(foreach s,$(SCALE),'^--- PASS: TestScale$(s) ') -- \
		$(BIN)/devstack run -- $(GO) test -count=1 -timeout 4h -v -run '^TestScale($(subst $(empty) $(empty),|,$(strip $(SCALE))))$$' ./scale

# The load test's workloads; 0 omits one:
#   LOAD_FILES      small files of 10 KB
#   LOAD_LARGE_MIB  size of each of four large files
#   LOAD_HUGE_MIB   size of one huge file; needs four times that on disk
#   LOAD_MIX_FILES  files of log-normal sizes, LOAD_MIX_MIB together; the reference
#                   mix, 3 GB in 3,000 files, is LOAD_MIX_FILES=3000 LOAD_MIX_MIB=2861
#   LOAD_HASH_FILES small files that rclone also copies with its hash check
# LOAD_ROUNDS is the number of rounds; LOAD_JSON=file also writes all results to a file. The target fails if a result is
# wrong, a round is missing or a cost was not measured.
LOAD_FILES      ?= 1000
LOAD_LARGE_MIB  ?= 256
LOAD_HUGE_MIB   ?= 4096
LOAD_MIX_FILES  ?= 600
LOAD_MIX_MIB    ?= 600
LOAD_HASH_FILES ?= 100
LOAD_ROUNDS     ?= 3
LOAD_JSON       ?=
load: $(BIN)/devstack $(BIN)/temporal $(BIN)/minio $(BIN)/rclone ## compare stevedore with rclone and two upper bounds on the same files (about 40 minutes; LOAD_ROUNDS=1 LOAD_HUGE_MIB=0 about 5)
	@cd bench && STEVEDORE_TEST_LOAD=1 STEVEDORE_TEST_DURABLE=1 LOAD_FILES=$(LOAD_FILES) LOAD_LARGE_MIB=$(LOAD_LARGE_MIB) \
		LOAD_HUGE_MIB=$(LOAD_HUGE_MIB) LOAD_MIX_FILES=$(LOAD_MIX_FILES) LOAD_MIX_MIB=$(LOAD_MIX_MIB) \
		LOAD_HASH_FILES=$(LOAD_HASH_FILES) LOAD_ROUNDS=$(LOAD_ROUNDS) LOAD_JSON=$(abspath $(LOAD_JSON)) \
		$(EXPECT) '^--- PASS: TestLoad ' -- $(BIN)/devstack run -- $(GO) test -count=1 -timeout 3h -v -run '^TestLoad$$' .

# rclone has its own module, so that building bench does not need its dependencies.
$(BIN)/rclone: bench/rclone/go.mod
	@echo "building rclone for comparison (about 3 minutes on 2 cores, once)"
	@cd bench/rclone && $(GO) build -trimpath -o $@ github.com/rclone/rclone
