"""Fixtures for pytest: `pytest_plugins = ["luma_async.testing.fixtures"]`. They need pytest and pytest-asyncio.

`gateway` is a running `FakeGateway`. To change its arguments, override `gateway_options` in a module or a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from luma_async.testing.gateway import FakeGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The arguments of the gateway; override this fixture to pass some."""
    return {}


@pytest_asyncio.fixture
async def gateway(gateway_options: dict[str, Any]) -> AsyncIterator[FakeGateway]:
    """A fake gateway that runs during the test."""
    async with FakeGateway(**gateway_options) as running:
        yield running


@pytest.fixture
def gateway_env(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """The same gateway, with `LUMA_API_KEY` and `LUMA_BASE_URL` set to it, for programs that read them."""
    monkeypatch.setenv("LUMA_API_KEY", gateway.api_key)
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    return gateway
