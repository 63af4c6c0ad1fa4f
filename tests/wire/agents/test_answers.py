"""How the recorded answers of Luma's present API are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from samples_of import document, names, sample

from luma_async import (
    Agents,
    Image,
    InvalidRequest,
    Layer,
    OtherOutput,
    OutOfCredit,
    RateLimited,
    ServiceUnavailable,
    State,
    Unauthorized,
    UnreadableResponse,
    Video,
)
from luma_async._submit.verdict import Accepted, Rejected, Unproven, judge_submit
from luma_async._wire.answer import Answer, parse, read_rate
from luma_async._wire.refusal import refusal
from luma_async.values.errors import GenerationNotFound

AGENTS = Agents()
ID = "c0ffee00-1111-4222-8333-444455556666"
STATES = {"get-processing": State.PROCESSING, "get-failed-budget": State.FAILED, "get-failed-moderated": State.FAILED}


def answered(recorded):
    """Return the document of a recorded exchange, with what its headers say about the limit of submits."""
    rate = read_rate(recorded["headers"], AGENTS.rate_headers, unix_now=1775650850)
    return parse(Answer(status=recorded["status"], body=json.dumps(recorded["body"]).encode(), rate=rate))


@pytest.mark.parametrize("name", [name for name in names("agents") if name.startswith("get-")])
def test_recorded_generation(name):
    """Each recorded generation is read, with its state, its model and its time."""
    generation = AGENTS.generation(sample("agents", name))
    assert generation.id == ID
    assert generation.state is STATES.get(name, State.COMPLETED)
    assert generation.model in {"uni-1", "ray-3.2"}
    assert generation.created_at == datetime(2026, 4, 8, 12, tzinfo=UTC)
    assert (AGENTS.peek(sample("agents", name)) is None) is generation.final


def test_video_output():
    """A video is the first output, and needs no other link than its own."""
    generation = AGENTS.generation(sample("agents", "get-completed-video"))
    assert generation.outputs == (generation.video,)
    assert generation.video.url == generation.video.download_url


def test_image_output():
    """A picture is the first output."""
    generation = AGENTS.generation(sample("agents", "get-completed-image"))
    assert (generation.video, generation.outputs) == (None, (generation.image,))


def test_layer_outputs():
    """Layers keep the service's order and say what they show; `image` is the first."""
    generation = AGENTS.generation(sample("agents", "get-completed-layering-schema"))
    first, second = generation.outputs
    assert isinstance(first, Layer)
    assert (first.index, first.label, first.description, first.alpha_hint) == (0, "boat", "a folded paper boat", "hard")
    assert (second.index, second.label) == (1, "street")
    assert generation.image == Image(url=first.url)


def test_unknown_output():
    """An output of an unknown type keeps its word and its link; one without a link is no output."""
    raw = {"id": ID, "state": "completed", "output": [{"type": "exr", "url": "https://x.example/e"}, {"type": "image"}]}
    listed = [*raw["output"], {"type": "video", "url": "https://x.example/v"}, "odd"]
    generation = AGENTS.generation({**raw, "output": listed})
    other, video = generation.outputs
    assert other == OtherOutput(type="exr", url="https://x.example/e")
    assert isinstance(video, Video)
    assert generation.video == video
    assert AGENTS.generation({**raw, "output": None}).outputs == ()


def test_failure():
    """A failure says its reason and its code, and what is known about the money."""
    generation = AGENTS.generation(sample("agents", "get-failed-budget"))
    assert (generation.failure_code, generation.failure_reason) == (
        "budget_exhausted",
        "Insufficient credits to complete this generation.",
    )
    assert AGENTS.failure_money[generation.failure_code] == "partly charged"
    assert AGENTS.failure_money["content_moderated"] == "refunded"


ERRORS = {
    "400-aspect": (Rejected, InvalidRequest),
    "400-prompt": (Rejected, InvalidRequest),
    "400-type-model": (Rejected, InvalidRequest),
    "400-unknown-model": (Rejected, InvalidRequest),
    "401-missing": (Rejected, Unauthorized),
    "401-revoked": (Rejected, Unauthorized),
    "402-credits": (Rejected, OutOfCredit),
    "403-suspended": (Rejected, Unauthorized),
    "404": (Rejected, GenerationNotFound),
    "413": (Rejected, InvalidRequest),
    "422-fetch": (Rejected, InvalidRequest),
    "429-concurrent": (Rejected, RateLimited),
    "429-rpm": (Rejected, RateLimited),
    "502": (Unproven, ServiceUnavailable),
    "503": (Unproven, ServiceUnavailable),
}


def test_every_recorded_error():
    """The table below has every recorded error."""
    assert names("agents/errors") == sorted(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_recorded_error(name):
    """Each recorded error has its verdict on a submit and its class; a 502 and a 503 prove nothing."""
    verdict, kind = ERRORS[name]
    found = answered(sample("agents/errors", name))
    error = AGENTS.read_error(found)
    assert type(judge_submit(found, error, None)) is verdict
    assert type(refusal(found, error)) is kind
    assert refusal(found, error).message == sample("agents/errors", name)["body"]["detail"]


@pytest.mark.parametrize(
    ("name", "scope"), [("429-rpm", "submits"), ("429-concurrent", "unfinished"), ("general", "session")]
)
def test_scope_of_rate_limit(name, scope):
    """A 429 says whether it is about submits a minute, unfinished generations, or requests of any kind."""
    general = {"status": 429, "headers": {"Retry-After": "3"}, "body": {"detail": "Too many requests"}}
    found = answered(general if name == "general" else sample("agents/errors", name))
    assert refusal(found, AGENTS.read_error(found)).scope == scope


def test_accepted():
    """A 201 is accepted, and says how many submits are left."""
    found = answered(sample("agents", "create-201-queued"))
    row = AGENTS.read_submit(found)
    assert judge_submit(found, AGENTS.read_error(found), row.id) == Accepted(generation_id=ID)
    assert (found.rate.limit, found.rate.remaining, found.rate.resets_in_s) == (30, 29, 10)


@pytest.mark.parametrize("headers", [{}, {"X-RateLimit-Limit": "30"}, {"X-RateLimit-Limit": "a"}])
def test_no_rate(headers):
    """An answer without all three headers says nothing about the limit."""
    assert read_rate(headers, AGENTS.rate_headers, unix_now=0) is None
    assert read_rate(headers, None, unix_now=0) is None


def test_files():
    """A new file names where its bytes go; a page of files names where the next begins."""
    target = AGENTS.create_file({}).read(document(sample("agents", "file-create-presigned-schema"), 201))
    assert (target.id[:8], target.headers) == ("f11e0000", (("Content-Type", "image/jpeg"),))
    assert "Signature" not in repr(target)
    ready = AGENTS.get_file("f1").read(document(sample("agents", "file-get-ready-schema")))
    assert (ready.state, ready.size_bytes, ready.filename) == ("ready", 12345, "a.jpg")
    page = AGENTS.list_files(()).read(document(sample("agents", "file-list-schema")))
    assert (page.files, page.next_cursor) == ((ready,), "opaque")


@pytest.mark.parametrize("payload", [{}, [], {"id": 7}, {"id": "f1", "upload": None}, {"data": {}}])
def test_unreadable_file(payload):
    """An answer that holds no file, address or list is unreadable."""
    for query in (AGENTS.create_file({}), AGENTS.list_files(())):
        with pytest.raises(UnreadableResponse):
            query.read(document(payload))
