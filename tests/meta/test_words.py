"""Words that readers have to guess at do not occur: the project is written in plain English."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BANNED = (
    "errand",
    "seat",
    "flight",
    "luck",
    "hearsay",
    "deeds",
    "misfit",
    "stranger",
    "company",
    "sighted",
    "farewell",
    "whoever",
    "nobody",
    "somebody",
    "anew",
    "runs on",
    "for ever",
    "thrice",
)
"""Not used in names, messages, docstrings, comments, pages and names of tests."""

_BANNED = re.compile(
    rf"(?<![a-z])(?:{'|'.join(word.replace(' ', '[ _]') for word in BANNED)})s?(?![a-z])", re.IGNORECASE
)
_IN_FLIGHT = re.compile(r"(?<![a-z])in[ _-]flight", re.IGNORECASE)
"""The common term for a request or a job that is not done, and part of `max_in_flight`."""

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [
    path for suffix in ("py", "pyi", "html", "js") for path in sorted((ROOT / "luma_async").rglob(f"*.{suffix}"))
]

TESTS = sorted((ROOT / "tests").rglob("*.py"))


def _banned(text):
    """Return the banned words of a text; names are split at underscores and capitals."""
    text = re.sub(r"([a-z])([A-Z])", r"\1_\2", text)
    return [found[0].lower() for found in _BANNED.finditer(_IN_FLIGHT.sub("", text))]


def _banned_in(texts):
    """Return the banned words of each file that has any; `texts` has pairs of a path and its text."""
    return {str(path.relative_to(ROOT)): found for path, text in texts if (found := _banned(text))}


def _test_names(path):
    """Return the name of a test file and the names of the tests in it, one per line."""
    tree = ast.parse(path.read_text())
    named = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))
    return "\n".join([path.stem, *(node.name for node in named if node.name.lower().startswith("test"))])


def test_banned_words_in_pages():
    """README, changelog and documentation contain no banned word."""
    assert _banned_in((path, path.read_text()) for path in PAGES) == {}


def test_banned_words_in_package():
    """No module of the package contains a banned word, in names, messages, docstrings or comments."""
    assert _banned_in((path, path.read_text()) for path in MODULES) == {}


def test_banned_words_in_test_names():
    """No test and no test file has a banned word in its name."""
    assert _banned_in((path, _test_names(path)) for path in TESTS) == {}


@pytest.mark.parametrize("text", ["nobody_waits", "NobodyWaits", "it runs on", "two Errands", "in company", "_flight"])
def test_banned_words_found(text):
    """A banned word is found in sentences and in names."""
    assert _banned(text)


@pytest.mark.parametrize("text", ["max_in_flight", "InFlight", "jobs in flight", "accompanying", "it runs once"])
def test_banned_words_not_found(text):
    """In flight is allowed, and so are words that merely contain a banned word."""
    assert _banned(text) == []
