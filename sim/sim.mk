# The simulator (sim/README.md).
#
#   make sim SEEDS=n        n seeds on all cores        make sim-soak HOURS=n   as many as fit into n hours
#   make sim-mutants        every mutant must be found  make MUTANTS=1 B=DIR    a build that has the mutants in it

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

.PHONY: sim sim-soak sim-mutants FORCE
SEEDS ?= 300
HOURS ?= 1
sim: deps
	@$(MAKE) --no-print-directory -j2 B=build build/regent-sim
	@build/regent-sim --from 1 --seeds $(SEEDS)
sim-soak: deps
	@$(MAKE) --no-print-directory -j2 B=build build/regent-sim
	@build/regent-sim --from $$(date +%s)000 --hours $(HOURS)
