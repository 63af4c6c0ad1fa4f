"""Mocked HTTP for tests of the shape of requests. It has no sockets, no timeouts and no traces."""

from __future__ import annotations

from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses, core

_READER_LIMIT_BYTES = 64 * 1024 * 1024
"""Larger than any video of the tests: a mocked body arrives at once, without flow control."""


class MockedResponse(aiohttp.ClientResponse):
    """A response without the writer of its request, which aiohttp requires since 3.14."""

    def __init__(self, *args, stream_writer=None, **kwargs):
        super().__init__(*args, stream_writer=stream_writer or Mock(output_size=0), **kwargs)


def _reader(loop=None):
    return aiohttp.StreamReader(ResponseHandler(loop=loop), limit=_READER_LIMIT_BYTES, loop=loop)


@pytest.fixture
def mocked_http(monkeypatch):
    """Mock the responses of aiohttp: `mocked_http.post(url, payload=…)`; `mocked_http.requests` has the requests."""
    monkeypatch.setattr(core, "ClientResponse", MockedResponse)
    monkeypatch.setattr(core, "stream_reader_factory", _reader)
    with aioresponses() as mocked:
        yield mocked
