"""Every fault does on the wire what its name says, and is charged exactly if it says so."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zlib

import aiohttp
import pytest

from luma_async.testing import (
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

BIG = json.dumps({"prompt": "cat", "aspect_ratio": "1:1", "picture": "A" * 4_000_000}).encode()
DROPPED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


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
        (hang(5, charged=True), aiohttp.ServerDisconnectedError),
    ],
)
@pytest.mark.looptime
async def test_a_lost_answer_is_charged_as_the_fault_says(client, gateway, fault, error):
    """The client sees the loss, the charges tell the truth, and the next submit is served."""
    gateway.inject(fault)
    with pytest.raises(error):
        await client.submit()
    assert len(gateway.charges) == len(gateway.generations) == int(fault.charged)
    assert (await client.submit()).status == 201
    assert gateway.counts["submit"] == 2


@pytest.mark.parametrize(
    ("fault", "status", "charged"),
    [
        (answer(418, {"a": 1}), 418, False),
        (answer(201, ["a"], charged=True), 201, True),
        (rate_limited(), 429, False),
        (rate_limited(3), 429, False),
        (out_of_credit(), 403, False),
        (server_error(), 500, False),
        (server_error(503), 503, False),
        (server_error(502, html=True), 502, False),
        (server_error(504, html=True, charged=True), 504, True),
        (two_documents(), 400, False),
        (two_documents(200, charged=True), 200, True),
        (html_page(), 200, False),
        (html_page(charged=True), 200, True),
        (redirect(307, "https://elsewhere.example/"), 307, False),
        (redirect(302, "https://elsewhere.example/", charged=True), 302, True),
        (no_id(), 201, True),
        (id_and_error(), 201, True),
        (nested_json(), 200, True),
        (nested_json(charged=False), 200, False),
        (huge_body(), 200, True),
        (huge_body(charged=False), 200, False),
        (gzip_bomb(charged=False), 200, False),
    ],
)
async def test_a_wrong_answer_is_charged_as_the_fault_says(client, gateway, fault, status, charged):
    """The status is the fault's, and a charge is counted exactly if it says so."""
    gateway.inject(fault)
    assert (await client.submit()).status == status
    assert fault.charged is charged
    assert len(gateway.charges) == int(charged)


@pytest.mark.parametrize("fault", [drop_after_reading(), hang(1, charged=True), late(1), cut_body(), garbage()])
@pytest.mark.looptime
async def test_what_the_service_refuses_is_never_charged(client, gateway, fault):
    """A fault that charges does not charge for a refused submit."""
    gateway.scripts["cat dance"] = rejects()
    gateway.inject(fault)
    with contextlib.suppress(aiohttp.ClientError):
        await client.submit()
    assert gateway.charges == ()


@pytest.mark.looptime
async def test_a_late_answer_is_charged_at_once_and_comes_later(client, gateway):
    """The charge counts before the answer arrives."""
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
async def test_a_silent_server_outlasts_the_patience_of_a_client(client, gateway):
    """A hanging request ends in the client's own timeout, and does not keep the gateway from stopping."""
    gateway.inject(hang(charged=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await client.submit()
    assert len(gateway.charges) == 1


async def test_a_connection_can_close_before_a_large_body_is_read(client, gateway):
    """The client notices while it still writes, and the body was never seen."""
    gateway.inject(drop_before_reading())
    with pytest.raises(DROPPED):
        await client.ask("POST", "/luma/generations", data=io.BytesIO(BIG))
    assert gateway.requests[0].body is None
    assert (await client.ask("POST", "/luma/generations", data=io.BytesIO(BIG))).status == 201
    assert len(gateway.charges) == 1


async def test_headers_and_bodies_are_those_that_were_asked_for(client, gateway):
    """A general answer sends the body and headers it was given."""
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


async def test_bodies_are_as_bad_as_they_are_called(client, gateway):
    """Two documents, a web page, deep nesting, a huge text, a missing id and an id with an error are what they say."""
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


async def test_a_nested_id_is_left_out_too(client, gateway):
    """The id that stands in `data` is missing as well."""
    gateway.behaviour.submit_shape = "nested"
    gateway.inject(no_id())
    assert set((await client.submit()).body["data"]) == {"task_status", "created_at", "updated_at"}


async def test_a_bomb_is_small_on_the_wire(gateway):
    """A gzip bomb is a thousandth of what it unpacks to."""
    gateway.inject(gzip_bomb(8 * 1024 * 1024), on="query")
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with (
        aiohttp.ClientSession(gateway.base_url, auto_decompress=False, headers=headers) as http,
        http.get("/luma/generations/a") as response,
    ):
        packed = await response.read()
    assert len(packed) < 20_000
    assert len(zlib.decompress(packed, 31)) == 8 * 1024 * 1024


async def test_an_answer_can_be_reshaped(client, gateway):
    """Any change of the JSON is possible; a refusal passes unchanged."""
    gateway.inject(reshapes(lambda body: {"wrapped": body}), times=2)
    assert set((await client.submit()).body) == {"wrapped"}
    assert (await client.submit(prompt="")).body["code"] == "invalid_request"


async def test_faults_strike_in_order_and_as_often_as_told(client, gateway):
    """The first fault strikes its times, then the next one, then none."""
    gateway.inject(server_error(500), times=2)
    gateway.inject(rate_limited())
    assert [(await client.submit()).status for _ in range(4)] == [500, 500, 429, 201]


async def test_a_fault_may_choose_its_requests(client, gateway):
    """Requests that a fault does not want are left to the others, also to one that strikes before reading."""
    gateway.inject(server_error(500), when=lambda seen: seen.body["prompt"] == "b")
    gateway.inject(rate_limited(), when=lambda seen: seen.body["prompt"] == "a")
    gateway.inject(drop_before_reading(), when=lambda seen: seen.body["prompt"] == "c")
    assert [(await client.submit(prompt)).status for prompt in ("a", "a", "b", "b")] == [429, 201, 500, 201]
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.submit("c")
    assert len(gateway.charges) == 2


async def test_a_fault_strikes_its_kind_only_until_cleared(client, gateway):
    """Other kinds are served; clearing ends an outage."""
    gateway.inject(server_error(500), on="query", times=ALWAYS)
    gateway.inject(server_error(500), on="tasks", times=ALWAYS)
    generation_id = await client.buy()
    assert [(await client.query(generation_id)).status for _ in range(3)] == [500] * 3
    gateway.clear_faults("query")
    assert (await client.query(generation_id)).status == 200
    assert (await client.tasks(generation_id)).status == 500
    gateway.clear_faults()
    assert (await client.tasks(generation_id)).status == 200


async def test_a_fault_for_nothing_is_an_error(gateway):
    """A misspelled kind of request is noticed at once."""
    with pytest.raises(ValueError, match="'submits'"):
        gateway.inject(server_error(), on="submits")


@pytest.mark.parametrize("wrong", ["x", hang, None], ids=["a text", "no parentheses", "nothing"])
async def test_what_is_no_fault_is_refused(gateway, wrong):
    """A slip in a test shows where it was made, not in some request later."""
    with pytest.raises(TypeError, match=r"a fault such as hang\(\)"):
        gateway.inject(wrong)
