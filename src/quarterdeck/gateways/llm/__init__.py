"""Model wires: vendors' own formats, bytes unchanged."""
