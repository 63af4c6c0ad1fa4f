"""Requests: an invalid value is refused when the request is built, before any I/O."""

from __future__ import annotations

import base64
import math
from contextlib import nullcontext

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    AudioRequest,
    DreamMachine,
    ExtendRequest,
    GenerationKeyframe,
    ImageEditRequest,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    InvalidInput,
    Keyframes,
    LayerRequest,
    ModifyRequest,
    ReframeRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)
from luma_async.values.keyframes import check_media, show_media
from luma_async.values.redaction import show_url
from luma_async.values.requests import as_request
from luma_async.values.validators import check_id, check_image_url, check_web_url

IMAGE = ImageKeyframe("https://example.com/tiger.jpg")
REFERENCE = ImageReference("https://example.com/tiger.jpg")
JPEG, PNG = b"\xff\xd8\xff\xe0 rest", b"\x89PNG\r\n\x1a\n rest"
WEBP, GIF = b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"GIF89a rest"

BUILD = {
    VideoRequest: lambda **fields: VideoRequest(**{"prompt": "cat dance", **fields}),
    ExtendRequest: lambda **fields: ExtendRequest(**{"source": "g1", "prompt": "it sits", **fields}),
    AudioRequest: lambda **fields: AudioRequest(**{"source": "g1", "prompt": "purring", **fields}),
    UpscaleRequest: lambda **fields: UpscaleRequest(**{"source": "g1", **fields}),
    ImageRequest: lambda **fields: ImageRequest(**{"prompt": "a cat", **fields}),
    ReframeRequest: lambda **fields: ReframeRequest(**{"media": "https://example.com/cat.mp4", **fields}),
    ModifyRequest: lambda **fields: ModifyRequest(
        **{"media": "https://example.com/cat.mp4", "mode": "flex_1", **fields}
    ),
    ImageEditRequest: lambda **fields: ImageEditRequest(
        **{"media": "https://example.com/cat.jpg", "prompt": "add a hat", **fields}
    ),
    LayerRequest: lambda **fields: LayerRequest(
        **{"media": "https://example.com/cat.jpg", "prompt": "cat, street", **fields}
    ),
}

BAD_PROMPTS = ["", "  \n", None, 7, b"cat", "\ud800", "x" * 100_001]
BAD_IDS = ["", "../../admin", "a/b", "a?b", "a#b", "a%2Fb", "ü", "x" * 129, "g1\n", " g1", None, 7, b"g1"]
BAD_TEXTS = ["", "  ", 7, ["ray-2"], "x" * 100_001]
BAD_FLAGS = ["yes", 1, 0]
BAD_RATIOS = ["", "16", "16x9", "0:1", "1:0", "16:9 ", "160:90", "16:9:1", None, 1.78]
BAD_URLS = [
    "",
    "example.com",
    "ftp://example.com/x",
    "https://",
    "https:///x",
    "https://exa mple.com",
    "https://example.com/\n",
    "\x00https://example.com",
    "https://example.com:99999",
    "https://example.com:0",
    "https://[::1",
    "javascript:alert(1)",
    "file:///etc/passwd",
    7,
    b"https://example.com",
]
BAD_COUNTS = [-1, 1.5, "1", True]
BAD_EXTRAS = [
    {1: "x"},
    {"": "x"},
    {"x": math.nan},
    {"x": math.inf},
    {"x": object()},
    {"x": {1, 2}},
    {"x": {1: "y"}},
    {"x": [{"y": ({None: 1},)}]},
    {"x": b"y"},
    "x",
    ["x"],
    None,
    7,
]

