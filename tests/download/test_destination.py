"""Where a file goes: what is refused before anything is sent, and how files are named in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from file_server import FileServer

from luma_async import DamagedFile, Generation, Image, InvalidInput, State
from luma_async._download.part_file import is_intact, resolve_destination
from luma_async.testing import file_bytes

CLIP = file_bytes()


@pytest.fixture
def obstacles(folder):
    """A file, a folder, a broken link and a pipe."""
    (folder / "there").write_bytes(b"x")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    return folder


REFUSED = {
    "there": "exists",
    "missing/cat.mp4": "does not exist; create it first",
    "there/": "is not a folder",
    "there/deep/": "cannot be created",
    "dangling/": "is not a folder",
    "there/cat.mp4": "does not exist; create it first",
    "dangling": "not a regular file",
    "pipe": "not a regular file",
    "a\0b": "must be the path",
    "half\ud800": "must be the path",
}


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
async def test_impossible_destination(luma, gateway, obstacles, name, message):
    """A destination where no file can go is refused before any request and before any waiting."""
    with pytest.raises(InvalidInput, match=message) as caught:
        await luma.handle("some-id").download(f"{obstacles}/{name}")
    assert caught.value.field == "dest"
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("dest", ["", None, 7, b"cat.mp4"])
async def test_destination_is_no_path(luma, dest):
    """A destination is a string or a path."""
    with pytest.raises(InvalidInput, match="dest"):
        await luma.handle("some-id").download(dest)


@pytest.mark.parametrize("name", ["pipe", "folder/taken"])
async def test_overwrite_of_other_things(luma, gateway, obstacles, name):
    """overwrite=True replaces neither a device nor a folder."""
    handle = await luma.submit("cat dance")
    (obstacles / "folder" / f"{handle.id}.mp4").mkdir()
    dest = obstacles / ("folder" if name == "folder/taken" else name)
    with pytest.raises(InvalidInput):
        await handle.download(dest, overwrite=True)
    assert gateway.counts["file"] == 0


async def test_name_in_folder(luma, folder):
    """In a folder a file is named after the id, and a picture also after its kind."""
    handle = await luma.submit("cat dance")
    assert await handle.download(folder) == folder / f"{handle.id}.mp4"
    assert await handle.download(f"{folder}/", what="thumbnail") == folder / f"{handle.id}-thumbnail.jpg"
    assert await handle.download(folder, what="last_frame") == folder / f"{handle.id}-last_frame.jpg"
    assert (folder / f"{handle.id}-thumbnail.jpg").read_bytes() == file_bytes("thumb.jpg")
    assert (folder / f"{handle.id}-last_frame.jpg").read_bytes() == file_bytes("last_frame.jpg")
    with pytest.raises(InvalidInput, match="exists"):
        await handle.download(folder)


@pytest.mark.parametrize("name", ["new/", "new/deep/", "./"])
async def test_folder_with_separator(luma, folder, monkeypatch, name):
    """A path that ends in a separator is a folder, which is created, and the file is put into it."""
    handle = await luma.submit("cat dance")
    monkeypatch.chdir(folder)
    path = await handle.download(name)
    assert path == Path(name) / f"{handle.id}.mp4"
    assert path.read_bytes() == CLIP


async def test_overwrite(luma, dest, names):
    """overwrite=True replaces an existing file at the end."""
    handle = await luma.submit("cat dance")
    dest.write_bytes(b"old")
    assert (await handle.download(dest, overwrite=True)).read_bytes() == CLIP
    assert names() == ["cat.mp4"]


async def test_relative_path(luma, dest, monkeypatch):
    """A relative path is returned as it was given."""
    handle = await luma.submit("cat dance")
    monkeypatch.chdir(dest.parent)
    assert str(await handle.download("cat.mp4")) == "cat.mp4"
    assert dest.read_bytes() == CLIP


async def test_picture_generation(fetch, folder):
    """The result of an image request is checked and named as a picture."""
    async with FileServer(file_bytes("thumb.jpg")) as server:
        picture = Generation(id="abc", state=State.COMPLETED, image=Image(url=server.url("i.jpg")))
        path = await fetch(folder, picture)
        assert path == folder / "abc.jpg"
        assert path.read_bytes() == server.data
        server.data = b"no picture"
        with pytest.raises(DamagedFile, match="picture"):
            await fetch(folder / "other.jpg", picture)


@pytest.mark.parametrize("same", [True, False])
async def test_move_that_was_killed(tmp_path, same):
    """A `.part` that is a second name of the finished file is removed; any other `.part` is kept for its download."""
    path, part, sidecar = (tmp_path / f"cat.mp4{suffix}" for suffix in ("", ".part", ".part.etag"))
    path.write_bytes(file_bytes())
    sidecar.write_bytes(b"{}")
    part.hardlink_to(path) if same else part.write_bytes(b"begun")
    with pytest.raises(InvalidInput, match="exists"):
        resolve_destination(path, None, overwrite=False)
    assert (part.exists(), sidecar.exists()) == (not same, not same)
    assert path.read_bytes() == file_bytes()
    part.unlink(missing_ok=True)
    part.hardlink_to(path)
    assert await is_intact(path, "mp4")
    assert not part.exists()
