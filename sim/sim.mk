# The simulator (sim/README.md).

SIM_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard sim/*.c))
SIM_LIB := $(B)/libsim.a
-include $(SIM_OBJS:.o=.d)

$(SIM_LIB): $(SIM_OBJS)
	@rm -f $@
	ar rcs $@ $(SIM_OBJS)

# Unit tests of the simulator's own parts.
$(B)/tests/unit/test_sim_%: tests/unit/test_sim_%.c $(SIM_LIB) $(LIB) | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(SIM_LIB) $(LIB) $(LDLIBS) -lcmocka
