"""Scripts, faults, slots and links hold in the official format as they do in the relay's; and how strict it is."""

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


async def test_a_refusal_is_a_sentence_and_no_charge(client, gateway):
    """What a script refuses, or a lack of slots, is told in `detail`."""
    gateway.scripts["cat dance"] = rejects("blocked", status=403, message="Frame moderation failed")
    refused = await client.luma("POST", "/generations/image", IMAGE)
    assert (refused.status, refused.body) == (403, {"detail": "Frame moderation failed"})
    gateway.free_slots = 0
    saturated = await client.luma("POST", "/generations", VIDEO)
    assert (saturated.status, set(saturated.body)) == (429, {"detail"})
    assert gateway.charges == ()


@pytest.mark.looptime
async def test_slots_are_shared_by_both_formats_and_all_kinds(client, gateway):
    """What runs, runs, wherever it was bought."""
    gateway.free_slots = 2
    gateway.scripts["slow cat"] = stalls()
    await client.buy("slow cat")
    await client.luma("POST", "/generations/image", IMAGE)
    assert (await client.luma("POST", "/generations", VIDEO)).status == 429
    await asyncio.sleep(21)
    assert (await client.luma("POST", "/generations", VIDEO)).status == 201


@pytest.mark.looptime
async def test_a_generation_may_be_unknown_for_a_while(client, gateway):
    """A query and the list deny it alike, at first or in the end."""
    gateway.scripts |= {"late cat": unknown_at_first(5), "lost cat": forgets(10)}
    ids = [await client.buy_at_luma(prompt) for prompt in gateway.scripts]
    seen = []
    for pause in (1, 6, 6):
        await asyncio.sleep(pause)
        found = [(await client.luma("GET", f"/generations/{each}")).status == 200 for each in ids]
        listed = [each["id"] for each in (await client.luma("GET", "/generations")).body["generations"]]
        assert [each in listed for each in ids] == found
        seen.append(found)
    assert seen == [[False, True], [True, True], [True, False]]


@pytest.mark.looptime
async def test_a_link_may_come_late(client, gateway):
    """Completed has no assets until its time."""
    gateway.scripts["cat dance"] = completes_without_link(after=10, link_after=30)
    path = f"/generations/{await client.buy_at_luma()}"
    await asyncio.sleep(11)
    assert "assets" not in (await client.luma("GET", path)).body
    await asyncio.sleep(30)
    assert (await client.luma("GET", path)).body["assets"]["video"]


@pytest.mark.looptime
@pytest.mark.parametrize(("path", "order", "asset"), [("", VIDEO, "video"), ("/image", IMAGE, "image")])
async def test_presigned_links_expire(client, gateway, path, order, asset):
    """A link dies at its age, and a new query gives a new one."""
    gateway.scripts["cat dance"] = presigned(60, succeeds(0))
    bought = (await client.luma("POST", f"/generations{path}", order)).body
    link = bought["assets"][asset]
    assert "X-Amz-Expires=60" in link
    assert (await client.file(link)).status == 200
    await asyncio.sleep(61)
    assert (await client.file(link)).status == 403
    fresh = (await client.luma("GET", f"/generations/{bought['id']}")).body["assets"][asset]
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
async def test_a_lost_answer_is_charged_as_the_fault_says(client, gateway, path, order, kind, fault, error):
    """The client sees the loss, the charge is there, and the next create is served."""
    gateway.inject(fault, on=kind)
    with pytest.raises(error):
        await client.luma("POST", path, order)
    assert len(gateway.charges) == 1
    assert (await client.luma("POST", path, order)).status == 201


@pytest.mark.parametrize("kind", ["upscale", "audio"])
async def test_faults_strike_what_is_made_of_a_video(client, gateway, kind):
    """Upscale and audio can lose their answers too."""
    gateway.scripts["cat dance"] = succeeds(0)
    source = await client.buy_at_luma()
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
async def test_every_kind_of_request_can_go_wrong(client, gateway, method, path, kind):
    """A fault is planned under the word that counts the request."""
    gateway.inject(server_error(502), on=kind)
    assert (await client.luma(method, path)).status == 502
    assert gateway.counts == {kind: 1}


