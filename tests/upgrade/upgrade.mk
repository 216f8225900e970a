# The program of a version to come, for the test of rolling upgrades: what REGENT_NEXT_VERSION and the lines //NEXT of
# the .proto files add (fsm/version.h). It lies in its own directory and is in no package; what cannot differ (lib/,
# raft/) is taken as it was built.

NEXT := $(B)/next
NEXT_SRCS := $(filter-out lib/% raft/%,$(SRCS)) $(wildcard cmd/regentd/*.c)
NEXT_GEN_C := $(PROTOS:%.proto=$(NEXT)/gen/%.pb-c.c)
NEXT_OBJS := $(NEXT_SRCS:%.c=$(NEXT)/obj/%.o) $(NEXT_GEN_C:$(NEXT)/gen/%.c=$(NEXT)/obj/gen/%.o)
NEXT_SAME := $(filter $(B)/obj/lib/% $(B)/obj/raft/%,$(OBJS))
NEXT_PURE := $(filter $(NEXT)/obj/fsm/% $(NEXT)/obj/proto/% $(NEXT)/obj/gen/%,$(NEXT_OBJS))
NEXT_CPPFLAGS := -I. -I$(NEXT)/gen -D_GNU_SOURCE -DREGENT_VERSION='"$(VERSION)-next"' -DREGENT_NEXT_VERSION

$(NEXT)/gen/%.pb-c.c $(NEXT)/gen/%.pb-c.h: %.proto
	@mkdir -p $(NEXT)/src/$(*D) $(@D)
	@sed 's,^//NEXT ,,' $< >$(NEXT)/src/$<
	cd $(NEXT)/src && $(PROTOC_C) --c_out=$(abspath $(NEXT))/gen $<

$(NEXT)/obj/gen/%.o: $(NEXT)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(NEXT_CPPFLAGS) $(filter-out -W%,$(ALL_CFLAGS)) $(PKG_CFLAGS) -c -o $@ $<

$(NEXT)/obj/%.o: %.c | $(NEXT_GEN_C:.c=.h)
	@mkdir -p $(@D)
	$(CC) $(NEXT_CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(NEXT)/regentd: $(NEXT_OBJS) $(NEXT_SAME)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(NEXT_OBJS) $(NEXT_SAME) $(LDLIBS)

tools: $(NEXT)/regentd

# The unit test of that program; its objects are linked, not the library.
$(B)/tests/unit/test_version_next: tests/unit/test_version_next.c $(NEXT_PURE) $(NEXT_SAME) | $(NEXT_GEN_C:.c=.h)
	@mkdir -p $(@D)
	$(CC) $(NEXT_CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(NEXT_PURE) $(NEXT_SAME) \
	    $(LDLIBS) -lcmocka

-include $(NEXT_OBJS:.o=.d)
