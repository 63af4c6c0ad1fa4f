"""Mocked HTTP for tests of the shape of requests: no socket, no timeouts, and no trace ever fires."""

from __future__ import annotations

from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses, core

_READER_LIMIT_BYTES = 64 * 1024 * 1024
"""Room for a whole clip: a mocked body arrives at once, and nobody is there to be told to pause."""


class MockedResponse(aiohttp.ClientResponse):
    """A response that can be built without the writer of the request, which aiohttp asks for since 3.14."""

    def __init__(self, *args, stream_writer=None, **kwargs):
        super().__init__(*args, stream_writer=stream_writer or Mock(output_size=0), **kwargs)


def _reader(loop=None):
    return aiohttp.StreamReader(ResponseHandler(loop=loop), limit=_READER_LIMIT_BYTES, loop=loop)


@pytest.fixture
def mocked_http(monkeypatch):
    """Answer aiohttp's requests from a list: `mocked_http.post(url, payload=…)`, then read `mocked_http.requests`."""
    monkeypatch.setattr(core, "ClientResponse", MockedResponse)
    monkeypatch.setattr(core, "stream_reader_factory", _reader)
    with aioresponses() as mocked:
        yield mocked
