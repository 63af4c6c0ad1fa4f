"""Downloads with a session against the fake gateway, and without a session against a server of large files."""

from __future__ import annotations

import pytest
from file_server import FileServer, completed, large_clip

from luma_async import LumaSession, MemoryJournal, NoResponse, PollPolicy, RetryPolicy, Timeouts
from luma_async._download.client import FileClient
from luma_async._download.downloader import Downloader
from luma_async._download.link_resolver import LinkResolver
from luma_async._http.address import Address
from luma_async._http.proxies import Proxies
from luma_async._journal.recorder import Recorder
from luma_async.testing import succeeds
from luma_async.values.events import Emitter
from luma_async.values.redaction import Secret

LARGE = large_clip(3_000_000)
RETRY = RetryPolicy(attempts=4, first_delay=0.01, max_delay=0.02)


@pytest.fixture
def gateway_options():
    """Generations are completed at once."""
    return {"script": succeeds(after=0)}


@pytest.fixture
def events():
    """The events of the session or of the downloader."""
    return []


@pytest.fixture
async def luma(gateway, events):
    """A session against the fake gateway."""
    async with LumaSession(
        gateway.api_key,
        base_url=gateway.base_url,
        poll=PollPolicy.fixed(0.1),
        retry=RETRY,
        timeouts=Timeouts(download_stall=5),
        on_event=events.append,
    ) as session:
        yield session


@pytest.fixture
async def server():
    """A server of a file of 3 MB."""
    async with FileServer(LARGE) as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """An empty folder for downloads."""
    made = tmp_path / "videos"
    made.mkdir()
    return made


@pytest.fixture
def dest(folder):
    """The path for a download."""
    return folder / "cat.mp4"


@pytest.fixture
def names(folder):
    """Return the names of the files in the folder."""
    return lambda: sorted(path.name for path in folder.iterdir())


async def no_refresh(_):
    """Fail to fetch a generation."""
    raise NoResponse(message="there is no service")


@pytest.fixture
async def client():
    """Make a file client of a service, which is on this machine unless the test says otherwise."""
    made = []

    def make(base_url="http://127.0.0.1:1", *, allow_private_hosts=False, headers=None, proxy=None):
        made.append(
            FileClient(
                service=Address(base_url=base_url, api_key=Secret("sk-canary")),
                service_headers=headers or {},
                service_tls=None,
                tls=None,
                allow_private_hosts=allow_private_hosts,
                timeouts=Timeouts(download_stall=5),
                proxies=Proxies(proxy and Secret(proxy)),
            )
        )
        return made[-1]

    yield make
    for files in made:
        await files.aclose()


@pytest.fixture
async def make(events, client):
    """Make a downloader without a session; settings replace those of the test."""
    files = client()
    made = []

    def downloader(*, refresh=no_refresh, ask=None, **more):
        settings = {
            "files": files,
            "links": LinkResolver(refresh=refresh, ask=ask),
            "recorder": Recorder(MemoryJournal(), "test"),
            "events": Emitter(events.append),
            "retry": RETRY,
            "stall_s": 5,
            "random": lambda: 1.0,
        }
        made.append(Downloader(**{**settings, **more}))
        return made[-1]

    yield downloader
    for downloads in made:
        await downloads.aclose()


@pytest.fixture
def fetch(make, request):
    """Download the server's file, or the file of `generation`, with a new downloader or with `by`."""

    async def download(dest, generation=None, *, by=None, overwrite=False, watermark="forbid", **more):
        if generation is None:
            generation = completed(request.getfixturevalue("server").url())
        return await (by or make()).fetch(generation, dest, overwrite=overwrite, watermark=watermark, **more)

    return download
