"""SQL and nothing else: one module per noun, functions over a transaction."""
