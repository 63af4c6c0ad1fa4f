"""`luma-async doctor`: what is right, what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from raw_server import RawServer, answers, response

from luma_async.cli.commands import doctor
from luma_async.cli.main import main
from luma_async.testing import ALWAYS, html_page, server_error

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def examine(capsys):
    """Run the command; return its exit code and its findings by what was checked."""

    async def run(*arguments):
        code = await asyncio.to_thread(main, ["doctor", "--json", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err == ""
        return code, {one["check"]: one for one in map(json.loads, out.splitlines())}

    return run


def bad(findings):
    return [what for what, one in findings.items() if not one["ok"]]


@pytest.mark.parametrize("dialect", ["rixapi", "dream-machine"])
async def test_a_good_service_is_all_right(examine, gateway, here, dialect):
    """Exit code 0; nothing is bought, and the settings are told with where they come from, without the key."""
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])
    assert {"versions", "settings", "journal", "clock", "API key"} <= set(findings)
    assert findings["settings"]["finding"] == f"{dialect} at {gateway.base_url} (LUMA_BASE_URL)"
    assert os.environ["LUMA_JOURNAL"] in findings["journal"]["finding"]
    assert gateway.charges == ()
    assert gateway.leaks == ()
    assert gateway.api_key not in json.dumps(findings)


async def test_people_get_a_line_each(capsys):
    """`ok` or `BAD`, what was checked, what was found."""
    code = await asyncio.to_thread(main, ["doctor"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert all(line.startswith("ok  ") for line in out.splitlines())
    assert "ok  API key: accepted" in out


@pytest.mark.parametrize("dialect", ["rixapi", "dream-machine"])
async def test_a_wrong_key_is_exit_code_four(examine, monkeypatch):
    """What the service said, and what to check."""
    monkeypatch.setenv("LUMA_API_KEY", "sk-wrong")
    code, findings = await examine()
    assert (code, bad(findings)) == (4, ["API key"])
    assert "belongs to this base_url" in findings["API key"]["finding"]


@pytest.mark.parametrize("missing", ["LUMA_API_KEY", "LUMA_BASE_URL"])
async def test_a_missing_setting_is_named(examine, monkeypatch, missing):
    """Exit code 2, and nothing more is asked."""
    monkeypatch.delenv(missing)
    code, findings = await examine()
    assert (code, bad(findings)) == (2, ["settings"])
    assert missing in findings["settings"]["finding"]


async def test_a_service_that_is_not_there_is_told_at_once(examine, unused_tcp_port):
    """One finding names the address; nobody waits for retries after it."""
    code, findings = await examine("--base-url", f"http://127.0.0.1:{unused_tcp_port}")
    assert (code, bad(findings)) == (1, ["connection"])
    assert f"Cannot reach http://127.0.0.1:{unused_tcp_port}" in findings["connection"]["finding"]
    assert "API key" not in findings


@pytest.mark.parametrize("dialect", ["rixapi", "dream-machine"])
async def test_a_web_page_is_not_the_service(examine, gateway):
    """A wrong address answers too, in HTML; the finding says so."""
    gateway.inject(html_page(), on="query", times=ALWAYS)
    code, findings = await examine()
    assert (code, bad(findings)) == (1, ["API key"])
    assert "check base_url" in findings["API key"]["finding"]


@pytest.mark.parametrize("batch", ["missing", "html"])
async def test_a_service_without_a_call_for_many_is_all_right(examine, gateway, batch):
    """It works with more requests, and the finding says that; where there is one, it says that too."""
    _, findings = await examine()
    assert findings["polling"]["finding"] == "one request polls many generations"
    gateway.behaviour.batch = batch
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])
    assert "one request for each generation" in findings["polling"]["finding"]


async def test_a_failure_while_looking_at_many_is_a_finding(examine, gateway):
    """It is told like the others, not in the way of them."""
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    code, findings = await examine()
    assert (code, bad(findings)) == (4, ["polling"])


@pytest.mark.parametrize("off_s", [-3600, 3600])
async def test_a_clock_that_is_off_is_told(examine, monkeypatch, off_s):
    """By how much, and that this machine's is to be set; everything else is checked all the same."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(seconds=off_s)

    monkeypatch.setattr(doctor, "datetime", Wrong)
    code, findings = await examine()
    assert (code, bad(findings)) == (2, ["clock"])
    assert "Set this machine's clock" in findings["clock"]["finding"]
    assert findings["API key"]["ok"]


@pytest.mark.parametrize("date", [None, "", "yesterday"])
async def test_a_service_that_tells_no_time_is_all_right(examine, monkeypatch, date):
    """Without a date, or with one that is none, there is nothing to compare."""
    monkeypatch.setattr(doctor, "_fetch_date", lambda _: date)
    code, findings = await examine()
    assert (code, findings["clock"]["finding"]) == (0, "not checked; the service sends no date")


async def test_something_that_speaks_no_http_is_told(examine):
    """Whatever answers there, it is a finding and no traceback."""

    async def mumble(reader, writer):
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(mumble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, findings = await examine("--base-url", f"http://127.0.0.1:{port}")
    assert (code, bad(findings)) == (1, ["connection"])


async def test_a_service_on_this_machine_is_asked_past_proxies(examine, monkeypatch):
    """A proxy of the environment leads to other machines: what is called localhost there is not ours."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])


async def test_the_way_leads_through_the_proxy_of_the_environment(examine, monkeypatch):
    """As with other programs on a command line; a proxy that lets nobody through is a finding."""
    async with RawServer(answers(response(403, {}))) as proxy:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        code, findings = await examine("--base-url", "https://relay.example")
        assert (code, bad(findings)) == (1, ["connection"])
        assert "403" in findings["connection"]["finding"]
        [(head, _)] = proxy.requests
        assert head.startswith(b"CONNECT relay.example:443")


async def test_a_journal_that_cannot_be_made_is_told(examine, here):
    """Its path, and nothing is asked of the service: without a journal nothing would be sent."""
    (here / "file").touch()
    code, findings = await examine("--journal", here / "file" / "jobs.db")
    assert (code, bad(findings)) == (1, ["journal"])
    assert str(here / "file") in findings["journal"]["finding"]
    (here / "folder.db").mkdir()
    code, findings = await examine("--journal", here / "folder.db")
    assert (code, bad(findings)) == (1, ["journal"])
