"""The calls of Luma's own format."""

from __future__ import annotations

import copy
import pickle

import attrs
import pytest

from luma_async import (
    AudioRequest,
    DreamMachine,
    EditControls,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    InvalidInput,
    Keyframes,
    ModifyRequest,
    ReframeRequest,
    SourcePosition,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
)

LUMA = DreamMachine()
ROOT = "/dream-machine/v1"
EVERY = f"{ROOT}/generations"
TIGER = ImageKeyframe("https://pictures.example/tiger.jpg")
LION = ImageKeyframe("https://pictures.example/lion.jpg")
INLINE = ImageKeyframe.from_bytes(b"\x89PNG\r\n\x1a\n")
EARLIER = GenerationKeyframe("749d328e-4fd0-43a8-8c89-32394d60da69")
IMAGE_FRAMES = {"frame0": {"type": "image", "url": TIGER.url}, "frame1": {"type": "image", "url": LION.url}}
GENERATION = {"type": "generation", "id": EARLIER.id}
HOOK = "https://me.example/hook"
CLIP, STILL = "https://media.example/cat.mp4", "https://media.example/cat.jpg"
CAT = {"model": "ray-2", "prompt": "cat dance", "aspect_ratio": "16:9"}
MORE = {"model": "ray-2", "prompt": "it sits"}
PICTURE = {"model": "photon-1", "prompt": "a cat", "aspect_ratio": "16:9"}

