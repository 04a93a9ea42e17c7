# SPDX-License-Identifier: Apache-2.0
#
# The whole build. Objects mirror sources below build/$(BUILD)/; the program is build/$(BUILD)/nono-proxy.
#
#	make                    the program (release)
#	make BUILD=asan         another build: debug, release, asan, cover, fuzz
#	sudo make demo          installs what is missing, builds, shows the main job on real programs
#	sudo make check         installs what the tests need, builds, runs all tests, ends with "N passed, N failed"
#	make lint               layers, libraries, headers, function length
#	make help               this text
#
# Overridable: CC, CLANG, BPFTOOL, CFLAGS, LDFLAGS, PREFIX, LIBDIR, DESTDIR, V=1 for the commands themselves.

BUILD   ?= release
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
OBJCOPY ?= objcopy

O := build/$(BUILD)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

# ---- flags ----------------------------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wpointer-arith \
	-Wwrite-strings -Wframe-larger-than=8192 -Werror
# The pure archive decides about hostile bytes: no silent narrowing there.
WARN_PURE := -Wconversion

HARDEN := -fstack-protector-strong -fPIE
LINK_HARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack

FLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-clash-protection -fcf-protection=branch
FLAGS_debug   := -O0 -g -DNONO_DEBUG
FLAGS_asan    := -O1 -g -DNONO_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_cover   := -O0 -g --coverage
FLAGS_fuzz    := -O1 -g -DNONO_DEBUG -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ifeq ($(FLAGS_$(BUILD)),)
$(error BUILD=$(BUILD) is none of release, debug, asan, cover, fuzz)
endif
ifeq ($(BUILD),fuzz)
override CC := $(CLANG)
endif

CPPFLAGS_ALL = -D_GNU_SOURCE -DNONO_VERSION='"$(VERSION)"' -Iuserspace -I. -Ibuild/gen $(CPPFLAGS)
CFLAGS_ALL = -std=gnu17 $(WARN) $(HARDEN) $(FLAGS_$(BUILD)) $(CFLAGS)
LDFLAGS_ALL = $(LINK_HARDEN) $(FLAGS_$(BUILD)) $(LDFLAGS)

pkg_cflags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)
pkg_libs   = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

# Each library is named once, beside the folder that may use it (tests/lint/libraries checks the includes).
LIBS_policy   := $(call pkg_libs,libidn2)
LIBS_io       := $(call pkg_libs,libcares)
LIBS_redirect := $(call pkg_libs,libbpf)
LIBS_confine  := $(call pkg_libs,libseccomp)
LIBS_config   := $(call pkg_libs,jansson)
LIBS_pure     := $(LIBS_policy)
LIBS_all      := $(LIBS_redirect) $(LIBS_io) $(LIBS_confine) $(LIBS_config) $(LIBS_pure)
LIBS_test     := $(call pkg_libs,cmocka)

# ---- sources --------------------------------------------------------------------------------------------------------

PURE_DIRS := base wire policy
MECH_DIRS := io ipc redirect confine config supervisor proxy commands

