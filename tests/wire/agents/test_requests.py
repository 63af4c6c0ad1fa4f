"""What a request looks like in the format of Luma's present API, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from samples_of import sample

from luma_async import (
    Agents,
    AudioRequest,
    DepthControl,
    DreamMachine,
    EditControls,
    ExtendRequest,
    FileReference,
    GenerationKeyframe,
    ImageEditRequest,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    InvalidInput,
    Keyframes,
    LayerRequest,
    ModifyRequest,
    PoseControl,
    ReframeRequest,
    RixAPI,
    SourcePosition,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
)

AGENTS = Agents()
GENERATION = "c0ffee00-1111-4222-8333-444455556666"
URL, CLIP = "https://image.example/a.jpg", "https://video.example/in.mp4"
IMAGE, EARLIER = ImageKeyframe(URL), GenerationKeyframe(GENERATION)

RECORDED = {
    "video": VideoRequest("a paper boat on a rainy street", resolution="720p", duration="5s"),
    "i2v": VideoRequest(
        "the camera moves closer",
        aspect_ratio="9:16",
        resolution="720p",
        duration="10s",
        keyframes=Keyframes(at={0: IMAGE, 240: ImageKeyframe("data:image/png;base64,AAAA")}),
    ),
    "extend": ExtendRequest(GENERATION, "the boat reaches the drain", resolution="720p", duration="5s"),
    "edit": ModifyRequest(
        CLIP,
        mode="flex_2",
        prompt="as a watercolour",
        resolution="720p",
        controls=EditControls(depth=DepthControl(True, blur=0.3), pose=PoseControl(True, strength="coarse")),
    ),
    "reframe": ReframeRequest(
        EARLIER,
        aspect_ratio="9:16",
        prompt="extend the room",
        resolution="720p",
        source_position=SourcePosition(0, 0.34, 1, 0.32),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_request(name):
    """The body is that of the recorded request."""
    assert AGENTS.submit_call(RECORDED[name]).body == sample("agents", f"create-request-{name}")


BODIES = [
    (ImageRequest("a cat"), {"model": "uni-1", "type": "image", "prompt": "a cat", "aspect_ratio": "16:9"}),
    (
        ImageRequest("a cat", aspect_ratio="1:1", format="jpg", style="auto", web_search=True, user_id="u1"),
        {"model": "uni-1", "type": "image", "prompt": "a cat", "aspect_ratio": "1:1", "output_format": "jpeg"}
        | {"style": "auto", "web_search": True, "user_id": "u1"},
    ),
    (
        ImageEditRequest(FileReference("f1"), "a hat", image_refs=[ImageReference(URL), EARLIER], model="uni-1-max"),
        {"model": "uni-1-max", "type": "image_edit", "prompt": "a hat", "source": {"file_id": "f1"}}
        | {"image_ref": [{"url": URL}, {"generation_id": GENERATION}]},
    ),
    (
        LayerRequest(URL, "boat, street", resolution="2k"),
        {"model": "uni-1", "type": "layering", "prompt": "boat, street", "source": {"url": URL}}
        | {"layering": {"resolution": "2k"}},
    ),
    (
        ExtendRequest(GENERATION, "before", direction="backward"),
        {"model": "ray-3.2", "type": "video", "prompt": "before"}
        | {"video": {"end_frame": {"generation_id": GENERATION}}},
    ),
    (
        VideoRequest("cat", keyframes=Keyframes(frame0=IMAGE, frame1=FileReference("f1")), hdr=True, exr_export=True),
        {"model": "ray-3.2", "type": "video", "prompt": "cat", "aspect_ratio": "16:9"}
        | {"video": {"start_frame": {"url": URL}, "end_frame": {"file_id": "f1"}, "hdr": True, "exr_export": True}},
    ),
    (VideoRequest("cat"), {"model": "ray-3.2", "type": "video", "prompt": "cat", "aspect_ratio": "16:9"}),
    (
        ModifyRequest("https://v.example/in.mov", auto_controls=True, prompt="oil", keyframes=Keyframes(at={7: IMAGE})),
        {"model": "ray-3.2", "type": "video_edit", "prompt": "oil"}
        | {"source": {"url": "https://v.example/in.mov", "media_type": "video/quicktime"}}
        | {"video": {"edit": {"auto_controls": True, "keyframes": [{"url": URL}], "keyframe_indexes": [7]}}},
    ),
    (
        ModifyRequest(FileReference("f1"), prompt="oil", first_frame=URL, extra={"seed": 1}),
        {"model": "ray-3.2", "type": "video_edit", "prompt": "oil", "source": {"file_id": "f1"}}
        | {"video": {"start_frame": {"url": URL}}, "seed": 1},
    ),
]


@pytest.mark.parametrize(("request_", "body"), BODIES)
def test_body(request_, body):
    """Each field is in its place, and what is not set is left out."""
    call = AGENTS.submit_call(request_)
    assert (call.method, call.path, call.body) == ("POST", "/v1/generations", body)


AT = Keyframes(at={0: IMAGE})
EXCLUSIONS = [
    (VideoRequest("x", duration="10s", keyframes=Keyframes(frame0=IMAGE)), "duration", "keyframes.frame0"),
    (VideoRequest("x", duration="10s", keyframes=Keyframes(frame1=IMAGE)), "duration", "keyframes.frame1"),
    (VideoRequest("x", loop=True, duration="10s"), "loop", "duration"),
    (VideoRequest("x", loop=True, hdr=True), "loop", "hdr"),
    (VideoRequest("x", loop=True, keyframes=Keyframes(frame1=IMAGE)), "loop", "keyframes.frame1"),
    (VideoRequest("x", loop=True, keyframes=AT), "loop", "keyframes.at"),
    (VideoRequest("x", hdr=True, resolution="540p"), "hdr", "resolution"),
    (VideoRequest("x", hdr=True, duration="10s"), "hdr", "duration"),
    (VideoRequest("x", exr_export=True), "exr_export", "hdr"),
    (VideoRequest("x", keyframes=Keyframes(frame0=IMAGE, at={5: IMAGE})), "keyframes.at", "keyframes.frame0"),
    (VideoRequest("x", keyframes=Keyframes(at={121: IMAGE})), "keyframes.at", "duration"),
    (VideoRequest("x", keyframes=Keyframes(frame0=EARLIER, frame1=IMAGE)), "keyframes.frame0", "keyframes.frame1"),
    (VideoRequest("x", keyframes=Keyframes(frame0=EARLIER), hdr=True), "hdr", "keyframes.frame0"),
    (VideoRequest("x", keyframes=Keyframes(frame1=EARLIER), resolution="360p"), "resolution", "keyframes.frame1"),
    (ExtendRequest("g1", "x", duration="10s"), "duration", "source"),
    (ExtendRequest("g1", "x", keyframes=Keyframes(frame1=IMAGE)), "keyframes", "source"),
    (ExtendRequest("g1", "x", resolution="360p"), "resolution", "source"),
    (ExtendRequest("g1", "x", direction="backward", loop=True), "loop", "direction"),
    (ModifyRequest(CLIP, prompt="x", keyframes=Keyframes(frame1=IMAGE)), "keyframes.frame1", "media"),
    (ModifyRequest(CLIP, prompt="x", first_frame=URL, keyframes=AT), "first_frame", "keyframes.at"),
    (ModifyRequest(CLIP, prompt="x", first_frame=URL, keyframes=Keyframes(frame0=IMAGE)), "first_frame", "frame0"),
    (ModifyRequest(CLIP, prompt="x", auto_controls=True, mode="flex_1"), "auto_controls", "mode"),
    (ModifyRequest(CLIP, prompt="x", auto_controls=True, controls=EditControls()), "auto_controls", "controls"),
    (ModifyRequest(CLIP, prompt="x", hdr=True, resolution="540p"), "hdr", "resolution"),
    (ModifyRequest(CLIP, prompt="x", exr_export=True), "exr_export", "hdr"),
    (ReframeRequest(CLIP, prompt="x", kind="image"), "kind", "media"),
    (ImageRequest("x", style="manga"), "style", "aspect_ratio"),
]


@pytest.mark.parametrize(("request_", "field", "other"), EXCLUSIONS)
def test_excluded_combination(request_, field, other):
    """Two fields that exclude each other are refused before anything is sent; the message names both."""
    with pytest.raises(InvalidInput) as caught:
        AGENTS.submit_call(request_)
    assert caught.value.field == field
    assert other in caught.value.message


ALLOWED = [
    VideoRequest("x", duration="10s", keyframes=AT, hdr=True, exr_export=True),
    VideoRequest("x", hdr=True, resolution="1080p"),
    VideoRequest("x", loop=True, keyframes=Keyframes(frame0=IMAGE)),
    VideoRequest("x", loop=True, keyframes=Keyframes(frame0=EARLIER)),
    VideoRequest("x", duration="10s", keyframes=Keyframes(at={240: IMAGE})),
    ExtendRequest("g1", "x", loop=True),
    ModifyRequest(CLIP, prompt="x", hdr=True, resolution="1080p", keyframes=Keyframes(at={400: IMAGE})),
    ImageRequest("x", style="manga", aspect_ratio="2:3"),
]


@pytest.mark.parametrize("request_", ALLOWED)
def test_allowed_combination(request_):
    """Combinations that the service takes are sent."""
    assert AGENTS.submit_call(request_).body


BOUNDS = [
    (VideoRequest("x" * 6001), "prompt"),
    (LayerRequest(URL, "x" * 501), "prompt"),
    (ReframeRequest(CLIP), "prompt"),
    (ModifyRequest(CLIP, mode="flex_1"), "prompt"),
    (ImageRequest("x", image_refs=[IMAGE] * 10), "image_refs"),
    (ImageEditRequest(URL, "x", image_refs=[IMAGE] * 9), "image_refs"),
    (VideoRequest("x", keyframes=Keyframes(at=dict.fromkeys(range(65), IMAGE))), "keyframes.at"),
    (VideoRequest("x", extra={"video": {}}), "extra.video"),
]


@pytest.mark.parametrize(("request_", "field"), BOUNDS)
def test_documented_bound(request_, field):
    """What is missing, too long or too many is refused before anything is sent."""
    with pytest.raises(InvalidInput) as caught:
        AGENTS.submit_call(request_)
    assert caught.value.field == field


RELAY, LEGACY = RixAPI(), DreamMachine()
CARRIED_ELSEWHERE = [
    (RELAY, VideoRequest("x", hdr=True), "hdr", "agents"),
    (RELAY, VideoRequest("x", concepts=["static"]), "concepts", "dream-machine"),
    (RELAY, VideoRequest("x", keyframes=AT), "keyframes.at", "agents"),
    (RELAY, VideoRequest("x", keyframes=Keyframes(frame0=FileReference("f1"))), "keyframes.frame0.id", "agents"),
    (LEGACY, ModifyRequest(CLIP, mode="flex_1", controls=EditControls()), "controls", "agents"),
    (LEGACY, ReframeRequest(CLIP, source_position=SourcePosition(0, 0, 1, 1)), "source_position", "agents"),
    (LEGACY, ExtendRequest("g1", "x", direction="backward"), "direction", "agents"),
    (LEGACY, ImageRequest("x", web_search=True), "web_search", "agents"),
    (LEGACY, VideoRequest("x", expand_prompt=True), "expand_prompt", "rixapi"),
    (AGENTS, VideoRequest("x", notify_hook=URL), "notify_hook", "rixapi"),
    (AGENTS, VideoRequest("x", expand_prompt=True), "expand_prompt", "rixapi"),
    (AGENTS, ImageRequest("x", sync=True), "sync", "dream-machine"),
    (AGENTS, ImageRequest("x", image_refs=[ImageReference(URL, weight=1)]), "image_refs.weight", "dream-machine"),
]


@pytest.mark.parametrize(("dialect", "request_", "field", "other"), CARRIED_ELSEWHERE)
def test_field_of_other_dialect(dialect, request_, field, other):
    """A field that a dialect cannot carry is refused by name, with the dialects that can."""
    with pytest.raises(InvalidInput, match=rf"--dialect {other}\)") as caught:
        dialect.submit_call(request_)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("dialect", "request_", "other"),
    [
        (RELAY, LayerRequest(URL, "x"), "agents"),
        (LEGACY, ImageEditRequest(URL, "x"), "agents"),
        (AGENTS, UpscaleRequest("g1"), "dream-machine"),
        (AGENTS, AudioRequest("g1", "x"), "rixapi"),
    ],
)
def test_call_of_other_dialect(dialect, request_, other):
    """A call that a dialect does not have is refused, with the dialects that have it."""
    with pytest.raises(UnsupportedOperation, match=rf"--dialect {other}\)"):
        dialect.submit_call(request_)
