"""MCP tool calls through Quarterdeck, beside other makers' MCP proxies, before a raw server."""
