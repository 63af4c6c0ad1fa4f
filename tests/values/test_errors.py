"""Errors: their tree, their fields, and messages that name the next step."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

import luma_async
from luma_async import Budget, Entry, Generation, LumaError, Phase, Spent, State
from luma_async.values import errors
from luma_async.values.redaction import clip

TREE = """
LumaError
    ConfigurationError +ValueError
    InvalidInput +ValueError
        PromptFileError +OSError
    UnsupportedOperation
    SessionClosed
    TransportError
        NotSent
        NoResponse
    SubmitInDoubt
    WrongPrompt
    UploadFailed
    KeyConflict
    BudgetExceeded
    Refused
        Unauthorized
        OutOfCredit
        InvalidRequest
            PromptRejected
        GenerationNotFound
        RateLimited
        ServiceUnavailable
    UnreadableResponse
    GenerationFailed
    WaitTimeout +TimeoutError
    PollingFailed
    DownloadError
        LinkGone
        DamagedFile
        DiskError +OSError
    JournalError
        JournalTooNew
        JournalBusy
"""
"""The names of the errors, indented below their parents, and their built-in base after `+`."""

GENERATION = Generation(
    id="g1", state=State.FAILED, raw_state="failed", failure_reason="moderated", raw={"id": "g1", "n": [1]}
)
ENTRY = Entry(key="cat", phase=Phase.SENDING, service="rixapi https://relay.example", digest="d", generation=GENERATION)
ANSWERED = {
    "message": "no",
    "status": 403,
    "code": "c",
    "request_id": "r-1",
    "retry_after_s": 2.0,
    "body_excerpt": "{}",
    "hint": "Do this.",
}
ATTACHED = {"generation_id": "g1", "key": "cat", "last": GENERATION}
FIELDS = {
    "LumaError": {"message": "what happened"},
    "ConfigurationError": {"message": "no key: set LUMA_API_KEY"},
    "InvalidInput": {"message": "must be a string", "field": "prompt"},
    "PromptFileError": {"message": "No such file or directory.", "field": "no.csv", "errno": 2},
    "UnsupportedOperation": {"operation": "upscale", "service": "rixapi", "hint": "Use another."},
    "SessionClosed": {},
    "TransportError": {"message": "broken"},
    "NotSent": {"message": "There is no connection."},
    "NoResponse": {"message": "It broke."},
    "SubmitInDoubt": {
        "key": "cat",
        "sent_at": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        "reason": "HTTP 502",
        "status": 502,
        "body_excerpt": "<html>",
    },
    "WrongPrompt": {
        "message": "Set RixAPI(edition='2024').",
        "key": "cat",
        "generation_id": "g1",
        "sent": "a cat",
        "returned": "",
    },
    "KeyConflict": {"entry": ENTRY, "reason": "it stands for a different request."},
    "BudgetExceeded": {"budget": Budget(purchases=1), "spent": Spent(purchases=1)},
    "UnreadableResponse": {
        "message": "no list",
        "paths": ("data.id", "data.state"),
        "status": 200,
        "body_excerpt": "{}",
    },
    "GenerationFailed": {"generation": GENERATION, "reason": "moderated", "code": "m1"},
    "WaitTimeout": {**ATTACHED, "waited_s": 5.0, "handle": "live"},
    "PollingFailed": {**ATTACHED, "failures": (errors.NoResponse(message="It broke."),), "handle": "live"},
    "DownloadError": {"message": "The server failed.", "generation_id": "g1", "path": Path("cat.mp4")},
    "LinkGone": {"message": "No link.", "generation_id": "g1", "path": None},
    "UploadFailed": {"message": "Cut.", "path": Path("cat.png"), "file_id": "f1"},
    "DamagedFile": {"message": "Cut.", "generation_id": "g1", "path": Path("cat.mp4")},
    "DiskError": {"errno": 28, "message": "Full.", "generation_id": "g1", "path": Path("cat.mp4")},
    "JournalError": {"message": "the disk is full", "path": "jobs.db"},
    "JournalTooNew": {"message": "version 9", "path": "jobs.db"},
    "JournalBusy": {"message": "locked", "path": "jobs.db"},
}
"""Every field of each error class."""

NEXT_STEPS = {
    "ConfigurationError": "set LUMA_API_KEY",
    "InvalidInput": "prompt: must be a string",
    "UnsupportedOperation": "does not support upscale; nothing was sent. Use another.",
    "PromptFileError": "no.csv: No such file or directory.",
    "SessionClosed": "async with LumaSession",
    "NotSent": "check base_url and the network, then try again",
    "NoResponse": "try again later",
    "SubmitInDoubt": "resolve it with session.doubts",
    "WrongPrompt": "is paid, and the response repeats an empty prompt. Set RixAPI",
    "KeyConflict": "Use another key to buy again",
    "BudgetExceeded": "raise the budget to go on",
    "Refused": "ask the operator of the service",
    "Unauthorized": "Check that the API key is valid",
    "OutOfCredit": "Top up the account",
    "InvalidRequest": "Change the request",
    "PromptRejected": "Reword the prompt",
    "GenerationNotFound": "Check the id",
    "RateLimited": "Wait, then try again",
    "ServiceUnavailable": "Try again later",
    "UnreadableResponse": "try again later",
    "GenerationFailed": "submit the request again, with another key",
    "WaitTimeout": "Wait again",
    "PollingFailed": "Wait again with session.handle('g1')",
    "DownloadError": "Downloading again costs no new generation",
    "LinkGone": "Downloading again costs no new generation",
    "UploadFailed": "Nothing was bought",
    "DamagedFile": "Downloading again costs no new generation",
    "DiskError": "Downloading again costs no new generation",
    "JournalError": "jobs.db: the disk is full",
    "JournalTooNew": "jobs.db: version 9",
    "JournalBusy": "jobs.db: locked",
}


def _tree():
    """Map the names in the tree to the names of their parent and built-in base."""
    rows, path = {}, []
    for line in TREE.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        name, _, builtin = line.strip().partition(" +")
        path = [*path[:depth], name]
        rows[name] = (path[-2] if depth else "Exception", builtin)
    return rows


ROWS = _tree()
EXPORTED = {name: getattr(luma_async, name) for name in luma_async.__all__}
KINDS = {name: kind for name, kind in EXPORTED.items() if inspect.isclass(kind) and issubclass(kind, LumaError)}


def example(name):
    kind = KINDS[name]
    return kind(**(ANSWERED if issubclass(kind, errors.Refused) else FIELDS[name]))


def data(error):
    """The fields of an error, without live objects."""
    return {
        field.name: getattr(error, field.name)
        for field in attrs.fields(type(error))
        if not field.metadata.get("live") and field.name != "failures"
    }


def test_tree_is_complete():
    """Every error class is in the tree, and the tree has no other names."""
    assert set(KINDS) == set(ROWS)
    assert set(ROWS) <= set(luma_async.__all__)


@pytest.mark.parametrize("name", ROWS)
def test_bases_of_an_error(name):
    """Each error has the parent in the tree, and some are built-in errors as well."""
    parent, builtin = ROWS[name]
    bases = [base.__name__ for base in KINDS[name].__bases__]
    assert bases == [parent, *([builtin] if builtin else [])]
    assert KINDS[name].__module__ == "luma_async"


@pytest.mark.parametrize("name", ROWS)
def test_fields_are_keyword_only(name):
    """No field is positional, so that a message never becomes a key or a status."""
    with pytest.raises(TypeError):
        KINDS[name]("something")


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copy_and_pickle(name, make):
    """A copy and a pickle have the same fields and message, except for live objects."""
    error = example(name)
    twin = make(error)
    assert type(twin) is type(error)
    assert data(twin) == data(error)
    assert str(twin) == str(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_protocols(protocol):
    """Errors can be pickled with every protocol."""
    error = example("SubmitInDoubt")
    assert data(pickle.loads(pickle.dumps(error, protocol))) == data(error)


@pytest.mark.parametrize("name", ["WaitTimeout", "PollingFailed"])
def test_pickle_drops_handle(name):
    """A copy keeps the handle; a pickle drops it and keeps the id and the key."""
    error = example(name)
    assert copy.copy(error).handle == "live"
    pickled = pickle.loads(pickle.dumps(error))
    assert pickled.handle is None
    assert (pickled.generation_id, pickled.key, pickled.last) == ("g1", "cat", GENERATION)


def test_pickle_keeps_failures():
    """The failures of a PollingFailed are pickled with it."""
    twin = pickle.loads(pickle.dumps(example("PollingFailed")))
    assert [str(one) for one in twin.failures] == [str(one) for one in example("PollingFailed").failures]


@pytest.mark.parametrize("name", NEXT_STEPS)
def test_message_has_next_step(name):
    """`str()` of an error says what to do next."""
    fields = {**ANSWERED, "hint": ""} if issubclass(KINDS[name], errors.Refused) else FIELDS[name]
    assert NEXT_STEPS[name] in str(KINDS[name](**fields))


def test_next_steps_are_complete():
    """Every error that is raised has a next step in the table above."""
    assert set(ROWS) - set(NEXT_STEPS) == {"LumaError", "TransportError"}


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if issubclass(kind, errors.Refused)])
def test_refusal_message(name):
    """A refusal has the status, the code, the message and the request id; its hint replaces the general one."""
    text = str(example(name))
    assert text == "HTTP 403 c: no (request r-1) | Do this."


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": 500}, "HTTP 500: no explanation | "),
        ({"status": 500, "body_excerpt": "oops"}, "HTTP 500: oops | "),
        ({"status": 500, "code": "c1"}, "HTTP 500: c1 | "),
        ({"status": 500, "code": "c1", "message": "c1"}, "HTTP 500: c1 | "),
        ({"status": 500, "code": "c1", "message": "said"}, "HTTP 500 c1: said | "),
    ],
)
def test_refusal_without_message(fields, text):
    """A refusal shows the message, else the code, else the body, and nothing twice."""
    assert str(errors.Refused(**fields)).startswith(text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.SubmitInDoubt(key="cat"), "The submit 'cat' was sent and its outcome is unknown. It may"),
        (errors.SubmitInDoubt(key="cat", reason="HTTP 502"), "its outcome is unknown: HTTP 502. It may"),
        (errors.SubmitInDoubt(key="cat", reason="It broke."), "its outcome is unknown: It broke. It may"),
        (example("SubmitInDoubt"), "was sent at 2025-01-02 03:04:05 UTC and"),
        (luma_async.WaitTimeout(generation_id="g1"), "(not seen yet). The journal has no submit of it"),
        (luma_async.WaitTimeout(generation_id="g1", last=GENERATION), "(last seen failed)"),
        (
            luma_async.WaitTimeout(generation_id="g1", last=Generation(id="g1", state=State.UNKNOWN)),
            "(last seen unknown)",
        ),
        (
            luma_async.WaitTimeout(generation_id="g1", key="cat", last_error=errors.NoResponse(message="It broke.")),
            "It is paid, and the timeout did not stop it. Wait again with error.handle.wait(), later with",
        ),
        (
            luma_async.WaitTimeout(generation_id="g1", last_error=errors.NotSent(message="Cannot connect.")),
            "or with `luma-async wait g1`. The last status request failed: Cannot connect.",
        ),
        (
            luma_async.PollingFailed(generation_id="g1"),
            "has no submit of it, and no status request has shown it. Wait again with session.handle('g1'), or",
        ),
        (
            luma_async.PollingFailed(generation_id="g1", key="cat"),
            "kept failing. It is paid and may still be running. Wait again with",
        ),
        (example("PollingFailed"), "The newest failure: It broke."),
        (errors.GenerationFailed(generation=GENERATION), "Generation g1 failed: no reason given. This is final"),
        (example("GenerationFailed"), "Generation g1 failed [m1]: moderated."),
        (errors.DownloadError(message="Cut."), "Cut. Downloading"),
        (errors.JournalError(message="full"), "full"),
        (errors.UnreadableResponse(message="no list"), "HTTP 200: no list | "),
        (example("UnreadableResponse"), "HTTP 200: no list (at data.id, data.state): '{}' | "),
        (
            errors.UnsupportedOperation(operation="upscale", service="rixapi"),
            "The dialect rixapi does not support upscale; nothing was sent.",
        ),
    ],
)
def test_message_with_missing_fields(error, text):
    """Messages are complete sentences, whichever fields are missing."""
    assert text in str(error)
    assert ".." not in str(error)
    assert "None" not in str(error)


@pytest.mark.parametrize(
    ("kind", "fields", "clipped"),
    [
        (errors.Refused, {"status": 400}, ("message", "code", "body_excerpt")),
        (errors.UnreadableResponse, {}, ("body_excerpt",)),
        (errors.SubmitInDoubt, {"key": "cat"}, ("body_excerpt",)),
    ],
)
def test_service_text_is_clipped(kind, fields, clipped):
    """An error keeps a line of 200 characters of what a service sent."""
    error = kind(**fields, **dict.fromkeys(clipped, "line\n" * 1000))
    assert all(len(getattr(error, name)) == 200 for name in clipped)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "clipped"),
    [("", ""), (" a \n b ", "a b"), ("x" * 200, "x" * 200), ("x" * 201, "x" * 199 + "…")],
)
def test_clip(text, clipped):
    """`clip()` joins whitespace to single spaces, and marks a cut."""
    assert clip(text) == clipped
    assert clip(clipped) == clipped


def test_builtin_bases():
    """`except TimeoutError` and `except ValueError` catch our errors."""
    assert isinstance(example("WaitTimeout"), TimeoutError)
    assert isinstance(example("InvalidInput"), ValueError)
    assert isinstance(example("ConfigurationError"), ValueError)


@pytest.mark.parametrize("name", ROWS)
def test_cause_and_notes(name):
    """Errors can have a cause, notes and a traceback."""
    with pytest.raises(KINDS[name]) as caught:
        raise example(name) from ZeroDivisionError()
    caught.value.add_note("on a Sunday")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.__notes__ == ["on a Sunday"]
    assert len({caught.value, example(name)}) == 2


PROVED_FREE = {
    "SessionClosed": "bought nothing",
    "UnsupportedOperation": "nothing was sent",
    "KeyConflict": "Nothing was sent",
    "BudgetExceeded": "Nothing was sent",
    "NotSent": "Nothing was sent or charged",
    "UploadFailed": "Nothing was bought",
    **dict.fromkeys(["NoResponse", "UnreadableResponse"], "The call is free"),
    **dict.fromkeys(["DownloadError", "LinkGone", "DamagedFile", "DiskError"], "costs no new generation"),
    **dict.fromkeys([name for name, kind in KINDS.items() if issubclass(kind, errors.Refused)], "Nothing was charged"),
}
"""What the errors say that prove that nothing was charged."""
MAYBE_CHARGED = {
    "SubmitInDoubt": "It may have been charged",
    "WrongPrompt": "is paid",
    "GenerationFailed": "charged",
    "WaitTimeout": "It is paid",
    "PollingFailed": "It is paid",
}
"""What the errors say of which a generation was or may have been charged."""
NEUTRAL = {"LumaError", "ConfigurationError", "InvalidInput", "TransportError"}
"""The errors whose message is made where they are raised, before a request is made."""
JOURNAL = {"JournalError", "JournalTooNew", "JournalBusy"}
"""The errors of the journal; the one that stops a submit says that nothing was sent."""


@pytest.mark.parametrize("name", {**PROVED_FREE, **MAYBE_CHARGED})
def test_message_about_the_money(name):
    """A refusal says that nothing was charged, and a doubt that it may have been."""
    fields = FIELDS.get(name, {})
    if issubclass(KINDS[name], errors.Refused):
        fields = {**ANSWERED, "not_charged": True}
    text = str(KINDS[name](**fields))
    assert {**PROVED_FREE, **MAYBE_CHARGED}[name] in text
    if name in PROVED_FREE:
        assert "may have been charged" not in text


def test_money_table_is_complete():
    """Every error says something about the money, but for those that are raised before a request."""
    assert set(ROWS) - set(PROVED_FREE) - set(MAYBE_CHARGED) - NEUTRAL <= JOURNAL | {"PromptFileError"}


def test_free_refusal_is_silent():
    """A refused status request says nothing about money: the generation that it asked for stays charged."""
    assert "charged" not in str(errors.GenerationNotFound(**ANSWERED))
