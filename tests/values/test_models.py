"""Values: what a service tells and what a session tells are frozen, comparable, and keep the JSON as it came."""

from __future__ import annotations

import copy
import pickle
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
    NoResponse,
    NotSent,
    Paused,
    Phase,
    Polled,
    Retried,
    State,
    SubmitFailed,
    Submitted,
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
    Paused(delay_s=2.0),
    Polled(ids=("g1", "g2")),
    Changed(generation=GENERATION),
    Finished(generation=GENERATION),
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
    """Nobody can change what was observed."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "changed")


@pytest.mark.parametrize("value", VALUES, ids=_name)
def test_values_are_equal_hashable_and_travel(value):
    """A copy and a pickle are equal, and a set takes them, whatever JSON they hold."""
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert len({twin, value}) == 1


@pytest.mark.parametrize("value", [*VALUES, *FAILURES], ids=_name)
def test_values_are_built_by_name(value):
    """No field is positional, so none is taken for another."""
    with pytest.raises(TypeError):
        type(value)("something")


@pytest.mark.parametrize("value", [value for value in VALUES if hasattr(value, "raw")], ids=_name)
def test_the_json_is_kept_and_not_shown(value):
    """`raw` holds all that came, stays out of the repr, and differs in an unequal value."""
    assert value.raw
    assert "raw=" not in repr(value)
    assert attrs.evolve(value, raw={}) != value


def test_every_event_is_a_value_here():
    """A new event needs a line above."""
    assert {type(value) for value in VALUES + FAILURES} >= set(Event.__args__)


@pytest.mark.parametrize("state", State)
def test_two_states_are_final(state):
    """Completed and failed; a word that nobody knows is not, so waiting goes on."""
    assert state.final is (state in {State.COMPLETED, State.FAILED})
    assert Generation(id="g1", state=state).final is state.final
    assert state == state.value


def test_a_phase_reads_as_its_word():
    """Phases are texts, as a journal and a shell show them."""
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


def test_a_generation_needs_an_id_and_a_state_alone():
    """Everything else may be missing in an answer."""
    assert Generation(id="g1", state=State.PENDING).video is None
