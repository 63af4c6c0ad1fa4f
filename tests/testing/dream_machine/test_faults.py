"""Scripts, faults, slots and links apply to the Dream Machine API as to the relay dialect; and `strict=False`."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from luma_async.testing import (
    FakeGateway,
    adds_foreign_row,
    answer,
    completes_without_link,
    cut_body,
    drop_after_reading,
    drops_rows,
    forgets,
    no_id,
    presigned,
    rejects,
    server_error,
    stalls,
    succeeds,
    unknown_at_first,
)

VIDEO = {"model": "ray-2", "prompt": "cat dance"}
IMAGE = {"model": "photon-1", "prompt": "cat dance"}
UUID = "123e4567-e89b-12d3-a456-426614174000"


async def test_refusal_has_a_detail(client, gateway):
    """A rejection by a script and a lack of slots are reported in `detail`, without a charge."""
    gateway.scripts["cat dance"] = rejects("blocked", status=403, message="Frame moderation failed")
    refused = await client.luma("POST", "/generations/image", IMAGE)
    assert (refused.status, refused.body) == (403, {"detail": "Frame moderation failed"})
    gateway.free_slots = 0
    saturated = await client.luma("POST", "/generations", VIDEO)
    assert (saturated.status, set(saturated.body)) == (429, {"detail"})
    assert gateway.charges == ()


@pytest.mark.looptime
async def test_slots_are_shared(client, gateway):
    """Generations of both dialects and of all kinds use the same slots."""
    gateway.free_slots = 2
    gateway.scripts["slow cat"] = stalls()
    await client.submit_id("slow cat")
    await client.luma("POST", "/generations/image", IMAGE)
    assert (await client.luma("POST", "/generations", VIDEO)).status == 429
    await asyncio.sleep(21)
    assert (await client.luma("POST", "/generations", VIDEO)).status == 201


@pytest.mark.looptime
async def test_unknown_generation(client, gateway):
    """A query and the list agree on when a generation is unknown."""
    gateway.scripts |= {"late cat": unknown_at_first(5), "lost cat": forgets(10)}
    ids = [await client.luma_submit_id(prompt) for prompt in gateway.scripts]
    seen = []
    for pause in (1, 6, 6):
        await asyncio.sleep(pause)
        found = [(await client.luma("GET", f"/generations/{each}")).status == 200 for each in ids]
        listed = [each["id"] for each in (await client.luma("GET", "/generations")).body["generations"]]
        assert [each in listed for each in ids] == found
        seen.append(found)
    assert seen == [[False, True], [True, True], [True, False]]


@pytest.mark.looptime
async def test_late_link(client, gateway):
    """A completed generation has no assets until its time."""
    gateway.scripts["cat dance"] = completes_without_link(after=10, link_after=30)
    path = f"/generations/{await client.luma_submit_id()}"
    await asyncio.sleep(11)
    assert "assets" not in (await client.luma("GET", path)).body
    await asyncio.sleep(30)
    assert (await client.luma("GET", path)).body["assets"]["video"]


@pytest.mark.looptime
@pytest.mark.parametrize(("path", "order", "asset"), [("", VIDEO, "video"), ("/image", IMAGE, "image")])
async def test_presigned_links_expire(client, gateway, path, order, asset):
    """A link expires, and a new query returns a new link."""
    gateway.scripts["cat dance"] = presigned(60, succeeds(0))
    submitted = (await client.luma("POST", f"/generations{path}", order)).body
    link = submitted["assets"][asset]
    assert "X-Amz-Expires=60" in link
    assert (await client.file(link)).status == 200
    await asyncio.sleep(61)
    assert (await client.file(link)).status == 403
    fresh = (await client.luma("GET", f"/generations/{submitted['id']}")).body["assets"][asset]
    assert (await client.file(fresh)).status == 200


@pytest.mark.parametrize(
    ("path", "order", "kind"),
    [
        ("/generations", VIDEO, "submit"),
        ("/generations/video", VIDEO, "submit"),
        ("/generations/image", IMAGE, "image"),
    ],
)
@pytest.mark.parametrize(
    ("fault", "error"),
    [(drop_after_reading(), aiohttp.ServerDisconnectedError), (cut_body(), aiohttp.ClientPayloadError)],
)
async def test_lost_answer_is_charged(client, gateway, path, order, kind, fault, error):
    """The client loses the answer, the charge counts, and the next submit is served."""
    gateway.inject(fault, on=kind)
    with pytest.raises(error):
        await client.luma("POST", path, order)
    assert len(gateway.charges) == 1
    assert (await client.luma("POST", path, order)).status == 201


@pytest.mark.parametrize("kind", ["upscale", "audio"])
async def test_faults_of_follow_ups(client, gateway, kind):
    """Upscale and audio can lose their answers, too."""
    gateway.scripts["cat dance"] = succeeds(0)
    source = await client.luma_submit_id()
    gateway.inject(no_id(), on=kind)
    assert "id" not in (await client.luma("POST", f"/generations/{source}/{kind}", {})).body
    assert [charge.kind for charge in gateway.charges] == ["video", kind]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/generations", "list"),
        ("GET", f"/generations/{UUID}", "query"),
        ("DELETE", f"/generations/{UUID}", "delete"),
        ("POST", "/generations/image/reframe", "reframe"),
        ("POST", "/generations/video/reframe", "reframe"),
        ("POST", "/generations/video/modify", "modify"),
        ("GET", "/generations/concepts/list", "concepts"),
        ("GET", "/generations/camera_motion/list", "camera_motions"),
        ("GET", "/credits", "credits"),
        ("GET", "/ping", "ping"),
    ],
)
async def test_fault_on_each_kind(client, gateway, method, path, kind):
    """A fault is planned under the kind that counts the request."""
    gateway.inject(server_error(502), on=kind)
    assert (await client.luma(method, path)).status == 502
    assert gateway.counts == {kind: 1}


async def test_faults_of_the_list(client, gateway):
    """Rows of the list can be dropped and added like those of the relay's query for many."""
    ids = [await client.luma_submit_id(f"cat {number}") for number in range(3)][::-1]
    gateway.inject(drops_rows(2), on="list")
    gateway.inject(adds_foreign_row(), on="list")
    for foreign, expected in [(0, ids[2:]), (1, ids)]:
        body = (await client.luma("GET", "/generations")).body
        assert [each["id"] for each in body["generations"]][foreign:] == expected


