"""The reference page is generated from the sources: names, signatures, and the first lines of docstrings.

`python tests/meta/test_reference_page.py` generates it again.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from pathlib import Path
from typing import is_typeddict

import attrs

import luma_async

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference.md"
INTRODUCTION = """\
# Reference

Everything that `luma_async` exports, generated from the signatures and the first lines of the docstrings. The full
docstrings are in your editor and in `help(luma_async.LumaSession)`: arguments, errors and the state of the world after
each, costs, and what cancellation does. There are also `luma_async.testing`
([test your program](how-to/testing.md)) and `luma_async.gallery` ([the gallery page](how-to/gallery.md)).

"""
BUILT_BY_USERS = {"LumaSession", "PostgresJournal", "SqliteJournal"}
CALLED = {"Requests", "Dialects"}
"""Topics whose classes users build themselves."""
ALIASES = {
    "Request",
    "Event",
    "BatchRequests",
    "BatchKeys",
    "Destination",
    "Watermark",
    "FileKind",
    "PromptFormat",
    "Keyframe",
    "Media",
    "Output",
    "Reference",
}
TOPICS = {
    "Session and handles": ("session", "handle", "_batch", "_download"),
    "Parts of a session": ("_doubts", "account", "_files"),
    "Requests": ("values.requests", "values.keyframes", "values.controls", "prompts"),
    "Answers of a service": ("values.models", "values.files"),
    "Dialects": ("_wire",),
    "Settings": ("values.settings", "values.budget"),
    "Journals": ("values.entries", "_journal"),
    "Events": ("values.events",),
    "Errors": ("values.errors",),
}


def homes():
    """Return the module that defines each public name, as the stub says."""
    tree = ast.parse((ROOT / "luma_async" / "__init__.pyi").read_text())
    return {alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


HOMES = homes()


def topic_of(name):
    return next((topic for topic, parts in TOPICS.items() if HOMES[name].startswith(parts)), None)


def node_of(thing):
    """Return the definition of a class or function in the source."""
    module = HOMES.get(thing.__name__) or thing.__module__.removeprefix("luma_async.")
    path = ROOT / "luma_async" / f"{module.replace('.', '/')}.py"
    return next(node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") == thing.__name__)


def first_line(node):
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def signature(function):
    arguments = ast.unparse(function.args).removeprefix("self, ").removeprefix("cls, ")
    arguments = "" if arguments in {"self", "cls"} else arguments.removeprefix("/, ")
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{'await ' if isinstance(function, ast.AsyncFunctionDef) else ''}{function.name}({arguments}){returns}"


def is_public(node):
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    return not node.name.startswith("_") and "overload" not in names


def fields_of(body):
    """Yield each annotated or assigned name that is followed by a docstring, with that docstring."""
    for node, following in itertools.pairwise(body):
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if not documented or not isinstance(following.value.value, str):
            continue
        text = " ".join(following.value.value.split())
        if isinstance(node, ast.AnnAssign):
            yield f"`{node.target.id}: {ast.unparse(node.annotation)}`", text
        elif isinstance(node, ast.Assign):
            yield f"`{node.targets[0].id}`", text


def members_of(bodies):
    """Return the lines of a class and of its undocumented bases; a member of the class replaces that of a base."""
    lines, seen = [], set()
    for body in bodies:
        lines += [f"- {field}: {text}" for field, text in fields_of(body) if not field.startswith("`_")]
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_public(node) and node.name not in seen:
                seen.add(node.name)
                names = {ast.unparse(decorator) for decorator in node.decorator_list}
                shown = node.name if "property" in names else signature(node)
                lines.append(f"- `{shown}`: {first_line(node)}")
    return lines


def settings_of(body):
    """Return the lines of a dialect's settings; by its methods it serves the session, and programs do not call them."""
    return [
        f"- {field}: {text}"
        for field, text in fields_of(body)
        if not field.startswith("`_") and "ClassVar" not in field
    ]


