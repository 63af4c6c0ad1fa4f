"""`luma-async doctor`: its findings, good and bad."""

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
async def test_all_good(examine, gateway, here, dialect):
    """Exit code 0; nothing is bought, and the settings are shown with their source and without the key."""
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])
    assert {"versions", "settings", "journal", "clock", "API key"} <= set(findings)
    assert findings["settings"]["finding"] == f"{dialect} at {gateway.base_url} (LUMA_BASE_URL)"
    assert os.environ["LUMA_JOURNAL"] in findings["journal"]["finding"]
    assert gateway.charges == ()
    assert gateway.leaks == ()
    assert gateway.api_key not in json.dumps(findings)


async def test_text_output(capsys):
    """Without `--json`, each finding is a line that begins with `ok` or `BAD`."""
    code = await asyncio.to_thread(main, ["doctor"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert all(line.startswith("ok  ") for line in out.splitlines())
    assert "ok  API key: accepted" in out


@pytest.mark.parametrize("dialect", ["rixapi", "dream-machine"])
async def test_wrong_key(examine, monkeypatch):
    """A wrong key is exit code 4, with what to check."""
    monkeypatch.setenv("LUMA_API_KEY", "sk-wrong")
    code, findings = await examine()
    assert (code, bad(findings)) == (4, ["API key"])
    assert "belongs to this --base-url" in findings["API key"]["finding"]


async def test_typed_address_is_shown(examine, gateway):
    """The finding about the settings has the address and says where it was set."""
    _, findings = await examine("--base-url", gateway.base_url)
    assert findings["settings"]["finding"].endswith(f" at {gateway.base_url} (--base-url)")


@pytest.mark.parametrize("missing", ["LUMA_API_KEY", "LUMA_BASE_URL"])
async def test_missing_setting(examine, monkeypatch, missing):
    """A missing setting is exit code 2, and no request is made."""
    monkeypatch.delenv(missing)
    code, findings = await examine()
    assert (code, bad(findings)) == (2, ["settings"])
    assert missing in findings["settings"]["finding"]


async def test_unreachable_service(examine, unused_tcp_port):
    """An unreachable service is one finding with the address, without retries."""
    code, findings = await examine("--base-url", f"http://127.0.0.1:{unused_tcp_port}")
    assert (code, bad(findings)) == (1, ["connection"])
    assert f"Cannot reach http://127.0.0.1:{unused_tcp_port}" in findings["connection"]["finding"]
    assert "API key" not in findings


@pytest.mark.parametrize("dialect", ["rixapi", "dream-machine"])
async def test_web_page(examine, gateway):
    """An address that responds with HTML is reported."""
    gateway.inject(html_page(), on="query", times=ALWAYS)
    code, findings = await examine()
    assert (code, bad(findings)) == (1, ["service"])
    found = "The service answered with an HTML page (HTTP 200). Check --base-url."
    assert findings["service"]["finding"] == found


@pytest.mark.parametrize("batch", ["missing", "html"])
async def test_no_shared_polling(examine, gateway, batch):
    """A service without a call for many generations is good, and the finding says that it takes more requests."""
    _, findings = await examine()
    assert findings["polling"]["finding"] == "one request polls many generations"
    gateway.behaviour.batch = batch
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])
    assert "one request for each generation" in findings["polling"]["finding"]


async def test_shared_polling_fails(examine, gateway):
    """A failure of the request for many is a finding like the others."""
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    code, findings = await examine()
    assert (code, bad(findings)) == (4, ["polling"])


@pytest.mark.parametrize("off_s", [-3600, 3600])
async def test_clock_skew(examine, monkeypatch, off_s):
    """A wrong clock is reported with its difference, and the other checks go on."""

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
async def test_service_without_date(examine, monkeypatch, date):
    """Without a valid date from the service, the clock is not checked."""
    monkeypatch.setattr(doctor, "_fetch_date", lambda _: date)
    code, findings = await examine()
    assert (code, findings["clock"]["finding"]) == (0, "not checked; the service sends no date")


async def test_not_http(examine):
    """A server that does not speak HTTP is a finding, not a traceback."""

    async def mumble(reader, writer):
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(mumble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, findings = await examine("--base-url", f"http://127.0.0.1:{port}")
    assert (code, bad(findings)) == (1, ["connection"])


async def test_local_service_with_proxy(examine, monkeypatch):
    """A service on this machine is called without the environment's proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    code, findings = await examine()
    assert (code, bad(findings)) == (0, [])


async def test_proxy(examine, monkeypatch):
    """Other services are called through the environment's proxy; a proxy that refuses is a finding."""
    async with RawServer(answers(response(403, {}))) as proxy:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        code, findings = await examine("--base-url", "https://relay.example")
        assert (code, bad(findings)) == (1, ["connection"])
        assert "403" in findings["connection"]["finding"]
        [(head, _)] = proxy.requests
        assert head.startswith(b"CONNECT relay.example:443")


async def test_unusable_journal(examine, here):
    """A journal that cannot be created is reported with its path, and nothing is sent."""
    (here / "file").touch()
    code, findings = await examine("--journal", here / "file" / "jobs.db")
    assert (code, bad(findings)) == (1, ["journal"])
    assert str(here / "file") in findings["journal"]["finding"]
    (here / "folder.db").mkdir()
    code, findings = await examine("--journal", here / "folder.db")
    assert (code, bad(findings)) == (1, ["journal"])


@pytest.mark.parametrize("words", [("doctor",), ("generate", "a cat"), ("wait", "g-1")])
async def test_socks_proxy(command, here, monkeypatch, words):
    """A SOCKS proxy in the environment is refused at once, by its address."""
    monkeypatch.setenv("LUMA_BASE_URL", "https://relay.example")
    monkeypatch.setenv("https_proxy", "socks5://me:secret@127.0.0.1:9")
    code, out, err = await command(*words)
    assert code == 2
    assert "is socks5://127.0.0.1:9, and socks5 proxies are not supported" in out + err
    assert "secret" not in out + err
