"""What recorded answers in the official format say, and what is made of answers that drift from them."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest
from samples_of import document, error_document, names, raw_document, sample

from luma_async import (
    Credits,
    DreamMachine,
    Generation,
    GenerationNotFound,
    Image,
    InvalidRequest,
    OutOfCredit,
    PromptRejected,
    Refused,
    RixAPI,
    State,
    Unauthorized,
    UnreadableResponse,
    Video,
)
from luma_async._submit.verdict import Accepted, Rejected, Unproven, judge
from luma_async._wire.refusal import refusal

LUMA = DreamMachine()
LAKE = "A serene lake surrounded by mountains at sunset"
CLIP = "https://example.com/video.mp4"
CLEAN = Video(url=CLIP, download_url=CLIP)
"""The service's own clip carries no watermark."""

READ = {
    "create-201-queued-relay": Generation(
        id="7ca76429-99d1-46ab-bb2e-84baa4acdb04",
        state=State.PENDING,
        raw_state="queued",
        prompt=LAKE,
        created_at=datetime(2024, 11, 27, 13, 50, 56, 313_494, tzinfo=UTC),
    ),
    "get-completed": Generation(
        id="123e4567-e89b-12d3-a456-426614174000",
        state=State.COMPLETED,
        raw_state="completed",
        prompt=LAKE,
        created_at=datetime(2023, 6, 1, 12, tzinfo=UTC),
        video=CLEAN,
        model="ray-1-6",
    ),
    "get-completed-image": Generation(
        id="3ce343aa-5746-4ab3-b167-4e29f83d3f42",
        state=State.COMPLETED,
        raw_state="completed",
        prompt="man as a warrior",
        created_at=datetime(2024, 12, 2, 15, 34, 40, 388_000, tzinfo=UTC),
        image=Image(url="https://image.example/i.jpg"),
        model="photon-v1.0",
    ),
}


def plain(generation):
    return attrs.evolve(generation, raw={})


def generation_of(body):
    return LUMA.generation({"id": "g1", "state": "completed", **body})


@pytest.mark.parametrize("name", READ)
def test_recorded_generation(name):
    """Each recorded generation is read in full, as the answer to a query and to a submit."""
    recorded = sample("dream_machine", name)
    row = LUMA.get(recorded["id"]).read(document(recorded))
    assert plain(LUMA.generation(row.raw)) == READ[name]
    assert LUMA.generation(row.raw).raw == recorded
    submitted = LUMA.read_submit(document(recorded, 201))
    assert (submitted.id, submitted.raw) == (row.id, row.raw)


def test_recorded_list():
    """The recorded page holds one generation of an older model, and nothing follows."""
    page = LUMA.list_page(1, 0).read(document(sample("dream_machine", "list")))
    assert not page.has_more
    [row] = page.rows
    assert plain(LUMA.generation(row.raw)) == attrs.evolve(READ["get-completed"], model="v1.6")


def test_recorded_balance():
    """The balance is in cents, and keeps its JSON."""
    recorded = sample("dream_machine", "credits")
    assert LUMA.credits().read(document(recorded)) == Credits(balance_cents=1234.5, raw=recorded)


def test_every_sample_has_a_test():
    """Every recorded answer has a test."""
    assert set(names("dream_machine")) == {*READ, "list", "credits"}


@pytest.mark.parametrize(
    "name", ["query-completed-2025", "query-completed-2024", "query-completed-no-link", "query-failed-assumed"]
)
def test_flat_body_of_relay(name):
    """A relay's flat answer to a query reads as in the relay format."""
    recorded = sample("rixapi", name)
    flat = LUMA.generation(LUMA.get(recorded["id"]).read(document(recorded)).raw)
    expected = RixAPI().generation(recorded)
    code = "prompt_moderation" if expected.failure_reason else None
    assert flat == attrs.evolve(expected, failure_code=code)


