"""The log: every record has the same fields, and its actions are a closed list."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import get_args

import pytest

import luma_async
from luma_async import Event, Generation, LumaError, Refused, State
from luma_async.values import log
from luma_async.values.events import Emitter

ACTIONS = get_args(log.Action)
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "follow.md"
GENERATION = Generation(id="g1", state=State.FAILED, prompt="SECRET cat", failure_reason="SECRET")
PATH = Path("SECRET.mp4")
EVENTS = [
    luma_async.Submitted(key="k", generation=GENERATION),
    luma_async.PromptMismatch(key="k", generation_id="g1", sent="SECRET", returned="SECRET"),
    luma_async.SubmitFailed(key="k", error=LumaError(message="SECRET")),
    luma_async.Retried(what="query", attempt=1, delay_s=1.0, error=Refused(status=500, message="SECRET")),
    luma_async.Paused(delay_s=1.0),
    luma_async.Polled(ids=("g1",)),
    luma_async.Changed(generation=GENERATION),
    luma_async.Finished(generation=GENERATION),
    luma_async.Downloading(generation_id="g1", path=PATH, received_bytes=1, total_bytes=None),
    luma_async.Downloaded(generation_id="g1", path=PATH, size_bytes=1),
    luma_async.Uploading(file_id="f1", path=PATH, sent_bytes=1, total_bytes=2),
    luma_async.Uploaded(file_id="f1", path=PATH, size_bytes=2),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_is_logged(event, caplog):
    """An event is logged at DEBUG as the action of its name, without prompts, paths and messages."""
    caplog.set_level(logging.DEBUG, logger="luma_async")
    Emitter().emit(event)
    (record,) = caplog.records
    assert record.action == re.sub(r"(?<!^)([A-Z])", r"_\1", type(event).__name__).lower()
    assert record.key == getattr(event, "key", None)
    if record.generation_id is None:
        assert not hasattr(event, "generation_id")
    assert "SECRET" not in repr(vars(record))


def test_every_event_is_in_table():
    """The table above has an event of every class."""
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_log_off_makes_nothing(caplog):
    """Without DEBUG no record is made, and no event is worth its cost."""
    caplog.set_level(logging.INFO, logger="luma_async")
    log.step("claim", "claimed")
    Emitter().emit(luma_async.Paused(delay_s=1.0))
    assert not caplog.records
    assert not Emitter().listened


def test_log_on_is_worth_events(caplog):
    """With DEBUG an event is worth its cost, although there is no `on_event`."""
    caplog.set_level(logging.DEBUG, logger="luma_async")
    assert Emitter().listened


def test_actions_are_documented():
    """The page lists exactly the actions that exist."""
    table = PAGE.read_text().partition("| action |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(ACTIONS)


def test_actions_are_used():
    """Every action is that of a record somewhere in the package."""
    package = Path(luma_async.__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "log.py")
    used = set(re.findall(r"""\b(?:step|fields)\(\s*"(\w+)\"""", source))
    assert used == set(ACTIONS)


def test_every_record_has_fields():
    """No module of the package logs without `extra`."""
    calls = re.compile(r"\blogger\.(?:debug|warning|error|exception)\((?:[^()]|\([^()]*\))*\)")
    for path in Path(luma_async.__file__).parent.rglob("*.py"):
        for call in calls.findall(path.read_text()):
            assert "extra=" in call, (path, call)


@pytest.mark.parametrize(
    ("error", "text"),
    [(None, "ok"), (LumaError(message="SECRET"), "LumaError"), (Refused(status=404, message="S"), "Refused, HTTP 404")],
)
def test_brief_has_no_message(error, text):
    """An error is logged as its class and its status."""
    assert log.brief(error) == text
