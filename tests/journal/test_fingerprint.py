"""The canonical form of a request: it never changes, contains no image, and restores the request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    AudioRequest,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    InvalidInput,
    Keyframes,
    ModifyRequest,
    ReframeRequest,
    UpscaleRequest,
    VideoRequest,
)
from luma_async._journal.fingerprint import canonical_form, digest, duration_kind, request_from_form, without_images

PICTURE = ImageKeyframe.from_bytes(b"\xff\xd8\xff picture")
TIGER = ImageKeyframe("https://pictures.example/tiger.jpg")
REQUESTS = {
    "a prompt": VideoRequest("cat dance"),
    "every field": VideoRequest(
        "cat dance",
        aspect_ratio="9:16",
        keyframes=Keyframes(frame0=TIGER, frame1=GenerationKeyframe("gen-1")),
        loop=True,
        expand_prompt=False,
        model="ray-2",
        resolution="720p",
        duration="5s",
        concepts=("dolly_zoom", "push_in"),
        notify_hook="https://hooks.example/luma",
        extra={"seed": 7, "class": "vip", "tags": ["a", "b"]},
    ),
    "an extension": ExtendRequest("gen-1", "it sits down"),
    "sound": AudioRequest("gen-1", "purring", negative_prompt="barking"),
    "an upscale": UpscaleRequest("gen-1", resolution="4k"),
    "a picture": ImageRequest(
        "a cat",
        image_refs=(ImageReference("https://pictures.example/cat.jpg", weight=0.5),),
        character_refs={"identity0": ("https://pictures.example/face.jpg",)},
    ),
    "a reframe": ReframeRequest("https://videos.example/cat.mp4", aspect_ratio="1:1"),
    "a change": ModifyRequest("https://videos.example/cat.mp4", mode="flex_1", prompt="a dog"),
    "beyond ASCII": VideoRequest("cat \U0001f408 кошка"),
    "a prompt that is no picture": VideoRequest("data: a machine dreams"),
    "an identity of any name": ImageRequest("a cat", character_refs={"class": ("https://pictures.example/face.jpg",)}),
}
GOLDEN = {
    "a prompt": "e8bf073fa12cb96c1eec1aea3b7d82ec9438b0f947d5f580b03ba62a9268c141",
    "every field": "1c9f2db9283f685709d62078682d80cf5adaafc1a4e9db77b0d6bed6f1ad68bd",
    "an extension": "200d547a3f2c3305eadbba3453e06830fa4f0c9e94d4e2296a1b91635c7d79ac",
    "sound": "4a340ef4bdfe34eceb2b1216a981a5f19bb0e5af65f9a81d748085adaaf4f132",
    "an upscale": "0bc248d7fbf69f2800cdd9b27117ad6272c8ea7f75293f1a1ab233f662f11a10",
    "a picture": "19f4213e965ccbb08cb33eb60c08f1893f37ad57362741d4deee60916200a897",
    "a reframe": "e6397026c3055cd419234768a8507358d9a7b91575b621104d61ba4e7615cf30",
    "a change": "f1c02ba251e4c9a0b7a0ec4abe5896475b37052afd87718cb976efda3ce5e311",
    "beyond ASCII": "7e7388e845a350a705abadbacce10173ced87ee82aab423981d7d7f0d17e87a6",
    "a prompt that is no picture": "79f11fae31de8e6a898a66ca7440309e641cac9a0a79da3fa1c9d08f83cb8e21",
    "an identity of any name": "5a0ffc4c45dffee327a45120372b0f6a0702b51c0f80b51f0e315949865bcdf6",
}
GOLDEN_PICTURE = "873710168906296c9b041b954bff1b17a56962dc87268a2d5c5fdae6dfe68caa"


@pytest.mark.parametrize("name", REQUESTS)
def test_digest_golden(name):
    """A digest never changes: a new digest would buy every earlier purchase again."""
    assert digest(canonical_form(REQUESTS[name])) == GOLDEN[name]


def test_digest_golden_inline_image():
    """The digest of a request with an inline image never changes either."""
    form = canonical_form(VideoRequest("cat dance", keyframes=Keyframes(frame0=PICTURE)))
    assert digest(form) == GOLDEN_PICTURE


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_form_round_trip(request_):
    """A form that went through JSON gives the same request, with the same digest."""
    form = json.loads(json.dumps(canonical_form(request_)))
    restored = request_from_form(form)
    assert restored == request_
    assert digest(canonical_form(restored)) == digest(form)


def test_digest_integer_weight():
    """A weight of 1 and a weight of 1.0 are the same purchase."""
    whole, broken = (
        ImageRequest("a cat", image_refs=[ImageReference("https://pictures.example/cat.jpg", weight=weight)])
        for weight in (1, 1.0)
    )
    assert whole == broken
    assert digest(canonical_form(whole)) == digest(canonical_form(broken))


def test_digests_differ():
    """No two of the requests of this module have the same digest."""
    assert len({digest(canonical_form(request)) for request in REQUESTS.values()}) == len(REQUESTS)


def test_digest_explicit_default():
    """A field that is set to its default changes nothing; the aspect ratio is always part of the form."""
    assert canonical_form(VideoRequest("cat", loop=None, extra={})) == canonical_form(VideoRequest("cat"))
    assert canonical_form(VideoRequest("cat"))["aspect_ratio"] == "16:9"


@pytest.mark.parametrize(
    "request_",
    [
        VideoRequest("cat dance", keyframes=Keyframes(frame0=PICTURE)),
        VideoRequest("cat dance", extra={"image_url": PICTURE.url}),
        VideoRequest("cat dance", extra={"images": [{"url": PICTURE.url}]}),
        VideoRequest("cat dance", extra={"image_url": "data:application/octet-stream;base64,AAAA"}),
        VideoRequest("cat dance", extra={"image_url": "data:;base64,AAAA"}),
        VideoRequest("cat dance", extra={"clip": 'data:video/mp4;codecs="avc1.42";name=my%20cat.mp4;base64,AAAA'}),
    ],
    ids=[
        "in a keyframe",
        "in an extra field",
        "deep in an extra field",
        "of no type",
        "without a type",
        "of many words",
    ],
)
def test_form_inline_image(request_):
    """The form has only the digest of an inline image, and no request is restored from it."""
    form = canonical_form(request_)
    assert "base64" not in json.dumps(form)
    with pytest.raises(InvalidInput, match="pass the request again"):
        request_from_form(form)


def test_digest_same_image():
    """Two requests with the same inline image have the same digest; another image has another."""
    other = ImageKeyframe.from_bytes(b"\xff\xd8\xff another")
    first, again, third = (
        digest(canonical_form(VideoRequest("cat dance", keyframes=Keyframes(frame0=frame))))
        for frame in (PICTURE, ImageKeyframe(PICTURE.url), other)
    )
    assert first == again
    assert first != third


@pytest.mark.parametrize(
    "form",
    [
        {"class": "HologramRequest", "prompt": "cat"},
        {"class": "VideoRequest", "prompt": "cat", "smell": "fish"},
        {"class": "VideoRequest", "prompt": "cat", "keyframes": {"class": "Keyframes", "frame2": None}},
    ],
    ids=["class", "field", "field inside"],
)
def test_form_of_later_version(form):
    """A form with an unknown class or field is refused, rather than bought without it."""
    with pytest.raises(InvalidInput, match="update luma_async"):
        request_from_form(form)


def texts(value):
    """Return the strings in a JSON value, without the names of its fields."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in texts(one)]
    return [value] if isinstance(value, str) else []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.text().map("data:image/png;base64,{}".format),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_images_removed_from_json(value):
    """A `data:` URI at any depth is replaced by its digest; doing it twice changes nothing more."""
    kept = without_images(value)
    assert not [text for text in texts(kept) if text.startswith("data:image/")]
    assert without_images(kept) == kept


def test_duration_kind():
    """Class, model, resolution and duration make the kind of a duration; nothing else does."""
    assert duration_kind(canonical_form(REQUESTS["every field"])) == "VideoRequest|ray-2|720p|5s"
    assert duration_kind(canonical_form(VideoRequest("cat"))) == duration_kind(
        canonical_form(VideoRequest("dog", loop=True))
    )
