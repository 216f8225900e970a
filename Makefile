# Regent. `make demo` shows it, `make test` proves it; both install what they need (`make deps`).
#
#   make            build build/regentd and build/regent
#   make SAN=1      the same with ASan, UBSan and invariant checks, in build/asan
#   make CC=clang   with clang
#   make B=DIR      build into DIR
#   make test       unit, golden, integration on real servers, tidy; `make test-full` also release and clang builds, bench
#   make fuzz T=60, fuzz-selftest, fuzz-corpus     libFuzzer on every decoder (tests/fuzz)
#   make lint, tsan                                 static analysis; data races of mysql/ (tests/lint)
#   make bench, bench-stress                        figures of the group (tests/bench/bench.mk)
#   make model      the protocol, searched exhaustively within bounds (tests/model/README.md)
#   make demo       the main job, live (README.md); make bench-failover [SCENARIO=...] [RUNS=n]

SAN ?=
ifeq ($(SAN),1)
B ?= build/asan
else
B ?= build
endif

CC ?= cc
PROTOC_C ?= protoc-c
VERSION := 0.1.0

PKGS := libuv raft libmariadb libprotobuf-c yaml-0.1 jansson smartcols libssl libcrypto
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla \
        -Wformat=2 -Werror
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CFLAGS ?= -O2 -g
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DREGENT_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) -fno-omit-frame-pointer -pthread
LDFLAGS += -pie -Wl,-z,relro,-z,now
ifeq ($(SAN),1)
ALL_CFLAGS += -fPIE -fsanitize=address,undefined -fno-sanitize-recover=undefined -DREGENT_CHECK_INVARIANTS
LDFLAGS += -fsanitize=address,undefined
else
ALL_CFLAGS += $(HARDEN)
endif
LDLIBS = $(PKG_LIBS) -lz -lm

PARTS := lib/base lib fsm plan proto client mysql raft manager
SRCS := $(foreach p,$(PARTS),$(wildcard $(p)/*.c))
PROTOS := $(wildcard proto/*.proto)
GEN_C := $(PROTOS:%.proto=$(B)/gen/%.pb-c.c)
GEN_H := $(PROTOS:%.proto=$(B)/gen/%.pb-c.h)
OBJS := $(SRCS:%.c=$(B)/obj/%.o) $(GEN_C:$(B)/gen/%.c=$(B)/obj/gen/%.o)
LIB := $(B)/libregent.a

CLI_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/regent/*.c))
DAEMON_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/regentd/*.c))
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
TOOLS := $(patsubst tests/tools/%.c,$(B)/tests/tools/%,$(wildcard tests/tools/*.c))
TOOL_LIBS = $(shell pkg-config --libs libmariadb 2>/dev/null)

.PHONY: all build lib deps test test-full unit unit_bins golden integ tidy tools demo demo-stop bench-failover clean
.SECONDARY:
.DELETE_ON_ERROR:

all: build
build: $(B)/regentd $(B)/regent $(B)/regent.1
lib: $(LIB)
tools: $(TOOLS)

deps:
	@deploy/deps

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	$(PROTOC_C) --c_out=$(B)/gen $<

# Generated code is not ours to style.
$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -W%,$(ALL_CFLAGS)) $(PKG_CFLAGS) -c -o $@ $<

$(B)/obj/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(OBJS)
	@rm -f $@
	ar rcs $@ $(OBJS)

$(B)/regentd: $(DAEMON_OBJS) $(LIB)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(DAEMON_OBJS) $(LIB) $(LDLIBS)

$(B)/regent: $(CLI_OBJS) $(LIB)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(CLI_OBJS) $(LIB) $(LDLIBS)

# From the command table, as --help is.
$(B)/regent.1: $(B)/regent
	$< --man >$@

$(B)/tests/unit/%: tests/unit/%.c $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS) -lcmocka

# Tools stand alone: no code of Regent in them.
$(B)/tests/tools/%: tests/tools/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(shell pkg-config --cflags libmariadb) $(LDFLAGS) -o $@ $< $(TOOL_LIBS)

unit_bins: $(UNIT)

# ---- tests, demo, bench (tests/run, tests/demo.py, tests/bench) ----

PYTHON := /usr/bin/python3
TEST_ENV = PYTHONDONTWRITEBYTECODE=1 REGENT_BUILD=$(abspath $(B))

# Everything that `test` needs, in one build directory. 'deps' first: pkg-config is asked anew by the sub-make.
test: deps
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build tools unit_bins
	@tests/run --build build/asan

# Also: release and clang builds, unit tests of both, the simulator's bytes from four builds, a bench with a few runs.
test-full: deps
	@$(MAKE) --no-print-directory -j2 B=build CC=gcc build tools unit_bins
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/clang CC=clang build tools unit_bins
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build tools unit_bins
	@STORM_ROUNDS=30 tests/run --build build unit
	@tests/run --build build/clang unit
	@tests/run --build build/asan
	@$(MAKE) --no-print-directory sim-compilers
	@$(MAKE) --no-print-directory sim-marks
	@$(TEST_ENV) REGENT_BUILD=$(abspath build) RUNS=3 ALARM_SECONDS=10 $(PYTHON) tests/bench/failover.py

unit golden integ tidy: deps
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build tools unit_bins
	@tests/run --build build/asan $@

demo: deps
	@$(MAKE) --no-print-directory -j2 build tools
	@$(TEST_ENV) KEEP='$(KEEP)' DEMO_FAULT='$(DEMO_FAULT)' DEMO_DIR='$(DEMO_DIR)' $(PYTHON) tests/demo.py

demo-stop:
	@$(TEST_ENV) $(PYTHON) tests/demo.py --stop '$(DIR)'

bench-failover: deps
	@$(MAKE) --no-print-directory -j2 build tools
	@$(TEST_ENV) FLAVOUR='$(FLAVOUR)' SCENARIO='$(SCENARIO)' RUNS='$(RUNS)' $(PYTHON) tests/bench/failover.py

# Targets of the larger parts lie beside them.
include $(wildcard tests/*/*.mk sim/*.mk)

clean:
	rm -rf build

-include $(OBJS:.o=.d) $(CLI_OBJS:.o=.d) $(DAEMON_OBJS:.o=.d) $(UNIT:%=%.d)