async def test_the_list_can_lie(client, gateway):
    """Rows of the list can be dropped and made up like those of the relay's query for many."""
    ids = [await client.buy_at_luma(f"cat {number}") for number in range(3)][::-1]
    gateway.inject(drops_rows(2), on="list")
    gateway.inject(adds_foreign_row(), on="list")
    for strangers, expected in [(0, ids[2:]), (1, ids)]:
        body = (await client.luma("GET", "/generations")).body
        assert [each["id"] for each in body["generations"]][strangers:] == expected


async def test_a_synchronous_image_can_be_answered_by_a_fault(client, gateway):
    """A fault speaks at once, whatever the request would have waited for."""
    gateway.scripts["cat dance"] = stalls()
    gateway.inject(answer(201, {"id": "a"}, charged=True), on="image")
    answered = await client.luma("POST", "/generations/image", IMAGE | {"sync": True})
    assert (answered.body, len(gateway.charges)) == ({"id": "a"}, 1)


async def test_it_stops_while_a_synchronous_image_waits(client):
    """Stopping releases whoever waits for an answer."""
    async with FakeGateway(script=stalls()) as gateway:
        client.gateway = gateway
        waiting = asyncio.ensure_future(client.luma("POST", "/generations/image", IMAGE | {"sync": True}))
        while not gateway.charges:
            await asyncio.sleep(0)
    assert (await waiting).body["state"] == "queued"


@pytest.fixture
async def easy(client):
    """The client of a gateway that is not strict."""
    async with FakeGateway(strict=False) as gateway:
        client.gateway = gateway
        yield client


@pytest.mark.parametrize(("shown", "status"), [("Bearer whatever", 200), ("Bearer  ", 401), ("whatever", 401)])
async def test_any_key_opens_what_is_not_strict(easy, shown, status):
    """A key has to be shown, but any will do, in both formats."""
    assert (await easy.luma("GET", "/ping", headers={"Authorization": shown})).status == status
    assert (await easy.ask("GET", "/api/usage/token", headers={"Authorization": shown})).status == status


async def test_any_id_is_a_finished_video_to_what_is_not_strict(easy):
    """An unknown id has a file, can be made more of, and costs and counts nothing itself."""
    shown = (await easy.luma("GET", "/generations/any-id")).body
    assert (shown["id"], shown["state"], shown["generation_type"]) == ("any-id", "completed", "video")
    assert (await easy.file(shown["assets"]["video"])).status == 200
    assert easy.gateway.charges == ()
    assert easy.gateway.generations["any-id"].invented
    for what in ("upscale", "audio"):
        assert (await easy.luma("POST", f"/generations/another-{what}/{what}", {})).status == 200
    frames = {"frame0": {"type": "generation", "id": UUID}}
    assert (await easy.luma("POST", "/generations", VIDEO | {"keyframes": frames})).status == 201
    assert [charge.kind for charge in easy.gateway.charges] == ["upscale", "audio", "extend"]
    assert (await easy.luma("GET", "/generations")).body["count"] == 3


async def test_what_was_invented_can_be_deleted_again_and_again(easy):
    """A delete of any id works every time; what was really bought stays deleted."""
    for _ in range(2):
        assert (await easy.luma("DELETE", "/generations/any-id")).status == 204
        assert (await easy.luma("GET", "/generations/any-id")).status == 200
    bought = await easy.buy_at_luma()
    assert [(await easy.luma("DELETE", f"/generations/{bought}")).status for _ in range(2)] == [204, 404]
    assert (await easy.luma("GET", f"/generations/{bought}")).status == 404


async def test_what_a_script_denies_is_not_invented(easy):
    """A generation that is unknown at first is unknown at first here too."""
    easy.gateway.scripts["cat dance"] = unknown_at_first(100)
    assert (await easy.luma("GET", f"/generations/{await easy.buy_at_luma()}")).status == 404


async def test_the_relays_format_knows_its_ids_even_if_not_strict(easy):
    """Only the official format invents."""
    assert (await easy.query("any-id")).body["code"] == "task_not_exist"