BAD = [
    *((kind, "prompt", BAD_PROMPTS) for kind in (VideoRequest, ExtendRequest, AudioRequest, ImageRequest)),
    *((kind, "source", BAD_IDS) for kind in (ExtendRequest, AudioRequest, UpscaleRequest)),
    *((kind, "media", [*BAD_URLS, None]) for kind in (ReframeRequest, ModifyRequest)),
    *((kind, "aspect_ratio", BAD_RATIOS) for kind in (VideoRequest, ImageRequest, ReframeRequest)),
    *((kind, "notify_hook", BAD_URLS) for kind in BUILD if kind not in (ImageEditRequest, LayerRequest)),
    *((kind, "extra", BAD_EXTRAS) for kind in BUILD),
    *((kind, "loop", BAD_FLAGS) for kind in (VideoRequest, ExtendRequest)),
    *((kind, "expand_prompt", BAD_FLAGS) for kind in (VideoRequest, ExtendRequest)),
    *((kind, "model", BAD_TEXTS) for kind in (VideoRequest, ExtendRequest, ImageRequest, ReframeRequest)),
    *((kind, "resolution", BAD_TEXTS) for kind in (VideoRequest, ExtendRequest, UpscaleRequest)),
    *((kind, "duration", BAD_TEXTS) for kind in (VideoRequest, ExtendRequest)),
    *((kind, "keyframes", [IMAGE, "https://example.com/x.jpg", {}]) for kind in (VideoRequest, ExtendRequest)),
    (VideoRequest, "concepts", ["dolly_zoom", "", None, 7, [7], [""], [None]]),
    (VideoRequest, "hdr", BAD_FLAGS),
    (VideoRequest, "exr_export", BAD_FLAGS),
    (VideoRequest, "user_id", ["", "x" * 257, "a\nb", 7]),
    (ExtendRequest, "direction", ["", "sideways", 7]),
    (ImageRequest, "style", ["", "oil", 7]),
    (ImageRequest, "web_search", BAD_FLAGS),
    (ReframeRequest, "source_position", [{"x": 0}, "0,0,1,1", (0, 0, 1, 1)]),
    (ModifyRequest, "controls", [{"depth": 1}, "depth"]),
    (ModifyRequest, "auto_controls", BAD_FLAGS),
    (ImageEditRequest, "media", [*BAD_URLS, None]),
    (LayerRequest, "resolution", ["", "4k", 7]),
    (AudioRequest, "negative_prompt", BAD_TEXTS),
    (ImageRequest, "image_refs", [["https://example.com/x.jpg"], REFERENCE, "x", None]),
    (ImageRequest, "style_refs", [[IMAGE], REFERENCE, 7]),
    (ImageRequest, "modify_image_ref", ["https://example.com/x.jpg", IMAGE]),
    (ImageRequest, "format", BAD_TEXTS),
    (ImageRequest, "sync", BAD_FLAGS),
    (ImageRequest, "sync_timeout", BAD_COUNTS),
    (ReframeRequest, "kind", ["film", "", None, 7, []]),
    *((ReframeRequest, edge, BAD_COUNTS) for edge in ("x_start", "x_end", "y_start", "y_end", "resized_width")),
    (ReframeRequest, "first_frame", BAD_URLS),
    (ModifyRequest, "mode", BAD_TEXTS),
    (ModifyRequest, "first_frame", BAD_URLS),
]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        pytest.param(kind, field, value, id=f"{kind.__name__}.{field}-{number}")
        for kind, field, values in BAD
        for number, value in enumerate(values)
    ],
)
def test_invalid_field(kind, field, value):
    """The error about an invalid field names the field and the expected value."""
    with pytest.raises(InvalidInput) as caught:
        BUILD[kind](**{field: value})
    assert caught.value.field.split(".")[0] == field
    assert caught.value.message.startswith(("must ", "contains "))
    assert isinstance(caught.value, ValueError)


GOOD = [
    (VideoRequest, {"prompt": "猫が踊る", "aspect_ratio": "9:16", "keyframes": Keyframes(frame0=IMAGE)}),
    (VideoRequest, {"concepts": ["dolly_zoom", "pan_left"], "loop": True, "expand_prompt": False}),
    (
        VideoRequest,
        {"extra": {"seed": 7, "nested": {"a": [1, None, "x"]}}, "notify_hook": "https://example.com:8443/h"},
    ),
    (ExtendRequest, {"keyframes": Keyframes(frame1=GenerationKeyframe("g2"))}),
    (AudioRequest, {"negative_prompt": "barking"}),
    (UpscaleRequest, {"resolution": "4k"}),
    (ImageRequest, {"image_refs": [REFERENCE], "character_refs": {"identity0": ["https://example.com/me.jpg"]}}),
    (ReframeRequest, {"kind": "image", "x_start": 0}),
    (ModifyRequest, {"prompt": "in watercolour"}),
]


@pytest.mark.parametrize(("kind", "fields"), GOOD)
def test_valid_request(kind, fields):
    """A request is frozen, compared by its fields, and has tuples instead of lists."""
    request = BUILD[kind](**fields)
    assert request == BUILD[kind](**fields)
    assert isinstance(request, Request)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.prompt = "another"
    assert not any(isinstance(getattr(request, field.name), list) for field in attrs.fields(kind))


def test_requests_are_complete():
    """Every class of request is in the table above."""
    assert set(BUILD) == set(Request.__args__)


def test_request_copies_arguments():
    """Changing a mapping or a list afterwards does not change the request."""
    extra, concepts, urls = {"seed": 7}, ["pan_left"], ["https://example.com/me.jpg"]
    video = VideoRequest("cat dance", extra=extra, concepts=concepts)
    image = ImageRequest("a cat", character_refs={"identity0": urls})
    extra["seed"], concepts[0] = 8, "pan_right"
    urls.append("nonsense")
    assert video.extra == {"seed": 7}
    assert video.concepts == ("pan_left",)
    assert image.character_refs == {"identity0": ("https://example.com/me.jpg",)}