PURCHASES = {
    "a video": (VideoRequest("cat dance"), "submit", "", CAT),
    "a video with everything": (
        VideoRequest(
            "cat dance",
            aspect_ratio="9:21",
            keyframes=Keyframes(TIGER, LION),
            loop=True,
            model="ray-flash-2",
            resolution="4k",
            duration="9s",
            concepts=("dolly_zoom", "static"),
            notify_hook=HOOK,
            extra={"hdr": True},
        ),
        "submit",
        "",
        {
            "model": "ray-flash-2",
            "prompt": "cat dance",
            "aspect_ratio": "9:21",
            "keyframes": IMAGE_FRAMES,
            "loop": True,
            "resolution": "4k",
            "duration": "9s",
            "concepts": [{"key": "dolly_zoom"}, {"key": "static"}],
            "callback_url": HOOK,
            "hdr": True,
        },
    ),
    "a video that does not loop": (VideoRequest("cat dance", loop=False), "submit", "", {**CAT, "loop": False}),
    "a video up to an earlier one (reverse extend)": (
        VideoRequest("cat dance", keyframes=Keyframes(frame1=EARLIER)),
        "submit",
        "",
        {**CAT, "keyframes": {"frame1": GENERATION}},
    ),
    "a video between an earlier one and a picture": (
        VideoRequest("cat dance", keyframes=Keyframes(EARLIER, LION)),
        "submit",
        "",
        {**CAT, "keyframes": {"frame0": GENERATION, "frame1": {"type": "image", "url": LION.url}}},
    ),
    "a continuation": (
        ExtendRequest(EARLIER.id, "it sits"),
        "extend",
        "",
        {**MORE, "keyframes": {"frame0": GENERATION}},
    ),
    "a continuation with everything": (
        ExtendRequest(
            EARLIER.id,
            "it sits",
            keyframes=Keyframes(frame1=LION),
            loop=True,
            model="ray-flash-2",
            resolution="720p",
            duration="5s",
            notify_hook=HOOK,
            extra={"seed": 7},
        ),
        "extend",
        "",
        {
            "model": "ray-flash-2",
            "prompt": "it sits",
            "keyframes": {"frame0": GENERATION, "frame1": {"type": "image", "url": LION.url}},
            "loop": True,
            "resolution": "720p",
            "duration": "5s",
            "callback_url": HOOK,
            "seed": 7,
        },
    ),
    "sound": (AudioRequest("some-id", "purring"), "add_audio", "/some-id/audio", {"prompt": "purring"}),
    "sound with everything": (
        AudioRequest("some-id", "purring", negative_prompt="barking", notify_hook=HOOK, extra={"seed": 7}),
        "add_audio",
        "/some-id/audio",
        {"prompt": "purring", "negative_prompt": "barking", "callback_url": HOOK, "seed": 7},
    ),
    "more pixels": (UpscaleRequest("some-id"), "upscale", "/some-id/upscale", {}),
    "more pixels with everything": (
        UpscaleRequest("some-id", resolution="4k", notify_hook=HOOK, extra={"seed": 7}),
        "upscale",
        "/some-id/upscale",
        {"resolution": "4k", "callback_url": HOOK, "seed": 7},
    ),
    "a picture": (ImageRequest("a cat"), "image", "/image", PICTURE),
    "a picture with everything": (
        ImageRequest(
            "a cat",
            aspect_ratio="1:1",
            model="photon-flash-1",
            image_refs=(ImageReference(TIGER.url, weight=0.5), ImageReference(LION.url)),
            style_refs=(ImageReference(LION.url, weight=0),),
            character_refs={"identity0": (TIGER.url, LION.url)},
            modify_image_ref=ImageReference(TIGER.url, weight=1.0),
            format="png",
            sync=True,
            sync_timeout=30,
            notify_hook=HOOK,
            extra={"seed": 7},
        ),
        "image",
        "/image",
        {
            "model": "photon-flash-1",
            "prompt": "a cat",
            "aspect_ratio": "1:1",
            "image_ref": [{"url": TIGER.url, "weight": 0.5}, {"url": LION.url}],
            "style_ref": [{"url": LION.url, "weight": 0}],
            "character_ref": {"identity0": {"images": [TIGER.url, LION.url]}},
            "modify_image_ref": {"url": TIGER.url, "weight": 1.0},
            "format": "png",
            "sync": True,
            "sync_timeout": 30,
            "callback_url": HOOK,
            "seed": 7,
        },
    ),
    "a reframed video": (
        ReframeRequest(CLIP),
        "reframe",
        "/video/reframe",
        {"generation_type": "reframe_video", "media": {"url": CLIP}, "model": "ray-2", "aspect_ratio": "16:9"},
    ),
    "a reframed video with everything": (
        ReframeRequest(
            CLIP,
            aspect_ratio="9:16",
            prompt="a garden",
            model="ray-flash-2",
            first_frame=STILL,
            grid_position_x=0,
            grid_position_y=1,
            resized_width=2,
            resized_height=3,
            x_start=4,
            x_end=5,
            y_start=6,
            y_end=7,
            notify_hook=HOOK,
            extra={"seed": 7},
        ),
        "reframe",
        "/video/reframe",
        {
            "generation_type": "reframe_video",
            "media": {"url": CLIP},
            "model": "ray-flash-2",
            "aspect_ratio": "9:16",
            "prompt": "a garden",
            "first_frame": {"url": STILL},
            "grid_position_x": 0,
            "grid_position_y": 1,
            "resized_width": 2,
            "resized_height": 3,
            "x_start": 4,
            "x_end": 5,
            "y_start": 6,
            "y_end": 7,
            "callback_url": HOOK,
            "seed": 7,
        },
    ),
    "a reframed picture": (
        ReframeRequest(STILL, kind="image", format="jpg", aspect_ratio="1:1"),
        "reframe",
        "/image/reframe",
        {
            "generation_type": "reframe_image",
            "media": {"url": STILL},
            "model": "photon-1",
            "aspect_ratio": "1:1",
            "format": "jpg",
        },
    ),
    "a modified video": (
        ModifyRequest(CLIP, mode="flex_2"),
        "modify",
        "/video/modify",
        {"generation_type": "modify_video", "media": {"url": CLIP}, "model": "ray-2", "mode": "flex_2"},
    ),
    "a modified video with everything": (
        ModifyRequest(
            CLIP,
            mode="adhere_1",
            prompt="at night",
            model="ray-flash-2",
            first_frame=STILL,
            notify_hook=HOOK,
            extra={"seed": 7},
        ),
        "modify",
        "/video/modify",
        {
            "generation_type": "modify_video",
            "media": {"url": CLIP},
            "model": "ray-flash-2",
            "mode": "adhere_1",
            "prompt": "at night",
            "first_frame": {"url": STILL},
            "callback_url": HOOK,
            "seed": 7,
        },
    ),
}


@pytest.mark.parametrize(("request_", "name", "below", "body"), PURCHASES.values(), ids=PURCHASES.keys())
def test_submit_call(request_, name, below, body):
    """Each kind of submit is one POST to its path, with the given and the required fields."""
    call = LUMA.submit_call(request_)
    assert (call.name, call.method, call.path, call.body) == (name, "POST", f"{EVERY}{below}", body)
    assert (call.query, call.headers, call.bearer) == ((), (), None)
    assert LUMA.supports(name)


