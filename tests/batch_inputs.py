"""Helpers for tests of batches: inputs, faults of single items, and loops that take outcomes."""

from __future__ import annotations

import asyncio

from luma_async import LumaError
from luma_async.testing import Fault


def prompts(count):
    return [f"cat {number}" for number in range(count)]


class EndlessInput:
    """An endless input that counts the items read from it."""

    def __init__(self):
        self.pulled = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.pulled += 1
        return f"cat {self.pulled - 1}"


async def take(batch, seen):
    """Append all outcomes to a list, so that those before an error are kept."""
    async for outcome in batch:
        seen.append(outcome)


async def settle():
    """Wait until nothing more happens, in virtual time."""
    await asyncio.sleep(300)


def later(seconds, fault):
    """Delay a fault."""

    async def act(exchange):
        await asyncio.sleep(seconds)
        return await fault.act(exchange)

    return Fault("later", charged=False, act=act)


def strike(gateway, prompt, fault, **options):
    """Inject a fault into the submit of a prompt."""
    gateway.inject(fault, when=lambda seen: prompt in str(seen.body), **options)


async def take_all(batch):
    """Take all outcomes; return their errors by prompt, and the error that stopped the batch."""
    errors = {}
    try:
        async for outcome in batch:
            errors[outcome.request.prompt] = outcome.error
    except LumaError as error:
        return errors, error
    return errors, None
