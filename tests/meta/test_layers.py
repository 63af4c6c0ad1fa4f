"""Imports point down only, and each library with side effects is imported in few places."""

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


def test_import_contracts():
    """import-linter finds no broken contract."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_import_circle():
    """No module imports itself through other modules; imports for type checkers count."""
    graph = grimp.build_graph("luma_async", cache_dir=None)
    modules = graph.modules - {"luma_async"}
    imports = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    TopologicalSorter(imports).prepare()


def test_package_root_is_small():
    """The package root has at most 11 modules; the others are in packages."""
    assert len(list(PACKAGE.glob("*.py"))) <= 11


LOOPS = {
    "_aio.py",
    "_batch/batch.py",
    "_batch/item.py",
    "_download/client.py",
    "_download/attempts.py",
    "_download/downloader.py",
    "_download/stream.py",
    "_download/link_resolver.py",
    "_download/part_file.py",
    "_engine.py",
    "_files/content.py",
    "_fleet/member.py",
    "_files/files.py",
    "_files/pictures.py",
    "_files/storage.py",
    "_http/pause.py",
    "_http/proxies.py",
    "_http/queries.py",
    "_http/transport.py",
    "_journal/copying.py",
    "_journal/postgres/connection.py",
    "_journal/postgres/link.py",
    "_journal/sqlite/journal.py",
    "_journal/sqlite/writer.py",
    "_poll/fetcher.py",
    "_poll/tracked.py",
    "_poll/watcher.py",
    "_submit/attempt.py",
    "_submit/outcomes.py",
    "_submit/shared.py",
    "_submit/unfinished.py",
    "_submit/submitter.py",
    "_submit/throttle.py",
    "handle.py",
    "values/events.py",  # only the name of CancelledError
    "cli",
    "contrib",
    "testing",
}
"""The modules that wait, start tasks or hold locks."""

ONLY_IN = {
    "asyncio": LOOPS,
    "aiohttp": {"_http/transport.py", "_download/client.py", "_files/storage.py", "cli/commands/worker.py", "testing"},
    "cattrs": {"_wire/converter.py"},
    "fastmcp": {"contrib/mcp.py"},
    "fcntl": {"_journal/sqlite/owners.py", "_download/part_file.py"},
    "logging": {"values/log.py", "values/events.py", "cli/run.py", "cli/commands/worker.py"},
    "os": {
        "_batch/registry.py",
        "_download/part_file.py",
        "_engine.py",
        "_http/tls.py",
        "_journal/postgres/link.py",
        "_journal/protocol.py",
        "_journal/sqlite",
        "_submit/submitter.py",
        "cli",
        "gallery/disk.py",
        "session.py",
        # `os.fspath` tells what is a path, without touching a disk.
        "values/validators.py",
    },
    "procrastinate": {"contrib/procrastinate.py"},
    "psycopg": {"_journal/postgres"},
    "pytest": {"testing/fixtures.py"},
    "pytest_asyncio": {"testing/fixtures.py"},
    "queue": {"_journal/sqlite/writer.py"},
    "random": {"_batch/item.py", "_engine.py", "testing"},
    "rich": {"cli"},
    "shutil": {"_download/part_file.py"},
    "signal": {"cli"},
    "socket": {"cli/commands/mcp.py", "_journal/postgres/connection.py", "testing"},
    "sqlite3": {"_journal/sqlite"},
    "subprocess": set(),
    "tempfile": set(),
    "threading": {"_journal/sqlite", "cli/commands/mcp.py"},
    "time": {"_journal/sqlite/schema.py", "cli"},
}
"""Where each library may be imported, as files and folders of the package. What imports none of them is pure."""


def _imported(tree):
    """Yield the libraries that a module imports at run time, at its top or in a function."""
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
def test_library_is_imported_in_its_place(library):
    """A library that waits, reads or writes is imported only by the modules of the table, and by each of them."""
    users = {path for path, libraries in _users().items() if library in libraries}
    unused = {place for place in ONLY_IN[library] if not any(_is_in(user, place) for user in users)}
    assert {user for user in users if not any(_is_in(user, place) for place in ONLY_IN[library])} == set()
    assert unused == set()


def _is_in(path, place):
    return path == place or path.startswith(f"{place}/")


def test_contracts_name_existing_modules():
    """Each module that a contract names exists."""
    named = {name for one in _contracts() for name in one.get("source_modules", ())}
    gone = [
        name
        for name in named
        if not (ROOT / name.replace(".", "/")).is_dir() and not (ROOT / f"{name.replace('.', '/')}.py").exists()
    ]
    assert gone == []
