"""Tool back ends: the outgoing half of a tool call."""
