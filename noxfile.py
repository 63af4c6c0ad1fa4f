"""Sessions that take longer or need more than the test command of the README."""

from __future__ import annotations

import nox

nox.options.sessions = ["tests"]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.11")
def optimized(session: nox.Session) -> None:
    """Run without assertions and docstrings: nothing may rest on them."""
    session.install("-e", ".[dev]")
    session.run("python", "-OO", "-m", "pytest", "-q", "--ignore=tests/meta", *session.posargs)


@nox.session(python="3.11")
def coverage(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q")
    session.run("coverage", "combine")
    session.run("coverage", "report", "--fail-under=95")
    session.run("coverage", "report", "--include=luma_async/_core/*,luma_async/_wire/*", "--fail-under=100")
