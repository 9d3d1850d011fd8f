# Builds Holdfast in virtual environments of its own and runs it there; `make help` lists the targets.
#
# Tests run against the installed package, never against the source tree: .venv has the release kernel, .build/debug/venv
# the one with every check on. Only what has changed is rebuilt, and nothing outside this directory is touched.

PYTHON ?= python3
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 600
PYTEST_ARGS ?=
SANITIZE_TESTS ?= tests/kernel tests/property tests/engine tests/streaming/test_sharding.py \
	tests/streaming/test_processor.py
# On all cores; PYTEST_ARGS="-n 0" runs tests one after the other.
PYTEST := -m pytest -n auto --dist worksteal
# These do not test the kernel: sockets, processes that talk to each other, plain Python, the benchmarks.
NOT_OF_THE_KERNEL := tests/benchmarks tests/client tests/domain tests/app tests/test_architecture.py \
	tests/e2e/test_send.py tests/e2e/test_load.py tests/e2e/test_kill.py tests/e2e/test_standby.py \
	$(wildcard tests/storage/test_postgres*.py) tests/storage/test_conformance.py tests/storage/test_full_disk.py tests/storage/test_disk_faults.py \
	tests/storage/test_clock.py tests/storage/test_damage.py tests/storage/test_power_loss_recorded.py tests/storage/test_unclosed.py tests/storage/test_who_may_call.py \
	$(wildcard tests/e2e/test_serve*.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# Each build chooses its kernel itself, and each test its package.
unexport HOLDFAST_KERNEL_DEBUG HOLDFAST_KERNEL_SANITIZE HOLDFAST_KERNEL_FUZZ HOLDFAST_KERNEL_BUILD_DIR PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RELEASE := .venv
DEBUG := .build/debug/venv
SANITIZE := .build/sanitize/venv
FUZZ := .build/fuzz/venv

SOURCES := pyproject.toml setup.py MANIFEST.in README.md LICENSE man/holdfast.1 \
	$(sort $(shell find src -name '*.py' -o -name '*.pyi' -o -name '*.pxd' -o -name 'py.typed'))

# For the beginning of a recipe's line: prints the one sentence that says what is missing.
COMPLAIN := complain() { echo "holdfast: $$*" >&2; exit 1; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(RELEASE)/.installed ## Build, and run the sample transactions: the accounts they come to
	@$(RELEASE)/bin/holdfast examples/transactions.csv

.PHONY: test
test: test-release test-debug ## Build, and run all tests, those of the kernel against the release and the debug build

.PHONY: test-release
test-release: $(RELEASE)/.installed $(RELEASE)/.dev ## ... against the release kernel alone
	$(RELEASE)/bin/python $(PYTEST) $(PYTEST_ARGS)

.PHONY: test-debug
test-debug: $(DEBUG)/.installed $(DEBUG)/.test ## ... against the debug kernel alone
	$(DEBUG)/bin/python $(PYTEST) $(NOT_OF_THE_KERNEL:%=--ignore=%) $(PYTEST_ARGS)

.PHONY: man
man: ## Write the manual page from the parsers of the command
	$(MAKE) $(RELEASE)/.installed
	$(RELEASE)/bin/python man/make_page.py > man/holdfast.1

.PHONY: lint
lint: $(RELEASE)/.installed $(RELEASE)/.dev ## Check style and types
	$(RELEASE)/bin/ruff check
	$(RELEASE)/bin/ruff format --check
	$(RELEASE)/bin/mypy

.PHONY: bench
bench: $(RELEASE)/.installed $(RELEASE)/.dev ## Answer the benchmarks' questions, some fifteen minutes
	$(RELEASE)/bin/python -m benchmarks $(BENCH_ARGS)

.PHONY: bench-streams
bench-streams: $(RELEASE)/.installed $(RELEASE)/.dev ## Answer those about streams and the server, some eight minutes
	$(RELEASE)/bin/python -m benchmarks streams --repeats 3 $(BENCH_ARGS)

.PHONY: profile
profile: $(RELEASE)/.installed $(RELEASE)/.dev ## Print where the time goes, by function (needs Linux perf)
	$(RELEASE)/bin/python -m benchmarks.profile $(PROFILE_ARGS)

# The kernel's coverage counters report to libFuzzer, which comes with atheris; it must be loaded before the kernel.
.PHONY: fuzz
fuzz: $(FUZZ)/.installed $(FUZZ)/.fuzz ## Fuzz the decoders for FUZZ_SECONDS (needs clang)
	@mkdir -p .build/fuzz/corpus .build/fuzz/crashes
	LD_PRELOAD="$$($(FUZZ)/bin/python -c 'import atheris; print(atheris.path())')/ubsan_with_fuzzer.so" \
		$(FUZZ)/bin/python tests/fuzz/fuzz_decoder.py -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 \
		-artifact_prefix=.build/fuzz/crashes/ .build/fuzz/corpus tests/fuzz/corpus

.PHONY: bench-large
bench-large: $(RELEASE)/.installed $(RELEASE)/.dev ## Measure large ledgers: 15 minutes, 10 GB of disk
	$(RELEASE)/bin/python -m benchmarks ledger_large

.PHONY: torture
torture: $(RELEASE)/.installed $(RELEASE)/.dev ## Kill processes that write to ledgers, HOLDFAST_KILLS times each way (100); let power and disks fail at every call
	HOLDFAST_KILLS=$${HOLDFAST_KILLS:-100} $(RELEASE)/bin/python -m pytest -q tests/e2e/test_kill.py tests/storage/test_killed_origins.py
	HOLDFAST_FAULTS=all $(RELEASE)/bin/python -m pytest -q tests/storage/test_disk_faults.py
	HOLDFAST_FLIPS=all $(RELEASE)/bin/python -m pytest -q tests/storage/test_damage.py
	HOLDFAST_STATES=all $(RELEASE)/bin/python -m pytest -q tests/storage/test_power_loss_recorded.py
	HOLDFAST_KILLS=$${HOLDFAST_KILLS:-100} HOLDFAST_CUT_BYTES=1 $(RELEASE)/bin/python -m pytest -q tests/storage/test_postgres.py -k "killed or fate or paused"

# Python itself is not built with a sanitizer: the sanitizer's runtime must be loaded first, and memory that Python never
# frees is not a leak of the kernel.
.PHONY: sanitize
sanitize: $(SANITIZE)/.installed $(SANITIZE)/.test ## Run the kernel's tests under AddressSanitizer and UBSan (needs GCC)
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		$(SANITIZE)/bin/python $(PYTEST) --capture=sys $(SANITIZE_TESTS) $(PYTEST_ARGS)

.PHONY: wheel
wheel: $(RELEASE)/.installed ## Build dist/holdfast-*.whl
	rm -rf dist
	DIST_EXTRA_CONFIG=.build/release/setup.cfg HOLDFAST_KERNEL_BUILD_DIR=.build/release/c \
		$(RELEASE)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf .venv .build build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: FORCE
FORCE:

# The list of the sources, so that a removed source counts as a change too.
.build/sources: FORCE
	@mkdir -p .build
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

# The Python and the compiler in use, so that others get separate environments.
.build/python: FORCE
	@mkdir -p .build
	@$(COMPLAIN); found="$$($(PYTHON) -c 'import sys; print(sys.executable, sys.version)' 2>/dev/null)" || complain \
		"there is no Python called $(PYTHON); install Python 3.11 or later (Debian: apt-get install python3)," \
		"or say which one to take: make PYTHON=python3.12"; \
	test "$$(cat $@ 2>/dev/null)" = "$$found $$CC" || echo "$$found $$CC" > $@

.build/toolchain: .build/python
	@$(COMPLAIN); $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || complain \
		"$(PYTHON) is $$($(PYTHON) --version), and Python 3.11 or later is needed;" \
		"install one and say so: make PYTHON=python3.12"
	@$(COMPLAIN); $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || complain \
		"$(PYTHON) cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)"
	@$(COMPLAIN); cc="$${CC:-$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}"; \
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $$cc -x c -o $@.out - 2>/dev/null || complain \
		"there is no working C compiler ($$cc); install one" \
		"(Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install)"; \
	include="$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')"; \
	printf '#include <Python.h>\n' | $$cc -I"$$include" -fsyntax-only -x c - 2>/dev/null || complain \
		"the C headers of $(PYTHON) are missing (no Python.h in $$include); install them" \
		"(Debian: apt-get install python3-dev; Fedora: dnf install python3-devel)"
	@touch $@

.build/clang: .build/toolchain
	@$(COMPLAIN); printf 'int main(void) { return 0; }\n' | $(FUZZ_CC) -fsanitize=fuzzer-no-link -x c -c -o $@.out - \
		2>/dev/null || complain "fuzzing needs clang, and there is no working $(FUZZ_CC);" \
		"install it (Debian: apt-get install clang; Fedora: dnf install clang)"
	@touch $@

# $(call environment,NAME,DIRECTORY,VARIABLES OF ITS BUILD,WHAT ELSE IT NEEDS): one virtual environment with one build of
# the package. Each builds in a directory of its own, from scratch: objects know nothing of the flags they were made with.
define environment
$(2)/.created: .build/toolchain $(4)
	rm -rf $(2)
	$$(PYTHON) -m venv $(2)
	$(2)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $$@

$(2)/.installed: $$(SOURCES) .build/sources $(2)/.created
	@rm -rf .build/$(1)/build && mkdir -p .build/$(1)
	@printf '[build]\nbuild_base = .build/$(1)/build\n[build_ext]\nparallel = 2\n[egg_info]\negg_base = .build/$(1)\n' \
		> .build/$(1)/setup.cfg
	DIST_EXTRA_CONFIG=.build/$(1)/setup.cfg HOLDFAST_KERNEL_BUILD_DIR=.build/$(1)/c $(3) \
		$(2)/bin/python -m pip install --quiet .
	@touch $$@

$(foreach group,test dev fuzz,
$(2)/.$(group): pyproject.toml $(2)/.created
	$(2)/bin/python -m pip install --quiet --group $(group)
	@touch $$@
)
endef

$(eval $(call environment,release,$(RELEASE),,))
$(eval $(call environment,debug,$(DEBUG),HOLDFAST_KERNEL_DEBUG=1,))
$(eval $(call environment,sanitize,$(SANITIZE),HOLDFAST_KERNEL_SANITIZE=1 CC=gcc,))
$(eval $(call environment,fuzz,$(FUZZ),HOLDFAST_KERNEL_FUZZ=1 CC=$(FUZZ_CC),.build/clang))