async def test_fault_on_synchronous_image(client, gateway):
    """A fault answers at once, however long the request would have waited."""
    gateway.scripts["cat dance"] = stalls()
    gateway.inject(answer(201, {"id": "a"}, charged=True), on="image")
    answered = await client.luma("POST", "/generations/image", IMAGE | {"sync": True})
    assert (answered.body, len(gateway.charges)) == ({"id": "a"}, 1)


async def test_stop_during_synchronous_image(client):
    """`stop()` ends requests that wait for their answer."""
    async with FakeGateway(script=stalls()) as gateway:
        client.gateway = gateway
        waiting = asyncio.ensure_future(client.luma("POST", "/generations/image", IMAGE | {"sync": True}))
        while not gateway.charges:
            await asyncio.sleep(0)
    assert (await waiting).body["state"] == "queued"


@pytest.fixture
async def lenient(client):
    """The client of a gateway that is not strict."""
    async with FakeGateway(strict=False) as gateway:
        client.gateway = gateway
        yield client


@pytest.mark.parametrize(("shown", "status"), [("Bearer whatever", 200), ("Bearer  ", 401), ("whatever", 401)])
async def test_any_key_if_not_strict(lenient, shown, status):
    """A key is required, but any key is accepted, in both dialects."""
    assert (await lenient.luma("GET", "/ping", headers={"Authorization": shown})).status == status
    assert (await lenient.ask("GET", "/api/usage/token", headers={"Authorization": shown})).status == status


async def test_any_id_if_not_strict(lenient):
    """An unknown id is a completed video that can be processed further and is not charged."""
    shown = (await lenient.luma("GET", "/generations/any-id")).body
    assert (shown["id"], shown["state"], shown["generation_type"]) == ("any-id", "completed", "video")
    assert (await lenient.file(shown["assets"]["video"])).status == 200
    assert lenient.gateway.charges == ()
    assert lenient.gateway.generations["any-id"].invented
    for what in ("upscale", "audio"):
        assert (await lenient.luma("POST", f"/generations/another-{what}/{what}", {})).status == 200
    frames = {"frame0": {"type": "generation", "id": UUID}}
    assert (await lenient.luma("POST", "/generations", VIDEO | {"keyframes": frames})).status == 201
    assert [charge.kind for charge in lenient.gateway.charges] == ["upscale", "audio", "extend"]
    assert (await lenient.luma("GET", "/generations")).body["count"] == 3


async def test_delete_if_not_strict(lenient):
    """A video that was not paid for can be deleted repeatedly; a paid video stays deleted."""
    for _ in range(2):
        assert (await lenient.luma("DELETE", "/generations/any-id")).status == 204
        assert (await lenient.luma("GET", "/generations/any-id")).status == 200
    submitted = await lenient.luma_submit_id()
    assert [(await lenient.luma("DELETE", f"/generations/{submitted}")).status for _ in range(2)] == [204, 404]
    assert (await lenient.luma("GET", f"/generations/{submitted}")).status == 404


async def test_script_wins_if_not_strict(lenient):
    """A generation that its script hides is not found."""
    lenient.gateway.scripts["cat dance"] = unknown_at_first(100)
    assert (await lenient.luma("GET", f"/generations/{await lenient.luma_submit_id()}")).status == 404


async def test_relay_dialect_if_not_strict(lenient):
    """The relay dialect finds only its own ids."""
    assert (await lenient.query("any-id")).body["code"] == "task_not_exist"
