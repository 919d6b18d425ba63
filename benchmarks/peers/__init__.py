"""Gateways of other makers, pinned, each in an environment of its own under `.tools/peers/`."""
