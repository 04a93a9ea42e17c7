# SPDX-License-Identifier: Apache-2.0
#
# Targets around the code: packages, demonstration, checks, installation. Included by the Makefile.
#
#	make deps          the packages that building needs (root)
#	make deps-test     those that the tests need, too (root)
#	make demo          the main job, on real programs (root)
#	make check         everything that a change must pass (root)
#	make check-quick   lints and unit tests of one build; no root
#	make check-e2e     the end-to-end tests of one build (root); ONLY="words" chooses tests by name
#	make lint          layers, libraries, headers, shape, the pure archive
#	make format        clang-format over the C sources; make check-format only looks
#	make tidy          clang-tidy over the sources; slow
#	make fuzz-smoke    each fuzzer for FUZZ_SECONDS from its corpus
#	make install       the program and the library below DESTDIR and PREFIX (LIBDIR for the libraries)

# Debian's own interpreter: the scripts use its standard library only.
PYTHON ?= /usr/bin/python3
RUN_TESTS := $(PYTHON) -B tests/support/run_tests.py
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 20
ONLY ?=

LINTS := layers headers shape
E2E := $(sort $(wildcard tests/e2e/*.py))
# With sanitizers: what exercises code of ours, not once more the kernel's programs or other people's engines.
BPF_SANITIZED := $(filter %/adopt_test %/closed_test %/load_test %/origin_test %/unix_test,$(BPF_TESTS))
E2E_SANITIZED := $(filter-out %/containers.py,$(E2E))
C_FILES := $(wildcard userspace/*.[ch] userspace/*/*.[ch] bpf/*.[ch] include/*.h examples/*.c tests/*/*.[ch] tests/unit/*/*.[ch])

# The words of one build for the runner: $(call built,BUILD,LIST).
built = $(patsubst $(O)/%,build/$(1)/%,$(2))
corpus = tests/fuzz/corpus/$(patsubst %_fuzz,%,$(notdir $(1)))
replays = $(foreach f,$(call built,$(1),$(FUZZ_TESTS)),'$(2) $(f) $(call corpus,$(f))')
quoted = $(foreach f,$(2),'$(1) $(f)')

# ASan: frames that live across a switch of coroutines are checked only with fake stacks. LSan works by ptrace: a process
# that made itself non-dumpable cannot be looked at, so it is on for the test programs and off for the roles.
ASAN_UNIT := ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1:allocator_may_return_null=1:abort_on_error=0
ASAN_E2E  := ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=0:allocator_may_return_null=1
UBSAN     := UBSAN_OPTIONS=print_stacktrace=1

.PHONY: deps deps-test demo check check-all check-builds check-quick check-e2e lint format check-format tidy fuzz-smoke install

deps:
	$(Q)tests/deps.sh build

deps-test:
	$(Q)tests/deps.sh test

# The libraries' flags are read when make starts, so what was just installed is seen by a make of its own.
demo: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=release all
	$(Q)NONO_PROXY=build/release/nono-proxy $(PYTHON) -B tests/demo/demo.py

check: deps-test
	$(Q)$(MAKE) --no-print-directory check-all

check-builds:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=release all tests
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=debug CC=$(CLANG) all tests
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=asan all tests

check-all: check-builds
	$(Q)$(RUN_TESTS) \
	--limit 300 --title 'lints' $(foreach l,$(LINTS),'$(PYTHON) -B tests/lint/$(l).py') \
	'$(PYTHON) -B tests/lint/pure.py build/release/libpure.a build/debug/libpure.a build/asan/libpure.a' \
	--title 'release, gcc: unit tests' $(call quoted,,$(call built,release,$(UNIT_TESTS))) \
	--title 'release, gcc: fuzz corpus' $(call replays,release,) \
	--title 'release, gcc: secrets' '$(PYTHON) -B tests/secret/token_valgrind.py build/release/tests/secret/token_valgrind' \
	--title 'release, gcc: BPF' $(call quoted,,$(call built,release,$(BPF_TESTS))) \
	--limit 900 --title 'release, gcc: end to end' $(call quoted,NONO_PROXY=build/release/nono-proxy $(PYTHON) -B,$(E2E)) \
	--limit 300 --title 'debug, clang: unit tests' $(call quoted,,$(call built,debug,$(UNIT_TESTS))) \
	--title 'asan, gcc: unit tests' $(call quoted,$(ASAN_UNIT) $(UBSAN),$(call built,asan,$(UNIT_TESTS))) \
	--title 'asan, gcc: fuzz corpus' $(call replays,asan,$(ASAN_UNIT) $(UBSAN)) \
	--title 'asan, gcc: BPF' $(call quoted,$(ASAN_E2E) $(UBSAN),$(call built,asan,$(BPF_SANITIZED))) \
	--limit 900 --title 'asan, gcc: end to end' $(call quoted,$(ASAN_E2E) $(UBSAN) NONO_PROXY=build/asan/nono-proxy $(PYTHON) -B,$(E2E_SANITIZED)) \
	--title 'nothing is left behind' '$(PYTHON) -B tests/support/clean.py build/release/nono-proxy build/asan/nono-proxy'

check-quick: all unit-tests fuzz-tests
	$(Q)$(RUN_TESTS) --title 'lints' $(foreach l,$(LINTS),'$(PYTHON) -B tests/lint/$(l).py') '$(PYTHON) -B tests/lint/pure.py $(PURE)' \
	--title '$(BUILD): unit tests' $(call quoted,,$(UNIT_TESTS)) --title '$(BUILD): fuzz corpus' $(call replays,$(BUILD),)

check-e2e: all
	$(Q)$(RUN_TESTS) --limit 900 $(foreach f,$(E2E),'NONO_PROXY=$(PROGRAM) $(PYTHON) -B $(f) $(ONLY)')

lint: $(PURE)
	$(Q)$(RUN_TESTS) $(foreach l,$(LINTS),'$(PYTHON) -B tests/lint/$(l).py') '$(PYTHON) -B tests/lint/pure.py $(PURE)'

format:
	$(Q)clang-format -i $(C_FILES)

check-format:
	$(Q)clang-format --dry-run -Werror $(C_FILES)

tidy: $(SKELETON)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $(wildcard userspace/*.c userspace/*/*.c) -- \
	-std=gnu17 $(CPPFLAGS_ALL) -DNONO_PROXY_PROGRAM='""' $(call pkg_cflags,libidn2 libcares libbpf libseccomp)

fuzz-smoke:
	$(Q)$(MAKE) --no-print-directory BUILD=fuzz fuzz-tests
	$(Q)for f in $(call built,fuzz,$(FUZZ_TESTS)); do name=$${f##*/}; new=build/fuzz/new/$$name; mkdir -p $$new; \
	$$f -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -artifact_prefix=build/fuzz/ $$new tests/fuzz/corpus/$${name%_fuzz} \
	>build/fuzz/$$name.log 2>&1 || { tail -n 40 build/fuzz/$$name.log; echo "$$name found something: build/fuzz/"; exit 1; }; \
	echo "$$name: nothing found, $$(grep -o 'Done [0-9]* runs' build/fuzz/$$name.log)"; done

install: all $(LIB_SO) $(LIB_A)
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/nono-proxy
	install -D -m 644 include/nono_proxy.h $(DESTDIR)$(PREFIX)/include/nono_proxy.h
	install -D -m 644 $(O)/$(LIB_NAME) $(DESTDIR)$(LIBDIR)/$(LIB_NAME)
	ln -sf $(LIB_NAME) $(DESTDIR)$(LIBDIR)/libnono_proxy.so
	install -D -m 644 $(LIB_A) $(DESTDIR)$(LIBDIR)/libnono_proxy.a
	sed 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(LIBDIR)|;s|@VERSION@|$(VERSION)|' userspace/nono-proxy.pc.in | \
	install -D -m 644 /dev/stdin $(DESTDIR)$(LIBDIR)/pkgconfig/nono-proxy.pc