def test_deeply_nested_extra():
    """A value that is nested too deeply for JSON is invalid input."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="extra: must contain JSON values only"):
        VideoRequest("cat dance", extra={"x": deep})


@pytest.mark.parametrize(
    ("refs", "field"),
    [
        ({"identity0": ["nonsense"]}, "character_refs.identity0"),
        ({"identity0": "https://example.com/me.jpg"}, None),
        ({"identity0": "nonsense"}, "character_refs.identity0"),
        ({"identity0": 7}, "character_refs.identity0"),
        ({"identity0": []}, "character_refs.identity0"),
        ({7: ["https://example.com/me.jpg"]}, "character_refs.7"),
        (["https://example.com/me.jpg"], "character_refs"),
        (None, "character_refs"),
    ],
)
def test_character_refs(refs, field):
    """The error about an invalid URL names its identity; a single URL becomes a list."""
    if field is None:
        kept = ImageRequest("a cat", character_refs=refs)
        assert kept.character_refs == {"identity0": ("https://example.com/me.jpg",)}
        assert DreamMachine().submit_call(kept).body["character_ref"] == {
            "identity0": {"images": ["https://example.com/me.jpg"]}
        }
        return
    with pytest.raises(InvalidInput) as caught:
        ImageRequest("a cat", character_refs=refs)
    assert caught.value.field == field


def test_extend_with_frame0():
    """An extension refuses `frame0`, since the source is the beginning."""
    with pytest.raises(InvalidInput, match="frame0: is the source itself"):
        ExtendRequest("g1", "it sits", keyframes=Keyframes(frame0=IMAGE))


def test_empty_keyframes():
    """Keyframes without a frame are refused."""
    with pytest.raises(InvalidInput, match="frame0, frame1 or both"):
        Keyframes()


@pytest.mark.parametrize("field", ["frame0", "frame1"])
@pytest.mark.parametrize("value", ["https://example.com/x.jpg", REFERENCE, 7])
def test_invalid_keyframe(field, value):
    """A frame must be an ImageKeyframe or a GenerationKeyframe."""
    with pytest.raises(InvalidInput, match="ImageKeyframe or a GenerationKeyframe") as caught:
        Keyframes(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("value", BAD_IDS)
def test_invalid_generation_id(value):
    """An id that is not safe in a URL is refused."""
    with pytest.raises(InvalidInput, match="1-128 letters, digits"):
        GenerationKeyframe(value)


@pytest.mark.parametrize(
    "url",
    [
        *BAD_URLS,
        None,
        "data:text/plain;base64,aGk=",
        "data:image/jpeg,abc",
        "data:image/jpeg;base64,",
        "data:image/jpeg;base64,%%%",
        "data:image/jpeg;base64,aGk",
        "data:image/jpeg;base64,aGk=\n",
        "data:",
    ],
)
def test_invalid_image_url(url):
    """An image is an http(s) URL or valid Base64, in keyframes and in references."""
    for build in (ImageKeyframe, ImageReference):
        with pytest.raises(InvalidInput) as caught:
            build(url)
        assert caught.value.field == "url"


@pytest.mark.parametrize(("data", "kind"), [(JPEG, "jpeg"), (PNG, "png"), (WEBP, "webp"), (GIF, "gif")])
def test_image_from_bytes_and_file(data, kind, tmp_path):
    """The format of an inline image is read from its first bytes."""
    keyframe = ImageKeyframe.from_bytes(data)
    assert keyframe.url == f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    (tmp_path / "image.txt").write_bytes(data)
    assert ImageKeyframe.from_file(tmp_path / "image.txt") == keyframe
    assert ImageKeyframe.from_file(str(tmp_path / "image.txt")) == keyframe


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"\xff\xd8", b"<svg/>", b"\x00\x00\x00 ftypmp42"])
def test_invalid_image_bytes(data, tmp_path):
    """Data in another format is refused; from a file, the error has the path."""
    with pytest.raises(InvalidInput, match="data: is not a JPEG, PNG, WebP or GIF image"):
        ImageKeyframe.from_bytes(data)
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"image\.jpg: is not a JPEG") as caught:
        ImageKeyframe.from_file(path)
    assert caught.value.field == "path"


def test_unreadable_image_file(tmp_path):
    """A file that cannot be read is invalid input, with the reason."""
    for path, reason in ((tmp_path / "none.jpg", "No such file"), (tmp_path, "directory"), ("a\0b", "must be a path")):
        with pytest.raises(InvalidInput, match=reason) as caught:
            ImageKeyframe.from_file(path)
        assert caught.value.field == "path"


SIGNED = "https://images.example/cat.png?X-Amz-Signature=secret"
SIGNED_FIELDS = {
    "notify_hook": SIGNED,
    "media": SIGNED,
    "first_frame": SIGNED,
    "keyframes": Keyframes(frame1=ImageKeyframe(SIGNED)),
    "image_refs": [ImageReference(SIGNED)],
    "style_refs": [ImageReference(SIGNED)],
    "character_refs": {"identity0": [SIGNED]},
    "modify_image_ref": ImageReference(SIGNED),
}


@pytest.mark.parametrize("kind", BUILD)
def test_repr_hides_queries(kind):
    """The repr of a request shows no query of a URL, which may have a signature."""
    fields = {name: value for name, value in SIGNED_FIELDS.items() if name in attrs.fields_dict(kind)}
    shown = repr(BUILD[kind](**fields))
    assert "secret" not in shown
    assert shown.count("'https://images.example/cat.png?…'") >= len(fields)


def test_url_fields_hide_queries():
    """Every field that is validated as a URL is shown without its query."""
    kinds = [*BUILD, ImageKeyframe, ImageReference]
    fields = [field for kind in kinds for field in attrs.fields(kind)]
    urls = [field for field in fields if field.validator in (check_web_url, check_media, check_image_url)]
    assert len(urls) > len(BUILD)
    assert {field.repr for field in urls} == {show_url, show_media}


def test_repr_of_inline_image():
    """The repr of an inline image shows only the beginning of its data."""
    keyframe = ImageKeyframe.from_bytes(JPEG + bytes(1_000_000))
    assert len(repr(VideoRequest("cat dance", keyframes=Keyframes(frame0=keyframe)))) < 500
    assert "data:image/jpeg;base64," in repr(keyframe)
    assert repr(IMAGE) == "ImageKeyframe(url='https://example.com/tiger.jpg')"


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, 10**400, "0.5", True])
def test_invalid_weight(weight):
    """A weight that is not a number from 0 to 1 is refused."""
    with pytest.raises(InvalidInput, match="weight: must be a number from 0 to 1"):
        ImageReference("https://example.com/x.jpg", weight=weight)


@pytest.mark.parametrize("weight", [None, 0, 0.5, 1])
def test_valid_weight(weight):
    """A weight is None or a number from 0 to 1."""
    assert ImageReference("https://example.com/x.jpg", weight=weight).weight == weight


@given(st.text(max_size=200))
def test_any_id(text):
    """A valid id has 1 to 128 letters, digits, `_` and `-`."""
    safe = 1 <= len(text) <= 128 and all(char.isascii() and (char.isalnum() or char in "_-") for char in text)
    with nullcontext() if safe else pytest.raises(InvalidInput):
        assert check_id(text) == text


@given(st.text(max_size=60))
def test_any_prompt(text):
    """A prompt is kept unchanged; a prompt of spaces is refused."""
    with nullcontext() if text.strip() else pytest.raises(InvalidInput):
        assert VideoRequest(text).prompt == text


def test_as_request():
    """A prompt accepts fields, a request does not, and anything else is refused."""
    request = VideoRequest("cat dance", loop=True)
    assert as_request("cat dance", {"loop": True}) == request
    assert as_request(request, {}) is request
    with pytest.raises(TypeError, match="do not pass loop as well"):
        as_request(request, {"loop": True})
    with pytest.raises(InvalidInput, match="request: must be a prompt or a request"):
        as_request(7, {})
    with pytest.raises(InvalidInput, match="colour"):
        as_request("cat dance", {"colour": "red"})


UNKNOWN_FIELDS = {
    "a field of the service": (lambda: VideoRequest("x", seed=7), "seed", 'pass extra={"seed": 7}.'),
    "a field with a text": (lambda: VideoRequest("x", style="noir"), "style", 'pass extra={"style": …}.'),
    "a typing error": (lambda: ExtendRequest("g-1", "x", resolutoin="4k"), "resolutoin", "Did you mean resolution?"),
    "a typing error of a call": (lambda: VideoRequest("x", keey="a"), "keey", "Did you mean key?"),
    "an argument of the call": (lambda: VideoRequest("x", key="a"), "key", "It is an argument of `submit()`"),
}


@pytest.mark.parametrize(("build", "field", "words"), UNKNOWN_FIELDS.values(), ids=UNKNOWN_FIELDS.keys())
def test_unknown_field(build, field, words):
    """A field that a request does not have is refused by name, and the message says where it belongs."""
    with pytest.raises(InvalidInput) as caught:
        build()
    assert caught.value.field == field
    assert words in str(caught.value)


def test_missing_field():
    """Other wrong calls raise Python's own TypeError."""
    with pytest.raises(TypeError, match="prompt"):
        VideoRequest()


def test_assumed_longest_prompt():
    """A prompt of 100,000 characters is sent, and a longer one is refused before anything is sent."""
    assert len(VideoRequest("x" * 100_000).prompt) == 100_000
    with pytest.raises(InvalidInput, match="at most 100000"):
        VideoRequest("x" * 100_001)
