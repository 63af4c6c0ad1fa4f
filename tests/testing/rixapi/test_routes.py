"""The fake relay answers every documented request as the recorded answers do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import ClientSession

from luma_async.testing import (
    FakeGateway,
    completes_without_link,
    fails,
    queued_words,
    stalls,
    succeeds,
    watermarked_only,
)

SAMPLES = Path(__file__).parents[2] / "samples" / "rixapi"
VIDEO = {"prompt": "cat dance", "aspect_ratio": "16:9"}
OLD_VIDEO = {"user_prompt": "cat dance", "aspect_ratio": "16:9"}


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


def shape(value):
    """The nested field names of a body, without values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def paths(value, at=""):
    """The path of every field in a body."""
    if isinstance(value, dict):
        return {at} | {path for name, inner in value.items() for path in paths(inner, f"{at}.{name}")}
    return {at}


async def post(client, path, body):
    return await client.ask("POST", path, json=body)


@pytest.mark.parametrize(
    ("status", "form", "name"),
    [
        (201, "flat", "submit-201-pending"),
        (200, "flat", "submit-200-pending-related"),
        (201, "server_id", "submit-201-server-id"),
        (200, "nested", "submit-200-nested-id"),
    ],
)
async def test_submit_fields(client, gateway, status, form, name):
    """A submit is answered in each recorded form, and starts one charged generation."""
    gateway.behaviour.submit_status, gateway.behaviour.submit_shape = status, form
    answer = await client.submit()
    assert answer.status == status
    missing = {"video"} if form == "server_id" else set()
    assert set(answer.body) - missing == set(sample(name)) - missing
    data = answer.body.get("data", answer.body)
    assert [charge.generation_id for charge in gateway.charges] == [data.get("id") or data["task_id"]]
    assert gateway.charges[0].prompt == "cat dance"
    assert gateway.charges[0].body == VIDEO


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("body", "name"), [(VIDEO, "query-completed-2025"), (OLD_VIDEO, "query-completed-2024")], ids=["2025", "2024"]
)
async def test_completed_query_fields(client, body, name):
    """A completed generation has the recorded fields of the edition that submitted it."""
    generation_id = (await post(client, "/luma/generations", body)).body["id"]
    await asyncio.sleep(21)
    answer = await client.query(generation_id)
    assert answer.status == 200
    assert paths(answer.body) == paths(sample(name))
    assert answer.body["id"] == generation_id


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("script", "name"),
    [(completes_without_link(1), "query-completed-no-link"), (fails(after=1), "query-failed-assumed")],
)
async def test_query_without_files(client, gateway, script, name):
    """Failed, and completed without a link, have the recorded fields."""
    gateway.scripts["cat dance"] = script
    generation_id = await client.submit_id()
    await asyncio.sleep(2)
    assert shape((await client.query(generation_id)).body) == shape(sample(name))


@pytest.mark.looptime
async def test_thumbnail_string(client, gateway):
    """The edition of 2024 has a string as the thumbnail of a watermarked video."""
    gateway.scripts["cat dance"] = watermarked_only(after=1)
    generation_id = (await post(client, "/luma/generations", OLD_VIDEO)).body["id"]
    await asyncio.sleep(2)
    body = (await client.query(generation_id)).body
    recorded = sample("query-completed-thumbnail-string")
    assert set(body["video"]) == set(recorded["video"])
    assert isinstance(body["video"]["thumbnail"], str)
    assert body["video"]["download_url"] == ""
    assert body["video_raw"] is None


async def test_assumed_running_2025(client):
    """A running generation of the edition of 2025 has its request, and null for each file."""
    body = (await client.query(await client.submit_id())).body
    assert (body["state"], body["request"]) == ("pending", VIDEO)
    assert [body[name] for name in ("video", "video_raw", "thumbnail", "last_frame", "artifact")] == [None] * 5


@pytest.mark.looptime
async def test_envelope_rows(client):
    """A row has the recorded fields, times in seconds, and a progress in addition."""
    first = (await post(client, "/luma/generations", OLD_VIDEO)).body["id"]
    await asyncio.sleep(8)
    body = (await client.tasks(first, "unknown")).body
    recorded = sample("tasks-envelope")
    [row] = body["data"]
    assert {**body, "data": None} == {**recorded, "data": None}
    assert set(row) == set(recorded["data"][0]) | {"progress"}
    assert set(row["data"]) >= set(recorded["data"][0]["data"])
    assert (row["task_id"], row["status"], row["progress"]) == (first, "IN_PROGRESS", "40%")
    assert row["start_time"] - row["submit_time"] in {5, 6}
    assert row["finish_time"] == 0
    await asyncio.sleep(15)
    [row] = (await client.tasks(first)).body["data"]
    assert (row["status"], row["progress"]) == ("SUCCESS", "100%")
    assert row["finish_time"] - row["submit_time"] in {20, 21}


