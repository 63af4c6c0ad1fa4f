"""Responses and generations that wait for a test."""

from __future__ import annotations

from luma_async.testing import Fault, succeeds


def held(go_on, accepted=None):
    """Accept a request at once, set `accepted`, and respond when `go_on` is set."""

    async def act(exchange):
        response = exchange.serve()
        if accepted is not None:
            accepted.set()
        await go_on.wait()
        return response

    return Fault("held", charged=True, act=act)


def finish_all(gateway):
    """Complete every generation that was submitted so far."""
    for generation in gateway.generations.values():
        generation.script = succeeds(after=0)
