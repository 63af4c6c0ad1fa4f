"""The fake Dream Machine API accepts what its schema allows, and refuses the rest as the service does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luma_async.testing import FakeGateway

SAMPLES = Path(__file__).parents[2] / "samples" / "errors"
SOURCE = {"url": "https://e.example/a.jpg"}
VIDEO = {"model": "ray-2", "prompt": "cat dance"}
IMAGE = {"model": "photon-1", "prompt": "cat dance"}
REFRAME_IMAGE = {"media": SOURCE, "aspect_ratio": "1:1", "model": "photon-1", "generation_type": "reframe_image"}
REFRAME_VIDEO = {"media": SOURCE, "aspect_ratio": "1:1", "model": "ray-2", "generation_type": "reframe_video"}
MODIFY = {"media": SOURCE, "model": "ray-flash-2", "mode": "flex_2", "generation_type": "modify_video"}
UUID = "123e4567-e89b-12d3-a456-426614174000"
INTEGERS = ("grid_position_x", "grid_position_y", "x_start", "x_end", "y_start", "y_end")


def places(answer):
    """The places of the errors in a 422, relative to the body."""
    return [".".join(map(str, each["loc"][1:])) for each in answer.body["detail"]]


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/generations/video", {"model": "ray-1-6", "prompt": "cat"}),
        ("/generations", VIDEO),
        (
            "/generations/video",
            VIDEO
            | {
                "generation_type": "video",
                "aspect_ratio": "9:21",
                "loop": False,
                "keyframes": {"frame0": {"type": "image"} | SOURCE, "frame1": {"type": "image"} | SOURCE},
                "callback_url": "https://e.example/hook",
                "resolution": "8k",
                "duration": "12s",
                "concepts": [{"key": "dolly_zoom"}],
            },
        ),
        ("/generations/image", {"model": "photon-flash-1"}),
        (
            "/generations/image",
            IMAGE
            | {
                "format": "png",
                "image_ref": [SOURCE | {"weight": 0.5}, {}],
                "style_ref": [SOURCE | {"weight": 1}],
                "character_ref": {"identity0": {"images": ["https://e.example/a.jpg"]}},
                "modify_image_ref": SOURCE,
                "sync": False,
                "sync_timeout": 1.5,
            },
        ),
        ("/generations/image/reframe", REFRAME_IMAGE | dict.fromkeys(INTEGERS, 4) | {"format": "jpg", "prompt": ""}),
        ("/generations/video/reframe", REFRAME_VIDEO | dict.fromkeys(INTEGERS, 4.0) | {"first_frame": SOURCE}),
        ("/generations/video/modify", MODIFY | {"prompt": "night", "first_frame": SOURCE}),
    ],
)
async def test_valid_bodies(client, gateway, path, order):
    """A valid body is charged, and repeated in the answer with its type."""
    answer = await client.luma("POST", path, order)
    assert answer.status == 201
    assert answer.body["request"] == {"generation_type": answer.body["request"]["generation_type"], **order}
    assert [charge.body for charge in gateway.charges] == [order]


@pytest.mark.parametrize(
    ("path", "order", "errors"),
    [
        ("/generations/video", {"prompt": "cat dance"}, ["model"]),
        ("/generations/video", VIDEO | {"model": "photon-1", "loop": "yes"}, ["model", "loop"]),
        ("/generations/video", VIDEO | {"aspect_ratio": ["16:9"], "duration": 5}, ["aspect_ratio", "duration"]),
        ("/generations/video", VIDEO | {"prompt": None}, ["prompt"]),
        ("/generations/video", VIDEO | {"generation_type": "image"}, ["generation_type"]),
        ("/generations/video", VIDEO | {"callback_url": "hook"}, ["callback_url"]),
        ("/generations/video", VIDEO | {"keyframes": []}, ["keyframes"]),
        ("/generations/video", VIDEO | {"keyframes": {"frame0": "a.jpg"}}, ["keyframes.frame0.type"]),
        ("/generations/video", VIDEO | {"keyframes": {"frame0": {"type": []}}}, ["keyframes.frame0.type"]),
        ("/generations/video", VIDEO | {"keyframes": {"frame0": {"type": "image"}}}, ["keyframes.frame0.url"]),
        (
            "/generations/video",
            VIDEO | {"keyframes": {"frame1": {"type": "generation", "id": "a"}}},
            ["keyframes.frame1.id"],
        ),
        ("/generations/video", VIDEO | {"concepts": [{"key": "a"}, {}, "b"]}, ["concepts.1.key", "concepts.2"]),
        ("/generations/video", VIDEO | {"concepts": {}}, ["concepts"]),
        ("/generations/video", [VIDEO], [""]),
        ("/generations/image", {"prompt": "cat"}, ["model"]),
        (
            "/generations/image",
            IMAGE | {"image_ref": [{"url": 1, "weight": "1"}]},
            ["image_ref.0.url", "image_ref.0.weight"],
        ),
        ("/generations/image", IMAGE | {"modify_image_ref": {"weight": True}}, ["modify_image_ref.weight"]),
        ("/generations/image", IMAGE | {"sync": 1, "format": "gif"}, ["format", "sync"]),
        (
            "/generations/image",
            IMAGE | {"character_ref": {"identity0": {"images": [1]}}},
            ["character_ref.identity0.images.0"],
        ),
        ("/generations/image/reframe", {}, ["media", "aspect_ratio", "model", "generation_type"]),
        ("/generations/image/reframe", REFRAME_IMAGE | {"x_start": 0.5, "x_end": True}, ["x_start", "x_end"]),
        ("/generations/video/reframe", REFRAME_VIDEO | {"model": "ray-1-6", "media": {}}, ["media.url", "model"]),
        ("/generations/video/modify", MODIFY | {"mode": "flex_4"}, ["mode"]),
        (f"/generations/{UUID}/upscale", {"resolution": 4}, ["resolution"]),
        (f"/generations/{UUID}/audio", {"negative_prompt": []}, ["negative_prompt"]),
    ],
)
async def test_invalid_bodies(client, gateway, path, order, errors):
    """A 422 names the place of each error, and nothing is charged."""
    answer = await client.luma("POST", path, order)
    assert (answer.status, places(answer), gateway.charges) == (422, errors, ())
    assert {name for each in answer.body["detail"] for name in each} == {"loc", "msg", "type"}


async def test_recorded_422(client):
    """The answer about a missing model is the recorded answer."""
    recorded = json.loads((SAMPLES / "422-dream-machine-list.json").read_text())
    answer = await client.luma("POST", "/generations/video", {"prompt": "cat dance"})
    assert (answer.status, answer.body) == (recorded["status"], recorded["body"])


@pytest.mark.parametrize("data", [b"", b'{"model": "ray-2"', b"null"])
async def test_body_without_object(client, gateway, data):
    """An empty body, half a body and null get a 422."""
    answer = await client.luma("POST", "/generations", data=data)
    assert (answer.status, places(answer), gateway.charges) == (422, [""], ())


@pytest.mark.parametrize(
    ("order", "detail"),
    [
        ({"model": "ray-2"}, "Prompt is required"),
        (VIDEO | {"prompt": "ab"}, "Prompt is too short, minimum length is 3 characters"),
        (VIDEO | {"prompt": "a" * 5001}, "Prompt is too long, maximum length is 5000 characters"),
        (
            VIDEO | {"model": "ray-1-6", "concepts": [{"key": "static"}]},
            "400: concepts are not supported for this model",
        ),
    ],
)
async def test_assumed_rules(client, gateway, order, detail):
    """Rules that the schema does not state give a 400; without `strict` they do not apply."""
    answer = await client.luma("POST", "/generations/video", order)
    assert (answer.status, answer.body, gateway.charges) == (400, {"detail": detail}, ())
    async with FakeGateway(strict=False) as easy:
        client.gateway = easy
        assert (await client.luma("POST", "/generations/video", order)).status == 201


async def test_recorded_refusal_of_concepts(client):
    """A model without concepts answers as recorded."""
    recorded = json.loads((SAMPLES / "400-dream-machine-concepts.json").read_text())
    order = {"model": "ray-1-6", "prompt": "cat dance", "concepts": [{"key": "static"}]}
    answer = await client.luma("POST", "/generations/video", order)
    assert (answer.status, answer.body) == (recorded["status"], recorded["body"])


@pytest.mark.parametrize("length", [3, 5000])
async def test_prompt_length_bounds(client, length):
    """The shortest and the longest valid prompt are accepted."""
    assert (await client.luma("POST", "/generations/video", VIDEO | {"prompt": "a" * length})).status == 201


async def test_unknown_fields(client, gateway):
    """An unknown field is not repeated in the answer, and is noted in `unknown_fields`."""
    answer = await client.luma("POST", "/generations/video", VIDEO | {"mood": "blue"})
    assert answer.body["request"] == VIDEO | {"generation_type": "video"}
    assert gateway.unknown_fields == {"mood"}
    assert gateway.charges[0].body["mood"] == "blue"
