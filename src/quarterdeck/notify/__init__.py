"""Messages to people. Nothing yet."""
