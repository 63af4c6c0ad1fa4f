"""Calling `on_event`: what the callback raises stops nothing, except the end of the program."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import Paused
from luma_async.values.events import Emitter


class Ended(BaseException):
    """An exception that `except Exception` does not catch."""


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError(), GeneratorExit(), Ended()])
def test_emitter_callback_raises(error, caplog):
    """An exception of the callback is logged with the event's name and goes no further, also CancelledError."""

    def on_event(_):
        raise error

    Emitter(on_event).emit(Paused(delay_s=1))
    assert "on_event raised; the event was Paused" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_emitter_callback_ends_program(error):
    """KeyboardInterrupt and SystemExit are not swallowed."""

    def on_event(_):
        raise error

    with pytest.raises(error):
        Emitter(on_event).emit(Paused(delay_s=1))


def test_emitter_without_callback():
    """Without `on_event` an event is dropped, and `listened` says that it need not be made."""
    Emitter().emit(Paused(delay_s=1))
    assert not Emitter().listened
    assert Emitter(print).listened


async def test_emitter_callback_cancels_task(caplog):
    """A callback that cancels the task in which it runs does not cancel the task that emits the event."""

    async def emits():
        Emitter(lambda _: asyncio.current_task().cancel()).emit(Paused(delay_s=1))
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    assert await asyncio.create_task(emits()) == 0
    assert "on_event raised" in caplog.text


async def test_emitter_callback_cancels_caller():
    """A callback may cancel a task of the program's own by its name, also the one that called it."""
    task = None

    async def emits():
        Emitter(lambda _: task.cancel()).emit(Paused(delay_s=1))
        await asyncio.sleep(1)

    task = asyncio.create_task(emits())
    with pytest.raises(asyncio.CancelledError):
        await task
