"""Fixtures for pytest: `pytest_plugins = ["luma_async.testing.fixtures"]`. They need pytest and pytest-asyncio.

`gateway` is a running `FakeGateway`. To set it up in another way, override `gateway_options` in a module or a class.
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
    """The arguments of the gateway; override it to give some."""
    return {}


@pytest_asyncio.fixture
async def gateway(gateway_options: dict[str, Any]) -> AsyncIterator[FakeGateway]:
    """A fake relay that runs while the test does."""
    async with FakeGateway(**gateway_options) as running:
        yield running


@pytest.fixture
def gateway_env(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """The same relay, named in the environment, for programs that read `LUMA_API_KEY` and `LUMA_BASE_URL`."""
    monkeypatch.setenv("LUMA_API_KEY", gateway.api_key)
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    return gateway
