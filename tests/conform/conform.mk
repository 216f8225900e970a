# Conformance of the simulated mysqld with the real one (sim/conform/README.md).

CONFORM_MODEL := $(B)/tests/conform/model
CONFORM_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard sim/*.c))

$(CONFORM_MODEL): tests/conform/model.c $(CONFORM_OBJS) $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(CONFORM_OBJS) $(LIB) $(LDLIBS)

tools: $(CONFORM_MODEL)

.PHONY: sim-conform
sim-conform: deps
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build/asan/tests/conform/model
	@$(TEST_ENV) REGENT_BUILD=$(abspath build/asan) $(PYTHON) tests/conform/run.py $(SCRIPTS)
