"""A validating proxy between a client and the gateway finds no error in either."""

from __future__ import annotations

import aiohttp
import pytest
from conformance import plain_client, session_client
from conformance.document import ROOT
from conformance.prism import prism

from luma_async.testing import FakeGateway, fails, reshapes, stalls, succeeds

PAID = {"submit", "image", "reframe", "modify", "upscale", "audio"}
KINDS = {*PAID, "query", "list", "delete", "concepts", "credits", "ping"}
CLIENTS = [(plain_client.use_everything, succeeds(0)), (session_client.use_everything, succeeds(0.5))]
"""Coroutine functions of a base URL and a key, and the script of their generations."""

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("client", "script"), CLIENTS, ids=["plain", "session"])
async def test_exchanges_conform(document, client, script):
    """Every request and every answer conforms, and the client used every kind of request."""
    async with FakeGateway(script=script) as gateway, prism(document, gateway.base_url) as proxy:
        await client(proxy.base_url, gateway.api_key)
    print(f"{proxy.passed} exchanges, {len(proxy.violations)} violations")
    assert proxy.violations == []
    assert proxy.passed == sum(gateway.counts.values())
    assert set(gateway.counts) == KINDS


@pytest.mark.parametrize("script", [stalls(), fails("Job failed", after=0)])
async def test_unfinished_and_failed_conform(document, script):
    """Bodies of queued and failed generations conform, too."""
    async with FakeGateway(script=script) as gateway, prism(document, gateway.base_url) as proxy:
        await plain_client.use_everything(proxy.base_url, gateway.api_key)
    assert (proxy.violations, proxy.passed) == ([], sum(gateway.counts.values()))


async def test_proxy_finds_bad_answer(document):
    """A balance without its only field is one violation."""
    async with FakeGateway(script=succeeds(0)) as gateway, prism(document, gateway.base_url) as proxy:
        gateway.inject(reshapes(lambda _: {}), on="credits")
        await plain_client.use_everything(proxy.base_url, gateway.api_key)
    assert len(proxy.violations) == 1


async def test_proxy_finds_bad_request(document):
    """A submit without its model is one violation, and does not reach the gateway."""
    async with FakeGateway() as gateway, prism(document, gateway.base_url) as proxy:
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            await http.post(f"{proxy.base_url}{ROOT}/generations/video", json={"prompt": "cat dance"})
    assert (len(proxy.violations), proxy.passed, gateway.counts) == (1, 1, {})
