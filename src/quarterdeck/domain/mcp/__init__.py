"""The Model Context Protocol as values: versions, messages, asks. No I/O."""
