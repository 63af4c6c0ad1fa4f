"""The fake Agents API takes files as the schemas say."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import aiohttp
import pytest

SAMPLES = Path(__file__).parents[2] / "samples" / "agents"
DATA = b"picture" * 100
FILE = {"mime_type": "image/jpeg", "size_bytes": len(DATA), "purpose": "input", "filename": "a.jpg"}


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


async def create(client, **fields):
    return (await client.ask("POST", "/v1/files", json=FILE | fields)).body


async def put(client, upload, data=DATA, **headers):
    """Send the bytes to the signed address, without a key."""
    sent = upload["headers"] | headers
    async with client.http.request(upload["method"], upload["url"], data=data, headers=sent) as response:
        return response.status


async def state(client, file_id):
    return (await client.ask("GET", f"/v1/files/{file_id}")).body["state"]


@pytest.mark.looptime
async def test_upload(client, gateway):
    """A file is announced, sent, completed, ready after a moment, and then usable in a request."""
    created = await create(client)
    recorded = sample("file-create-presigned-schema")
    assert (created.keys(), created["upload"].keys()) == (recorded.keys(), recorded["upload"].keys())
    assert await put(client, created["upload"]) == 200
    assert gateway.files[created["id"]].received.sha256 == hashlib.sha256(DATA).hexdigest()
    order = {"prompt": "a boat", "image_ref": [{"file_id": created["id"]}]}
    assert (await client.ask("POST", f"/v1/files/{created['id']}/complete")).body["state"] == "pending"
    assert (await client.ask("POST", "/v1/generations", json=order)).status == 422
    await asyncio.sleep(1)
    ready = (await client.ask("GET", f"/v1/files/{created['id']}")).body
    assert (ready.keys(), ready["state"]) == (sample("file-get-ready-schema").keys(), "ready")
    assert (await client.ask("POST", "/v1/generations", json=order)).status == 201
    assert gateway.leaks == ()


@pytest.mark.looptime
async def test_failed_file(client, gateway):
    """A file that is refused when it is taken in has a reason."""
    gateway.agents.file_failure = "flagged"
    created = await create(client)
    await put(client, created["upload"])
    await client.ask("POST", f"/v1/files/{created['id']}/complete")
    await asyncio.sleep(1)
    failed = (await client.ask("GET", f"/v1/files/{created['id']}")).body
    assert (failed["state"], failed["failure_reason"]) == ("failed", "flagged")


async def test_key_at_the_storage_host(client, gateway):
    """The storage host refuses a request with the key, and the gateway records a leak."""
    created = await create(client)
    assert await put(client, created["upload"], Authorization=f"Bearer {gateway.api_key}") == 400
    assert [leak.kind for leak in gateway.leaks] == ["upload"]


@pytest.mark.looptime
async def test_wrong_uploads(client):
    """The storage host checks the size, the type, the signature and the time."""
    upload = (await create(client))["upload"]
    assert await put(client, upload, DATA[:-1]) == 400
    assert await put(client, upload, **{"Content-Type": "text/plain"}) == 403
    unsigned = upload | {"url": upload["url"].rpartition("&")[0]}
    assert await put(client, unsigned) == 403
    await asyncio.sleep(3600)
    assert await put(client, upload) == 403


async def test_assumed_not_uploaded(client):
    """A file whose bytes were not sent cannot be completed."""
    created = await create(client)
    assert (await client.ask("POST", f"/v1/files/{created['id']}/complete")).status == 422
    assert await state(client, created["id"]) == "pending"


@pytest.mark.looptime
async def test_bytes_in_the_request(client):
    """A multipart request needs no upload and no completion."""
    form = aiohttp.FormData()
    form.add_field("file", DATA, filename="a.jpg", content_type="image/jpeg")
    created = (await client.ask("POST", "/v1/files", data=form)).body
    assert (created["upload"], created["file"]["size_bytes"], created["file"]["filename"]) == (None, len(DATA), "a.jpg")
    await asyncio.sleep(1)
    assert await state(client, created["id"]) == "ready"


async def test_list_of_files(client):
    """The list is newest first, in pages joined by cursors, and leaves deleted files out."""
    ids = [(await create(client))["id"] for _ in range(5)]
    assert (await client.ask("DELETE", f"/v1/files/{ids[2]}")).status == 204
    seen, query = [], {"limit": "2"}
    while query:
        page = (await client.ask("GET", "/v1/files", params=query)).body
        seen += [file["id"] for file in page["data"]]
        query = {"limit": "2", "cursor": page["next_cursor"]} if page["has_more"] else None
    assert seen == [ids[4], ids[3], ids[1], ids[0]]
    deleted = (await client.ask("GET", "/v1/files", params={"state": "deleted"})).body["data"]
    assert [(file["id"], file["state"]) for file in deleted] == [(ids[2], "deleted")]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"state": "lost"}, {"cursor": "?"}])
async def test_wrong_list(client, query):
    """A wrong query is refused with a text."""
    answer = await client.ask("GET", "/v1/files", params=query)
    assert (answer.status, type(answer.body["detail"])) == (422, str)


async def test_limits_of_files(client):
    """An image of more than 50 MB is refused, as is a file of more than 5 GiB, and an unknown file is not found."""
    big = await client.ask("POST", "/v1/files", json=FILE | {"size_bytes": 50_000_001})
    assert (big.status, big.body) == (413, sample("errors/413")["body"])
    huge = FILE | {"mime_type": "video/mp4", "size_bytes": 5 * 1024**3 + 1}
    assert (await client.ask("POST", "/v1/files", json=huge)).status == 422
    assert (await client.ask("GET", "/v1/files/any")).status == 404
