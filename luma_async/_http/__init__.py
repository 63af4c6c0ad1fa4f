"""Calls to one service. Without I/O: retry, address. With I/O: transport, queries, listing, proxies."""
