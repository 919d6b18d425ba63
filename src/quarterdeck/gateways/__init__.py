"""The data plane: every wire an agent speaks. Knows no services, no console, no engine."""
