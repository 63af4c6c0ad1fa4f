"""What the documentation shows is what happens: each of its programs runs, against a gateway on this machine."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from pathlib import Path

import pytest

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


def test_every_link_leads_somewhere():
    """Links between pages point at files that exist."""
    broken = [(str(page.relative_to(ROOT)), target) for page, target in LINKS if not (page.parent / target).exists()]
    assert broken == []
