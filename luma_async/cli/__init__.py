"""The command line: thin, over the public API only. Data goes to stdout, everything else to stderr."""
