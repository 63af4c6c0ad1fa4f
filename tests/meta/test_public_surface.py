"""What users see: the names, the tree of errors, the table of the README, and the sections of the docstrings."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from pathlib import Path
from typing import get_type_hints, is_typeddict

import attrs
import pytest

import luma_async
from luma_async.values import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "luma_async"
MODULES = sorted(PACKAGE.rglob("*.py"))

PROMISED = {
    *("LumaSession", "GenerationHandle", "Outcome", "Batch", "Doubts", "Account"),
    *("VideoRequest", "ExtendRequest", "AudioRequest", "UpscaleRequest", "ImageRequest", "ReframeRequest"),
    *("ModifyRequest", "Request", "Keyframes", "ImageKeyframe", "GenerationKeyframe"),
    *("Generation", "Video", "Image", "State", "User", "KeyUsage", "Credits"),
    *("RixAPI", "PollPolicy", "RetryPolicy", "Limits", "Timeouts"),
    *("Journal", "MemoryJournal", "PostgresJournal", "SqliteJournal", "Entry", "Phase"),
    *("Submitted", "SubmitFailed", "Retried", "Paused", "Polled", "Changed", "Finished", "Downloading", "Downloaded"),
    *("PromptMismatch", "Budget", "BudgetStatus", "Spent", "SpendingJournal", "HintJournal"),
}
"""Names that programs import; taking one away breaks them."""

MADE_BY_USERS = {"Journal", "HintJournal", "SpendingJournal", "MemoryJournal", "PostgresJournal", "SqliteJournal"}
"""A journal is called by the session, not by programs: its protocol says what each call promises."""


def test_promised_names_are_exported():
    """The names that programs import can be imported, errors and events included."""
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert (PROMISED | kinds) - set(luma_async.__all__) == set()


def test_no_accidental_public_name():
    """Each object of this library in the package namespace is in `__all__`."""
    ours = {
        name
        for name, value in vars(luma_async).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("luma_async")
    }
    assert ours - set(luma_async.__all__) == set()


@pytest.mark.parametrize("name", luma_async.__all__)
def test_public_module(name):
    """Tracebacks, reprs and pickles show the module that users import from, and annotations still resolve."""
    kind = getattr(luma_async, name)
    if not inspect.isclass(kind) or is_typeddict(kind):
        return
    assert kind.__module__ == "luma_async"
    assert pickle.loads(pickle.dumps(kind)) is kind
    if attrs.has(kind) and not issubclass(kind, Exception) and name not in {"Agents", "DreamMachine", "RixAPI"}:
        assert not any(isinstance(field.type, str) for field in attrs.fields(kind))
        get_type_hints(kind)


def _drawn(docstring):
    """Return the tree that a docstring draws: each name with its parent and the built-in base class."""
    rows, path = {}, []
    for line in docstring.splitlines():
        found = re.match(r"^([│ ├└─]*)([A-Z]\w+)(?: \((\w+)\))?(?:   .*)?$", line)
        if found:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            rows[found[2]] = (path[-2] if depth else None, found[3])
    return rows


def test_error_tree_is_current():
    """The docstring of errors.py shows each error with its base class and its built-in base class."""
    real = {}
    for name in luma_async.__all__:
        kind = getattr(luma_async, name)
        if inspect.isclass(kind) and issubclass(kind, errors.LumaError):
            parent, *others = kind.__bases__
            real[name] = (
                None if kind is errors.LumaError else parent.__name__,
                others[0].__name__ if others else None,
            )
    assert _drawn(errors.__doc__) == real


def test_readme_error_table():
    """The table of errors in the README has each error that a caller may get, and no other."""
    table = (ROOT / "README.md").read_text().partition("| error | were you charged? |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}
    assert named
    assert {name for name in named if not hasattr(luma_async, name)} == set()
    mothers = {name for name, (parent, _) in _drawn(errors.__doc__).items() if parent == "LumaError"} - {
        "SessionClosed",
        "TransportError",
        "UnreadableResponse",
    }
    assert mothers - named == set()


def _public_coroutines():
    for name in luma_async.__all__:
        kind = getattr(luma_async, name)
        if inspect.isclass(kind) and name not in MADE_BY_USERS:
            for attribute, member in inspect.getmembers(kind, inspect.isfunction):
                waits = inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
                if waits and not attribute.startswith("_") and member.__module__.startswith("luma_async"):
                    yield pytest.param(member, id=f"{name}.{attribute}")


@pytest.mark.parametrize("member", list(_public_coroutines()))
def test_costs_and_cancellation_sections(member):
    """The docstring of a public coroutine has Costs and Cancellation, or refers to a call that has them."""
    text = inspect.getdoc(member) or ""
    elsewhere = re.search(r"see `(\w+)\.(\w+)\(\)`", text)
    if elsewhere:
        kind = {"session": luma_async.LumaSession, "handle": luma_async.GenerationHandle}[elsewhere[1]]
        text = inspect.getdoc(getattr(kind, elsewhere[2]))
    assert {"Costs:", "Cancellation:"} <= {line.strip() for line in text.splitlines()}


def _is_attrs(node):
    names = [ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list]
    return any(name in {"attrs.frozen", "attrs.define", "error"} for name in names)


def _bare_fields(path):
    """Return the public fields of a module's attrs classes without a docstring beneath."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and _is_attrs(node):
            for field, below in zip(node.body, [*node.body[1:], None], strict=True):
                is_field = isinstance(field, ast.AnnAssign) and not ast.unparse(field.annotation).startswith("ClassVar")
                if is_field and not field.target.id.startswith("_"):
                    documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                    if not documented or not isinstance(below.value.value, str):
                        yield f"{path.relative_to(ROOT)}:{field.lineno} {node.name}.{field.target.id}"


SHOWN = [path for path in MODULES if not {"testing", "cli"} & set(path.relative_to(PACKAGE).parts)]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_fields_have_docstrings(path):
    """Each public field of an attrs class is followed by a docstring."""
    assert list(_bare_fields(path)) == []


def test_undocumented_field_is_found(tmp_path, monkeypatch):
    """A field without a docstring is found."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "bare.py"
    path.write_text('@attrs.frozen\nclass Thing:\n    documented: int\n    """Text."""\n    bare: int\n')
    assert [found.split()[-1] for found in _bare_fields(path)] == ["Thing.bare"]


def _names(path):
    """Return every name that a module gives to something of its own."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno


BANNED = {"util", "utils", "manager", "helper", "helpers", "job", "jobs"}


def test_no_vague_names():
    """No name is utils, manager or helper, and a generation is not named a job."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in MODULES
        for name, line in [(path.stem, 0), *_names(path)]
        if BANNED & set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower()))
    ]
    assert found == []


def test_task_means_asyncio_task():
    """No public name contains "task", except the words of a service."""
    names = [*luma_async.__all__]
    for one in luma_async.__all__:
        kind = getattr(luma_async, one)
        if inspect.isclass(kind):
            names += [name for name in dir(kind) if not name.startswith("_")]
    assert [name for name in names if "task" in name.lower()] == []