REASONS = {
    "Contains blacklisted words": "blacklisted_words",
    "Failed to read user input frames": "unreadable_frames",
    "Frame moderation failed": "frame_moderation",
    "Advanced prompt moderation failed": "prompt_moderation",
    "Prompt processing failed": "prompt_processing",
    "Error dispatching job": "dispatch_error",
    "Job failed": "job_failed",
    "Error processing callback": "callback_error",
    "job failed. ": "job_failed",
    "A reason of tomorrow": None,
    "": None,
}


@pytest.mark.parametrize(("reason", "code"), REASONS.items())
def test_failure_codes(reason, code):
    """Each documented reason has a code of ours; any other reason is kept without a code."""
    generation = generation_of({"state": "failed", "failure_reason": reason})
    assert (generation.state, generation.failure_code) == (State.FAILED, code)
    assert generation.failure_reason == (reason or None)


MODELS = {
    "today": ({"model": "ray-2", "version": "v1"}, "ray-2"),
    "the older word": ({"version": "v1.6"}, "v1.6"),
    "null and the older word": ({"model": None, "version": "v1.6"}, "v1.6"),
    "only in the request": ({"version": None, "request": {"model": "ray-2"}}, "ray-2"),
    "nowhere": ({"version": None, "request": None}, None),
    "something else": ({"model": {"name": "ray-2"}}, None),
}


@pytest.mark.parametrize(("body", "model"), MODELS.values(), ids=MODELS.keys())
def test_model_names(body, model):
    """The model is found under its current name, its older name, and in the repeated request."""
    assert generation_of(body).model == model


ASSETS = {
    "null": ({"assets": None}, None, None),
    "absent": ({}, None, None),
    "empty": ({"assets": {}}, None, None),
    "of nulls": ({"assets": {"video": None, "image": None}}, None, None),
    "no address": ({"assets": {"video": "soon"}}, None, None),
    "a list": ({"assets": [CLIP]}, CLEAN, None),
    "a video": ({"assets": {"video": CLIP, "progress_video": "https://example.com/p.mp4"}}, CLEAN, None),
    "flat with empty assets": ({"assets": {"video": None}, "video": {"url": CLIP, "download_url": CLIP}}, CLEAN, None),
    "a picture": ({"assets": {"image": "https://example.com/i.jpg"}}, None, Image(url="https://example.com/i.jpg")),
    "only progress": ({"assets": {"progress_video": "https://example.com/p.mp4"}}, None, None),
}


@pytest.mark.parametrize(("body", "video", "image"), ASSETS.values(), ids=ASSETS.keys())
def test_assets(body, video, image):
    """Links are read from the assets; null, missing and malformed links are None."""
    generation = generation_of(body)
    assert (generation.video, generation.image) == (video, image)


@pytest.mark.parametrize("body", [{}, {"state": "queued"}, {"id": "g1"}, {"id": None, "state": "queued"}])
def test_missing_id_or_state(body):
    """A generation needs an id and a state; all other fields are optional."""
    with pytest.raises(UnreadableResponse):
        LUMA.generation(body)


@pytest.mark.parametrize(("word", "state"), [("queued", State.PENDING), ("dreaming", State.PROCESSING)])
def test_state_words(word, state):
    """The service's words have their states, and are kept as `raw_state`."""
    generation = LUMA.generation({"id": "g1", "state": word})
    assert (generation.state, generation.raw_state) == (state, word)


ONE = {"id": "g1", "state": "queued"}
PAGES = {
    "more": ({"generations": [ONE], "has_more": True}, ["g1"], True),
    "no more": ({"generations": [ONE], "has_more": False}, ["g1"], False),
    "without has_more": ({"generations": [ONE]}, ["g1"], True),
    "empty, without has_more": ({"generations": []}, [], False),
    "nothing sensible": ({"generations": [ONE], "has_more": "yes"}, ["g1"], True),
    "without ids": ({"generations": [{"state": "queued"}, 7, ONE], "has_more": False}, ["g1"], False),
}


