"""Sessions that take longer or need more than the test command of the README."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Iterator

nox.options.sessions = ["tests"]

PURE = (
    "values/*",
    "_wire/*",
    *(f"_journal/{name}.py" for name in ("lifecycle", "fingerprint")),
    *(f"_http/{name}.py" for name in ("retry", "address")),
    "_submit/verdict.py",
    *(f"_poll/{name}.py" for name in ("schedule", "durations", "observation", "failures", "grouping", "due_queue")),
    *(f"_download/{name}.py" for name in ("links", "response", "validate", "names")),
    *(f"_batch/{name}.py" for name in ("keys", "rules", "window", "source", "preview")),
    "_doubts/matching.py",
)
"""The modules that only decide: their tests cover every branch."""


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("pytest", "-q", "-n", "auto", *session.posargs)


@nox.session(python="3.11")
def optimized(session: nox.Session) -> None:
    """Run without assertions and docstrings: nothing may rest on them."""
    session.install("-e", ".[dev]")
    # pytest warns that other modules' assertions are off, which is the point.
    quiet = ("-W", "ignore::pytest.PytestConfigWarning")
    session.run("python", "-OO", "-m", "pytest", "-q", "-n", "auto", *quiet, "--ignore=tests/meta", *session.posargs)


@nox.session(python="3.11")
def coverage(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q")
    session.run("coverage", "combine")
    session.run("coverage", "report", "--fail-under=95")
    include = ",".join(f"luma_async/{name}" for name in PURE)
    session.run("coverage", "report", f"--include={include}", "--fail-under=100")


@nox.session(python="3.11")
def sdk(session: nox.Session) -> None:
    """Run the API tests of both of Luma's SDKs, as their source distributions hold them, against the gateway."""
    session.install("-e", ".", "pytest", "pytest-asyncio", "pytest-xdist")
    session.install("dirty-equals", "importlib-metadata", "respx", "rich", "time-machine")
    for name, path in (("lumaai", "/dream-machine/v1"), ("luma-agents", "/v1")):
        source = _sdist(session, name)
        session.install(f"{source}[aiohttp]")
        with _gateway(session) as base_url, session.chdir(source):
            env = {"TEST_API_BASE_URL": base_url + path}
            session.run("pytest", "-n0", "-W", "default", "-x", "-q", "tests/api_resources", env=env)


@nox.session(python="3.11")
def openapi(session: nox.Session) -> None:
    """Hold the gateway and its clients against the service's own document, which `LUMA_OPENAPI` names."""
    if "LUMA_OPENAPI" not in os.environ:
        session.error("Say where the document is: LUMA_OPENAPI=openapi.yaml nox -s openapi")
    document = str(Path(os.environ["LUMA_OPENAPI"]).resolve())
    session.install("-e", ".[dev]", "schemathesis")
    prism = session.create_tmp()
    session.run("npm", "install", "--no-audit", "--no-fund", "--prefix", prism, "@stoplight/prism-cli", external=True)
    path = os.pathsep.join([f"{prism}/node_modules/.bin", session.bin, os.environ["PATH"]])
    session.run("pytest", "-q", "-s", "tests/conformance", env={"LUMA_OPENAPI": document, "PATH": path})


@nox.session(python="3.11")
def proxies(session: nox.Session) -> None:
    """Put nginx in front of the gateway: what is charged is what the client knows, unless nginx repeats POSTs."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    if shutil.which("nginx", path=path) is None:
        session.error("Install nginx first: apt-get install nginx-light")
    session.install("-e", ".[dev]")
    session.run("pytest", "-q", "tests/stories/test_behind_nginx.py", *session.posargs)


@nox.session(python="3.11")
def tools(session: nox.Session) -> None:
    """Use the tools for agents in frameworks, as the page shows, and flood their server with ten thousand calls."""
    session.install("-e", ".[dev]", "pydantic-ai-slim", "langchain-core")
    session.run("pytest", "-q", "-k", "agent-tools", "tests/stories/test_documentation.py")
    session.run("pytest", "-q", "tests/stories/test_a_hostile_agent.py", env={"LUMA_ASYNC_CALLS": "10000"})


@nox.session(python="3.11")
def kills(session: nox.Session) -> None:
    """Kill a program at five hundred random instants, and again with downloads: nothing is paid twice or lost.

    `nox -s kills -- -k postgres` does so over PostgreSQL only.
    """
    session.install("-e", ".[dev]")
    env = {"LUMA_ASYNC_KILLS": "500", "LUMA_ASYNC_NEED_POSTGRES": "1"}
    session.run("pytest", "-q", "-s", "tests/stories/test_survives_sudden_death.py", *session.posargs, env=env)


@nox.session(python="3.11")
def fleet(session: nox.Session) -> None:
    """Run four programs over one journal: 2,000 jobs, their limits, and twenty kills at each step."""
    session.install("-e", ".[dev]")
    env = {"LUMA_ASYNC_FLEET": "1", "LUMA_ASYNC_NEED_POSTGRES": "1"}
    session.run("pytest", "-q", "-s", "tests/stories/test_programs_share_a_journal.py", *session.posargs, env=env)


@nox.session(python="3.11")
def outages(session: nox.Session) -> None:
    """Stop, crash and cut off PostgreSQL for twenty seconds while programs buy."""
    session.install("-e", ".[dev]")
    env = {"LUMA_ASYNC_OUTAGE_S": "20", "LUMA_ASYNC_NEED_POSTGRES": "1"}
    session.run("pytest", "-q", "-s", "tests/stories/test_a_journal_server_fails.py", env=env)


@nox.session(python="3.11")
def batches(session: nox.Session) -> None:
    """Tell the stories of batches at full size: a thousand jobs, ten thousand of a million, five deaths."""
    session.install("-e", ".[dev]")
    sizes = {"LUMA_ASYNC_JOBS": "1000", "LUMA_ASYNC_ITEMS": "10000", "LUMA_ASYNC_PROMPTS": "500"}
    stories = ("finds_the_limit", "of_a_million", "survives_sudden_death", "cancelled_anywhere")
    files = [f"tests/stories/test_a_batch_{story}.py" for story in stories]
    session.run("pytest", "-q", "-s", *files, env={**sizes, "LUMA_ASYNC_EVERY_TURN": "1"})


def _sdist(session: nox.Session, name: str) -> Path:
    """Download and unpack the source distribution of a package."""
    folder = Path(session.create_tmp()) / name
    shutil.rmtree(folder, ignore_errors=True)
    session.run("pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", str(folder), name)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(folder, filter="data")
    return (folder / archive.name.removesuffix(".tar.gz")).resolve()


@contextlib.contextmanager
def _gateway(session: nox.Session) -> Iterator[str]:
    """Run the gateway as a process of its own, and say where it is."""
    command = [f"{session.bin}/luma-async", "gateway", "--port", "0", "--seconds", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0].removeprefix("LUMA_BASE_URL=")
        finally:
            process.terminate()
