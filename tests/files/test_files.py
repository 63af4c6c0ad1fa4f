"""Uploads: what is sent where, what is refused before, what a broken upload means, and how much memory it takes."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc

import pytest
from agents_server import AgentsServer

from luma_async import (
    Agents,
    FileReference,
    GenerationNotFound,
    ImageEditRequest,
    ImageKeyframe,
    InvalidInput,
    Keyframes,
    LumaSession,
    MemoryJournal,
    RetryPolicy,
    RixAPI,
    UnsupportedOperation,
    Uploaded,
    UploadFailed,
    Uploading,
    VideoRequest,
)
from luma_async._journal.fingerprint import canonical_form, digest

KEY = "luma-api-secret-key"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (64).to_bytes(4, "big") * 2
MP4 = b"\0\0\0\x18ftypmp42"
MB = 1_000_000


@pytest.fixture
async def server():
    async with AgentsServer(job_s=0) as running:
        yield running


@pytest.fixture
async def luma(server, journal):
    policy = RetryPolicy(first_delay=0.01, max_delay=0.02)
    async with LumaSession(KEY, base_url=server.base_url, dialect=Agents(), retry=policy, journal=journal) as session:
        yield session


def large(path, size=10 * MB, head=PNG):
    """Write a sparse file with this head."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


async def test_upload(luma, server, tmp_path):
    """A file goes to the signed address without the key, is completed, and is ready when the call returns."""
    path = large(tmp_path / "cat.png")
    file = await luma.files.upload(path)
    assert (file.state, file.mime_type, file.size_bytes, file.filename) == ("ready", "image/png", 10 * MB, "cat.png")
    assert server.stored[file.id] == (10 * MB, hashlib.sha256(path.read_bytes()).hexdigest())
    [headers] = [headers for kind, headers in server.seen if kind == "put"]
    assert KEY not in str(headers)
    assert (headers["Content-Type"], headers["Content-Length"]) == ("image/png", str(10 * MB))
    assert all(headers["Authorization"] == f"Bearer {KEY}" for kind, headers in server.seen if kind != "put")


async def test_upload_of_bytes(luma, server):
    """Bytes are uploaded as well."""
    file = await luma.files.upload(PNG, purpose="reference", user_id="u1", filename="a.png")
    assert server.stored[file.id] == (len(PNG), hashlib.sha256(PNG).hexdigest())
    assert (file.purpose, file.user_id) == ("reference", "u1")


async def test_progress_events(server, tmp_path):
    """The events of an upload end with the size of the file."""
    events = []
    async with LumaSession(KEY, base_url=server.base_url, dialect=Agents(), on_event=events.append) as luma:
        file = await luma.files.upload(large(tmp_path / "cat.mp4", head=MP4))
    progress = [event for event in events if isinstance(event, Uploading)]
    assert (progress[-1].sent_bytes, progress[-1].total_bytes) == (10 * MB, 10 * MB)
    assert Uploaded(file_id=file.id, path=tmp_path / "cat.mp4", size_bytes=10 * MB) in events


