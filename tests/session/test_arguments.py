"""Arguments of a wrong type: every public parameter names them in an error of ours, before anything is sent.

The parameters are read from the signatures of the package, so that a new parameter is in this table too.
"""

from __future__ import annotations

import inspect
import math
import re

import pytest

import luma_async
from luma_async import (
    Account,
    Agents,
    AudioRequest,
    Batch,
    Budget,
    DepthControl,
    Doubts,
    DreamMachine,
    EditControls,
    ExtendRequest,
    FaceControl,
    FileReference,
    Files,
    GenerationHandle,
    GenerationKeyframe,
    ImageEditRequest,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    KeyframeAt,
    Keyframes,
    LayerRequest,
    Library,
    Limits,
    LumaError,
    LumaSession,
    ModifyRequest,
    NormalsControl,
    PollPolicy,
    PoseControl,
    ReframeRequest,
    RetryPolicy,
    RixAPI,
    SourcePosition,
    SqliteJournal,
    Timeouts,
    TrajectoryControl,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
    read_prompts,
)


class Thing:
    """An object that is nothing that any parameter takes."""


WRONG = {
    "true": True,
    "integer": 5,
    "negative": -1,
    "fraction": 1.5,
    "nan": math.nan,
    "huge": 10**400,
    "none": None,
    "object": Thing(),
    "class": Thing,
    "text": "x\ny",
    "empty": "",
    "surrogate": "\ud800",
    "bytes": b"x",
    "objects": [Thing()],
    "unhashable": [[]],
    "numbers": {1: 2},
    "function": lambda *_: None,
}
MADE = [
    AudioRequest, DreamMachine, ExtendRequest, GenerationKeyframe, ImageKeyframe, ImageReference, ImageRequest,
    Keyframes, Limits, LumaSession, ModifyRequest, PollPolicy, ReframeRequest, RetryPolicy, RixAPI, SqliteJournal,
    Timeouts, UpscaleRequest, VideoRequest, Agents, DepthControl, EditControls, FaceControl, FileReference,
    ImageEditRequest, KeyframeAt, LayerRequest, NormalsControl, PoseControl, SourcePosition, TrajectoryControl, Budget,
]  # fmt: skip
"""The classes that users make instances of. All others are made by the package, or have no parameters."""
USED = {
    "luma": LumaSession,
    "handle": GenerationHandle,
    "doubts": Doubts,
    "library": Library,
    "account": Account,
    "batch": Batch,
    "files": Files,
}
"""The classes of an open session, by the names of what the tests call."""
VALID = {
    "source": "g-1",
    "prompt": "a cat",
    "id": "g-1",
    "frame": 7,
    "file_id": "f-1",
    "image": ImageKeyframe("https://images.example/a.png"),
    **dict.fromkeys(("x", "y", "width", "height"), 1),
    "url": "https://images.example/a.png",
    "media": "https://videos.example/a.mp4",
    "mode": "flex_1",
    "data": b"\xff\xd8\xff",
    "path": "missing.txt",
    "seconds": 1,
    "request": VideoRequest("a cat"),
    "requests": ["a cat"],
    "generation_id": "g-1",
    "generation_ids": ["g-1"],
    "handles": [],
    "operation": "extend",
    "dest": "a.mp4",
    "key": "one",
    "accept_duplicate_risk": True,
    "purchases": 1,
}
"""Arguments of the required parameters, to vary one at a time."""
NEEDED = {"request", "accept_duplicate_risk", "purchases"}
"""Parameters that have a default and are needed all the same."""

_NUMBER = r"\b(float|int)\b"
_FITS = {
    bool: r"\bbool\b",
    int: _NUMBER,
    float: r"\bfloat\b",
    str: r"\b(str|Any|Literal|BatchKeys|Watermark|FileKind)\b|PathLike",
    bytes: r"\bbytes\b",
    list: r"\b(Iterable|Sequence|BatchRequests|BatchKeys|Any)\b",
    dict: r"\b(Mapping|Any)\b",
    type(None): r"\bNone\b|\bAny\b|\bBatchKeys\b",
    type: r"\b(Callable|Destination)\b",
    type(lambda: None): r"\b(Callable|Destination)\b",
}


def fits(value, parameter):
    """Whether the annotation of the parameter may allow the value; then it need not be refused."""
    pattern = _FITS.get(type(value))
    return pattern is not None and re.search(pattern, str(parameter.annotation)) is not None


def parameters_of(function):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return [parameter for parameter in parameters if parameter.name != "self" and parameter.kind not in kinds]


def made():
    """Return everything that a program calls without a session, by its name."""
    calls = {"read_prompts": read_prompts}
    for each in MADE:
        calls[each.__name__] = each
        for name, member in vars(each).items():
            if isinstance(member, classmethod) and not name.startswith("_"):
                calls[f"{each.__name__}.{name}"] = getattr(each, name)
    for each in (RixAPI(), DreamMachine()):
        calls[f"{type(each).__name__}.supports"] = each.supports
    return calls