srcs = $(sort $(foreach d,$(1),$(wildcard userspace/$(d)/*.c)))
objs = $(patsubst %.c,$(O)/%.o,$(1))

PURE_OBJS := $(call objs,$(call srcs,$(PURE_DIRS)))
MECH_OBJS := $(call objs,$(call srcs,$(MECH_DIRS)))
MAIN_OBJ  := $(O)/userspace/main.o

PURE := $(O)/libpure.a
MECH := $(O)/libmech.a
PROGRAM := $(O)/nono-proxy
SKELETON := build/gen/redirect.skel.h build/gen/unix.skel.h

.PHONY: all bpf clean help always
all: $(PROGRAM)
bpf: $(SKELETON)

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

$(PURE): $(PURE_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(MECH): $(MECH_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(PROGRAM): $(MAIN_OBJ) $(MECH) $(PURE)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_all)

$(PURE_OBJS): EXTRA := $(WARN_PURE)

$(O)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(EXTRA) -MMD -MP -c -o $@ $<

# ---- library: starts the program; wants nothing but libc ----------------------------------------------------------------

API_OBJS := $(call objs,userspace/api.c $(call srcs,api))
LIB_SO   := $(O)/libnono_proxy.so
LIB_NAME := libnono_proxy.so.0
LIB_A    := $(O)/libnono_proxy.a

# The sanitizers' builds test its objects; the library itself is for other people's programs.
ifneq ($(filter release debug,$(BUILD)),)
all: $(LIB_SO) $(LIB_A)
endif

$(API_OBJS): EXTRA := $(WARN_PURE) -fPIC -fvisibility=hidden -DNONO_PROXY_PROGRAM='"$(PREFIX)/bin/nono-proxy"'

# Where the program will be is compiled in: another PREFIX is another object.
$(O)/prefix: always
	@mkdir -p $(@D)
	@echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' > $@
$(O)/userspace/api/child.o: $(O)/prefix

$(O)/$(LIB_NAME): $(API_OBJS) userspace/nono_proxy.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS_$(BUILD)) $(LDFLAGS) -shared -Wl,-soname,$(LIB_NAME) -Wl,--version-script=userspace/nono_proxy.map \
		-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -o $@ $(API_OBJS)

$(LIB_SO): $(O)/$(LIB_NAME)
	$(Q)ln -sf $(LIB_NAME) $@

# One object, in which only the public names are left: what is ours inside cannot clash with what is the user's.
$(LIB_A): $(API_OBJS)
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(O)/nono_proxy.o $^
	$(Q)$(OBJCOPY) --localize-hidden $(O)/nono_proxy.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(O)/nono_proxy.o

# ---- BPF: clang, then one linked object without DWARF, then the skeleton ------------------------------------------------

MULTIARCH := $(shell $(CC) -print-multiarch)
BPF_ARCH  := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')

build/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -g -O2 -Wall -Wextra -Werror -I. -I/usr/include/$(MULTIARCH) \
		-c -o $@.tmp $<
	$(Q)$(BPFTOOL) gen object $@ $@.tmp && rm -f $@.tmp

build/gen/%.skel.h: build/gen/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(call objs,$(wildcard userspace/redirect/*.c)): $(SKELETON)

# ---- tests ----------------------------------------------------------------------------------------------------------

# Unit tests mirror the tree: tests/unit/wire/addr_test.c tests userspace/wire/addr.c.
UNIT_PURE_SRCS := $(sort $(foreach d,$(PURE_DIRS),$(wildcard tests/unit/$(d)/*_test.c)))
UNIT_MECH_SRCS := $(sort $(foreach d,$(MECH_DIRS),$(wildcard tests/unit/$(d)/*_test.c)) $(wildcard tests/conn/*_test.c))
UNIT_API_SRCS  := $(sort $(wildcard tests/unit/api/*_test.c))
SECRET_SRCS    := $(sort $(wildcard tests/secret/*.c))
BPF_TEST_SRCS  := $(sort $(wildcard tests/bpf/*_test.c))
FUZZ_SRCS      := $(sort $(wildcard tests/fuzz/*_fuzz.c))
SUPPORT_OBJS   := $(call objs,$(sort $(wildcard tests/support/*.c)))

tests = $(patsubst %.c,$(O)/%,$(1))
UNIT_TESTS := $(call tests,$(UNIT_PURE_SRCS) $(UNIT_MECH_SRCS) $(UNIT_API_SRCS))
BPF_TESTS  := $(call tests,$(BPF_TEST_SRCS))
FUZZ_TESTS := $(call tests,$(FUZZ_SRCS))
SECRET_TESTS := $(call tests,$(SECRET_SRCS))

$(call tests,$(UNIT_PURE_SRCS)): $(O)/%: $(O)/%.o $(PURE)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_pure) $(LIBS_test)

$(call tests,$(UNIT_MECH_SRCS) $(BPF_TEST_SRCS)): $(O)/%: $(O)/%.o $(SUPPORT_OBJS) $(MECH) $(PURE)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_all) $(LIBS_test) -lpthread

# The library's insides, without its walls.
$(call tests,$(UNIT_API_SRCS)): $(O)/%: $(O)/%.o $(API_OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_test) -lpthread

# Run under valgrind, which tells whether a branch depends on a secret.
$(SECRET_TESTS): $(O)/%: $(O)/%.o $(PURE)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -Wl,--wrap=secret_equal -o $@ $^ $(LIBS_pure)

# A fuzz target is one function; outside BUILD=fuzz a plain main replays its corpus.
ifeq ($(BUILD),fuzz)
FUZZ_MAIN := -fsanitize=fuzzer
# Painting each stack would be most of what a fuzzer does.
$(O)/userspace/io/co.o: EXTRA := -UNONO_DEBUG
else
FUZZ_MAIN := $(O)/tests/fuzz/replay.o
$(FUZZ_TESTS): $(FUZZ_MAIN)
endif

$(FUZZ_TESTS): $(O)/%: $(O)/%.o $(PURE)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter-out %.o,$(FUZZ_MAIN)) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(FUZZ_LIBS)

$(FUZZ_TESTS): FUZZ_LIBS = $(LIBS_pure)

# Whole connections, on scripted I/O.
$(O)/tests/fuzz/connection_fuzz: $(SUPPORT_OBJS) $(MECH)
$(O)/tests/fuzz/connection_fuzz: FUZZ_LIBS = $(LIBS_all) $(LIBS_test)

# What we accept as HTTP, llhttp accepts with the same meaning. Its sources come with Debian's node-llhttp.
LLHTTP := /usr/share/llhttp
LLHTTP_OBJS := $(patsubst %,$(O)/llhttp/%.o,api http llhttp)

$(O)/llhttp/%.o: $(LLHTTP)/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp $(HARDEN) $(FLAGS_$(BUILD)) -w -c -o $@ $<

$(O)/tests/fuzz/http_diff_fuzz.o: EXTRA := -DLLHTTP_STRICT_MODE=1 -isystem /usr/share/include/llhttp
$(O)/tests/fuzz/http_diff_fuzz: $(LLHTTP_OBJS)

.PHONY: unit-tests bpf-tests fuzz-tests secret-tests tests
unit-tests: $(UNIT_TESTS)
bpf-tests: $(BPF_TESTS)
fuzz-tests: $(FUZZ_TESTS)
secret-tests: $(SECRET_TESTS)
tests: unit-tests bpf-tests fuzz-tests
ifeq ($(BUILD),release)
tests: secret-tests
endif

.SECONDARY:

clean:
	$(Q)rm -rf build

-include tests/tests.mk
-include $(shell find $(O) -name '*.d' 2>/dev/null)
