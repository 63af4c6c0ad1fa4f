"""Values: generations, balances and events are frozen, comparable, and keep the JSON as received."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from luma_async import (
    Changed,
    Credits,
    Downloaded,
    Downloading,
    Entry,
    Event,
    Finished,
    Generation,
    Image,
    KeyUsage,
    Layer,
    NoResponse,
    NotSent,
    OtherOutput,
    Paused,
    Phase,
    Polled,
    PromptMismatch,
    Retried,
    State,
    SubmitFailed,
    Submitted,
    Uploaded,
    Uploading,
    User,
    Video,
)

GENERATION = Generation(
    id="g1",
    state=State.COMPLETED,
    raw_state="completed",
    video=Video(url="https://cdn.example/g1.mp4"),
    image=Image(url="https://cdn.example/g1.jpg"),
    raw={"id": "g1", "nested": {"a": [1]}},
)
VALUES = [
    GENERATION,
    Video(url="https://cdn.example/g1.mp4", duration_s=5.0),
    Image(url="https://cdn.example/g1.jpg", width=64),
    User(id=1, username="me", raw={"id": 1}),
    KeyUsage(name="k", available=7, raw={"name": "k"}),
    Credits(balance_cents=12.5, raw={"credit_balance": 12.5}),
    Entry(key="cat", phase=Phase.ACCEPTED, service="s", digest="d", request={"prompt": "cat"}, generation=GENERATION),
    Submitted(key="cat", generation=GENERATION),
    PromptMismatch(generation_id="g1", key="cat", sent="a cat", returned=""),
    Paused(delay_s=2.0),
    Polled(ids=("g1", "g2")),
    Changed(generation=GENERATION),
    Finished(generation=GENERATION),
    Uploading(file_id="f1", path=None, sent_bytes=1, total_bytes=2),
    Uploaded(file_id="f1", path=Path("a.png"), size_bytes=2),
    Downloading(generation_id="g1", path=Path("g1.mp4"), received_bytes=1, total_bytes=None),
    Downloaded(generation_id="g1", path=Path("g1.mp4"), size_bytes=2),
]
FAILURES = [
    SubmitFailed(key="cat", error=NotSent(message="There is no connection.")),
    Retried(what="submit", attempt=1, delay_s=0.5, error=NoResponse(message="It broke.")),
    Polled(ids=("g1",), error=NoResponse(message="It broke.")),
]


def _name(value):
    return type(value).__name__


@pytest.mark.parametrize("value", VALUES + FAILURES, ids=_name)
def test_values_are_frozen(value):
    """The fields of a value cannot be changed."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "changed")


@pytest.mark.parametrize("value", VALUES, ids=_name)
def test_copy_pickle_and_hash(value):
    """A copy and a pickle of a value are equal to it and have the same hash."""
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert len({twin, value}) == 1


@pytest.mark.parametrize("value", [*VALUES, *FAILURES], ids=_name)
def test_fields_are_keyword_only(value):
    """No field is positional."""
    with pytest.raises(TypeError):
        type(value)("something")


@pytest.mark.parametrize("value", [value for value in VALUES if hasattr(value, "raw")], ids=_name)
def test_raw_is_kept(value):
    """`raw` is compared with the value, but is not in its repr."""
    assert value.raw
    assert "raw=" not in repr(value)
    assert attrs.evolve(value, raw={}) != value


def test_events_are_complete():
    """Every event is in the tables above."""
    assert {type(value) for value in VALUES + FAILURES} >= set(Event.__args__)


@pytest.mark.parametrize("state", State)
def test_final_states(state):
    """Only completed and failed are final, so waiting continues with an unknown state."""
    assert state.final is (state in {State.COMPLETED, State.FAILED})
    assert Generation(id="g1", state=state).final is state.final
    assert state == state.value


def test_phases_are_strings():
    """The string of a phase is its word in a journal."""
    assert [str(phase) for phase in Phase] == [
        "sending",
        "not_sent",
        "refused",
        "in_doubt",
        "abandoned",
        "accepted",
        "completed",
        "failed",
        "lost",
    ]


def test_smallest_generation():
    """A generation needs only an id and a state."""
    assert Generation(id="g1", state=State.PENDING).video is None


FULL = Generation(
    id="g1",
    state=State.COMPLETED,
    raw_state="completed",
    created_at=datetime(2026, 12, 1, 10, 30, tzinfo=UTC),
    video=Video(url="https://cdn.example/g1.mp4", width=640),
    image=Image(url="https://cdn.example/g1.jpg"),
    outputs=(OtherOutput(type="exr", url="https://cdn.example/g1.exr"), Layer(url="https://cdn.example/1.png")),
    progress=0.0,
    siblings=("g2",),
    raw={"id": "g1", "nested": {"a": [1]}},
    raw_row={"status": "SUCCESS"},
)


def test_dict_of_a_generation():
    """`to_dict()` is plain JSON: the state is a word, the time an ISO text, and `raw` is there only if asked for."""
    form = json.loads(json.dumps(FULL.to_dict()))
    assert form == FULL.to_dict()
    assert (form["state"], form["created_at"], form["siblings"]) == ("completed", "2026-12-01T10:30:00+00:00", ["g2"])
    assert form["video"]["width"] == 640
    assert [each["class"] for each in form["outputs"]] == ["OtherOutput", "Layer"]
    assert {"raw", "raw_row"} & form.keys() == set()
    assert FULL.to_dict(raw=True)["raw"] == FULL.raw


@pytest.mark.parametrize("generation", [FULL, GENERATION, Generation(id="g", state=State.PENDING)], ids=lambda g: g.id)
def test_generation_from_dict(generation):
    """A generation survives JSON; without `raw` only the JSON as received is missing."""
    assert Generation.from_dict(json.loads(json.dumps(generation.to_dict(raw=True)))) == generation
    bare = attrs.evolve(generation, raw={}, raw_row={})
    assert Generation.from_dict({**generation.to_dict(), "a field of tomorrow": 1}) == bare


@pytest.mark.parametrize(
    "form",
    [{}, {"id": "g"}, {"id": "g", "state": "gone"}, {"id": "g", "state": "failed", "video": 7}, []],
    ids=["empty", "no state", "no such state", "no video", "no dictionary"],
)
def test_foreign_dict(form):
    """What `to_dict()` did not return is a ValueError."""
    with pytest.raises(ValueError, match="to_dict"):
        Generation.from_dict(form)
