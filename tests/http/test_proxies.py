"""The proxies of the environment: which of them count, and that nothing else of the environment does."""

from __future__ import annotations

import argparse
import asyncio

import pytest
from raw_server import RawServer, answers, response
from yarl import URL

from luma_async import ConfigurationError, LumaSession, Refused
from luma_async._http.proxies import Proxies
from luma_async.cli.options import add_service, open_session
from luma_async.testing import succeeds
from luma_async.values.redaction import Secret

RELAY = URL("http://relay.example/luma/generations")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment without proxies, to set some in."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def passwords(environment, tmp_path):
    """A `~/.netrc` with a password for every host of the tests."""
    path = tmp_path / "netrc"
    path.write_text("default login me password secret\n")
    path.chmod(0o600)
    environment.setenv("NETRC", str(path))


async def test_trust_env(environment):
    """The environment is used with `trust_env`, for its own scheme, and if no proxy was set."""
    environment.setenv("http_proxy", "http://of.env:3128")
    assert await Proxies(trust_env=True).before(RELAY) == "http://of.env:3128"
    assert await Proxies().before(RELAY) is None
    assert await Proxies(trust_env=True).before(RELAY.with_scheme("https")) is None
    assert await Proxies(Secret("http://set:3128"), trust_env=True).before(RELAY) == "http://set:3128"


async def test_no_proxy_variable(environment):
    """Hosts in NO_PROXY are contacted directly."""
    environment.setenv("http_proxy", "http://of.env:3128")
    environment.setenv("no_proxy", "relay.example,other.example")
    proxies = Proxies(trust_env=True)
    assert await proxies.before(RELAY) is None
    assert await proxies.before(URL("http://files.example/a.mp4")) == "http://of.env:3128"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_loopback_without_proxy(environment, host):
    """Loopback addresses are contacted directly."""
    environment.setenv("http_proxy", "http://of.env:3128")
    assert await Proxies(trust_env=True).before(URL(f"http://{host}:8080/luma")) is None


async def test_proxy_without_scheme(environment):
    """A proxy without a scheme is an HTTP proxy."""
    environment.setenv("http_proxy", "of.env:3128")
    assert await Proxies(trust_env=True).before(RELAY) == "http://of.env:3128"


async def test_submit_through_proxy(environment, passwords):
    """With `trust_env` a submit goes through the proxy with the API key, and `~/.netrc` is not used."""
    async with RawServer(answers(response(400, {"code": "bad", "message": "no"}))) as proxy:
        environment.setenv("http_proxy", proxy.base_url)
        session = LumaSession("sk-env", base_url="http://relay.example", trust_env=True, allow_insecure=True)
        async with session as luma:
            with pytest.raises(Refused):
                await luma.submit("cat dance")
        [(head, _)] = proxy.requests
    assert head.startswith(b"POST http://relay.example/luma/generations")
    assert b"Authorization: Bearer sk-env" in head
    assert b"Basic" not in head


async def test_command_line_uses_proxy(environment, tmp_path):
    """The command line uses the proxy of the environment."""
    parser = argparse.ArgumentParser()
    add_service(parser)
    arguments = parser.parse_args(["--base-url", "https://relay.example"])
    arguments.journal = tmp_path / "jobs.db"
    environment.setenv("LUMA_API_KEY", "sk-env")
    async with RawServer(answers(response(403, {}))) as proxy:
        environment.setenv("https_proxy", proxy.base_url)
        async with open_session(arguments) as luma:
            asking = asyncio.ensure_future(luma.get("g1"))
            while not proxy.requests:
                await asyncio.sleep(0.01)
            asking.cancel()
        [(head, _)] = proxy.requests
    assert head.startswith(b"CONNECT relay.example:443")


async def test_download_without_netrc(environment, passwords, gateway, tmp_path):
    """A download sends no password of `~/.netrc`, since its link is signed already."""
    gateway.scripts["cat dance"] = succeeds(after=0)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, trust_env=True) as luma:
        handle = await luma.submit("cat dance")
        await handle.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").exists()
    assert gateway.leaks == ()


@pytest.mark.parametrize(
    "proxy", ["socks5://me:secret@of.env:1080", "socks5h://of.env:1080", "SOCKS4://of.env", "ftp://of.env"]
)
async def test_unsupported_proxy(environment, proxy):
    """A proxy of the environment that is not HTTP is refused at once, by its kind and host, without its password."""
    environment.setenv("https_proxy", proxy)
    async with LumaSession("sk-fake-000", base_url="https://relay.example", trust_env=True) as luma:
        with pytest.raises(ConfigurationError, match=r"of\.env.*not supported") as caught:
            await luma.submit("cat dance")
    assert proxy.partition("://")[0] in str(caught.value)
    assert "secret" not in str(caught.value)
