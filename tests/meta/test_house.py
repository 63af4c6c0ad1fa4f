"""Rules for the package and the tests that a program can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import luma_async

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "luma_async"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def _functions(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_import_is_lazy(unmeasured_env):
    """`import luma_async` does not import aiohttp, cattrs, sqlite3, psycopg, procrastinate, fastmcp, pytest or rich."""
    heavy = {"aiohttp", "cattrs", "sqlite3", "psycopg", "procrastinate", "fastmcp", "pytest", "rich"}
    code = f"import sys, luma_async; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured_env)
    assert done.stdout.strip() == "[]"


def test_all_names_exist():
    """Each name in `__all__` exists and is listed once."""
    names = luma_async.__all__
    assert all(hasattr(luma_async, name) for name in names)
    assert len(set(names)) == len(names)


def test_stub_names_each_name_once():
    """The stub lists each public name once, and what it lists is what the package exports."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(names) == luma_async.__all__
    assert all(hasattr(luma_async, name) for name in names)


def test_public_names_have_docstrings():
    """Each public class and function has a docstring of its own."""
    without = [name for name in luma_async.__all__ if not (getattr(luma_async, name).__doc__ or "").strip()]
    assert without == [] or all(name in {"Event", "Request"} for name in without)


def test_tests_have_docstrings():
    """Each test has a docstring that states its promise."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in TESTS
        for node in _functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def _lines_of_code(path):
    """Count the lines that are not blank, comments or docstrings."""
    source = path.read_text()
    texts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
    docs = [node for node in texts if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    return len(code) - sum(bool(line) for node in docs for line in lines[node.lineno - 1 : node.end_lineno])


def test_module_and_function_length():
    """No module of the package has more than 400 lines of code, no function more than 60 without its docstring."""
    long_modules = [str(path.relative_to(ROOT)) for path in MODULES if _lines_of_code(path) > 400]
    long_functions = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in _functions(path)
        if node.end_lineno - node.lineno - (ast.get_docstring(node, clean=False) or "").count("\n") > 60
    ]
    assert long_modules == []
    assert long_functions == []


def test_repository_root():
    """The root of the repository has the usual files only."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    roots = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    expected = {
        "pyproject.toml",
        "README.md",
        "luma_async",
        "tests",
        "docs",
        "CHANGELOG.md",
        "LICENSE",
        "noxfile.py",
    }
    assert roots <= expected