BAD_FILES = {
    "no such file": (lambda folder: folder / "none.png", "source"),
    "a folder": (lambda folder: folder, "source"),
    "an empty file": (lambda folder: large(folder / "a.png", 0, b""), "source"),
    "an unknown type": (lambda folder: large(folder / "a.bin", 10, b"hello"), "mime_type"),
    "an image beyond 50 MB": (lambda folder: large(folder / "a.png", 50 * MB + 1), "source"),
    "a video beyond 200 MB": (lambda folder: large(folder / "a.mp4", 200 * MB + 1, MP4), "source"),
    "a side beyond 8000 pixels": (
        lambda folder: large(folder / "a.png", 99, PNG[:16] + (8001).to_bytes(4, "big") * 2),
        "source",
    ),
    "a number": (lambda folder: 7, "source"),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_refused_before_sending(luma, server, tmp_path, name):
    """A file that the service would not take is refused before anything is sent."""
    make, field = BAD_FILES[name]
    with pytest.raises(InvalidInput) as caught:
        await luma.files.upload(make(tmp_path))
    assert caught.value.field == field
    assert not server.counts


async def test_unsupported(gateway):
    """A dialect without uploads says which has them."""
    async with LumaSession("sk-1", base_url=gateway.base_url, dialect=RixAPI()) as luma:
        with pytest.raises(UnsupportedOperation, match=r"dialect=Agents\(\)"):
            luma.files.list()


async def test_cut_upload(luma, server, tmp_path):
    """A cut upload is sent again; if it keeps breaking, the error is typed and nothing was bought."""
    server.cut_puts = 2
    file = await luma.files.upload(large(tmp_path / "cat.png"))
    assert (file.state, server.counts["put"]) == ("ready", 3)
    server.cut_puts = 99
    with pytest.raises(UploadFailed, match="Nothing was bought"):
        await luma.submit(
            ImageEditRequest(ImageKeyframe.from_file(large(tmp_path / "dog.png", 2 * MB)), "add a hat"), key="dog"
        )
    assert server.counts["submit"] == 0
    assert await luma.resume() == []


async def test_refused_file(luma, server):
    """A file that the service refuses after its check raises with its id."""
    server.ingest_state = "failed"
    with pytest.raises(UploadFailed, match="does not take the file") as caught:
        await luma.files.upload(PNG)
    assert caught.value.file_id == "f0"


async def test_list_get_delete(luma, server):
    """All files are listed, page by page; one can be fetched and deleted."""
    for _ in range(3):
        await luma.files.upload(PNG)
    server.files |= {f"g{number}": {"id": f"g{number}", "state": "pending"} for number in range(150)}
    assert len([file async for file in luma.files.list()]) == 153
    assert [file.id async for file in luma.files.list(state="ready")] == ["f2", "f1", "f0"]
    await luma.files.delete("f1")
    assert (await luma.files.get("f1")).state == "deleted"
    with pytest.raises(GenerationNotFound):
        await luma.files.get("f9")


async def test_large_picture_is_uploaded_once(luma, server, tmp_path):
    """A picture of more than 1 MB is uploaded, and used again for other requests; a small one is sent inline."""
    path = large(tmp_path / "cat.png", 2 * MB)
    frames = [ImageKeyframe.from_file(path) for _ in range(2)]
    handles = [await luma.submit(f"cat {n}", keyframes=Keyframes(frame0=frame)) for n, frame in enumerate(frames)]
    assert len({handle.id for handle in handles}) == 2
    assert [body["video"]["start_frame"] for body in server.bodies] == [{"file_id": "f0"}] * 2
    assert server.counts["put"] == 1
    await luma.submit("cat 3", keyframes=Keyframes(at={5: ImageKeyframe.from_bytes(PNG), 9: FileReference("f0")}))
    small, earlier = server.bodies[-1]["video"]["keyframes"]
    assert (small["media_type"], earlier) == ("image/png", {"file_id": "f0"})


@pytest.mark.parametrize("gone", ["deleted", "forgotten"])
async def test_gone_picture_is_uploaded_again(luma, server, gone):
    """A picture whose file the service no longer has is uploaded again, once for all requests that want it."""
    frames = Keyframes(frame0=ImageKeyframe.from_bytes(PNG + bytes(2 * MB)))
    await luma.submit("cat 0", keyframes=frames)
    if gone == "deleted":
        await luma.files.delete("f0")
    else:
        del server.files["f0"]
        server.files["other"] = {}
    await asyncio.gather(*[luma.submit(f"cat {number}", keyframes=frames) for number in range(1, 4)])
    assert [body["video"]["start_frame"]["file_id"] for body in server.bodies] == ["f0", "f1", "f1", "f1"]
    assert server.counts["put"] == 2


async def test_large_inline_picture(luma, server):
    """Bytes of more than 1 MB are uploaded too, and a key that bought already uploads nothing."""
    data = PNG + bytes(2 * MB)
    for _ in range(2):
        await luma.submit("cat", keyframes=Keyframes(frame0=ImageKeyframe.from_bytes(data)), key="cat")
    assert server.stored["f0"] == (len(data), hashlib.sha256(data).hexdigest())
    assert (server.counts["put"], server.counts["submit"]) == (1, 1)


async def test_digest_of_large_file(tmp_path):
    """A large file has the digest of its inline form, so that a key still names the same purchase."""
    path = large(tmp_path / "cat.png", 2 * MB + 1)
    requests = [
        VideoRequest("cat", keyframes=Keyframes(frame0=frame))
        for frame in (ImageKeyframe.from_file(path), ImageKeyframe.from_bytes(path.read_bytes()))
    ]
    assert len({digest(canonical_form(request)) for request in requests}) == 1


async def test_large_file_in_other_dialects(gateway, tmp_path):
    """Where a service takes no uploads, a large file is sent inline; if it has changed, nothing is sent."""
    path = large(tmp_path / "cat.png", 2 * MB)
    journal = MemoryJournal()
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=RixAPI(), journal=journal) as luma:
        await luma.submit("cat", keyframes=Keyframes(frame0=ImageKeyframe.from_file(path)), key="cat")
        sent = gateway.charges[0].body["keyframes"]["frame0"]["url"]
        assert sent == ImageKeyframe.from_bytes(path.read_bytes()).url
        frame = ImageKeyframe.from_file(path)
        large(path, 3 * MB)
        with pytest.raises(InvalidInput, match="has changed"):
            await luma.submit("dog", keyframes=Keyframes(frame0=frame), key="dog")
    assert len(gateway.charges) == 1
    assert await journal.get("dog") is None


@pytest.mark.parametrize(("name", "size", "head"), [("a.png", 10 * MB, PNG), ("a.mp4", 150 * MB, MP4)])
async def test_upload_memory(luma, server, tmp_path, name, size, head):
    """An upload takes less than 20 MB of memory, whatever the size of the file."""
    path = large(tmp_path / name, size, head)
    await luma.files.upload(PNG)
    tracemalloc.start()
    try:
        if head == PNG:
            await luma.submit("cat", keyframes=Keyframes(frame0=ImageKeyframe.from_file(path)))
        else:
            await luma.files.upload(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert server.stored["f1"][0] == size
    assert peak < 20 * MB


async def test_cancelled_upload(luma, server, tmp_path):
    """A submit that is cancelled during its upload buys nothing."""
    path = large(tmp_path / "cat.png", 40 * MB)
    task = asyncio.ensure_future(luma.submit("cat", keyframes=Keyframes(frame0=ImageKeyframe.from_file(path))))
    while not server.counts["put"]:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.counts["submit"] == 0
