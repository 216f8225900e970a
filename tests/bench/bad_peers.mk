# make bench-bad-peers: what callers that are refused cost the others (tests/bench/bad_peers.py).

.PHONY: bench bench-bad-peers
bench: bench-bad-peers
bench-bad-peers: deps
	@$(MAKE) --no-print-directory -j2 build tools
	@$(TEST_ENV) $(PYTHON) tests/bench/bad_peers.py
