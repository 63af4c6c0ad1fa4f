"""The calls of the relay format, in both editions."""

from __future__ import annotations

import pickle

import pytest
from samples_of import sample

from luma_async import (
    AudioRequest,
    ConfigurationError,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageRequest,
    InvalidInput,
    Keyframes,
    ModifyRequest,
    ReframeRequest,
    RixAPI,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
)
from luma_async.values.redaction import Secret
from luma_async.values.settings import KnownLimits

NEW, OLD, AUTO = RixAPI(edition="2025"), RixAPI(edition="2024"), RixAPI()
TIGER = ImageKeyframe("https://pictures.example/tiger.jpg")
LION = ImageKeyframe("https://pictures.example/lion.jpg")
INLINE = ImageKeyframe.from_bytes(b"\x89PNG\r\n\x1a\n")
EARLIER = GenerationKeyframe("749d328e-4fd0-43a8-8c89-32394d60da69")
HOOK = "https://me.example/hook"
CAT = {"prompt": "cat dance", "aspect_ratio": "16:9"}
OLD_CAT = {"user_prompt": "cat dance", "aspect_ratio": "16:9"}


def test_documented_example_2025():
    """The example of the 2025 page is sent with exactly its fields."""
    documented = sample("rixapi", "submit-request-2025")
    frame = ImageKeyframe(documented["keyframes"]["frame0"]["url"])
    call = NEW.submit_call(VideoRequest("cat dance", keyframes=Keyframes(frame0=frame)))
    assert (call.method, call.path, call.body) == ("POST", "/luma/generations", documented)
    assert (call.query, call.headers, call.bearer) == ((), (), None)


def test_documented_examples_2024():
    """A video and a continuation of the 2024 pages have exactly the documented fields."""
    assert OLD.submit_call(VideoRequest("cat dance")).body == sample("rixapi", "submit-request-2024")
    call = OLD.submit_call(ExtendRequest("some-id", "add cat", expand_prompt=True))
    assert call.body == sample("rixapi", "extend-request-2024")


VIDEOS = {
    "bare": (NEW, {}, CAT),
    "all": (
        NEW,
        {"aspect_ratio": "9:16", "loop": True, "expand_prompt": False, "notify_hook": HOOK},
        {"prompt": "cat dance", "aspect_ratio": "9:16", "loop": True, "expand_prompt": False, "notify_hook": HOOK},
    ),
    "both frames": (
        NEW,
        {"keyframes": Keyframes(TIGER, LION)},
        {
            **CAT,
            "keyframes": {"frame0": {"type": "image", "url": TIGER.url}, "frame1": {"type": "image", "url": LION.url}},
        },
    ),
    "the last frame": (
        NEW,
        {"keyframes": Keyframes(frame1=LION)},
        {**CAT, "keyframes": {"frame1": {"type": "image", "url": LION.url}}},
    ),
    "fields of tomorrow": (
        NEW,
        {"extra": {"seed": 7, "model_name": "ray-v2", "nothing": None}},
        {**CAT, "seed": 7, "model_name": "ray-v2", "nothing": None},
    ),
    "bare, 2024": (OLD, {}, OLD_CAT),
    "all, 2024": (
        OLD,
        {"loop": False, "expand_prompt": True, "notify_hook": HOOK, "keyframes": Keyframes(TIGER, INLINE)},
        {
            **OLD_CAT,
            "loop": False,
            "expand_prompt": True,
            "notify_hook": HOOK,
            "image_url": TIGER.url,
            "image_end_url": INLINE.url,
        },
    ),
    "the last frame, 2024": (OLD, {"keyframes": Keyframes(frame1=LION)}, {**OLD_CAT, "image_end_url": LION.url}),
    "fields of related relays, 2024": (
        OLD,
        {"model": "ray-v2", "resolution": "720p", "duration": "5s", "extra": {"seed": 7}},
        {**OLD_CAT, "model_name": "ray-v2", "resolution": "720p", "duration": "5s", "seed": 7},
    ),
}


