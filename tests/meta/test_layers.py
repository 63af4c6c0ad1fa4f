"""Imports point down only: what decides touches nothing, and what touches decides nothing."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "luma_async"


def _contracts():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_every_contract_is_kept():
    """import-linter finds no import that points up, and none of what a layer must not touch."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_imports_have_no_circle():
    """No module imports itself through other modules; imports for type checkers count."""
    graph = grimp.build_graph("luma_async", cache_dir=None)
    modules = graph.modules - {"luma_async"}
    imports = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    TopologicalSorter(imports).prepare()


ONLY_IN = {
    "aiohttp": {"_http/transport.py", "_download/client.py", "testing"},
    "cattrs": {"_wire/converter.py"},
    "sqlite3": {"_journal/sqlite"},
    "rich": {"cli"},
    "pytest": {"testing/fixtures.py"},
    "pytest_asyncio": {"testing/fixtures.py"},
}
"""Where each library may be touched, as folders and files of the package."""


def _imported(tree):
    """Yield what a module imports at run time, at its top or in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        else:
            yield from _imported(node)


@functools.cache
def _users():
    """Return what each module of the package imports at run time."""
    return {
        str(path.relative_to(PACKAGE)): set(_imported(ast.parse(path.read_text()))) for path in PACKAGE.rglob("*.py")
    }


@pytest.mark.parametrize("library", ONLY_IN)
def test_each_library_is_touched_where_it_belongs(library):
    """HTTP, the converter, the database and the terminal have their places, and no other module reaches for them."""
    users = {where for where, libraries in _users().items() if library in libraries}
    strangers = {
        user for user in users if not any(user == place or user.startswith(f"{place}/") for place in ONLY_IN[library])
    }
    assert users
    assert strangers == set()


def test_the_contracts_name_only_what_exists():
    """A contract about a module that is gone guards nothing."""
    named = {name for one in _contracts() for name in one.get("source_modules", ())}
    gone = [
        name
        for name in named
        if not (ROOT / name.replace(".", "/")).is_dir() and not (ROOT / f"{name.replace('.', '/')}.py").exists()
    ]
    assert gone == []
