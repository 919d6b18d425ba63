"""The MCP gateway: granted tools, resources and prompts, in both eras of the protocol."""
