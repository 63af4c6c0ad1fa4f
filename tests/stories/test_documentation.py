"""The documentation is executed: every program and command on its pages runs against a gateway on this machine."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import subprocess
import threading
from pathlib import Path

import pytest
from terminal import COMMAND

from luma_async.cli.config import NAMES
from luma_async.cli.main import COMMANDS
from luma_async.testing import FakeGateway, estimates, succeeds

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}:{page.read_text().split(code)[0].count(chr(10)) + 1}")
    for page in PAGES
    for code in _BLOCK.findall(page.read_text())
]
FRAMEWORKS = ("pydantic_ai", "langchain_core")
"""Too large to be installed for one program each."""
LINKS = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]


@pytest.fixture(scope="module")
def running_gateway():
    """Run a gateway in a thread of its own, because each program has its own event loop."""
    started, stop = threading.Event(), None
    gateway = None

    async def serve():
        nonlocal gateway, stop
        stop = asyncio.Event()
        async with FakeGateway(script=estimates(succeeds(after=0.2)), record=False) as gateway:
            started.set()
            await stop.wait()
        loop.call_soon(loop.stop)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    yield gateway
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("code", PROGRAMS)
def test_python_examples_run(code, running_gateway, tmp_path, monkeypatch, request):
    """Each program and each notebook cell runs unchanged, with the two variables set, and raises nothing."""
    for library in re.findall(rf"^from ({'|'.join(FRAMEWORKS)})\b", code, re.MULTILINE):
        pytest.importorskip(library, reason="`nox -s tools` installs it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_API_KEY", running_gateway.api_key)
    monkeypatch.setenv("LUMA_BASE_URL", running_gateway.base_url)
    if "LUMA_JOURNAL" in code:
        monkeypatch.setenv("LUMA_JOURNAL", request.getfixturevalue("postgres_dsn"))
    cell = eval(  # as in a notebook: a cell that uses await is a coroutine
        compile(code, "documentation", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"__name__": "__main__"}
    )
    if cell is not None:
        asyncio.run(cell)


HOW_TO = ROOT / "docs" / "how-to"
SHELL_PAGE = HOW_TO / "command-line.md"


def command_lines(page):
    """Return the lines of the page's shell examples that call `luma-async`."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("luma-async")]


@pytest.fixture
def run_lines(running_gateway, tmp_path):
    """Return a function that runs command lines in order, in one folder, with the first new generation as `$ID`."""
    command = tmp_path / "bin" / "luma-async"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    before = len(running_gateway.charges)
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "BROWSER": "true",
        "LUMA_API_KEY": running_gateway.api_key,
        "LUMA_BASE_URL": running_gateway.base_url,
        "LUMA_JOURNAL": str(tmp_path / "jobs.db"),
    }

    def run(lines):
        for line in lines:
            if len(running_gateway.charges) > before:
                environment["ID"] = running_gateway.charges[before].generation_id
            done = subprocess.run(
                ["/bin/sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
        return len(running_gateway.charges) - before

    return run


@pytest.mark.timeout(600)  # a process for each line
def test_shell_examples_run(run_lines, tmp_path):
    """Each command of the page runs in order, in one folder, and exits with 0; a key buys once."""
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    assert run_lines(command_lines(SHELL_PAGE)) == 8
    assert (tmp_path / "copy.mp4").read_bytes() == (tmp_path / "cat.mp4").read_bytes()
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".mp4", ".html", ".db", ".jsonl"}


@pytest.mark.timeout(600)  # a process for each line
def test_batch_and_gallery_commands_run(run_lines, tmp_path):
    """The commands on the pages about batches and the gallery run, and the dry run submits nothing."""
    (tmp_path / "prompts.csv").write_text("prompt,aspect_ratio\na cat,9:16\na dog,\n")
    assert run_lines(command_lines(HOW_TO / "batches.md") + command_lines(HOW_TO / "gallery.md")) == 2
    assert (tmp_path / "clips" / "gallery.html").exists()


@pytest.mark.timeout(600)  # a process for each line
def test_limit_commands_run(run_lines, tmp_path):
    """The commands on the page about spending limits run; the dry run and the account buy nothing."""
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    assert run_lines(command_lines(HOW_TO / "spending-limits.md")) == 1


@pytest.mark.timeout(600)  # a process for each line
def test_commands_over_postgres_run(run_lines, tmp_path, postgres_dsn):
    """The commands on the page about several machines move a journal, and what it holds is not bought again."""
    (tmp_path / "prompts.csv").write_text("prompt\na dog\n")
    assert run_lines(['luma-async generate "a cat" --key cat --detach']) == 1
    lines = command_lines(HOW_TO / "several-machines.md")
    assert run_lines([f'NEW_JOURNAL="{postgres_dsn}"; {line}' for line in lines]) == 1


def test_command_page_is_complete():
    """The page names each command, each exit code and each setting."""
    text = SHELL_PAGE.read_text()
    assert [name for name in COMMANDS if not re.search(rf"`(luma-async )?{name}|luma-async {name}", text)] == []
    assert [code for code in (0, 1, 2, 3, 4, 5, 6, 7, 130) if f"| {code} |" not in text] == []
    assert [name for name in NAMES if f"`{name}`" not in text] == []


def test_links_lead_to_files():
    """Links between pages point to files that exist."""
    broken = [(str(page.relative_to(ROOT)), target) for page, target in LINKS if not (page.parent / target).exists()]
    assert broken == []
