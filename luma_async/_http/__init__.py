"""Calls to one service. Pure: retry, address, listing. I/O: transport, queries."""
