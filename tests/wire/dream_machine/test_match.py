"""Whether a listed generation was made from a request, by what the service repeats of it."""

from __future__ import annotations

import pytest
from samples_of import sample

from luma_async import (
    AudioRequest,
    DreamMachine,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageRequest,
    InvalidInput,
    Keyframes,
    ModifyRequest,
    ReframeRequest,
    UpscaleRequest,
    VideoRequest,
)
from luma_async._wire.dialect import Match
from luma_async.values.redaction import without_image

LUMA = DreamMachine()
EXACT, POSSIBLE, NONE = Match.EXACT, Match.POSSIBLE, Match.NONE
SOURCE = "749d328e-4fd0-43a8-8c89-32394d60da69"
URL = "https://media.example/cat.mp4"
CAT = {"prompt": "cat dance", "aspect_ratio": "16:9", "model": "ray-2"}
FILLED = {"generation_type": "video", "resolution": "720p", "duration": "5s"}
NULLS = {"loop": None, "keyframes": None, "callback_url": None, "concepts": []}
FRAMES = {"frame0": {"type": "generation", "id": SOURCE, "url": None}, "frame1": None}

INLINE = ImageKeyframe.from_bytes(b"\xff\xd8\xff picture")

VIDEO = VideoRequest("cat dance")
RICH = VideoRequest("cat dance", loop=True, resolution="1080p", notify_hook="https://me.example/hook")
RICH_ECHO = {**CAT, "loop": True, "resolution": "1080p", "callback_url": "https://me.example/hook"}

ECHOES = {
    "the same": (VIDEO, CAT, EXACT),
    "with what was left to the service": (VIDEO, {**CAT, **FILLED}, EXACT),
    "with nulls": (VIDEO, {**CAT, **NULLS, "loop": False}, EXACT),
    "everything the same": (RICH, {**RICH_ECHO, "duration": "5s"}, EXACT),
    "loop false, not repeated": (VideoRequest("cat dance", loop=False), CAT, EXACT),
    "a continuation": (ExtendRequest(SOURCE, "cat dance"), {**CAT, "keyframes": FRAMES}, EXACT),
    "an inline picture, which is read as its digest": (
        VideoRequest("cat dance", keyframes=Keyframes(INLINE)),
        {**CAT, "keyframes": {"frame0": {"type": "image", "url": without_image(INLINE.url)}}},
        EXACT,
    ),
    "another prompt": (VIDEO, {**CAT, "prompt": "dog dance"}, NONE),
    "another ratio": (VIDEO, {**CAT, "aspect_ratio": "1:1"}, NONE),
    "another model": (VIDEO, {**CAT, "model": "ray-flash-2"}, NONE),
    "another resolution": (RICH, {**RICH_ECHO, "resolution": "720p"}, NONE),
    "another hook": (RICH, {**RICH_ECHO, "callback_url": "https://me.example/other"}, NONE),
    "a loop that was ruled out": (VideoRequest("cat dance", loop=False), {**CAT, "loop": True}, NONE),
    "another source": (
        ExtendRequest(SOURCE, "cat dance"),
        {**CAT, "keyframes": {"frame0": {"type": "generation", "id": "another"}}},
        NONE,
    ),
    "another picture": (
        VideoRequest("cat dance", keyframes=Keyframes(ImageKeyframe("https://a.example/1.jpg"))),
        {**CAT, "keyframes": {"frame0": {"type": "image", "url": "https://a.example/2.jpg"}}},
        NONE,
    ),
    "a frame more": (VIDEO, {**CAT, "keyframes": FRAMES}, POSSIBLE),
    "a frame less": (VideoRequest("cat dance", keyframes=Keyframes(GenerationKeyframe(SOURCE))), CAT, POSSIBLE),
    "a loop more": (VIDEO, {**CAT, "loop": True}, POSSIBLE),
    "a field of tomorrow": (VIDEO, {**CAT, "hdr": "full"}, POSSIBLE),
    "a field of tomorrow that was sent": (
        VideoRequest("cat dance", extra={"hdr": "full"}),
        {**CAT, "hdr": "full"},
        EXACT,
    ),
    "no model": (VIDEO, {"prompt": "cat dance", "aspect_ratio": "16:9"}, POSSIBLE),
    "no prompt": (VIDEO, {"aspect_ratio": "16:9", "model": "ray-2"}, POSSIBLE),
    "a picture of the same prompt": (VIDEO, {**CAT, "generation_type": "image"}, NONE),
    "a picture, by the older word": (VIDEO, {"prompt": "cat dance", "type": "image"}, NONE),
    "a picture": (
        ImageRequest("a cat", sync=True),
        {"generation_type": "image", "prompt": "a cat", "aspect_ratio": "16:9", "model": "photon-1", "sync": True}
        | {"format": "jpg", "sync_timeout": 60},
        EXACT,
    ),
    "a picture that was waited for": (
        ImageRequest("a cat", sync=False),
        {"generation_type": "image", "prompt": "a cat", "aspect_ratio": "16:9", "model": "photon-1", "sync": True},
        NONE,
    ),
    "reframed": (
        ReframeRequest(URL),
        {"generation_type": "reframe_video", "media": {"url": URL}, "model": "ray-2", "aspect_ratio": "16:9"}
        | {"prompt": ""},
        EXACT,
    ),
    "reframed in another kind": (
        ReframeRequest(URL),
        {"generation_type": "modify_video", "media": {"url": URL}},
        NONE,
    ),
    "modified": (
        ModifyRequest(URL, mode="flex_1"),
        {"generation_type": "modify_video", "media": {"url": URL}, "model": "ray-2", "mode": "flex_1"},
        EXACT,
    ),
    "modified otherwise": (
        ModifyRequest(URL, mode="flex_1"),
        {"generation_type": "modify_video", "media": {"url": URL}, "model": "ray-2", "mode": "flex_2"},
        NONE,
    ),
    "more pixels, without the original": (
        UpscaleRequest(SOURCE, resolution="4k"),
        {"generation_type": "upscale_video", "resolution": "4k"},
        POSSIBLE,
    ),
    "audio, without the original": (
        AudioRequest(SOURCE, "purring"),
        {"generation_type": "add_audio", "prompt": "purring"},
        POSSIBLE,
    ),
    "nothing repeated": (VIDEO, None, POSSIBLE),
    "nonsense repeated": (VIDEO, ["cat dance"], POSSIBLE),
}