@pytest.mark.looptime
async def test_failed_row(client, gateway):
    """A FAILURE has its reason in the row and in the generation."""
    gateway.scripts["cat dance"] = fails("Frame moderation failed", after=1)
    generation_id = await client.submit_id()
    await asyncio.sleep(2)
    [row] = (await client.tasks(generation_id)).body["data"]
    assert (row["status"], row["fail_reason"]) == ("FAILURE", "Frame moderation failed")
    assert set(row) >= set(sample("tasks-envelope-failure-assumed")["data"][0])


async def test_bare_list(client, gateway):
    """A bare list leaves out unknown ids and has repeated ids once."""
    gateway.behaviour.batch = "list"
    ids = [await client.submit_id("a"), await client.submit_id("b")]
    rows = (await client.tasks(*ids, "unknown", ids[0])).body
    assert [row["id"] for row in rows] == ids


@pytest.mark.parametrize(("batch", "status"), [("missing", 404), ("html", 200)])
async def test_missing_batch_query(client, gateway, batch, status):
    """A missing endpoint is a 404 or a web page."""
    gateway.behaviour.batch = batch
    answer = await client.tasks("a")
    assert answer.status == status
    assert ("html" in answer.headers["Content-Type"]) is (batch == "html")
    assert gateway.counts["tasks"] == 1


@pytest.mark.parametrize("status", [400, 413])
async def test_batch_limit(client, gateway, status):
    """A query above the limit is refused; a query at the limit is answered."""
    gateway.behaviour.batch_limit, gateway.behaviour.batch_limit_status = 2, status
    assert (await client.tasks("a", "b")).status == 200
    assert (await client.tasks("a", "b", "c")).status == status


async def test_batch_without_ids(client):
    """A query for many without a list of strings is refused."""
    for body in ({}, {"ids": "a"}, {"ids": [1]}, []):
        assert (await post(client, "/luma/tasks", body)).status == 400


async def test_unknown_generation(client):
    """The query and the link endpoint answer as recorded about an unknown id."""
    for answer in (await client.query("unknown"), await client.link("unknown")):
        assert (answer.status, answer.body["code"], answer.body["data"]) == (400, "task_not_exist", None)


@pytest.mark.looptime
async def test_assumed_link_endpoint(client):
    """The link endpoint answers 400 before completion, and returns a working link afterwards."""
    generation_id = await client.submit_id()
    early = await client.link(generation_id)
    assert (early.status, early.body["code"]) == (400, "task_not_completed")
    await asyncio.sleep(21)
    answer = await client.link(generation_id)
    assert (answer.status, set(answer.body)) == (200, {"url"})
    assert (await client.file(answer.body["url"])).status == 200


@pytest.mark.looptime
async def test_extend(client, gateway):
    """An extend of a completed video is charged under a new id; any other is refused."""
    source = await client.submit_id()
    path, old = f"/luma/generations/{source}/extend", sample("extend-request-2024")
    assert (await post(client, path, old)).status == 400
    assert (await post(client, "/luma/generations/unknown/extend", old)).body["code"] == "task_not_exist"
    await asyncio.sleep(21)
    answer = await post(client, path, old)
    assert (answer.status, shape(answer.body)) == (200, shape(sample("extend-200")))
    assert answer.body["id"] != source
    assert [charge.kind for charge in gateway.charges] == ["video", "extend"]
    assert gateway.generations[answer.body["id"]].source == source
    assert gateway.counts["extend"] == 3


@pytest.mark.looptime
async def test_assumed_audio(client, gateway):
    """A submit with `task_id` needs a completed video and no aspect ratio."""
    source = await client.submit_id()
    order = {"prompt": "purring", "task_id": source}
    assert (await post(client, "/luma/generations", order)).status == 400
    await asyncio.sleep(21)
    assert (await post(client, "/luma/generations", order)).status == 201
    assert [charge.kind for charge in gateway.charges] == ["video", "audio"]
    assert (await post(client, "/luma/generations", order | {"task_id": "unknown"})).body["code"] == "task_not_exist"


@pytest.mark.parametrize(
    "body",
    [
        {"aspect_ratio": "16:9"},
        {"prompt": "", "aspect_ratio": "16:9"},
        {"prompt": "cat"},
        {"prompt": ["cat"], "aspect_ratio": "16:9"},
        VIDEO | {"loop": "yes"},
        VIDEO | {"keyframes": []},
        VIDEO | {"keyframes": {"frame0": "https://e.example/a.jpg"}},
        VIDEO | {"keyframes": {"frame0": {"type": "image"}}},
        VIDEO | {"keyframes": {"frame0": {"type": "video", "url": "https://e.example/a.mp4"}}},
        VIDEO | {"keyframes": {"frame2": {"type": "image", "url": "https://e.example/a.jpg"}}},
        [VIDEO],
    ],
)
async def test_invalid_submit(client, gateway, body):
    """A missing or mistyped documented field gets a 400 and no charge."""
    assert (await post(client, "/luma/generations", body)).status == 400
    assert gateway.charges == ()


