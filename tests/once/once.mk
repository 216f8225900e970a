# Exactly once: many clients, leaders that die and freeze (tests/lib/exactly_once.py).
#
#   make once     20,000 commands of 8 clients, 20 leaders killed or paused, on the build with sanitizers;
#                 COMMANDS=, CLIENTS=, LEADERS=, SEED= for other numbers

COMMANDS ?= 20000
CLIENTS ?= 8
LEADERS ?= 20

.PHONY: once

$(B)/tests/once: $(B)/obj/tests/once/once.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

tools: $(B)/tests/once

once: deps
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build tools
	@PYTHONDONTWRITEBYTECODE=1 REGENT_BUILD=$(abspath build/asan) $(PYTHON) tests/lib/exactly_once.py \
	    --commands $(COMMANDS) --clients $(CLIENTS) --leaders $(LEADERS) $(if $(SEED),--seed $(SEED))

-include $(B)/obj/tests/once/once.d
