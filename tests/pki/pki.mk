# The maker of odd certificates that tests/lib/pki.py uses. Part of `make tools`.

$(B)/tests/pki/make_cert: tests/pki/make_cert.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS)

tools: $(B)/tests/pki/make_cert
-include $(B)/tests/pki/make_cert.d