def test_every_field_is_sent_or_refused():
    """Every field of a request is in the body or is refused by its name."""
    bare = {
        VideoRequest: VideoRequest("x"),
        ExtendRequest: ExtendRequest("some-id", "x"),
        AudioRequest: AudioRequest("some-id", "x"),
        UpscaleRequest: UpscaleRequest("some-id"),
        ImageRequest: ImageRequest("x"),
        ReframeRequest: ReframeRequest(CLIP),
        ModifyRequest: ModifyRequest(CLIP, mode="flex_1"),
    }
    other = {
        "prompt": "another one",
        "source": "another-id",
        "media": STILL,
        "mode": "flex_3",
        "aspect_ratio": "1:1",
        "keyframes": Keyframes(frame1=LION),
        "loop": True,
        "expand_prompt": False,
        "model": "another-model",
        "resolution": "540p",
        "duration": "9s",
        "concepts": ("static",),
        "notify_hook": HOOK,
        "negative_prompt": "barking",
        "image_refs": (ImageReference(LION.url),),
        "style_refs": (ImageReference(LION.url),),
        "character_refs": {"identity0": (LION.url,)},
        "modify_image_ref": ImageReference(LION.url),
        "format": "png",
        "sync": True,
        "sync_timeout": 5,
        "kind": "image",
        "first_frame": STILL,
        "hdr": True,
        "exr_export": True,
        "user_id": "someone",
        "direction": "backward",
        "style": "manga",
        "web_search": True,
        "auto_controls": True,
        "controls": EditControls(),
        "source_position": SourcePosition(0, 0, 1, 1),
        "extra": {"seed": 7},
    }
    for cls, request in bare.items():
        before = LUMA.submit_call(request)
        for field in attrs.fields(cls):
            changed = attrs.evolve(request, **{field.name: other.get(field.name, 8)})
            refused = None
            try:
                after = LUMA.submit_call(changed)
            except InvalidInput as error:
                refused = error.field
            assert refused == field.name or (after.path, after.body) != (before.path, before.body), field.name


UNCARRIED = {
    "a better prompt": (VideoRequest("x", expand_prompt=True), "expand_prompt"),
    "no better prompt": (VideoRequest("x", expand_prompt=False), "expand_prompt"),
    "a better prompt of more": (ExtendRequest("some-id", "x", expand_prompt=True), "expand_prompt"),
    "the first frame of a picture": (ReframeRequest(STILL, kind="image", first_frame=STILL), "first_frame"),
    "the kind of file of a video": (ReframeRequest(CLIP, format="jpg"), "format"),
    "a field of its own": (VideoRequest("x", extra={"loop": True}), "extra.loop"),
    "another hook": (VideoRequest("x", extra={"callback_url": HOOK}), "extra.callback_url"),
    "another kind": (VideoRequest("x", extra={"generation_type": "image"}), "extra.generation_type"),
    "another start": (ExtendRequest("some-id", "x", extra={"keyframes": {}}), "extra.keyframes"),
    "another kind of sound": (
        AudioRequest("some-id", "x", extra={"generation_type": "video"}),
        "extra.generation_type",
    ),
    "another kind of change": (
        ModifyRequest(CLIP, mode="flex_1", extra={"generation_type": "video"}),
        "extra.generation_type",
    ),
    "other pictures": (ImageRequest("x", extra={"image_ref": []}), "extra.image_ref"),
}


@pytest.mark.parametrize(("request_", "field"), UNCARRIED.values(), ids=UNCARRIED.keys())
def test_unsupported_fields(request_, field):
    """A field without effect, or one that would be written twice, is refused before any I/O."""
    with pytest.raises(InvalidInput) as caught:
        LUMA.submit_call(request_)
    assert caught.value.field == field


def test_assumed_default_model():
    """Assumed: the required model is the default of Luma's own tools."""
    assert LUMA.submit_call(VideoRequest("x")).body["model"] == "ray-2"
    assert LUMA.submit_call(ImageRequest("x")).body["model"] == "photon-1"


def test_assumed_inline_image():
    """Assumed: the `url` of a frame accepts a `data:` URI."""
    body = LUMA.submit_call(VideoRequest("x", keyframes=Keyframes(INLINE))).body
    assert body["keyframes"]["frame0"] == {"type": "image", "url": INLINE.url}


def test_assumed_create_path():
    """Assumed: videos are created at the path that relays have, and that Luma still serves."""
    assert LUMA.submit_call(VideoRequest("x")).path == f"{ROOT}/generations"


def test_create_path():
    """The setting changes the path of videos and continuations only."""
    today = DreamMachine(create_path="/generations/video")
    assert today.submit_call(VideoRequest("x")).path == f"{ROOT}/generations/video"
    assert today.submit_call(ExtendRequest("some-id", "x")).path == f"{ROOT}/generations/video"
    assert today.submit_call(ImageRequest("x")).path == f"{ROOT}/generations/image"
    assert today.get("some-id").call.path == f"{ROOT}/generations/some-id"