@pytest.mark.parametrize(("dialect", "fields", "body"), VIDEOS.values(), ids=VIDEOS.keys())
def test_video_call(dialect, fields, body):
    """A video is one POST whose body has the given fields under the edition's names, and no others."""
    call = dialect.submit_call(VideoRequest("cat dance", **fields))
    assert (call.name, call.method, call.path, call.body) == ("submit", "POST", "/luma/generations", body)


CHOSEN = {
    "nothing of 2024": (VideoRequest("cat dance", keyframes=Keyframes(TIGER, EARLIER)), NEW, ""),
    "a model": (VideoRequest("cat dance", model="ray-v2"), OLD, "because it has model"),
    "all with pictures": (
        VideoRequest("cat dance", model="ray-v2", resolution="720p", duration="5s", keyframes=Keyframes(TIGER, LION)),
        OLD,
        "because it has model and resolution and duration",
    ),
    "an extension": (ExtendRequest("some-id", "it sits", duration="5s"), OLD, "because it has duration"),
    "sound": (AudioRequest("some-id", "purring"), NEW, ""),
}


@pytest.mark.parametrize(("request_", "same", "hint"), CHOSEN.values(), ids=CHOSEN.keys())
def test_chosen_edition(request_, same, hint):
    """Without an edition the body is that of the edition that has the request's fields, and 2025 if both do."""
    call = AUTO.submit_call(request_)
    assert call.body == same.submit_call(request_).body
    assert hint in call.refusal_hint
    assert bool(call.refusal_hint) == bool(hint)


def test_mixed_editions():
    """A generation as a keyframe and a model are sent in one body, as clients of relays send it."""
    seen = sample("rixapi", "submit-request-mixed")
    fields = {"resolution": "720p", "duration": "5s", "expand_prompt": True, "loop": False}
    request = VideoRequest("a boat", model="ray-v2", keyframes=Keyframes(EARLIER), **fields)
    body = AUTO.submit_call(request).body
    frame0 = {"type": "generation", "id": EARLIER.id}
    assert body == {**seen, "keyframes": {"frame0": frame0}, "aspect_ratio": "16:9"}


MORE = {
    "extend": (
        NEW,
        ExtendRequest("some-id", "it sits", loop=True, keyframes=Keyframes(frame1=LION), notify_hook=HOOK),
        "/luma/generations/some-id/extend",
        {
            "prompt": "it sits",
            "loop": True,
            "keyframes": {"frame1": {"type": "image", "url": LION.url}},
            "notify_hook": HOOK,
        },
    ),
    "extend, 2024": (
        OLD,
        ExtendRequest("some-id", "it sits", keyframes=Keyframes(frame1=LION), model="ray-v2", extra={"seed": 7}),
        "/luma/generations/some-id/extend",
        {"user_prompt": "it sits", "image_end_url": LION.url, "model_name": "ray-v2", "seed": 7},
    ),
    "extend, bare": (
        NEW,
        ExtendRequest("some-id", "it sits"),
        "/luma/generations/some-id/extend",
        {"prompt": "it sits"},
    ),
}


@pytest.mark.parametrize(("dialect", "request_", "path", "body"), MORE.values(), ids=MORE.keys())
def test_extend_call(dialect, request_, path, body):
    """A continuation is a POST below the video's own path, without an aspect ratio."""
    call = dialect.submit_call(request_)
    assert (call.name, call.method, call.path, call.body) == ("extend", "POST", path, body)


@pytest.mark.parametrize(("dialect", "prompt"), [(NEW, "prompt"), (OLD, "user_prompt")])
def test_assumed_audio_call(dialect, prompt):
    """Assumed: audio is submitted at the path of a video, with the finished video as `task_id`."""
    call = dialect.submit_call(AudioRequest("some-id", "purring", notify_hook=HOOK))
    assert (call.name, call.method, call.path) == ("add_audio", "POST", "/luma/generations")
    assert call.body == {prompt: "purring", "task_id": "some-id", "notify_hook": HOOK}


