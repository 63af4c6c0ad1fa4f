"""Every fault does what its name says, and is charged exactly if it says so."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zlib

import aiohttp
import pytest

from luma_async import testing
from luma_async.testing import (
    ALL_FAULTS,
    ALWAYS,
    answer,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    garbage,
    gzip_bomb,
    hang,
    html_page,
    huge_body,
    id_and_error,
    late,
    nested_json,
    no_id,
    out_of_credit,
    rate_limited,
    redirect,
    rejects,
    reshapes,
    server_error,
    two_documents,
)
from luma_async.testing.faults import requests

BIG = json.dumps({"prompt": "cat", "aspect_ratio": "1:1", "image": "A" * 4_000_000}).encode()
DROPPED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


REQUEST_FAULTS = [fault for fault in ALL_FAULTS if fault.name in vars(requests)]


def test_all_faults():
    """`ALL_FAULTS` has every fault; only faults for any request are charged or lose an answer."""
    exported = {getattr(testing, name) for name in testing.__all__}
    builders = {each.__name__ for each in exported if getattr(each, "__annotations__", {}).get("return") == "Fault"}
    assert {fault.name for fault in ALL_FAULTS} == builders
    assert {fault.name for fault in ALL_FAULTS if fault.charged or fault.loses_answer} <= set(vars(requests))


@pytest.mark.parametrize("fault", REQUEST_FAULTS, ids=lambda fault: fault.name)
@pytest.mark.looptime
async def test_charge_of_each_fault(client, gateway, fault):
    """A submit is charged exactly if the fault says so, and the next submit is served."""
    gateway.inject(fault)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        await client.submit()
    assert len(gateway.charges) == len(gateway.generations) == int(fault.charged)
    assert (await client.submit()).status == 201
    assert gateway.counts["submit"] == 2


@pytest.mark.parametrize("fault", [fault for fault in REQUEST_FAULTS if fault.charged], ids=lambda fault: fault.name)
@pytest.mark.looptime
async def test_refused_submit_is_not_charged(client, gateway, fault):
    """A submit that the service refuses is not charged, not even with a fault that charges."""
    gateway.scripts["cat dance"] = rejects()
    gateway.inject(fault)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        await client.submit()
    assert gateway.charges == ()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (drop_before_reading(), aiohttp.ServerDisconnectedError),
        (drop_before_reading("rst"), aiohttp.ClientOSError),
        (drop_after_reading(), aiohttp.ServerDisconnectedError),
        (drop_after_reading("rst"), aiohttp.ClientOSError),
        (cut_body(), aiohttp.ClientPayloadError),
        (garbage(), aiohttp.ClientResponseError),
        (hang(5), aiohttp.ServerDisconnectedError),
    ],
)
@pytest.mark.looptime
async def test_error_of_a_lost_answer(client, gateway, fault, error):
    """The client sees how its answer was lost."""
    gateway.inject(fault)
    with pytest.raises(error):
        await client.submit()


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (answer(418, {"a": 1}), 418),
        (answer(201, ["a"], charged=True), 201),
        (rate_limited(3), 429),
        (out_of_credit(), 403),
        (server_error(), 500),
        (server_error(503), 503),
        (server_error(502, html=True), 502),
        (two_documents(), 400),
        (two_documents(200, charged=True), 200),
        (html_page(), 200),
        (redirect(307, "https://elsewhere.example/"), 307),
        (no_id(), 201),
        (id_and_error(), 201),
        (nested_json(), 200),
        (huge_body(), 200),
        (gzip_bomb(charged=False), 200),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_status_of_a_fault(client, gateway, fault, status):
    """The answer has the status of the fault."""
    gateway.inject(fault)
    assert (await client.submit()).status == status


@pytest.mark.looptime
async def test_late(client, gateway):
    """The charge counts before the answer is sent."""
    gateway.inject(late(30))
    loop = asyncio.get_running_loop()
    start = loop.time()
    waiting = asyncio.ensure_future(client.submit())
    await asyncio.sleep(10)
    assert len(gateway.charges) == 1
    assert not waiting.done()
    assert (await waiting).status == 201
    assert loop.time() - start >= 30


@pytest.mark.looptime
async def test_hang(client, gateway):
    """A request that hangs ends with the client's timeout, and does not keep the gateway from stopping."""
    gateway.inject(hang(charged=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await client.submit()
    assert len(gateway.charges) == 1


async def test_drop_before_large_body(client, gateway):
    """The connection closes while the client still writes its body."""
    gateway.inject(drop_before_reading())
    with pytest.raises(DROPPED):
        await client.ask("POST", "/luma/generations", data=io.BytesIO(BIG))
    assert gateway.requests[0].body is None
    assert (await client.ask("POST", "/luma/generations", data=io.BytesIO(BIG))).status == 201
    assert len(gateway.charges) == 1


async def test_headers_and_bodies(client, gateway):
    """An answer has the headers and the body that the fault was built with."""
    gateway.inject(answer(200, "plain", {"Content-Type": "text/plain", "X-Request-Id": "r1"}))
    gateway.inject(answer(200, {"a": 1}))
    gateway.inject(rate_limited(7))
    gateway.inject(rate_limited(empty=True))
    gateway.inject(redirect(308, "https://elsewhere.example/x"))
    answers = [await client.submit() for _ in range(5)]
    assert (answers[0].raw, answers[0].headers["X-Request-Id"]) == (b"plain", "r1")
    assert answers[1].body == {"a": 1}
    assert (answers[2].headers["Retry-After"], "message" in answers[2].body["error"]) == ("7", True)
    assert (answers[3].raw, "Retry-After" in answers[3].headers) == (b"", False)
    assert answers[4].headers["Location"] == "https://elsewhere.example/x"


async def test_damaged_bodies(client, gateway):
    """Each damaged body is damaged in the way that its fault is called."""
    for fault in (two_documents(), html_page(), nested_json(), huge_body(9_000_000), no_id(), id_and_error()):
        gateway.inject(fault)
    two, html, deep, huge, missing, both = [await client.submit() for _ in range(6)]
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        _ = two.body
    assert html.raw.startswith(b"<html>")
    assert (html.headers["Content-Type"]).startswith("text/html")
    with pytest.raises(RecursionError):
        _ = deep.body
    assert len(huge.raw) == len(huge.body) + 2 == 9_000_000
    assert "id" not in missing.body
    assert both.body["id"] in gateway.generations
    assert both.body["error"]["code"]


async def test_no_id_if_nested(client, gateway):
    """The id in `data` is left out, too."""
    gateway.behaviour.submit_shape = "nested"
    gateway.inject(no_id())
    assert set((await client.submit()).body["data"]) == {"task_status", "created_at", "updated_at"}


async def test_gzip_bomb(gateway):
    """The compressed body is a thousandth of what it decompresses to."""
    gateway.inject(gzip_bomb(8 * 1024 * 1024), on="query")
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with (
        aiohttp.ClientSession(gateway.base_url, auto_decompress=False, headers=headers) as http,
        http.get("/luma/generations/a") as response,
    ):
        packed = await response.read()
    assert len(packed) < 20_000
    assert len(zlib.decompress(packed, 31)) == 8 * 1024 * 1024


async def test_reshapes(client, gateway):
    """A successful answer is changed; a refusal is not."""
    gateway.inject(reshapes(lambda body: {"wrapped": body}), times=2)
    assert set((await client.submit()).body) == {"wrapped"}
    assert (await client.submit(prompt="")).body["code"] == "invalid_request"


async def test_order_of_faults(client, gateway):
    """Faults apply in order, each `times` times."""
    gateway.inject(server_error(500), times=2)
    gateway.inject(rate_limited())
    assert [(await client.submit()).status for _ in range(4)] == [500, 500, 429, 201]


async def test_condition_of_a_fault(client, gateway):
    """A request that does not meet the condition of a fault meets the next one."""
    gateway.inject(server_error(500), when=lambda seen: seen.body["prompt"] == "b")
    gateway.inject(rate_limited(), when=lambda seen: seen.body["prompt"] == "a")
    gateway.inject(drop_before_reading(), when=lambda seen: seen.body["prompt"] == "c")
    assert [(await client.submit(prompt)).status for prompt in ("a", "a", "b", "b")] == [429, 201, 500, 201]
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.submit("c")
    assert len(gateway.charges) == 2


async def test_clear_faults(client, gateway):
    """A fault applies to its kind of request until it is cleared."""
    gateway.inject(server_error(500), on="query", times=ALWAYS)
    gateway.inject(server_error(500), on="tasks", times=ALWAYS)
    generation_id = await client.submit_id()
    assert [(await client.query(generation_id)).status for _ in range(3)] == [500] * 3
    gateway.clear_faults("query")
    assert (await client.query(generation_id)).status == 200
    assert (await client.tasks(generation_id)).status == 500
    gateway.clear_faults()
    assert (await client.tasks(generation_id)).status == 200


async def test_unknown_kind_is_refused(gateway):
    """`inject()` refuses an unknown kind of request."""
    with pytest.raises(ValueError, match="'submits'"):
        gateway.inject(server_error(), on="submits")


@pytest.mark.parametrize("wrong", ["x", hang, None], ids=["string", "function", "None"])
async def test_wrong_fault_is_refused(gateway, wrong):
    """`inject()` refuses anything that is not a fault."""
    with pytest.raises(TypeError, match=r"a fault such as hang\(\)"):
        gateway.inject(wrong)