def call_of(name, thing):
    """Return how an attrs class is called: positional fields, keyword-only fields, and defaults."""
    fields = [field for field in attrs.fields(thing) if field.init]
    positional = [show_field(field) for field in fields if not field.kw_only]
    keyword_only = [show_field(field) for field in fields if field.kw_only]
    return f"{name}({', '.join([*positional, *(['*', *keyword_only] if keyword_only else [])])})"


def show_field(field):
    if field.default is attrs.NOTHING:
        return field.name
    return f"{field.name}={'{}' if isinstance(field.default, attrs.Factory) else repr(field.default)}"


def options_of(thing):
    """Return the lines of a typed dictionary."""
    return [f"- `{name}: {kind.__forward_arg__}`" for name, kind in thing.__annotations__.items()]


def class_lines(name, thing):
    nodes = [node_of(cls) for cls in thing.__mro__ if is_split(cls, thing)]
    about = first_line(nodes[0])
    built = thing.__name__ in BUILT_BY_USERS
    inits = [node for node in nodes[0].body if built and isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    shown = f"`{signature(inits[0]).replace('__init__', name).removesuffix(' -> None')}`\n\n" if inits else ""
    if attrs.has(thing) and topic_of(name) in CALLED:
        shown = f"`{call_of(name, thing)}`\n\n"
    if topic_of(name) == "Dialects":
        members = settings_of(nodes[0].body)
    else:
        members = options_of(thing) if is_typeddict(thing) else members_of([node.body for node in nodes])
    return [f"### {name}\n", f"{shown}{about}\n", *members, ""]


def is_split(cls, thing):
    return cls is thing or (cls.__module__.startswith("luma_async.") and cls.__name__ not in luma_async.__all__)


def alias_lines():
    """Return what the type aliases in signatures stand for, with their docstrings."""
    lines = []
    for path in sorted((ROOT / "luma_async").rglob("*.py")):
        if "testing" in path.relative_to(ROOT).parts:
            continue
        for node, following in itertools.pairwise(ast.parse(path.read_text()).body):
            if isinstance(node, ast.AnnAssign) and node.target.id in ALIASES and isinstance(following, ast.Expr):
                meaning = ast.unparse(node.value).strip("'\"")
                lines.append(f"- `{node.target.id}` = `{meaning}`: {' '.join(following.value.value.split())}")
    return sorted(lines)


def reference():
    """Return the text of the page."""
    topics = {topic: [] for topic in TOPICS}
    for name in luma_async.__all__:
        thing = getattr(luma_async, name)
        if not isinstance(getattr(thing, "__module__", None), str) or thing.__module__ == "types":
            continue
        topic = topic_of(name)
        assert topic is not None, f"{name} has no topic in the reference"
        if inspect.isclass(thing):
            topics[topic] += class_lines(name, thing)
        elif inspect.isfunction(thing):
            node = node_of(thing)
            topics[topic] += [f"### {name}\n", f"`{signature(node)}`\n\n{first_line(node)}\n"]
    sections = [f"## {topic}\n\n" + "\n".join(lines) for topic, lines in topics.items() if lines]
    sections.append("## Type aliases\n\n" + "\n".join(alias_lines()))
    return INTRODUCTION + "\n".join(sections).rstrip() + "\n"


def test_reference_is_current():
    """The reference page agrees with the sources."""
    assert PAGE.read_text() == reference(), (
        "the reference is out of date: run `python tests/meta/test_reference_page.py`"
    )


def test_reference_shows_settings_of_dialects():
    """The reference has the settings of a dialect, and none of the calls by which it serves the session."""
    section = reference().partition("## Dialects")[2].partition("## Settings")[0]
    assert "`edition: " in section
    assert [line for line in section.splitlines() if line.startswith("- ") and "(" in line.partition(": ")[0]] == []


if __name__ == "__main__":
    PAGE.write_text(reference())
