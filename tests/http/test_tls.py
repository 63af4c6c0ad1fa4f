"""The CAs that a session trusts."""

from __future__ import annotations

import pytest
from raw_server import CERTIFICATE, RawServer, answers, response

from luma_async import ConfigurationError, LumaSession, NotSent

ACCEPTED = response(201, {"id": "g1", "state": "pending"})


@pytest.fixture
def environment(monkeypatch):
    """An environment that names no CA."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_cert_file_of_environment(environment):
    """`SSL_CERT_FILE` is read when a session opens, not when aiohttp is imported."""
    async with RawServer(answers(ACCEPTED), tls=True) as server:
        luma = LumaSession("sk-fake-000", base_url=f"https://localhost:{server.port}")
        async with luma:
            with pytest.raises(NotSent, match="certificate is not trusted") as caught:
                await luma.submit("cat dance")
            assert caught.value.permanent
        environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        async with luma:
            assert (await luma.submit("cat dance")).id == "g1"


async def test_missing_cert_file(environment, tmp_path):
    """A variable that names no file is refused when the session opens."""
    environment.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE is .*ca\.pem, which does not exist"):
        await LumaSession("sk-fake-000", base_url="https://relay.example").open()


@pytest.mark.parametrize("value", ["ca.pem", True, object()])
def test_wrong_context(value):
    """An argument that is no TLS context is refused by name."""
    with pytest.raises(ConfigurationError, match=r"ssl must be an ssl\.SSLContext"):
        LumaSession("sk-fake-000", ssl=value)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"X Relay": "x"},
        {"X-Relay": "two\nlines"},
        {"X-Relay": ""},
        {"X-Relay": 5},
        {5: "x"},
        ["X-Relay"],
        {"content-length": "5"},
    ],
    ids=str,
)
def test_wrong_headers(headers):
    """Headers that cannot be sent, or that the library sets, are refused without their values."""
    with pytest.raises(ConfigurationError, match="headers") as caught:
        LumaSession("sk-fake-000", headers=headers)
    assert "Bearer" not in str(caught.value)
