"""A chat call through Quarterdeck beside the same call through other makers' gateways."""
