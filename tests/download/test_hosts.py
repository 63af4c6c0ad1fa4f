"""Which hosts files are fetched from, and which host is sent the API key."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from file_server import FileServer, completed
from yarl import URL

from luma_async import DownloadError, LinkGone
from luma_async._download.hosts import network_of, same_origin
from luma_async._download.links import Link
from luma_async.values.redaction import Secret

NETWORKS = {
    "127.0.0.1": "loopback",
    "127.9.9.9": "loopback",
    "::1": "loopback",
    "localhost": "loopback",
    "files.localhost": "loopback",
    "0.0.0.0": "loopback",
    "::": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "2002:7f00:1::": "loopback",
    "169.254.169.254": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "10.0.0.1": "private",
    "172.16.5.4": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "198.18.0.7": "private",
    "fd00::1": "private",
    "8.8.8.8": None,
    "2001:4860:4860::8888": None,
    "cdn.example": None,
    "10.example": None,
    "": None,
}


@pytest.mark.parametrize(("host", "network"), NETWORKS.items())
def test_network_of(host, network):
    """An address is judged by the network that a connection to it reaches, also if it is embedded in another."""
    assert network_of(host) == network


ORIGINS = {
    "https://relay.example/v1/videos/a/content": True,
    "https://relay.example:443/a?b#c": True,
    "https://evil.example/@relay.example/a": False,
    "https://evil.example?@relay.example/a": False,
    "https://evil.example#@relay.example/a": False,
    "https://user:password@relay.example/a": True,
    "http://relay.example/a": False,
    "https://relay.example:8443/a": False,
    "https://relay.example.evil.example/a": False,
    "https://relay.example@evil.example/a": False,
    "https://cdn.relay.example/a": False,
}


@pytest.mark.parametrize(("url", "same"), ORIGINS.items())
def test_same_origin(url, same):
    """A link is on the service's origin if its scheme, host and port are those of the base URL."""
    assert same_origin(URL(url, encoded=True), URL("https://relay.example/prefix")) is same


async def get(files, url):
    """Return the status of a response."""
    response = await files.get(Link(url=url, name="link"), {})
    response.close()
    return response.head.status


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("base_url", ["https://8.8.8.8", "https://10.0.0.1", "https://no-such-name.invalid"])
async def test_private_host(client, server, name, base_url):
    """A host in a private network is not connected to if the service is not in a network of that kind."""
    with pytest.raises(LinkGone, match=r"in a loopback network, .*--allow-private-hosts"):
        await get(client(base_url), f"http://{name}:{server.port}/x")
    assert server.seen == []


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "http://localhost:1"])
async def test_service_in_same_network(client, server, base_url):
    """Where the service is on this machine, files may be there too, on another port."""
    assert await get(client(base_url), server.url()) == 200


async def test_allow_private_hosts(client, server):
    """allow_private_hosts=True allows every host."""
    assert await get(client("https://8.8.8.8", allow_private_hosts=True), server.url()) == 200


async def test_redirect_to_private_host(client, server):
    """A redirect is checked like a link: the service's own network does not allow another kind of network."""
    server.redirect = "http://169.254.169.254/latest/meta-data"
    with pytest.raises(LinkGone, match=r"169\.254\.169\.254 is in a link-local network"):
        await get(client(), server.url())


async def test_proxy(client, server):
    """A proxy may be in a private network; behind it only an address in the link itself can be checked."""
    files = client("https://8.8.8.8", proxy=server.url(""))
    assert await get(files, "http://cdn.example/x") == 200
    assert server.seen[0].headers["Host"] == "cdn.example"
    with pytest.raises(LinkGone, match="private network"):
        await get(files, "http://192.168.1.1/x")
    assert len(server.seen) == 1


async def test_user_in_link(client, server):
    """A name and a password in a link are not sent."""
    assert await get(client(), server.url().replace("//", "//name:password@")) == 200
    assert "Authorization" not in server.seen[0].headers


async def test_key_for_service(client, server):
    """The API key is sent to the service's own origin, after it has answered 401, and nowhere else."""
    server.required_key = "Bearer sk-canary"
    files = client(server.url("").rstrip("/"))
    assert await get(files, server.url("v1/videos/abc/content")) == 200
    assert [request.headers.get("Authorization") for request in server.seen] == [None, "Bearer sk-canary"]


async def test_key_for_other_origin(client, server):
    """Another origin that answers 401 is not sent the API key, also if the service redirects to it."""
    server.required_key = "Bearer sk-canary"
    async with FileServer() as service:
        files = client(service.url("").rstrip("/"))
        assert await get(files, server.url()) == 401
        service.redirect, service.required_key = server.url(), "Bearer sk-canary"
        assert await get(files, service.url()) == 401
        assert [request.headers.get("Authorization") for request in service.seen] == [None, "Bearer sk-canary"]
    assert len(server.seen) == 2
    assert all("sk-canary" not in str(request.raw_headers) for request in server.seen)


async def test_headers_for_service(client, server):
    """The further headers of a session are sent to the service's origin and to no other."""
    headers = {"X-Password": Secret("hidden")}
    async with FileServer() as service:
        service.redirect = server.url()
        assert await get(client(service.url("").rstrip("/"), headers=headers), service.url()) == 200
        assert service.seen[0].headers["X-Password"] == "hidden"
    assert "X-Password" not in server.seen[0].headers


@pytest.mark.parametrize("failures", [4, 0], ids=["fails", "asks for another key"])
async def test_frames_hold_no_secret(client, make, fetch, server, dest, failures):
    """No frame of an error has a variable that shows the key or the query of a link."""
    server.required_key, server.statuses = "Bearer sk-other", [500] * failures
    generation = completed(server.url("x?X-Amz-Signature=5ec2e7"))

    async def refresh(_):
        return generation

    downloader = make(files=client(server.url("").rstrip("/")), refresh=refresh)
    with pytest.raises(DownloadError) as caught:
        await fetch(dest, generation, by=downloader)
    assert any("sk-canary" in str(request.raw_headers) for request in server.seen) is not bool(failures)
    shown = [
        f"{frame.f_code.co_qualname} {frame.f_locals!r}"
        for frame, _ in traceback.walk_tb(caught.tb)
        if "/luma_async/" in frame.f_code.co_filename
    ]
    assert len(shown) >= 3
    for text in shown:
        assert "5ec2e7" not in text
        assert "sk-canary" not in text


async def test_cancelled_frames(client, server):
    """The frames of a cancelled request hold neither the key nor the query of the link."""
    server.hold_after = 0
    files = client()
    task = asyncio.ensure_future(get(files, server.url("x?X-Amz-Signature=5ec2e7")))
    await server.seen_requests(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert "_request" not in frames
    server.let_go.set()
