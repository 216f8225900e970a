# The model of the protocol (tests/model/README.md).
#
#   make model              every property and every break, exhaustive within the bounds printed
#                           MODEL_JOBS=n runs side by side, each of up to 1.9 GB

MODEL_JOBS ?= 2
.PHONY: model
model:
	@deploy/deps --also spin
	@tests/model/run --jobs $(MODEL_JOBS)
