"""The mocks of HTTP work, and the day they work by themselves is noticed."""

from __future__ import annotations

import aiohttp
import pytest
from aioresponses import aioresponses, compat, core

URL = "http://mocked.example/clip.mp4"


async def _get():
    async with aiohttp.ClientSession() as session, session.get(URL) as response:
        return response.status, await response.read()


async def test_mocked_body_is_complete(mocked_http):
    """A mocked body that is longer than the reader's limit arrives complete."""
    clip = bytes(range(256)) * 4096
    mocked_http.get(URL, body=clip, content_type="video/mp4")
    assert await _get() == (200, clip)


async def test_shim_is_needed():
    """Without MockedResponse a mocked call fails; once it passes, tests/mocked_http.py can be removed."""
    with aioresponses() as plain:
        plain.get(URL, body=b"x")
        with pytest.raises(TypeError, match="stream_writer"):
            await _get()


async def test_large_reader_is_needed(mocked_http, monkeypatch):
    """With the reader of aioresponses, a body longer than its limit still fails in aiohttp."""
    monkeypatch.setattr(core, "stream_reader_factory", compat.stream_reader_factory)
    mocked_http.get(URL, body=bytes(1024 * 1024))
    with pytest.raises(AssertionError):
        await _get()
