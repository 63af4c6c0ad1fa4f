"""The guide for contributors names modules and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contributing.md"
_QUOTED = re.compile(r"`([\w./]+/|[\w./]+\.pyi?)(?:: ([\w.]+))?`")
NAMED = _QUOTED.findall(PAGE.read_text())


def _existing(name):
    """Return the file or folder of that name, in the repository, among the tests, in the package or in _wire."""
    folders = (ROOT, ROOT / "tests", ROOT / "luma_async", *(ROOT / "luma_async" / "_wire").iterdir())
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def _defines(path, name):
    """Whether a module defines a class, a function, a method or a constant of this name."""
    last = name.rpartition(".")[2]
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(last in {getattr(node, "name", None), getattr(node, "id", None)} for node in nodes)


def test_named_modules_exist():
    """Each module and folder that the guide names exists."""
    assert len(NAMED) > 30
    assert [name for name, _ in NAMED if _existing(name) is None] == [], "correct docs/contributing.md"


def test_named_functions_exist():
    """Each class, function and table that the guide names is defined in the module that it names."""
    missing = [f"{path}: {name}" for path, name in NAMED if name and not _defines(_existing(path), name)]
    assert missing == [], "correct docs/contributing.md"
