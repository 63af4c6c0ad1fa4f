"""Calling `on_event`: what the callback raises stops nothing, except the end of the program."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import Paused
from luma_async.values.events import Emitter


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError()])
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
