"""What the documentation shows is what happens: each of its programs runs, against a gateway on this machine."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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
LINKS = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]


@pytest.fixture(scope="module")
def running_gateway():
    """A gateway in a thread of its own, since the programs bring their own event loops."""
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
def test_every_program_of_the_documentation_runs(code, running_gateway, tmp_path, monkeypatch):
    """Copied as it stands, with the two variables set, each program and each notebook cell ends without an error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_API_KEY", running_gateway.api_key)
    monkeypatch.setenv("LUMA_BASE_URL", running_gateway.base_url)
    cell = eval(  # what a notebook does: a cell that awaits is a coroutine
        compile(code, "documentation", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"__name__": "__main__"}
    )
    if cell is not None:
        asyncio.run(cell)


SHELL_PAGE = ROOT / "docs" / "how-to" / "command-line.md"
COMMAND_LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", SHELL_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("luma-async")
]


@pytest.mark.timeout(600)  # a process for each line
def test_every_command_of_its_page_runs(running_gateway, tmp_path):
    """In the order of the page, in one folder, each line ends with exit code 0; a key buys once."""
    command = tmp_path / "bin" / "luma-async"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m luma_async "$@"\n')
    command.chmod(0o755)
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    before = len(running_gateway.charges)
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LUMA_API_KEY": running_gateway.api_key,
        "LUMA_BASE_URL": running_gateway.base_url,
        "LUMA_JOURNAL": str(tmp_path / "jobs.db"),
    }
    for line in COMMAND_LINES:
        if len(running_gateway.charges) > before:
            environment["ID"] = running_gateway.charges[before].generation_id
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert len(running_gateway.charges) - before == 5
    assert (tmp_path / "copy.mp4").read_bytes() == (tmp_path / "cat.mp4").read_bytes()
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".mp4", ".html", ".db", ".jsonl"}


def test_the_page_of_commands_names_them_all():
    """Each command, each exit code and each setting stands on it."""
    text = SHELL_PAGE.read_text()
    assert [name for name in COMMANDS if not re.search(rf"`(luma-async )?{name}|luma-async {name}", text)] == []
    assert [code for code in (0, 1, 2, 3, 4, 5, 130) if f"| {code} |" not in text] == []
    assert [name for name in NAMES if f"`{name}`" not in text] == []


def test_every_link_leads_somewhere():
    """Links between pages point at files that exist."""
    broken = [(str(page.relative_to(ROOT)), target) for page, target in LINKS if not (page.parent / target).exists()]
    assert broken == []
