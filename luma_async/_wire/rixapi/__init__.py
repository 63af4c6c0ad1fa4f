"""The format of relay gateways."""
