"""No command prints a control character, whatever field of a service, a file or an argument has it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from luma_async.cli.main import main
from luma_async.cli.output import never_fail_to_encode, print_line, print_path, print_status

ESCAPE = "\x1b]0;canary\x07\x9b31m\u202e"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
_KEPT = {"id", "task_id", "state", "status", "url", "video", "created_at"}
SAMPLES = Path(__file__).parents[1] / "samples"


def poisoned(value, kept=_KEPT):
    """Return a document with the escape sequence at the end of each text but those of these fields."""
    if isinstance(value, str):
        return value + ESCAPE
    if isinstance(value, list):
        return [poisoned(item, kept) for item in value]
    if isinstance(value, dict):
        return {
            name: item if name in kept and isinstance(item, str) else poisoned(item, kept)
            for name, item in value.items()
        }
    return value


def sample(name):
    return json.loads((SAMPLES / name).read_text())


ANSWERS = {
    "failed": lambda: web.json_response(poisoned(sample("rixapi/query-failed-assumed.json"))),
    "state": lambda: web.json_response(poisoned(sample("rixapi/submit-201-pending.json"), _KEPT - {"state"})),
    "list": lambda: web.json_response(poisoned(sample("dream_machine/list.json"))),
    "usage": lambda: web.json_response(poisoned(sample("rixapi/usage-token.json"))),
    "credits": lambda: web.json_response(poisoned(sample("dream_machine/credits.json"))),
    "error": lambda: web.json_response(poisoned(sample("errors/400-sensitive.json")), status=400),
    "key": lambda: web.json_response(poisoned(sample("errors/401-new-api.json")), status=401),
    "page": lambda: web.Response(text=f"<html>{ESCAPE}</html>", content_type="text/html", status=404),
    "text": lambda: web.Response(text=ESCAPE, status=400),
}
COMMANDS = {
    "generate": ("generate", f"a cat{ESCAPE}", "--timeout", "0.3"),
    "wait": ("wait", "g-1", "--timeout", "0.3"),
    "id": ("wait", f"g-1{ESCAPE}"),
    "link": ("link", "g-1"),
    "status": ("status",),
    "list": ("list", "--dialect", "dream-machine"),
    "account": ("account",),
    "credits": ("account", "--dialect", "dream-machine"),
    "delete": ("delete", "g-1", "--yes", "--dialect", "dream-machine"),
    "in-doubt": ("in-doubt",),
    "resolve": ("in-doubt", "resolve", f"key{ESCAPE}", "g-1"),
    "batch": ("batch", "prompts.jsonl", "--out", "out", "--timeout", "0.3"),
    "preview": ("batch", "prompts.jsonl", "--out", "out", "--dry-run"),
    "rows": ("batch", "rows.csv", "--out", "out"),
    "gallery": ("gallery", f"clips{ESCAPE}", "--journal", f"none{ESCAPE}"),
    "usage": ("generate", "a cat", f"again{ESCAPE}"),
}


@pytest.fixture
async def service(here, monkeypatch):
    """A service that gives one answer to everything."""
    answer = {}

    async def respond(_):
        return answer["make"]()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("LUMA_BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    (here / "prompts.jsonl").write_text(json.dumps(f"a dog{ESCAPE}"))
    (here / "rows.csv").write_text(f"prompt,loop,key\na{ESCAPE},x{ESCAPE},k{ESCAPE}\n")
    yield answer
    await runner.cleanup()


@pytest.mark.parametrize("kind", ANSWERS)
async def test_no_control_character_is_printed(service, capsys, kind):
    """Every command prints the texts of every answer without their control characters."""
    service["make"] = ANSWERS[kind]
    for words in COMMANDS.values():
        with suppress(SystemExit):
            await asyncio.to_thread(main, words)
        out, err = capsys.readouterr()
        assert not _CONTROL.search(out + err), (words, out + err)


@pytest.mark.parametrize("kind", ["failed", "state", "error"])
@pytest.mark.parametrize("name", ["generate", "batch"])
async def test_no_control_character_on_a_terminal(service, monkeypatch, kind, name):
    """The live display shows the texts of a service without their control characters too."""

    class Tty(io.StringIO):
        def isatty(self):
            return True

    service["make"] = ANSWERS[kind]
    tty = Tty()
    monkeypatch.setattr(sys, "stdout", tty)
    monkeypatch.setattr(sys, "stderr", tty)
    monkeypatch.setenv("TERM", "xterm-256color")
    await asyncio.to_thread(main, COMMANDS[name])
    assert "canary" in tty.getvalue()
    assert not {"\x1b]0;", "\x07", "\x9b", "\u202e"} & set(re.findall(r"\x1b\]0;|\x07|\x9b|\u202e", tty.getvalue()))


async def test_no_control_character_in_a_log_line(command, capsys, monkeypatch):
    """What the package logs is printed without control characters."""
    from luma_async.cli.commands import status

    async def log(_):
        logging.getLogger("luma_async").warning("unknown state %s", ESCAPE)
        return 0

    monkeypatch.setattr(status, "run", log)
    _, _, err = await command("status")
    assert "unknown state \ufffd]0;canary" in err
    assert not _CONTROL.search(err)


def test_path_on_a_pipe_is_exact(monkeypatch):
    """A program that reads paths gets their bytes, even where the locale cannot encode them; a terminal does not."""
    for tty, expected in ((False, b"a\x1b\xff.mp4\n"), (True, "a\ufffd\ufffd.mp4\n".encode())):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="utf-8")
        monkeypatch.setattr(stream, "isatty", lambda tty=tty: tty, raising=False)
        monkeypatch.setattr(sys, "stdout", stream)
        never_fail_to_encode()
        print_path(Path("a\x1b\udcff.mp4"))
        assert raw.getvalue() == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_text_that_the_locale_lacks(monkeypatch, encoding):
    """A text that the locale cannot encode is printed with escapes."""
    raw = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding))
    never_fail_to_encode()
    print_line("猫 \N{DROMEDARY CAMEL}")
    print_status("猫 \N{DROMEDARY CAMEL}")
    assert raw.getvalue().count(rb"\U0001f42a") == 2
