"""The REST API: one file per noun, bodies in wire.py, one table of errors."""