@pytest.mark.parametrize(
    ("audio_path", "path"),
    [("/luma/generations/{id}/audio", "/luma/generations/some-id/audio"), ("/v1/sound", "/v1/sound")],
)
def test_audio_path(audio_path, path):
    """The path for audio is a setting, and may hold the video's id."""
    call = RixAPI(audio_path=audio_path).submit_call(AudioRequest("some-id", "purring"))
    assert (call.path, call.body) == (path, {"prompt": "purring", "task_id": "some-id"})


def test_assumed_generation_keyframe():
    """Assumed: a generation as a keyframe of the 2025 edition has the form of Luma's own format."""
    body = NEW.submit_call(VideoRequest("cat dance", keyframes=Keyframes(EARLIER, LION))).body
    assert body["keyframes"]["frame0"] == {"type": "generation", "id": EARLIER.id}


def test_assumed_inline_image():
    """Assumed: the 2025 edition accepts a `data:` URI as the `url` of a frame."""
    body = NEW.submit_call(VideoRequest("cat dance", keyframes=Keyframes(INLINE))).body
    assert body["keyframes"]["frame0"] == {"type": "image", "url": INLINE.url}


UNCARRIED = {
    "model": (NEW, VideoRequest("x", model="ray-2"), "model"),
    "resolution": (NEW, VideoRequest("x", resolution="720p"), "resolution"),
    "duration": (NEW, ExtendRequest("some-id", "x", duration="5s"), "duration"),
    "concepts": (NEW, VideoRequest("x", concepts=("dolly_zoom",)), "concepts"),
    "concepts, 2024": (OLD, VideoRequest("x", concepts=("dolly_zoom",)), "concepts"),
    "negative prompt": (NEW, AudioRequest("some-id", "x", negative_prompt="y"), "negative_prompt"),
    "negative prompt, 2024": (OLD, AudioRequest("some-id", "x", negative_prompt="y"), "negative_prompt"),
    "first frame, 2024": (OLD, VideoRequest("x", keyframes=Keyframes(EARLIER)), "keyframes.frame0"),
    "last frame, 2024": (OLD, VideoRequest("x", keyframes=Keyframes(TIGER, EARLIER)), "keyframes.frame1"),
    "last frame of more, 2024": (
        OLD,
        ExtendRequest("some-id", "x", keyframes=Keyframes(None, EARLIER)),
        "keyframes.frame1",
    ),
    "a field of its own": (NEW, VideoRequest("x", extra={"loop": True}), "extra.loop"),
    "the prompt": (NEW, VideoRequest("x", extra={"prompt": "y"}), "extra.prompt"),
    "another video": (NEW, VideoRequest("x", extra={"task_id": "some-id"}), "extra.task_id"),
    "another video, sound": (NEW, AudioRequest("some-id", "x", extra={"task_id": "y"}), "extra.task_id"),
    "a field of its own, 2024": (OLD, VideoRequest("x", extra={"model_name": "ray-v2"}), "extra.model_name"),
    "a frame, 2024": (OLD, VideoRequest("x", extra={"image_url": "y"}), "extra.image_url"),
}


@pytest.mark.parametrize(("dialect", "request_", "field"), UNCARRIED.values(), ids=UNCARRIED.keys())
def test_unsupported_fields(dialect, request_, field):
    """A field without effect, or one that would be written twice, is refused before any I/O."""
    with pytest.raises(InvalidInput) as caught:
        dialect.submit_call(request_)
    assert caught.value.field == field