@pytest.mark.parametrize(("body", "ids", "has_more"), PAGES.values(), ids=PAGES.keys())
def test_page(body, ids, has_more):
    """Only the list is required; without `has_more` a page that is not empty may have a successor."""
    page = LUMA.list_page(1, 0).read(document(body))
    assert ([row.id for row in page.rows], page.has_more) == (ids, has_more)


@pytest.mark.parametrize("body", [[ONE], {}, {"generations": None}, {"generations": {}}, None])
def test_page_without_list(body):
    """A page without a list is unreadable; the error names the field."""
    with pytest.raises(UnreadableResponse) as caught:
        LUMA.list_page(1, 0).read(document(body))
    assert caught.value.paths == ("generations",)


def test_names():
    """Names keep their order; other values are left out, and anything but a list is unreadable."""
    assert LUMA.concepts().read(document(["dolly_zoom", 7, "static"])) == ("dolly_zoom", "static")
    for body in ({"concepts": ["static"]}, "static"):
        with pytest.raises(UnreadableResponse):
            LUMA.concepts().read(document(body))


@pytest.mark.parametrize("body", [{}, {"credit_balance": None}, [], 7])
def test_balance_without_number(body):
    """A balance without its number is unreadable."""
    with pytest.raises(UnreadableResponse):
        LUMA.credits().read(document(body))


def test_answer_about_another():
    """An answer about another generation is unreadable."""
    with pytest.raises(UnreadableResponse):
        LUMA.get("g2").read(document(ONE))


def verdict_of(answer):
    return judge(LUMA, answer)[0]


def refusal_of(answer):
    return refusal(answer, LUMA.read_error(answer))


ERRORS = {
    "401-dream-machine": (Unauthorized, "Invalid API key is provided"),
    "400-dream-machine-concepts": (InvalidRequest, "400: concepts are not supported for this model"),
    "422-dream-machine-list": (InvalidRequest, "body.model: field required"),
}


@pytest.mark.parametrize(("name", "kind", "message"), [(name, *error) for name, error in ERRORS.items()])
def test_recorded_error(name, kind, message):
    """Each recorded error has its class and the service's words, and rejects a submit."""
    answer = error_document(name)
    error = refusal_of(answer)
    assert (type(error), error.message) == (kind, message)
    verdict = verdict_of(answer)
    assert isinstance(verdict, Rejected)
    assert not verdict.repeat


SAID = {
    "an unknown id": (404, {"detail": "Generation not found"}, GenerationNotFound),
    "no money": (402, {"detail": "Insufficient credits"}, OutOfCredit),
    "no money, as a bad request": (400, {"detail": "Insufficient credits"}, OutOfCredit),
    "moderation": (400, {"detail": "Advanced prompt moderation failed"}, PromptRejected),
    "an object": (400, {"detail": {"reason": "Prompt is required", "code": 7}}, InvalidRequest),
    "no path": (404, {"detail": "Not Found"}, Refused),
}


@pytest.mark.parametrize(("status", "body", "kind"), SAID.values(), ids=SAID.keys())
def test_detail_kinds(status, body, kind):
    """`detail` decides the class, as a string or as an object."""
    answer = document(body, status)
    assert type(refusal_of(answer)) is kind
    assert isinstance(verdict_of(answer), Rejected)


@pytest.mark.parametrize("status", [200, 201])
def test_accepted_statuses(status):
    """A submit is accepted with 200 or 201; the id proves it."""
    recorded = document(sample("dream_machine", "create-201-queued-relay"), status)
    row = LUMA.read_submit(recorded)
    assert verdict_of(recorded) == Accepted(generation_id=row.id)


@pytest.mark.parametrize(
    "answer",
    [
        document({"state": "queued"}, 201),
        document({"detail": "Internal server error"}, 500),
        raw_document("<html>502</html>", 502),
        raw_document("", 201),
    ],
    ids=["no id", "500", "a page", "nothing"],
)
def test_unproven_answers(answer):
    """An answer that proves neither is a doubt."""
    assert LUMA.read_submit(answer) is None
    assert isinstance(verdict_of(answer), Unproven)
