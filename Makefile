# What a person types. `make help` lists it; CONTRIBUTING.md says more.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Two Mix processes in one checkout would build the same files.
.NOTPARALLEL:

# Elixir warns in a latin1 locale and cannot print what the demo prints.
export LC_ALL := C.UTF-8
# Where rustup puts cargo, for a shell that was opened before.
export PATH := $(PATH):$(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin

# How long `make stress` takes, in seconds.
SECONDS := 600

# PYTHON=/path/to/python picks the interpreter; without it the project looks for one itself.
export PYTHON
# The interpreter of Python processes, where that is another.
export WORKER_PYTHON
# The kind of event loops, where both can be had.
export LOOP

# On shared machines what failed is run once more: a test that fails twice is broken. Where another lane of .ci/run has the
# processors meanwhile, that does not count yet, and it is run alone. Tests have failed where Mix ends with 2; what does not compile or
# come to its end does so again, and no test of it is known to have failed.
AGAIN := $(if $(CI), || { [ $$? -eq 2 ] && mix test --failed; }$(if $(LANES), || { [ $$? -eq 2 ] && .ci/alone mix test --failed; }) || exit)
MIX_TEST := mix test$(AGAIN)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=/path/to/python picks the interpreter."

.PHONY: setup
setup: ## install what is missing (Debian, Ubuntu); elsewhere say what to install
	@scripts/setup.sh $(firstword $(MAKECMDGOALS))

.PHONY: build
build: setup ## compile everything
	@mix compile

.PHONY: demo
demo: build ## Elixir and Erlang using Python on real input
	@if [ -x examples/run ]; then examples/run; else echo "examples/run is missing" >&2; exit 1; fi

.PHONY: test
test: setup ## run the test suite
	$(MIX_TEST)

.PHONY: test-rust
test-rust: setup ## run the Rust unit tests, which need no BEAM
	@export LIBPYTHON; LIBPYTHON=$$("$${PYTHON:-python3}" scripts/libpython.py | cut -d' ' -f2-); \
	cd native && cargo test --quiet --locked --workspace --config .cargo/unit-tests.toml

# What CI runs of the suite on further Pythons: all that runs in one, but for what is asked of uv, other nodes and Livebook; what
# is about processes of the system and about the VM, with any Python; and what measures how the VM collects handles.
PYTHON_TESTS = $(filter-out $(addprefix test/python/,environment/% nodes/% livebook/% calls/telemetry_test.exs \
	engine/process/alone_test.exs engine/process/ends_test.exs engine/process/environment_test.exs \
	engine/process/leftovers_test.exs interpreter/lazy_test.exs interpreter/search_test.exs objects/growth_test.exs \
	objects/weight_test.exs vm/reload_test.exs),$(shell find test/python -name '*_test.exs' | sort))

.PHONY: test-pythons
test-pythons: setup ## run the test suite on the oldest and the newest Python found (PYTHONS=all: on each; SHORT=1: a part)
	@ran=0; \
	while read -r version python <&3; do \
	  echo "== mix test on Python $$version, $$python"; \
	  export PYTHON=$$python; mix test $(if $(SHORT),$(PYTHON_TESTS))$(AGAIN); \
	  ran=$$((ran + 1)); \
	done 3< <(scripts/pythons.sh | $(if $(filter all,$(PYTHONS)),cat,sed -n '1p;$$p' | uniq)); \
	[ $$ran -gt 0 ] || { echo "no Python found that can be embedded" >&2; exit 1; }

.PHONY: test-native-off
test-native-off: setup ## a part of the test suite with the settings native_layouts and native_memory off
	@export NATIVE=off; mix test test/python/calls test/python/callbacks/callable_test.exs \
	  test/python/values/{table,borders,round_trips,buffers,structs,unconvertible}_test.exs \
	  test/python/streams/{example,delivery,ends,errors}_test.exs \
	  test/python/timeouts/{interrupts,cancellation}_test.exs$(AGAIN)

# What CI runs of it: what each kind of work does, and where processes differ most.
PROCESS_TESTS := test/python/calls/{call,exec,map,async,nested}_test.exs test/python/with/manager_test.exs \
	test/python/values/{round_trips,unconvertible,pickle,decode_option,properties}_test.exs test/python/objects/operations_test.exs \
	test/python/streams/{example,delivery,ends,erlang}_test.exs test/python/callbacks/{callable,messages,reentrancy}_test.exs \
	test/python/errors/{exceptions,tracebacks}_test.exs test/python/output/print_test.exs \
	test/python/pools test/python/contexts test/python/timeouts/{cancellation,interrupts,queue,time_left}_test.exs

.PHONY: test-processes
test-processes: setup ## the tests of what holds on every engine, on Python processes (SHORT=1: a part; WORKER_PYTHON=path: of that Python)
	@export ENGINE=process; mix test $(if $(SHORT),$(PROCESS_TESTS))$(AGAIN)

# What CI runs of it: what has no file under test/python/engine/asyncio, and is not much the same as on :main.
LOOP_TESTS := test/python/calls/{call,eval,exec,map,async}_test.exs test/python/with/manager_test.exs \
	test/python/values/{round_trips,unconvertible,decode_option}_test.exs test/python/objects/operations_test.exs \
	test/python/streams/{example,delivery,errors,asynchronous}_test.exs test/python/errors/{exceptions,tracebacks}_test.exs \
	test/python/output/print_test.exs test/python/pools test/python/timeouts/{cancellation,interrupts,time_left}_test.exs

.PHONY: test-loops
test-loops: setup ## the tests of what holds on every engine, on event loops (SHORT=1: a part; LOOP=uvloop: on those, if PYTHON has them)
	@export ENGINE=asyncio; mix test $(if $(SHORT),$(LOOP_TESTS))$(AGAIN)

.PHONY: matrix
matrix: build ## run the test suite on all versions, in chroots of newer Debian releases too (CELLS="host forky-3.14")
	@scripts/matrix.sh $(CELLS)

.PHONY: bench
bench: build ## measure speed and memory against floors and targets (QUICK=1: only show that it runs)
	@mix run --no-compile bench/all.exs $(if $(QUICK),--quick)

.PHONY: bench-long
bench-long: build ## mixed load for MINUTES=30 on each engine (TOGETHER=1: at the same time), with charts: bench/LONG.md
	@mix run --no-compile bench/long.exs $(or $(MINUTES),30) $(or $(ENGINES),main process asyncio) $(if $(TOGETHER),--together)

.PHONY: bench-growth
bench-growth: build ## how cost grows with callers, sizes, workers, handles and streams: bench/GROWTH.md
	@mix run --no-compile bench/growth.exs

.PHONY: bench-peers
bench-peers: build ## the same work with other libraries, whose built checkouts PYTHONX, ERLANG_PYTHON, SNEX and ERLPORT name
	@mix run --no-compile bench/peers.exs $(if $(QUICK),--quick) $(if $(WRITE),--write)

.PHONY: docs
docs: ## build the documentation into doc/, with the ExDoc of Debian
	@scripts/docs.sh

STRESS_process := processes
STRESS_asyncio := loops

.PHONY: stress
stress: build ## thousands of callers that do their worst, for SECONDS=600 (ENGINE=process: to Python processes; asyncio: to event loops)
	@mix run --no-compile test/stress/$(or $(STRESS_$(ENGINE)),stress).exs $(SECONDS)

.PHONY: stress-nodes
stress-nodes: build ## the same from another node, whose connection is lost now and then
	@ELIXIR_ERL_OPTIONS="-start_epmd false -erl_epmd_port $$(shuf -i 20000-32000 -n 1)" \
		mix run --no-compile test/stress/nodes.exs $(SECONDS)

# Ends at the first lock that is held where none may be: native/erlang_python_nif/src/lock.rs. It has a build of its own.
.PHONY: test-locks
test-locks: ## tests of streams, callbacks and timeouts with a build that checks how locks are used
	MIX_ENV=test MIX_BUILD_PATH=$(CURDIR)/_build/locks/test CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
		mix test test/python/streams test/python/callbacks test/python/timeouts test/python/pools test/python/contexts \
		test/python/output test/python/calls/async_test.exs \
		test/python/vm/{shutdown,orderly_end,exit_status,reload,memory_shortage}_test.exs
	@mix compile

.PHONY: sanitize
sanitize: setup ## tests of conversion, streams, callbacks and processes under AddressSanitizer (FILES="test/python/pools": others)
	@scripts/sanitize.sh $(FILES)

.PHONY: check
check: check-build check-beside test ## everything that CI asks for, on one Python

# The first part comes before all else, the second may run beside tests: .ci/run.
.PHONY: check-build
check-build: setup check-format check-tests check-floors check-compile check-symbols check-facade

.PHONY: check-beside
check-beside: check-rust check-types check-bench test-rust

.PHONY: check-format
check-format:
	mix format --check-formatted
	cd native && cargo fmt --all --check

.PHONY: check-tests
check-tests:
	scripts/check_test_files.sh

.PHONY: check-floors
check-floors:
	@elixir scripts/check_floors.exs

.PHONY: check-compile
check-compile:
	mix compile --force --warnings-as-errors

.PHONY: check-symbols
check-symbols: build
	@scripts/check_symbols.sh --local priv/native

.PHONY: check-facade
check-facade:
	mix python.gen.facade --check

.PHONY: check-rust
check-rust:
	cd native && cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

.PHONY: check-bench
check-bench: build
	mix run --no-compile bench/all.exs --quick

.PHONY: check-types
check-types:
	scripts/dialyzer.sh

.PHONY: check-install
check-install: build ## build an artifact and install the package with it, as a user does (RELEASE.md says what this needs)
	@mix test test/mix/install_test.exs

.PHONY: clean
clean: ## remove what the build made
	rm -rf _build doc priv/native native/target
