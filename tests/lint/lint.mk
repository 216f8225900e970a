# Static analysis, and data races.
#
#   make lint     clang-tidy, cppcheck and gcc -fanalyzer: clean, or excused in tests/lint/excuses.txt line by line.
#                 FILES="lib/frame.c ..." for some. What did not change is not looked at again (build/lint).
#   make tsan     the threads of mysql/: their unit tests with -fsanitize=thread

.PHONY: lint tsan

lint:
	@deploy/deps --also clang-tidy cppcheck
	@$(MAKE) --no-print-directory B=build/lint $(GEN_H:$(B)/%=build/lint/%) build/lint/gen/sim_build.h >/dev/null
	@tests/lint/run --gen build/lint/gen $(FILES)

TSAN_B := build/tsan
TSAN_TESTS := $(patsubst tests/unit/%.c,$(TSAN_B)/tests/unit/%,$(sort $(wildcard tests/unit/test_db*.c)))
TSAN_FLAGS := -O1 -g -fsanitize=thread

tsan: deps
	@$(MAKE) --no-print-directory -j2 SAN= B=$(TSAN_B) CC=gcc CFLAGS='$(TSAN_FLAGS)' HARDEN=-fPIE $(TSAN_TESTS)
	@for test in $(TSAN_TESTS); do echo "tsan $$test"; \
	    TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 suppressions=tests/lint/tsan.txt $(TSAN_OPTIONS)" \
	    $$test || exit 1; done
	@echo "tsan: $(words $(TSAN_TESTS)) test programs without a data race"