def used():
    """Return the methods of an open session and what hangs on it, as (owner, method)."""
    return [
        (owner, name)
        for owner, each in USED.items()
        for name, member in vars(each).items()
        if inspect.isfunction(member) and not name.startswith("_") and parameters_of(member)
    ]


def table(calls):
    return [
        pytest.param(name, parameter, id=f"{name}({parameter.name})")
        for name, call in calls
        for parameter in parameters_of(call)
    ]


def arguments(call, varied, value):
    """Return the arguments of a call in which one parameter has this value, and the other required ones are valid."""
    args, kwargs = [], {}
    for parameter in parameters_of(call):
        if parameter.name == varied.name:
            given = value
        elif (parameter.name in NEEDED and not parameter.default) or parameter.default is inspect.Parameter.empty:
            given = VALID[parameter.name]
        else:
            continue
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            args.append(given)
        else:
            kwargs[parameter.name] = given
    return args, kwargs


def problem_of(error, parameter, value):
    """Return what is wrong with the error about an argument; None for a good one."""
    if not isinstance(error, LumaError | TypeError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, UnsupportedOperation) or fits(value, parameter):
        return None
    words = {parameter.name, parameter.name.split("_")[-1], parameter.name.removesuffix("s")}
    return None if any(word in str(error) for word in words) else f"does not name the argument: {error!r}"


@pytest.mark.parametrize(("name", "parameter"), table(made().items()))
def test_wrong_argument_of_a_value(name, parameter, tmp_path, monkeypatch):
    """A wrong argument of a constructor or function raises an error of ours or a TypeError that names it."""
    monkeypatch.chdir(tmp_path)
    call, problems = made()[name], {}
    for kind, value in WRONG.items():
        args, kwargs = arguments(call, parameter, value)
        try:
            call(*args, **kwargs)
        except Exception as error:
            if not (isinstance(error, OSError) and fits(value, parameter)):
                problems[kind] = problem_of(error, parameter, value)
        else:
            problems[kind] = None if fits(value, parameter) else "was accepted"
    assert {kind: problem for kind, problem in problems.items() if problem is not None} == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "parameter"), table((f"{owner}.{name}", getattr(USED[owner], name)) for owner, name in used())
)
@pytest.mark.parametrize("dialect", [RixAPI(), DreamMachine(), Agents()], ids=lambda dialect: dialect.name)
async def test_wrong_argument_of_a_session(owner, parameter, dialect, gateway, open_session, tmp_path, monkeypatch):
    """A wrong argument of a method raises before anything is sent."""
    monkeypatch.chdir(tmp_path)
    owner, _, name = owner.partition(".")
    problems = {}
    async with open_session(dialect=dialect) as luma:
        owners = {
            "luma": luma,
            "handle": luma.handle("g-1"),
            "doubts": luma.doubts,
            "library": luma.library,
            "account": luma.account,
            "batch": luma.batch(["a cat"]),
        }
        if luma.supports("files"):
            owners["files"] = luma.files
        if owner not in owners:
            return
        for kind, value in WRONG.items():
            if fits(value, parameter):
                continue
            call = getattr(owners[owner], name)
            args, kwargs = arguments(call, parameter, value)
            try:
                result = call(*args, **kwargs)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                problems[kind] = problem_of(error, parameter, value)
            else:
                problems[kind] = "was accepted"
    assert {kind: problem for kind, problem in problems.items() if problem is not None} == {}
    assert sum(gateway.counts.values()) == 0
    assert list(tmp_path.iterdir()) == []


def test_every_public_class_is_in_the_table():
    """A new public class whose instances users make is in the table, or is known to be made by the package."""
    by_the_package = {
        "BatchStats", "BudgetStatus", "Changed", "Credits", "Downloaded", "Downloading", "Entry", "FileStream",
        "Finished", "Generation", "Image", "Journal", "KeyUsage", "MemoryJournal", "Outcome", "Paused", "Phase",
        "Polled", "Preview", "PromptMismatch", "PromptRow", "Prompts", "Reconciled", "Retried", "State", "StillInDoubt",
        "SubmitFailed", "Submitted", "User", "Video", "Layer", "OtherOutput", "UploadedFile",
        "HintJournal", "PostgresJournal", "SpendingJournal", "Spent", "Uploaded", "Uploading",
    }  # fmt: skip
    classes = {
        name
        for name in luma_async.__all__
        if inspect.isclass(each := getattr(luma_async, name))
        and not issubclass(each, BaseException)
        and not name.endswith("Fields")
    }
    in_table = {each.__name__ for each in (*MADE, *USED.values())}
    assert classes - by_the_package == in_table