@pytest.mark.parametrize("path", ["", "/", "generations", "/generations/", "/a/../b", "/a?b", "/{id}", None, 7])
def test_malformed_create_path(path):
    """A path that could lead elsewhere is refused when the dialect is built."""
    with pytest.raises(InvalidInput) as caught:
        DreamMachine(create_path=path)
    assert caught.value.field == "create_path"


QUESTIONS = {
    "query": (LUMA.get("some-id"), "GET", "/generations/some-id", ()),
    "list": (LUMA.list_page(100, 0), "GET", "/generations", (("limit", "100"), ("offset", "0"))),
    "list, further on": (LUMA.list_page(1, 250), "GET", "/generations", (("limit", "1"), ("offset", "250"))),
    "delete": (LUMA.delete("some-id"), "DELETE", "/generations/some-id", ()),
    "concepts": (LUMA.concepts(), "GET", "/generations/concepts/list", ()),
    "camera_motions": (LUMA.camera_motions(), "GET", "/generations/camera_motion/list", ()),
    "credits": (LUMA.credits(), "GET", "/credits", ()),
    "ping": (LUMA.ping(), "GET", "/ping", ()),
}


@pytest.mark.parametrize(("asked", "method", "path", "query"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_query_calls(asked, method, path, query):
    """Free calls have the documented path, and need only the API key."""
    call = asked.call
    assert (call.method, call.path, call.query, call.body) == (method, ROOT + path, query, None)
    assert (call.headers, call.bearer) == ((), None)


@pytest.mark.parametrize(
    ("limit", "offset", "field"),
    [
        *[(limit, 0, "limit") for limit in (0, 101, -1, "7", True, 1.0, None)],
        *[(1, offset, "offset") for offset in (-1, None, False, "0")],
    ],
)
def test_malformed_page(limit, offset, field):
    """A page has 1 to 100 generations and an offset of 0 or more."""
    with pytest.raises(InvalidInput) as caught:
        LUMA.list_page(limit, offset)
    assert caught.value.field == field


@pytest.mark.parametrize("generation_id", ["", "../../admin", "a/b", "a?b", "ü", "x" * 129, None, 7])
def test_unsafe_id(generation_id):
    """No path is built from an id of an unsafe form."""
    for build in (LUMA.get, LUMA.delete):
        with pytest.raises(InvalidInput):
            build(generation_id)


LACKING = {
    "query_many": lambda: LUMA.get_many(["some-id"]),
    "link": lambda: LUMA.link("some-id"),
    "user": LUMA.user,
    "key": LUMA.key,
}


@pytest.mark.parametrize(("operation", "call"), LACKING.items(), ids=LACKING.keys())
def test_calls_that_luma_lacks(operation, call):
    """A missing call raises before any I/O, with the name of the operation that `supports()` knows."""
    with pytest.raises(UnsupportedOperation) as caught:
        call()
    assert (caught.value.operation, caught.value.service) == (operation, "dream-machine")
    assert not LUMA.supports(operation)


@pytest.mark.parametrize(
    "operation",
    [
        *("submit", "extend", "add_audio", "upscale", "image", "reframe", "modify", "get", "get_many", "video_url"),
        *("list", "delete", "concepts", "camera_motions", "credits", "ping"),
    ],
)
def test_supports(operation):
    """`supports()` knows every operation of the format, and no other word."""
    assert LUMA.supports(operation)
    assert not LUMA.supports(operation.upper())


def test_dialect_properties():
    """The name, address, sizes and limits are those of Luma."""
    assert (LUMA.name, LUMA.default_base_url) == ("dream-machine", "https://api.lumalabs.ai")
    assert (LUMA.max_ids, LUMA.page_size) == (1, 100)
    limits = LUMA.limits
    assert (limits.max_in_flight, limits.submits_per_minute, limits.burst) == (10, 20, 10)


def test_dialect_is_a_value():
    """It is frozen, comparable, and survives copying and pickling."""
    other = DreamMachine(create_path="/generations/video")
    assert DreamMachine() == LUMA != other
    assert pickle.loads(pickle.dumps(other)) == copy.deepcopy(other) == other
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        other.create_path = "/generations"


@pytest.mark.parametrize(
    ("fields", "sync_wait_s"),
    [
        ({}, 0),
        ({"sync_timeout": 5}, 0),
        ({"sync": True}, 60),
        ({"sync": True, "sync_timeout": 5}, 5),
        ({"sync": True, "sync_timeout": 10**400}, 3600),
    ],
)
def test_sync_wait(fields, sync_wait_s):
    """A synchronous answer is delayed by its `sync_timeout`, or by a minute."""
    assert LUMA.submit_call(ImageRequest("a cat", **fields)).sync_wait_s == sync_wait_s
