# The simulator (sim/README.md).
#
#   make sim SEEDS=n        n seeds on all cores        make sim-soak HOURS=n   as many as fit into n hours
#   make sim-mutants        every mutant must be found  make MUTANTS=1 B=DIR    a build that has the mutants in it
#   make sim-marks          every mark must be reached (sim/marks.txt); prints the table
#   make sim-compilers      gcc and clang, -O0 and -O2: the same traces

SIM_SRCS := $(wildcard sim/*.c)
# All of them are linked, before the archive: they take the place of lib/clock, lib/log, mysql/db, raft/storage, ...
SIM_OBJS := $(SIM_SRCS:%.c=$(B)/obj/%.o)
SIM_MAIN := $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/regent-sim/*.c))
SIM_BUILD = $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
-include $(SIM_OBJS:.o=.d) $(SIM_MAIN:.o=.d)

ifeq ($(MUTANTS),1)
CPPFLAGS += -DREGENT_MUTANTS
endif

$(B)/gen/sim_build.h: FORCE
	@mkdir -p $(@D)
	@echo '#define REGENT_BUILD "$(SIM_BUILD)"' >$@.new; cmp -s $@.new $@ || cp $@.new $@
FORCE:
$(SIM_MAIN): $(B)/gen/sim_build.h

$(B)/regent-sim: $(SIM_MAIN) $(SIM_OBJS) $(LIB)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,-Map=$@.map -o $@ $(SIM_MAIN) $(SIM_OBJS) $(LIB) $(LDLIBS)

# Unit tests of the simulator's own parts.
$(B)/tests/unit/test_sim_%: tests/unit/test_sim_%.c $(SIM_OBJS) $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(SIM_OBJS) $(LIB) $(LDLIBS) \
	    -lcmocka

# The two builds that the suite "sim" of tests/run needs beside its own; regent-sim is part of every build of the tests.
unit_bins: $(B)/regent-sim
sim-builds:
	@$(MAKE) --no-print-directory -j2 B=build SAN=0 CC=gcc build/regent-sim
	@$(MAKE) --no-print-directory -j2 B=build/mutants SAN=0 MUTANTS=1 CC=gcc build/mutants/regent-sim

# Same seed, same bytes: whole traces by both compilers, with and without optimisation. Part of make test-full.
# (_FORTIFY_SOURCE of HARDEN wants optimisation.)
SIM_OTHERS := build/sim-gcc-O0 build/sim-clang-O0 build/sim-clang-O2
sim-compilers: deps
	@$(MAKE) --no-print-directory -j2 B=build SAN=0 CC=gcc build/regent-sim
	@set -e; for b in $(SIM_OTHERS); do c=$${b#build/sim-}; \
	    $(MAKE) --no-print-directory -j2 B=$$b SAN=0 CC=$${c%-*} CFLAGS="-$${c#*-} -g" HARDEN=-fPIE $$b/regent-sim; \
	done
	@tests/sim/run.py --others $(shell echo $(SIM_OTHERS) | tr ' ' ,) compilers

.PHONY: sim sim-soak sim-mutants sim-marks sim-builds sim-compilers FORCE
SEEDS ?= 300
HOURS ?= 1
sim: deps
	@$(MAKE) --no-print-directory -j2 B=build build/regent-sim
	@build/regent-sim --from 1 --seeds $(SEEDS)
sim-soak: deps
	@$(MAKE) --no-print-directory -j2 B=build build/regent-sim
	@build/regent-sim --from $$(date +%s)000 --hours $(HOURS)
# Every mutant anew; prints the table of sim/README.md. KEEP=1: writes the seeds that were found to sim/mutants/.
MUTANT_SEEDS ?= 2000
# Which marks 2,000 seeds reach, and how many seeds each (sim/README.md). Part of make test-full.
sim-marks: deps sim-builds
	@tests/sim/marks.py --seeds 2000 --all
sim-mutants: deps sim-builds
	@tests/sim/mutants.py --seeds $(MUTANT_SEEDS) $(if $(KEEP),--keep)