@pytest.mark.parametrize(("request_", "echo", "likeness"), ECHOES.values(), ids=ECHOES.keys())
def test_repeated_request(request_, echo, likeness):
    """EXACT if all fields are equal, NONE if a repeated field differs, POSSIBLE if fields are missing."""
    assert LUMA.match({"id": "g1", "state": "queued", "request": echo}, request_) is likeness


KINDS = {
    "video": ({"generation_type": "video"}, POSSIBLE),
    "image": ({"generation_type": "image"}, NONE),
    "image, by the older word": ({"type": "image"}, NONE),
    "a new word": ({"generation_type": "hologram"}, POSSIBLE),
    "no word": ({"generation_type": None}, POSSIBLE),
}


@pytest.mark.parametrize(("raw", "likeness"), KINDS.values(), ids=KINDS.keys())
def test_kind_of_generation(raw, likeness):
    """An image does not match the request of a video, whatever else is equal."""
    assert LUMA.match({"id": "g1", "request": {}, **raw}, VIDEO) is likeness


def test_assumed_recorded_match():
    """Assumed: the service repeats a submit field by field, as the recorded answers of Luma and of a relay do."""
    recorded = sample("dream_machine", "get-completed")
    lake = VideoRequest(
        "A serene lake surrounded by mountains at sunset",
        loop=True,
        keyframes=Keyframes(ImageKeyframe("https://example.com/image.jpg"), GenerationKeyframe(recorded["id"])),
        model="ray-1-6",
    )
    # The recorded one repeats no model.
    assert LUMA.match(recorded, lake) is POSSIBLE
    recorded["request"]["model"] = "ray-1-6"
    assert LUMA.match(recorded, lake) is EXACT
    warrior = ImageRequest("man as a warrior", character_refs={"identity0": ("https://image.example/in.jpg",)})
    assert LUMA.match(sample("dream_machine", "get-completed-image"), warrior) is EXACT


def test_match_with_unsupported_request():
    """A request that the format refuses is refused here too."""
    with pytest.raises(InvalidInput):
        LUMA.match({"id": "g1", "request": CAT}, VideoRequest("cat dance", expand_prompt=True))
