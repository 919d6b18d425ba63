"""Model vendors: the outgoing half of a model call."""