def test_unsupported_field_hint():
    """The message names the other edition only if that has the field."""
    with pytest.raises(InvalidInput, match="edition='2024'"):
        NEW.submit_call(VideoRequest("x", model="ray-2"))
    with pytest.raises(InvalidInput) as caught:
        NEW.submit_call(VideoRequest("x", concepts=("dolly_zoom",)))
    assert "2024" not in str(caught.value)
    with pytest.raises(InvalidInput, match="edition='2025'"):
        OLD.submit_call(VideoRequest("x", keyframes=Keyframes(EARLIER)))


ELSEWHERE = {
    "upscale": UpscaleRequest("some-id"),
    "image": ImageRequest("x"),
    "reframe": ReframeRequest("https://videos.example/cat.mp4"),
    "modify": ModifyRequest("https://videos.example/cat.mp4", mode="flex_1"),
}


@pytest.mark.parametrize(("operation", "request_"), ELSEWHERE.items(), ids=ELSEWHERE.keys())
def test_unsupported_requests(operation, request_):
    """Requests that only Luma's own format has are refused under the name that `supports()` knows."""
    with pytest.raises(UnsupportedOperation) as caught:
        NEW.submit_call(request_)
    assert (caught.value.operation, caught.value.service) == (operation, "rixapi")
    assert not NEW.supports(operation)


LACKING = {
    "credits": NEW.credits,
    "list": lambda: NEW.list_page(100, 0),
    "list, to compare": lambda: NEW.match({}, VideoRequest("x")),
    "delete": lambda: NEW.delete("some-id"),
    "concepts": NEW.concepts,
    "camera_motions": NEW.camera_motions,
    "ping": NEW.ping,
}


@pytest.mark.parametrize(("name", "call"), LACKING.items(), ids=LACKING.keys())
def test_calls_that_relays_lack(name, call):
    """A missing call raises before any I/O, with the name of the operation that `supports()` knows."""
    operation = name.partition(",")[0]
    with pytest.raises(UnsupportedOperation) as caught:
        call()
    assert (caught.value.operation, caught.value.service) == (operation, "rixapi")
    assert not NEW.supports(operation)


def test_relays_have_no_list():
    """A page size of 0 says that there is no list."""
    assert NEW.page_size == 0


def test_credits_hint():
    """The error says where to find the balance of a relay."""
    with pytest.raises(UnsupportedOperation, match=r"account\.key\(\)"):
        NEW.credits()


QUESTIONS = {
    "one": (NEW.get("some-id"), "GET", "/luma/generations/some-id", None),
    "many": (NEW.get_many(["b", "a"]), "POST", "/luma/tasks", {"ids": ["b", "a"]}),
    "link": (NEW.link("some-id"), "GET", "/luma/generations/some-id/download_video_url", None),
    "one, without a prefix": (RixAPI(prefix="").get("some-id"), "GET", "/generations/some-id", None),
    "one, further down": (RixAPI(prefix="/pro/luma").get("i"), "GET", "/pro/luma/generations/i", None),
    "many, further down": (RixAPI(prefix="/luma/v1").get_many(["a"]), "POST", "/luma/v1/tasks", {"ids": ["a"]}),
}


