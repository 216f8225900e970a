# Figures of the group of managers (issue 3). Each prints its lines on stdout, and ends with 1 when one is over its bound.
#
#   make bench [N=2000] [RUNS=20] [IDLE_SECONDS=60] [WHAT="commit election idle"]
#   make bench-stress [SECONDS=600] [CPUS=4]          no election while stress-ng takes all CPUs

.PHONY: bench bench-stress

$(B)/tests/bench/commit: tests/bench/commit.c $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS)

bench: deps
	@$(MAKE) --no-print-directory -j2 B=build build tools build/tests/bench/commit
	@$(TEST_ENV) REGENT_BUILD=$(abspath build) N='$(N)' RUNS='$(RUNS)' IDLE_SECONDS='$(IDLE_SECONDS)' WHAT='$(WHAT)' \
	    $(PYTHON) tests/bench/group.py

bench-stress:
	@deploy/deps --also stress-ng
	@$(MAKE) --no-print-directory -j2 B=build build tools build/tests/bench/commit
	@$(TEST_ENV) REGENT_BUILD=$(abspath build) STRESS_SECONDS='$(SECONDS)' CPUS='$(CPUS)' $(PYTHON) tests/bench/stress.py

-include $(B)/tests/bench/commit.d
