"""What uses a session for one purpose: a queue for several machines, tools for agents, and an MCP server.

It needs nothing that users do not have.
"""
