"""A shop behind an MCP server: a real process over a real SQLite database.

Everything here needs the standard library alone, except `http.py`, which needs uvicorn.
"""