@pytest.mark.parametrize(("query", "method", "path", "body"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_query_calls(query, method, path, body):
    """Queries and links have the documented paths below the prefix, and need only the API key."""
    call = query.call
    assert (call.method, call.path, call.body) == (method, path, body)
    assert (call.headers, call.bearer, call.query) == ((), None, ())


def test_assumed_account_call():
    """Assumed: the account's path and its header are those of published relays."""
    call = RixAPI(access_token="at-secret", user_id=7).user().call
    assert (call.method, call.path, call.body) == ("GET", "/api/user/self", None)
    assert (call.headers, call.bearer.reveal()) == ((("New-Api-User", "7"),), "at-secret")
    named = RixAPI(access_token="at-secret", user_id="7", user_id_header="Rix-Api-User", prefix="/pro/luma")
    assert named.user().call.headers == (("Rix-Api-User", "7"),)
    assert named.user().call.path == "/api/user/self"


def test_assumed_key_call():
    """Assumed: the path of the key's quota is that of published relays; it needs only the key."""
    call = NEW.key().call
    assert (call.method, call.path, call.headers, call.bearer) == ("GET", "/api/usage/token", (), None)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [({}, "access_token"), ({"user_id": 7}, "access_token"), ({"access_token": "at-secret"}, "user_id")],
)
def test_account_without_token(settings, missing):
    """The error names the missing setting, before any I/O."""
    with pytest.raises(ConfigurationError, match=f"{missing} is missing"):
        RixAPI(**settings).user()


@pytest.mark.parametrize("generation_id", ["", "../../admin", "a/b", "a?b", "ü", "x" * 129, None, 7])
def test_unsafe_id(generation_id):
    """No path is built from an id of an unsafe form."""
    for build in (NEW.get, NEW.link, lambda one: NEW.get_many(["some-id", one])):
        with pytest.raises(InvalidInput):
            build(generation_id)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        *[(name, True) for name in ("submit", "extend", "add_audio", "get", "get_many", "query_many", "video_url")],
        *[(name, True) for name in ("user", "key")],
        *[(name, False) for name in ("credits", "list", "delete", "concepts", "camera_motions", "library", "all")],
        ("no such thing", False),
    ],
)
def test_supports(operation, answer):
    """`supports()` knows the operations of the format without a request."""
    assert NEW.supports(operation) is answer


def test_batch_size_of_one():
    """With `batch_size=1` there is no query for many, but `get_many` is still supported."""
    single = RixAPI(batch_size=1)
    assert not single.supports("query_many")
    assert single.supports("get_many")


BAD_SETTINGS = {
    "edition": ["2023", 2025, ""],
    "prefix": ["luma", "/luma/", "/", "//luma", "/lu ma", "/luma?x=1", "/luma/../admin", "/.luma", None],
    "audio_path": ["", "/", "audio", "/audio/", "/{name}/audio", "/x/../y", "/audio?x", 7],
    "batch_size": [0, -1, 2.5, "50", True, None],
    "access_token": ["", "two words", "tökén", "line\nbreak", 5],
    "user_id": ["", "a b", "7\r\nX-Evil: 1"],
    "user_id_header": ["", "New Api User", "X:Y", None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_SETTINGS.items() for value in values]
)
def test_malformed_settings(field, value):
    """Settings are checked when the dialect is built."""
    with pytest.raises(InvalidInput) as caught:
        RixAPI(**{field: value})
    assert caught.value.field == field


def test_access_token_is_hidden():
    """The token is in no repr and no error, and cannot be pickled."""
    dialect = RixAPI(access_token="at-secret", user_id=7)
    assert "at-secret" not in repr(dialect) + repr(dialect.user())
    assert RixAPI(access_token=Secret("at-secret")).access_token.reveal() == "at-secret"
    with pytest.raises(InvalidInput) as caught:
        RixAPI(access_token="at secret")
    assert "at secret" not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(dialect)


def test_repr_of_call():
    """The repr of a call has no body."""
    call = NEW.submit_call(VideoRequest("cat dance", keyframes=Keyframes(INLINE)))
    assert "base64" not in repr(call)


def test_name_without_settings():
    """The name depends on no setting, so that earlier submits are found after a change."""
    assert {RixAPI(edition="2024").name, RixAPI(prefix="", batch_size=1).name, RixAPI().name} == {"rixapi"}
    assert RixAPI().default_base_url is None


def test_no_known_limits():
    """Relays document no limits, so none are assumed."""
    assert RixAPI().limits == KnownLimits()


def test_dialect_is_a_value():
    """Two dialects with equal settings are equal, and frozen."""
    assert RixAPI() == RixAPI()
    assert hash(RixAPI(edition="2024")) == hash(RixAPI(edition="2024"))
    assert RixAPI() != RixAPI(batch_size=1)
