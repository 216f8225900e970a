# Fuzzing (tests/fuzz/fuzz.h says what a target is; each fuzz_NAME.c is found by itself).
#
#   make fuzz T=60          each target T seconds with libFuzzer, ASan and UBSan, as many side by side as there are CPUs;
#                           TARGETS="frame snapshot" for some of them
#   make fuzz-selftest      switches one bound check off after the other: each must be found within 30 s
#   make fuzz-corpus        makes seeds, fuzzes T seconds and shrinks the corpus in tests/fuzz/corpus; TARGETS as above

T ?= 60
TARGETS ?=
FUZZ_B := build/fuzz
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(FUZZ_SRCS:tests/fuzz/fuzz_%.c=%)
FUZZ_REPLAY_OBJS := $(FUZZ_SRCS:%.c=$(B)/obj/%.o) $(B)/obj/tests/fuzz/targets.o
FUZZ_BINS := $(FUZZ_NAMES:%=$(B)/fuzz/%)
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link -DREGENT_BOUND_SWITCH

.PHONY: fuzz fuzz-selftest fuzz-corpus fuzz-build fuzz-deps fuzz_bins

fuzz-deps:
	@deploy/deps --also libclang-rt-dev

fuzz-build: fuzz-deps
	@$(MAKE) --no-print-directory -j2 SAN=1 B=$(FUZZ_B) CC=clang CFLAGS='$(FUZZ_FLAGS)' fuzz_bins

fuzz: fuzz-build
	@tests/fuzz/run fuzz --build $(FUZZ_B) --seconds $(T) $(TARGETS)

fuzz-selftest: fuzz-build
	@tests/fuzz/run selftest --build $(FUZZ_B)

fuzz-corpus: fuzz-build
	@$(MAKE) --no-print-directory -j2 SAN=1 B=build/asan CC=gcc build/asan/fuzz/replay
	@tests/fuzz/run corpus --build $(FUZZ_B) --seconds $(T) $(TARGETS)

# One program a target, with libFuzzer's main(). Built only by the sub-make of fuzz-build.
fuzz_bins: $(FUZZ_BINS)
$(FUZZ_BINS): $(B)/fuzz/%: tests/fuzz/fuzz_%.c $(LIB) $(B)/obj/tests/fuzz/bound.o | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DREGENT_LIBFUZZER $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d \
	    -o $@ $< $(B)/obj/tests/fuzz/bound.o $(LIB) $(LDLIBS)

# All targets in one program, by any compiler and without libFuzzer: for `make test`, and to look into a finding.
$(B)/fuzz/replay: $(B)/obj/tests/fuzz/replay.o $(FUZZ_REPLAY_OBJS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)

$(B)/tests/unit/test_fuzz_corpus: tests/unit/test_fuzz_corpus.c $(FUZZ_REPLAY_OBJS) $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(FUZZ_REPLAY_OBJS) $(LIB) \
	    $(LDLIBS) -lcmocka

-include $(FUZZ_BINS:%=%.d) $(FUZZ_REPLAY_OBJS:.o=.d)