async def test_malformed_json(client, gateway):
    """Malformed JSON gets a 400 and no charge."""
    answer = await client.ask("POST", "/luma/generations", data=b'{"prompt": "cat"')
    assert (answer.status, gateway.charges) == (400, ())
    assert gateway.requests[0].body is None


@pytest.mark.parametrize("name", ["submit-request-2024", "submit-request-2025"])
@pytest.mark.parametrize("edition", ["2024", "2025"])
async def test_edition(client, gateway, name, edition):
    """A relay of one edition refuses the prompt of the other."""
    gateway.behaviour.edition = edition
    expected = 201 if edition in name else 400
    assert (await post(client, "/luma/generations", sample(name))).status == expected


async def test_unknown_fields(client, gateway):
    """An undocumented field is ignored, and noted in `unknown_fields`."""
    keyframes = {"frame0": {"type": "image", "url": "u"}, "frame1": {"type": "generation", "id": "g"}}
    assert (await client.submit(loop=None, keyframes=keyframes, notify_hook="h", mood="blue")).status == 201
    assert gateway.unknown_fields == {"mood"}
    assert gateway.charges[0].body["mood"] == "blue"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_wrong_path(client, gateway, method):
    """Unknown paths and methods get the relay's 404."""
    answer = await client.ask(method, "/luma/nothing")
    assert (answer.status, answer.body["error"]["message"]) == (404, f"Invalid URL ({method} /luma/nothing)")
    assert (await client.ask("DELETE", "/luma/tasks")).status == 404
    assert gateway.counts["unknown"] == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/luma/generations"),
        ("GET", "/luma/generations/a"),
        ("POST", "/luma/generations/a/extend"),
        ("GET", "/luma/generations/a/download_video_url"),
        ("POST", "/luma/tasks"),
        ("GET", "/api/usage/token"),
    ],
)
async def test_key_is_required(client, gateway, method, path):
    """Without the correct key, each endpoint answers 401 and charges nothing."""
    wrong = await client.ask(method, path, key="sk-wrong", json=VIDEO)
    missing = await client.ask(method, path, headers={"Authorization": ""}, json=VIDEO)
    assert wrong.status == missing.status == 401
    assert set(wrong.body["error"]) == {"message", "type", "code"}
    assert gateway.charges == ()


async def test_assumed_account():
    """The account needs the access token and the user id, in any of the known headers."""
    async with (
        FakeGateway(access_token="system-token", user_id=7) as gateway,
        ClientSession(gateway.base_url) as http,
    ):

        async def user(token, **headers):
            headers = {"Authorization": token} | {name.replace("_", "-"): value for name, value in headers.items()}
            async with http.get("/api/user/self", headers=headers) as response:
                return response.status, await response.json()

        for header in ("New_Api_User", "Rix_Api_User", "X_Api_User"):
            status, body = await user("Bearer system-token", **{header: "7"})
            assert (status, shape(body)) == (200, shape(sample("user-self")))
            assert body["data"]["id"] == 7
        assert (await user("wrong", New_Api_User="7"))[1]["success"] is False
        assert (await user("system-token"))[0] == 401
        assert (await user("system-token", New_Api_User="8"))[0] == 401


async def test_account_without_access_token(client):
    """A gateway without an access token answers 200 with `success: false`, as recorded."""
    answer = await client.ask("GET", "/api/user/self", key="anything")
    assert (answer.status, answer.body["success"]) == (200, False)


async def test_assumed_key_usage(client):
    """The usage of the key has the recorded fields, and grows with each charge."""
    before = (await client.ask("GET", "/api/usage/token")).body
    assert shape(before) == shape(sample("usage-token"))
    await client.submit_id()
    after = (await client.ask("GET", "/api/usage/token")).body["data"]
    assert after["total_used"] > before["data"]["total_used"]
    assert after["total_available"] + after["total_used"] == after["total_granted"]


async def test_prefix():
    """`prefix=` applies to every endpoint of the relay dialect."""
    async with (
        FakeGateway(prefix="/vip") as gateway,
        ClientSession(headers={"Authorization": "Bearer sk-fake"}) as http,
    ):
        assert gateway.base_url.endswith("/vip")
        async with http.post(f"{gateway.base_url}/luma/generations", json=VIDEO) as response:
            assert response.status == 201
        async with http.post(f"http://127.0.0.1:{gateway.port}/luma/generations", json=VIDEO) as response:
            assert response.status == 404


async def test_creation_time_precision(client):
    """The creation time has microseconds in a submit and milliseconds in a query."""
    submitted = (await client.submit()).body
    queried = (await client.query(submitted["id"])).body
    assert submitted["created_at"].startswith(queried["created_at"].removesuffix("Z"))
    assert len(submitted["created_at"]) == len(queried["created_at"]) + 3


async def test_queued_words_in_submit(client, gateway):
    """The answer to a submit uses the same words as queries."""
    gateway.scripts["cat dance"] = queued_words(stalls())
    assert (await client.submit()).body["state"] == "queued"
    gateway.scripts["cat dance"] = succeeds()
    assert (await client.submit()).body["state"] == "pending"
